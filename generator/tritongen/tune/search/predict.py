"""Prediction: what every candidate would do, by bounds first and by simulation where it counts.

For a goal that cannot be met, it names the nearest ones that could.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import expm1

from tritongen.queueing import ClosedLoop, Loop, OpenLoop, SimulatedModel, simulate
from tritongen.tune.search.objective import GoalKind, Objective, Performance
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.server_model import Calibration

# Clients of a closed loop that are worth telling apart.
LEVELS: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# Requests simulated for one prediction: enough for a throughput, and for a rough p99.
REQUESTS = 1_200
_TAIL_REQUESTS = 1_600
MAX_SIMULATED = 150
# Part of the prediction's error that differs between candidates of the same split.
OWN_ERROR = 0.4
# A rate is too much where more than this share of the requests is without an answer at the end.
_BACKLOG_SHARE = 0.1
# Clients for each place in a batch of an instance: one is executed while one waits.
_CLIENTS_PER_PLACE = 2
# What a goal is relaxed by beyond the measurement, so that it holds again tomorrow.
_MARGIN = 0.05
_STEPS = 8


@dataclass(frozen=True, slots=True)
class Forecast:
    """A candidate with its load and what is expected of it.

    Attributes:
        candidate: the configuration.
        load: under which it would be measured.
        outcome: expected; the bound where it was not simulated.
        simulated: whether the outcome comes from the simulation.
        reason: why it was left out, empty when it is in.
    """

    candidate: Candidate
    load: Loop
    outcome: Performance
    simulated: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts candidates for one goal; equal questions are answered from memory.

    Attributes:
        calibration: the fitted server.
        objective: the goal.
        rows: rows of each request.
        max_concurrency: clients of a closed loop at most.
        seed: of the simulations.
    """

    calibration: Calibration
    objective: Objective
    rows: int = 1
    max_concurrency: int = 64
    seed: int = 0
    _known: dict[tuple[Candidate, Loop], Forecast] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def forecast(self, candidate: Candidate) -> Forecast:
        """The candidate under the load that serves the goal best."""
        return self.under(candidate, self.load_for(candidate))

    def under(self, candidate: Candidate, load: Loop) -> Forecast:
        """The candidate under a given load, simulated."""
        key = (candidate, load)
        found = self._known.get(key)
        if found is None:
            server = self.calibration.server(candidate, load, self.rows)
            tail = self.objective.limit_s is not None or self.objective.open_loop
            requests = _TAIL_REQUESTS if tail else REQUESTS
            figures = simulate(server, seed=self.seed, requests=requests).of("model")
            outcome = simulated_outcome(figures, load, candidate, self.objective, requests)
            found = Forecast(candidate, load, outcome, simulated=True)
            self._known[key] = found
        return found

    def load_for(self, candidate: Candidate) -> Loop:
        """The load under which the goal measures a candidate.

        A rate is an open loop. Without one, clients wait for their answers: as many as keep every
        instance in full batches, or, under a latency limit, as many as are expected to hold it.
        """
        objective = self.objective
        if objective.rate_per_s is not None:
            return OpenLoop(objective.rate_per_s)
        if objective.concurrency is not None:
            return ClosedLoop(objective.concurrency)
        if objective.limit_s is None:
            return ClosedLoop(self.full_load(candidate))
        return ClosedLoop(self._greatest_level(candidate))

    def levels(self) -> tuple[int, ...]:
        """Numbers of clients that may be tried."""
        return tuple(level for level in LEVELS if level <= self.max_concurrency)

    def bound(self, candidate: Candidate) -> Performance:
        """An outcome that the candidate cannot beat, without a simulation.

        Full batches on all instances at once give the throughput; one execution that waits for
        nothing gives the latency.
        """
        service = self.calibration.service_of(candidate)
        threads, instances = candidate.threads, candidate.instances
        alone = service.alone(self.rows, threads)
        crowded = service.slowdown(threads, instances)
        most = candidate.max_batch_size // self.rows if candidate.batches else 1
        sizes = [self.rows * 2**power for power in range(max(1, most.bit_length()))]
        ceiling = max(
            instances * (size / self.rows) / (service.alone(size, threads) * crowded)
            for size in sizes
        )
        latency = alone + self.calibration.front_end_s + self.calibration.transport_s
        throughput = ceiling
        if self.objective.rate_per_s is not None:
            throughput = min(ceiling, self.objective.rate_per_s)
        elif self.objective.concurrency is not None:
            throughput = min(ceiling, self.objective.concurrency / latency)
        return Performance(throughput, latency, candidate.total_threads)

    def full_load(self, candidate: Candidate) -> int:
        """Clients that keep every instance of a candidate in full batches."""
        place = max(1, candidate.max_batch_size // self.rows) if candidate.batches else 1
        wanted = _CLIENTS_PER_PLACE * candidate.instances * place
        return next((level for level in self.levels() if level >= wanted), self.levels()[-1])

    def _greatest_level(self, candidate: Candidate) -> int:
        """The most clients whose latency is expected to hold the limit, by bisection."""
        levels = self.levels()
        low, high = 0, len(levels) - 1
        while low < high:
            middle = (low + high + 1) // 2
            outcome = self.under(candidate, ClosedLoop(levels[middle])).outcome
            if self.objective.feasible(outcome):
                low = middle
            else:
                high = middle - 1
        return levels[low]


def simulated_outcome(
    found: SimulatedModel, load: Loop, candidate: Candidate, objective: Objective, requests: int
) -> Performance:
    """A simulation of so many requests as the objective ranks it."""
    return Performance(
        found.throughput_per_s,
        found.latency_s(objective.percentile),
        candidate.total_threads,
        saturated=isinstance(load, OpenLoop) and found.unfinished > _BACKLOG_SHARE * requests,
    )


def shortlist(
    predictor: Predictor, candidates: Iterable[Candidate], margin: float
) -> tuple[Forecast, ...]:
    """Forecasts of every candidate, best first; those that cannot be best are given a reason.

    Candidates are simulated in the order of their bounds, until no bound reaches the best
    simulated outcome within the margin.

    Args:
        predictor: for the goal.
        candidates: the space.
        margin: error of predictions as a share; candidates this far behind stay in. Those of
            the same split share most of the error: a part of the margin does for them.
    """
    objective = predictor.objective
    bounds = [(predictor.bound(candidate), candidate) for candidate in candidates]
    bounds.sort(key=lambda pair: objective.rank(pair[0], pair[1].simplicity))
    slack = math.log1p(margin)
    best: Performance | None = None
    kept: list[Forecast] = []
    dropped: list[Forecast] = []
    for bound, candidate in bounds:
        why = _hopeless(objective, bound, best, slack)
        if not why and len(kept) >= MAX_SIMULATED:
            why = f"not among the {MAX_SIMULATED} most promising"
        if why:
            load = OpenLoop(objective.rate_per_s) if objective.rate_per_s else ClosedLoop(1)
            dropped.append(Forecast(candidate, load, bound, simulated=False, reason=why))
            continue
        forecast = predictor.forecast(candidate)
        kept.append(forecast)
        if best is None or objective.rank(forecast.outcome) < objective.rank(best):
            best = forecast.outcome
    return (*_sorted_out(objective, kept, best, slack), *dropped)


def _hopeless(
    objective: Objective, bound: Performance, best: Performance | None, slack: float
) -> str:
    """Why a bound rules a candidate out, empty when it does not."""
    if best is None or not objective.feasible(best):
        return ""
    if objective.shortfall(bound) > expm1(slack):
        return "cannot meet the goal even undisturbed"
    if objective.kind is GoalKind.CORES:
        return "" if bound.cores <= best.cores + 1 else "takes more cores than are needed"
    if objective.gain(bound) < objective.gain(best) - slack:
        return "its bound is below the best prediction"
    return ""


def _sorted_out(
    objective: Objective, kept: list[Forecast], best: Performance | None, slack: float
) -> list[Forecast]:
    """Simulated candidates, best first, with a reason for those that are clearly behind."""
    if best is None:
        return []
    step = slack / 8.0
    falling = sorted(kept, key=lambda one: objective.rank(one.outcome), reverse=True)
    leaders = {one.candidate.split: one.outcome for one in falling}

    def order(forecast: Forecast) -> tuple[float, ...]:
        shortfall, loss, second, simplicity = objective.rank(
            forecast.outcome, forecast.candidate.simplicity
        )
        # Differences far below the prediction's error do not count; the simpler comes first.
        coarse = round(loss / step) if objective.kind is not GoalKind.CORES else loss
        return (round(shortfall, 2), coarse, round(math.log(max(second, 1e-9)) / step), *simplicity)

    result = []
    for forecast in sorted(kept, key=order):
        leader = leaders[forecast.candidate.split]
        why = _behind(objective, forecast.outcome, best, slack) or _behind(
            objective, forecast.outcome, leader, OWN_ERROR * slack
        )
        result.append(replace(forecast, reason=why))
    return result


def _behind(objective: Objective, outcome: Performance, best: Performance, slack: float) -> str:
    """Why a predicted outcome is clearly worse than another, empty when it is not."""
    if objective.feasible(best) and objective.shortfall(outcome) > expm1(slack):
        return "predicted to miss the goal"
    if objective.kind is GoalKind.CORES:
        return "takes more cores than are needed" if outcome.cores > best.cores + 1 else ""
    behind = objective.gain(best) - objective.gain(outcome)
    return f"predicted {-expm1(-behind):.0%} worse" if behind > slack else ""


def nearest_goals(
    predictor: Predictor, candidate: Candidate, load: Loop, measured: Performance
) -> tuple[Objective, ...]:
    """The limit that the candidate holds, and the rate at which it holds the limit asked for.

    Args:
        predictor: for the goal that cannot be met.
        candidate: the one that came nearest.
        load: under which it was measured.
        measured: what came of it.

    Returns:
        Goals that differ in one number from the one asked for; none where no number helps.
    """
    objective = predictor.objective
    goals = []
    served = objective.rate_per_s is None or objective.feasible(
        replace(measured, latency_s=objective.limit_s or measured.latency_s)
    )
    if served and objective.limit_s is not None and math.isfinite(measured.latency_s):
        limit = _rounded(measured.latency_s * (1.0 + _MARGIN), math.ceil)
        goals.append(replace(objective, limit_s=limit))
    if objective.rate_per_s is not None:
        rate = _greatest_rate(predictor, candidate, load, measured)
        if rate > 0.0:
            goals.append(replace(objective, rate_per_s=_rounded(rate, math.floor)))
    return tuple(goals)


def _greatest_rate(
    predictor: Predictor, candidate: Candidate, load: Loop, measured: Performance
) -> float:
    """The rate that holds the goal by prediction, corrected by what was measured.

    The correction takes the ratio of measured to predicted time at the rate asked for.
    """
    asked = predictor.objective.rate_per_s or 0.0
    predicted = predictor.under(candidate, load).outcome
    slower = 1.0
    if measured.saturated or measured.throughput_per_s < asked * (1.0 - _MARGIN):
        slower = max(1.0, predicted.throughput_per_s / max(measured.throughput_per_s, 1e-9))
    elif math.isfinite(predicted.latency_s) and predicted.latency_s > 0.0:
        slower = max(1.0, measured.latency_s / predicted.latency_s)
    low, high = 0.0, asked
    for _ in range(_STEPS):
        rate = 0.5 * (low + high)
        outcome = predictor.under(candidate, OpenLoop(rate)).outcome
        stretched = replace(outcome, latency_s=outcome.latency_s * slower)
        goal = replace(predictor.objective, rate_per_s=rate)
        if goal.feasible(stretched):
            low = rate
        else:
            high = rate
    return low * (1.0 - _MARGIN)


def _rounded(value: float, direction: Callable[[float], int]) -> float:
    """Two significant digits, upwards by `ceil` and downwards by `floor`."""
    step: float = 10.0 ** (math.floor(math.log10(value)) - 1)
    slack = 1e-9 if direction is math.floor else -1e-9
    return round(direction(value / step + slack) * step, 9)
