"""The fit: from calibration records to a model of the server.

Executions that ran alone give the service times as they are. What requests cost beside their
execution, how instances slow each other and what a rest does cannot be read off a number: the
values are taken with which the simulation gives what was measured.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tritongen.queueing import ServicePoint, ServiceTimes, simulate
from tritongen.queueing.service_times import DEFAULT_CONTENTION
from tritongen.tune.search.calibrate import SHORTEST_S, Calibration
from tritongen.tune.search.measurement_records import History, LoadReading, Purpose, Task
from tritongen.tune.search.rate_effects import THOROUGH, Effort, Usable, at_rates
from tritongen.tune.search.search_space import Candidate

# Of the simulations: any will do, and the same one makes fits comparable. Requests of each: chosen,
# a throughput within some per cent.
_SEED = 20_260_101
_REQUESTS = 700
# Expected scatter of a measured throughput, as a share.
_NOISE = 0.08
# Shares of the overhead that may keep a core busy, and what is expected without a measurement.
# Merging costs a little that a client alone does not see.
_SHARES = tuple(step / 12 for step in range(16))
_FINER = tuple(step / 48 for step in range(-3, 4))
_EXPECTED_SHARE, _SHARE_SPREAD = 0.5, 0.4
# Contention that may be found; memory-bound models reach the upper end.
_CONTENTIONS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0)
_CONTENTION_SPREAD = 0.5


def fit(
    history: History,
    cores: float,
    prior: ServiceTimes | None = None,
    effort: Effort = THOROUGH,
) -> Calibration | None:
    """The server's model from the calibration records, None when none of them can be used.

    Args:
        history: any records; those of other purposes are left out.
        cores: that all instances share.
        prior: shape of the service times where nothing was measured.
        effort: spent on what is seen at rates.
    """
    records = _usable(history)
    plain = [item for item in records if item[0].candidate.inter_op == 1]
    alone = [item for item in plain if item[0].clients == 1]
    points = tuple(_point(task, reading) for task, reading in alone)
    if prior is not None:
        points += _prior_points(points, prior)
    if not points:
        return None
    service = ServiceTimes(points, cores, contention=DEFAULT_CONTENTION)
    overhead = _overhead(alone)
    beside = _beside(plain)
    share = _core_share(service, overhead, beside)
    crowd = _last(plain, lambda candidate: candidate.instances > 1)
    contention = _contention(service, overhead, share, crowd)
    service = replace(service, contention=contention)
    factors = _factors(records, service)
    transport = overhead * max(0.0, 1.0 - share)
    found = Calibration(service, overhead * share, transport, factors=factors)
    return at_rates(found, plain, effort)


def _usable(history: History) -> list[Usable]:
    calibrated = (record for record in history if record.task.purpose is Purpose.CALIBRATE)
    readings = ((record.task, record.sound) for record in calibrated)
    return [
        (task, reading)
        for task, reading in readings
        if reading is not None and reading.execution_s > 0.0 and reading.throughput_per_s > 0.0
    ]


def _last(records: Sequence[Usable], wanted: Callable[[Candidate], bool]) -> Usable | None:
    """The last measurement with several clients of such a configuration."""
    return next(
        (item for item in reversed(records) if item[0].clients > 1 and wanted(item[0].candidate)),
        None,
    )


def _beside(records: Sequence[Usable]) -> tuple[Usable, ...]:
    """The measurements that show what requests cost beside their execution.

    Merged requests tell it best: their execution is a small part of the whole. Unmerged ones tell
    it only where executions are long; short ones are faster under load than for a client alone,
    whose every request wakes sleeping threads.
    """
    merged = _last(records, lambda one: one.batches)
    single = _last(records, lambda one: one.instances == 1 and not one.batches)
    if merged is None:
        return () if single is None else (single,)
    if single is None or single[1].execution_s < SHORTEST_S:
        return (merged,)
    return merged, single


def _point(task: Task, reading: LoadReading) -> ServicePoint:
    batch = reading.mean_batch if reading.mean_batch >= 1.0 else float(task.rows)
    return ServicePoint(
        batch=max(1, round(batch)),
        threads=task.candidate.threads,
        seconds=reading.execution_s,
        cv=_variation(reading),
    )


def _variation(reading: LoadReading) -> float:
    """Variation of the execution time, from the latencies of a client alone.

    Between the median and the 90th percentile a lognormal spans 1.2816 standard deviations of
    its logarithm; the far tail belongs to the machine, not to the model.
    """
    median, high = reading.latency_s(50.0), reading.latency_s(90.0)
    if not (high > median > 0.0):
        return 0.0
    sigma = math.log1p((high - median) / reading.execution_s) / 1.2816
    return min(1.0, math.sqrt(math.expm1(sigma * sigma)))


def _prior_points(
    measured: tuple[ServicePoint, ...], prior: ServiceTimes
) -> tuple[ServicePoint, ...]:
    """The prior's points brought to the measured level, where nothing was measured.

    How executions scatter is the server's business where it was seen there.
    """
    seen = any(point.cv > 0.0 for point in measured)
    known = {(point.batch, point.threads) for point in measured}
    levels = [math.log(p.seconds / prior.alone(p.batch, p.threads)) for p in measured]
    level = math.exp(sum(levels) / len(levels)) if levels else 1.0
    return tuple(
        replace(point, seconds=point.seconds * level, cv=0.0 if seen else point.cv)
        for point in prior.points
        if (point.batch, point.threads) not in known
    )


def _overhead(alone: Iterable[Usable]) -> float:
    """What a client alone waits beyond the execution, in seconds, for the smallest requests."""
    found = sorted(
        (task.rows, max(0.0, 1.0 / reading.throughput_per_s - reading.execution_s))
        for task, reading in alone
    )
    smallest = [overhead for rows, overhead in found if rows == found[0][0]]
    return smallest[len(smallest) // 2] if smallest else 0.0


def _core_share(service: ServiceTimes, overhead: float, beside: Sequence[Usable]) -> float:
    """The share of the overhead that keeps a core busy.

    Requests that are handled while an execution has all cores slow it down.
    """
    if not beside or overhead <= 0.0:
        return _EXPECTED_SHARE

    def mismatch(share: float) -> float:
        prior_error = (share - _EXPECTED_SHARE) / _SHARE_SPREAD
        errors = (
            _squared_errors(_throughput(service, overhead, share, one), one) for one in beside
        )
        return sum(errors) + prior_error * prior_error

    rough = min(_SHARES, key=mismatch)
    return min((max(0.0, rough + step) for step in _FINER), key=mismatch)


def _contention(
    service: ServiceTimes, overhead: float, share: float, crowd: Usable | None
) -> float:
    """How much instances slow each other when all cores are busy."""
    if crowd is None:
        return DEFAULT_CONTENTION

    def mismatch(contention: float) -> float:
        trial = replace(service, contention=contention)
        prior_error = (contention - DEFAULT_CONTENTION) / _CONTENTION_SPREAD
        found = _throughput(trial, overhead, share, crowd)
        return _squared_errors(found, crowd) + prior_error * prior_error

    return min(_CONTENTIONS, key=mismatch)


def _throughput(service: ServiceTimes, overhead: float, share: float, measured: Usable) -> float:
    task, _ = measured
    trial = Calibration(service, overhead * share, overhead * max(0.0, 1.0 - share))
    server = trial.server(task.candidate, task.load, task.rows)
    return simulate(server, seed=_SEED, requests=_REQUESTS).of("model").throughput_per_s


def _squared_errors(found: float, measured: Usable) -> float:
    """Squared standard errors between a simulated and a measured throughput."""
    error = math.log(found / measured[1].throughput_per_s) / _NOISE
    return error * error


def _factors(records: Iterable[Usable], service: ServiceTimes) -> dict[int, float]:
    found: dict[int, float] = {}
    for task, reading in records:
        mode = task.candidate.inter_op
        if mode > 1:
            found[mode] = reading.execution_s / service.alone(task.rows, task.candidate.threads)
    return found
