"""Settings of a tuning run."""

from dataclasses import dataclass

from tritongen.errors import InvalidInputError
from tritongen.tune.search.objective import Objective

# Requests for a throughput, and at most for any percentile.
THROUGHPUT_SAMPLES = 200
_MAX_SAMPLES = 5_000
# A measurement takes at most so many times the least length, however slow the model is.
_MAX_LENGTHS = 10.0


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a model is tuned.

    Attributes:
        objective: the goal.
        cores: that all instances share; a fraction where a quota is one.
        budget_s: tuning time, everything included.
        sweep_s: part of it in which the choice is measured at rates; none when 0.
        seed: of the order of measurements and of the simulations.
        immaterial: differences up to this share do not matter; the simpler configuration wins.
        margin: error of predictions as a share; candidates predicted this far behind still race.
        noise: expected scatter of one measurement as a share; the data soon overrule it.
        confidence: standard errors to either side of a difference before it counts. More than
            the usual two, since many candidates are compared many times.
        measure_s: least length of one measurement. Many short ones, taken in turns, say more
            than few long ones: what disturbs a machine lasts for seconds.
        switch_s: expected time to load another configuration, until it is known.
        max_arms: candidates that race at first.
        max_rounds: rounds of the race.
        max_concurrency: clients of a closed loop at most.
    """

    objective: Objective
    cores: float
    budget_s: float = 120.0
    sweep_s: float = 0.0
    seed: int = 0
    immaterial: float = 0.03
    margin: float = 0.25
    noise: float = 0.06
    confidence: float = 2.5
    measure_s: float = 0.8
    switch_s: float = 0.5
    max_arms: int = 10
    max_rounds: int = 60
    max_concurrency: int = 64

    def __post_init__(self) -> None:
        positive = (self.cores, self.race_s, self.measure_s, self.immaterial, self.confidence)
        if min(positive) <= 0.0 or min(self.max_arms, self.max_concurrency) < 1:
            raise InvalidInputError("TG304", "budget, cores and measurements must be positive")

    @property
    def race_s(self) -> float:
        """Tuning time until the choice stands."""
        return self.budget_s - self.sweep_s

    @property
    def samples(self) -> int:
        """Requests that one measurement needs: five beyond the percentile where latency counts."""
        objective = self.objective
        if objective.limit_s is None and not objective.open_loop:
            return THROUGHPUT_SAMPLES
        return min(_MAX_SAMPLES, round(5.0 / (1.0 - objective.percentile / 100.0)))

    def seconds(self, expected_rate_per_s: float) -> float:
        """Length of a measurement at a rate, long enough for the samples but bounded."""
        needed = self.samples / max(expected_rate_per_s, 1e-9)
        return min(max(self.measure_s, needed), _MAX_LENGTHS * self.measure_s)
