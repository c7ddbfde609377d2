"""Standings: what paired measurements say of the candidates in a race.

Candidates are measured once a round, in random order. The machine drifts and other tenants come
and go, but they do so for all of a round: only differences within rounds are compared, as
logarithms, so that 0.01 is about one per cent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import Loop
from tritongen.tune.search.measurement_records import History, Purpose, TaskRecord
from tritongen.tune.search.objective import GoalKind, Objective, Performance
from tritongen.tune.search.search_space import Candidate

# Rounds that the prior belief in the noise is worth.
_PRIOR_ROUNDS = 4.0
# Sweeps of the fit of candidates' and rounds' effects; it converges in a few.
_SWEEPS = 6
# Predictions of differences between candidates are never trusted more than this.
_PREDICTION_ERROR = 0.04
# Standard errors to either side of a reported level, for 95 %.
_LEVEL_ERRORS = 1.96
# A latency that holds the limit by so much (as a logarithm) counts no better.
_SAFE_EXCESS = -1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sound measurement of a candidate in one round.

    Attributes:
        load: under which it was taken.
        outcome: what was measured.
        gain: the goal's value as a logarithm, larger is better.
        excess: logarithm of latency over limit (or of the missing rate); above 0 is infeasible.
    """

    load: Loop
    outcome: Performance
    gain: float
    excess: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """What all measurements of one configuration under one load say together.

    Attributes:
        load: under which it was measured.
        throughput: requests per second.
        latency_s: seconds at the percentile that was asked for.
        rounds: measurements behind the numbers.
    """

    load: Loop
    throughput: Interval
    latency_s: Interval
    rounds: int


# By candidate, then by round; None stands for a measurement that failed.
Samples = dict[Candidate, dict[int, Sample | None]]


def collect(history: History, objective: Objective, purpose: Purpose) -> Samples:
    """The samples of all records of one purpose."""
    samples: Samples = {}
    for record in history:
        if record.task.purpose is purpose:
            add_sample(samples, record, objective)
    return samples


def add_sample(samples: Samples, record: TaskRecord, objective: Objective) -> None:
    """Add what one record says, None where it cannot be used."""
    task, reading = record.task, record.sound
    rounds = samples.setdefault(task.candidate, {})
    if reading is None:
        rounds.setdefault(task.round, None)
        return
    outcome = Performance(
        reading.throughput_per_s,
        reading.latency_s(objective.percentile),
        task.candidate.total_threads,
        reading.saturated,
    )
    rounds[task.round] = Sample(
        task.load, outcome, race_gain(objective, outcome), _excess(objective, outcome)
    )


def race_gain(objective: Objective, outcome: Performance) -> float:
    """What is compared between rounds; cores are compared as they are, latency breaks their tie."""
    if objective.kind is GoalKind.CORES:
        return -math.log(max(outcome.latency_s, 1e-12))
    return objective.gain(outcome)


def _excess(objective: Objective, outcome: Performance) -> float:
    shortfall = objective.shortfall(outcome)
    if shortfall > 0.0:
        return math.log1p(min(shortfall, 1e6))
    if objective.limit_s is None:
        return _SAFE_EXCESS
    return max(_SAFE_EXCESS, math.log(max(outcome.latency_s, 1e-12) / objective.limit_s))


