"""Calibration: the few short measurements, and the model of the server that is fitted to them.

Executions that ran alone give the service times as they are. What requests cost beside their
execution, how instances slow each other and what a rest does cannot be read off a number: the
values are taken with which the simulation gives what was measured.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tritongen.queueing import ClosedLoop, OpenLoop, ServicePoint, ServiceTimes, simulate
from tritongen.queueing.service_times import DEFAULT_CONTENTION
from tritongen.tune.search.measurement_records import History, LoadReading, Purpose, Task
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.server_model import (
    SEED,
    SHORTEST_S,
    THOROUGH,
    Calibration,
    Effort,
    Usable,
    at_rates,
    least,
)

# Enough executions for a mean within some per cent; the race corrects the rest.
MIN_REQUESTS = 40
# Clients of the measurement that shows what requests cost beside their execution.
_BESIDE = 4
# Requests merged into one execution until what they cost beside it decides the throughput.
_MERGED = 16
# Rates that are measured: a share of what a client alone reached, shares of what many reached, the
# last one where that before it was too much.
_LOW, _HIGH, _SPARE = 0.35, 0.75, 0.55
# Requests of each simulation: chosen, a throughput within some per cent.
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


def calibration_tasks(
    space: SearchSpace, prior: ServiceTimes | None = None, seconds: float = 1.0
) -> tuple[Task, ...]:
    """What to measure before anything can be predicted.

    One client alone for each thread count that shapes the curve, with one row and, where the
    model batches, with full batches; several clients of one instance on all cores, and many whose
    requests are merged, to see what requests cost beside their execution; all instances at once,
    to see how they slow each other.

    Args:
        space: what may be chosen.
        prior: service times known from elsewhere, such as the trial; only their level and the
            contention are measured then.
        seconds: for each measurement.
    """
    rows = space.request_rows
    most = space.max_batch if space.merges and space.max_batch > rows else 0
    threads = _spread(space)
    middle = min(4 * rows, most) if most else 0
    alone: list[tuple[int, int]] = [(threads[0], rows)]
    if prior is None:
        alone += [(threads[0], batch) for batch in (middle, most) if batch > rows]
        alone += [(count, rows) for count in threads[1:]]
        if most and len(threads) > 1:
            alone.append((threads[-1], most))
    elif len(threads) > 1:
        alone.append((threads[-1], rows))
    tasks = [
        _task(Candidate(1, count, max(most, space.unmerged)), 1, batch, seconds)
        for count, batch in dict.fromkeys(alone)
    ]
    tasks.append(_task(Candidate(1, threads[-1], space.unmerged), _BESIDE, rows, seconds))
    if most:
        merged = Candidate(1, threads[-1], min(most, _MERGED * rows), 0)
        tasks.append(_task(merged, 2 * (merged.max_batch_size // rows), rows, seconds))
    crowd = max(instances for instances, count in space.splits() if count == threads[0])
    if crowd > 1:
        tasks.append(_task(Candidate(crowd, threads[0], space.unmerged), 2 * crowd, rows, seconds))
    tasks += _mode_tasks(space, seconds)
    return tuple(dict.fromkeys(tasks))


def rate_task(history: History, rows: int, seconds: float = 1.0) -> Task | None:
    """The next measurement at a rate: what a rest costs, what wakes, and what stands still.

    A low share of what a client alone reached, a high one of what many did; a lower one where that
    was too much.

    Args:
        history: the other calibration records.
        rows: of each request.
        seconds: for one measurement; this one takes three of them, as it looks for what is rare.

    Returns:
        None when everything is measured, or nothing is known yet.
    """
    calibrated = [one for one in history if one.task.purpose is Purpose.CALIBRATE]
    closed = [
        one
        for one in calibrated
        if one.task.clients and one.task.rows == rows and one.sound
        and one.task.candidate.inter_op == 1 and one.task.candidate.instances == 1
    ]  # fmt: skip
    if not closed:
        return None
    # Merged where the model merges; else with several clients; at least the client alone.
    base = max(closed, key=lambda one: (one.task.candidate.batches, one.task.clients))
    alone = min(closed, key=lambda one: (one.task.candidate.batches, one.task.clients))
    taken = [one for one in calibrated if isinstance(one.task.load, OpenLoop)]
    overloaded = taken and (taken[-1].sound is None or taken[-1].sound.saturated)
    if len(taken) > 2 or (len(taken) == 2 and not overloaded):
        return None
    found, share = ((alone, _LOW), (base, _HIGH), (base, _SPARE))[len(taken)]
    most = found.sound.throughput_per_s if found.sound is not None else 0.0
    if not most > 0.0:  # one execution took longer than the measurement
        return None
    load = OpenLoop(float(f"{share * most:.3g}"))
    task = _task(base.task.candidate, 1, rows, 3.0 * seconds)
    return replace(task, load=load, max_seconds=task.seconds)


def _spread(space: SearchSpace) -> tuple[int, ...]:
    """The least, the greatest and a middle thread count."""
    counts = sorted({threads for _, threads in space.splits()})
    middle = min(counts, key=lambda count: abs(math.log(count / math.sqrt(counts[-1]))))
    return tuple(sorted({counts[0], middle, counts[-1]}))


def _task(candidate: Candidate, clients: int, rows: int, seconds: float) -> Task:
    return Task(
        candidate=candidate,
        load=ClosedLoop(clients),
        purpose=Purpose.CALIBRATE,
        round=0,
        seconds=seconds,
        min_requests=MIN_REQUESTS,
        max_seconds=4.0 * seconds,
        rows=rows,
    )


def _mode_tasks(space: SearchSpace, seconds: float) -> list[Task]:
    """One client alone for every execution mode beyond the usual one."""
    rows = space.request_rows
    # The simplest candidate of each mode, in a fixed order.
    alone = [one for one in reversed(space.candidates()) if one.instances == 1]
    modes = [one for _, one in sorted({one.inter_op: one for one in alone}.items())]
    plain = [replace(one, max_batch_size=space.unmerged, queue_delay_us=None) for one in modes]
    return [_task(one, 1, rows, seconds) for one in plain if one.inter_op > 1]


def fit(
    history: History, cores: float, prior: ServiceTimes | None = None, effort: Effort = THOROUGH
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

    def prior(share: float) -> float:
        return ((share - _EXPECTED_SHARE) / _SHARE_SPREAD) ** 2

    def errors(share: float) -> Iterable[float]:
        return (_squared_errors(_throughput(service, overhead, share, one), one) for one in beside)

    rough = least(_SHARES, prior, errors)
    return least((max(0.0, rough + step) for step in _FINER), prior, errors)


def _contention(
    service: ServiceTimes, overhead: float, share: float, crowd: Usable | None
) -> float:
    """How much instances slow each other when all cores are busy."""
    if crowd is None:
        return DEFAULT_CONTENTION

    def prior(contention: float) -> float:
        return ((contention - DEFAULT_CONTENTION) / _CONTENTION_SPREAD) ** 2

    def errors(contention: float) -> Iterable[float]:
        trial = replace(service, contention=contention)
        yield _squared_errors(_throughput(trial, overhead, share, crowd), crowd)

    return least(_CONTENTIONS, prior, errors)


def _throughput(service: ServiceTimes, overhead: float, share: float, measured: Usable) -> float:
    task, _ = measured
    trial = Calibration(service, overhead * share, overhead * max(0.0, 1.0 - share))
    server = trial.server(task.candidate, task.load, task.rows)
    return simulate(server, seed=SEED, requests=_REQUESTS).of("model").throughput_per_s


def _squared_errors(found: float, measured: Usable) -> float:
    """Squared standard errors between a simulated and a measured throughput."""
    error = math.log(found / measured[1].throughput_per_s) / _NOISE
    return error * error


def _factors(records: Iterable[Usable], service: ServiceTimes) -> dict[int, float]:
    return {
        task.candidate.inter_op: reading.execution_s
        / service.alone(task.rows, task.candidate.threads)
        for task, reading in records
        if task.candidate.inter_op > 1
    }