class Standings:
    """Comparisons of candidates, each under its present load.

    Args:
        samples: of the race.
        loads: the present load of each candidate; samples under other loads do not count.
        noise: expected scatter of one measurement, as a share.
        confidence: standard errors to either side of a difference.
        predicted: gains by prediction, as logarithms; they count by how well they fit so far.
    """

    def __init__(
        self,
        samples: Samples,
        loads: Mapping[Candidate, Loop],
        noise: float,
        confidence: float,
        predicted: Mapping[Candidate, float] | None = None,
    ) -> None:
        self._loads = loads
        self._rows: dict[Candidate, dict[int, Sample]] = {
            candidate: {
                number: sample
                for number, sample in samples.get(candidate, {}).items()
                if sample is not None and sample.load == load
            }
            for candidate, load in loads.items()
        }
        self._confidence = confidence
        self._effects, self._sigma = self._fit(noise)
        self._gains, self._variances = self._shrunk(predicted or {})
        self._excess_sigma = self._scatter_of_excess(noise)

    def rounds(self, candidate: Candidate) -> int:
        """Sound measurements of a candidate under its present load."""
        return len(self._rows.get(candidate, ()))

    def gain(self, candidate: Candidate) -> float:
        """The candidate's value as a logarithm, freed from the rounds' drift; −∞ when unknown.

        The prediction has its say as long as the measurements are few: the two are weighed by
        their errors.
        """
        return self._gains.get(candidate, -math.inf)

    def difference(self, candidate: Candidate, other: Candidate) -> Interval:
        """Gain of one over the other, from the rounds in which both were measured.

        Without a common round the interval is infinite.
        """
        mine, theirs = self._rows.get(candidate, {}), self._rows.get(other, {})
        common = mine.keys() & theirs.keys()
        if not common:
            return Interval(0.0, -math.inf, math.inf)
        mean = sum(mine[number].gain - theirs[number].gain for number in common) / len(common)
        half = self._reach(len(common)) * self._sigma * math.sqrt(2.0 / len(common))
        return Interval(mean, mean - half, mean + half)

    def lead(self, candidate: Candidate, other: Candidate) -> Interval:
        """Gain of one over the other by measurement and prediction together; see `gain`."""
        if candidate not in self._gains or other not in self._gains:
            return Interval(0.0, -math.inf, math.inf)
        value = self._gains[candidate] - self._gains[other]
        count = min(self.rounds(candidate), self.rounds(other))
        error = math.sqrt(self._variances[candidate] + self._variances[other])
        half = self._reach(count) * error
        return Interval(value, value - half, value + half)

    def excess(self, candidate: Candidate) -> Interval:
        """Logarithm of latency over limit: below 0 the goal's conditions hold."""
        rows = self._rows.get(candidate)
        if not rows:
            return Interval(0.0, -math.inf, math.inf)
        mean = sum(sample.excess for sample in rows.values()) / len(rows)
        half = self._reach(len(rows)) * self._excess_sigma / math.sqrt(len(rows))
        return Interval(mean, mean - half, mean + half)

    def measurement(self, candidate: Candidate) -> Measurement | None:
        """Geometric means over the rounds, drift included; None before it was measured."""
        found = [sample.outcome for sample in self._rows.get(candidate, {}).values()]
        if not found:
            return None
        return Measurement(
            self._loads[candidate],
            self._level([one.throughput_per_s for one in found]),
            self._level([one.latency_s for one in found]),
            len(found),
        )

    def _reach(self, count: int) -> float:
        """Standard errors to either side: wider while the scatter rests on the prior."""
        return self._confidence * (1.0 + 0.75 / count**2)

    def _level(self, values: list[float]) -> Interval:
        logs = [math.log(value) for value in values if value > 0.0]
        if not logs:
            return Interval(math.nan, math.nan, math.nan)
        mean = sum(logs) / len(logs)
        spread = sum((value - mean) ** 2 for value in logs)
        prior = _PRIOR_ROUNDS * self._sigma**2
        sigma = math.sqrt((spread + prior) / (_PRIOR_ROUNDS + len(logs) - 1))
        half = _LEVEL_ERRORS * (1.0 + 0.75 / len(logs) ** 2) * sigma / math.sqrt(len(logs))
        return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))

    def _fit(self, noise: float) -> tuple[dict[Candidate, float], float]:
        """Candidates' effects beside rounds' effects, and the scatter that remains."""
        rows = {candidate: row for candidate, row in self._rows.items() if row}
        effects = {
            candidate: sum(sample.gain for sample in row.values()) / len(row)
            for candidate, row in rows.items()
        }
        numbers = sorted({number for row in rows.values() for number in row})
        drift = dict.fromkeys(numbers, 0.0)
        for _ in range(_SWEEPS):
            for number in numbers:
                off = [row[number].gain - effects[c] for c, row in rows.items() if number in row]
                drift[number] = sum(off) / len(off)
            # Only the sum of the two effects is determined: the drift is kept around zero.
            centre = sum(drift.values()) / len(drift) if drift else 0.0
            drift = {number: value - centre for number, value in drift.items()}
            for candidate, row in rows.items():
                adjusted = [sample.gain - drift[number] for number, sample in row.items()]
                effects[candidate] = sum(adjusted) / len(adjusted)
        residuals = [
            sample.gain - effects[candidate] - drift[number]
            for candidate, row in rows.items()
            for number, sample in row.items()
        ]
        freedom = max(0, len(residuals) - len(rows) - len(numbers) + 1)
        return effects, _pooled(sum(r * r for r in residuals), freedom, noise)

    def _shrunk(
        self, predicted: Mapping[Candidate, float]
    ) -> tuple[dict[Candidate, float], dict[Candidate, float]]:
        """Effects drawn towards the predictions, and their variances.

        The error of the predictions shows in the effects themselves.
        """
        gains = dict(self._effects)
        variances = {one: self._sigma**2 / len(self._rows[one]) for one in gains}
        known = [c for c in gains if math.isfinite(predicted.get(c, math.nan))]
        if len(known) < 2:
            return gains, variances
        off = {c: gains[c] - predicted[c] for c in known}
        weights = {c: 1.0 / (variances[c] + _PREDICTION_ERROR**2) for c in known}
        level = sum(weights[c] * off[c] for c in known) / sum(weights.values())
        # What is left of the deviations beyond the noise is the prediction's error.
        spread = sum((off[c] - level) ** 2 - variances[c] for c in known) / (len(known) - 1)
        error = max(spread, _PREDICTION_ERROR**2)
        for c in known:
            trust = error / (error + variances[c])
            gains[c] = trust * gains[c] + (1.0 - trust) * (predicted[c] + level)
            variances[c] *= trust
        return gains, variances

    def _scatter_of_excess(self, noise: float) -> float:
        total, freedom = 0.0, 0
        for row in self._rows.values():
            values = [sample.excess for sample in row.values()]
            if len(values) > 1:
                mean = sum(values) / len(values)
                total += sum((value - mean) ** 2 for value in values)
                freedom += len(values) - 1
        return _pooled(total, freedom, noise)


def _pooled(total: float, freedom: int, noise: float) -> float:
    """A standard deviation from a sum of squares and the prior belief."""
    return math.sqrt((total + _PRIOR_ROUNDS * noise * noise) / (freedom + _PRIOR_ROUNDS))
