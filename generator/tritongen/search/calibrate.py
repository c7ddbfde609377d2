"""Calibration: the few short measurements from which the server's model is fitted."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tritongen.domain.queueing import (
    Batcher,
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    simulate,
)
from tritongen.search.records import History, Purpose, Record, Task
from tritongen.search.space import Candidate, SearchSpace

# Enough executions for a mean within some per cent; the race corrects the rest.
MIN_REQUESTS = 40
# Steps of the search for the front end's cost, and requests simulated in each.
_FIT_STEPS = 7
_FIT_REQUESTS = 800
_FIT_SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted model of one model on one server.

    Attributes:
        service: times of executions.
        front_end_s: CPU seconds that each request costs outside its execution, on the same cores.
        transport_s: latency of each request outside queue and execution that costs no core.
        factors: by (inter_op, arena): how much longer an execution takes than in sequence with
            the arena; 1 where it was not measured.
    """

    service: ServiceTimes
    front_end_s: float = 0.0
    transport_s: float = 0.0
    factors: Mapping[tuple[int, bool], float] = field(default_factory=dict)

    def service_of(self, candidate: Candidate) -> ServiceTimes:
        """Service times under a candidate's execution mode and arena."""
        factor = self.factors.get((candidate.inter_op, candidate.arena), 1.0)
        return self.service if factor == 1.0 else self.service.scaled(factor)

    def server(self, candidate: Candidate, load: ClosedLoop | OpenLoop, rows: int = 1) -> Server:
        """The server to simulate with a candidate under a load."""
        batcher = None
        if candidate.batches and candidate.queue_delay_us is not None:
            batcher = Batcher(delay_s=candidate.queue_delay_us * 1e-6)
        model = ServedModel(
            name="model",
            service=self.service_of(candidate),
            load=load,
            instances=candidate.instances,
            threads=candidate.threads,
            max_batch_size=candidate.max_batch_size,
            batcher=batcher,
            rows=(rows,),
            transport_s=self.transport_s,
        )
        front = FrontEnd(self.front_end_s) if self.front_end_s > 0.0 else None
        return Server((model,), self.service.cores, front)


def calibration_tasks(
    space: SearchSpace, prior: ServiceTimes | None = None, seconds: float = 1.0
) -> tuple[Task, ...]:
    """What to measure before anything can be predicted.

    One client alone for each thread count that shapes the curve, with one row and, where the
    model batches, with full batches; then all instances at once, to see how they slow each other.

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
    crowd = max(instances for instances, count in space.splits() if count == threads[0])
    if crowd > 1:
        tasks.append(_task(Candidate(crowd, threads[0], space.unmerged), 2 * crowd, rows, seconds))
    tasks += _mode_tasks(space, seconds)
    return tuple(dict.fromkeys(tasks))


def fit(history: History, cores: float, prior: ServiceTimes | None = None) -> Calibration | None:
    """The server's model from the calibration records, None when none of them can be used.

    Args:
        history: any records; those of other purposes are left out.
        cores: that all instances share.
        prior: shape of the service times where nothing was measured.
    """
    records = [r for r in history if r.task.purpose is Purpose.CALIBRATE and _usable(r)]
    plain = [r for r in records if _mode(r.task.candidate) == (1, True)]
    points = tuple(_point(record) for record in plain)
    if prior is not None:
        points += _prior_points(points, prior)
    if not points:
        return None
    service = ServiceTimes(points, cores)
    front_end_s, transport_s = _fit_overhead(plain, service)
    return Calibration(service, front_end_s, transport_s, _factors(records, service))


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
    """One client alone for every execution mode and arena setting beyond the usual ones."""
    rows = space.request_rows
    # The simplest candidate of each mode, in a fixed order.
    alone = [one for one in reversed(space.candidates()) if one.instances == 1]
    modes = [one for _, one in sorted({_mode(one): one for one in alone}.items())]
    plain = [replace(one, max_batch_size=space.unmerged, queue_delay_us=None) for one in modes]
    return [_task(one, 1, rows, seconds) for one in plain if _mode(one) != (1, True)]


def _mode(candidate: Candidate) -> tuple[int, bool]:
    return candidate.inter_op, candidate.arena


def _usable(record: Record) -> bool:
    reading = record.sound
    return reading is not None and reading.execution_s > 0.0


def _point(record: Record) -> ServicePoint:
    reading, task = record.reading, record.task
    assert reading is not None  # noqa: S101  (only usable records come here)
    batch = reading.mean_batch if reading.mean_batch >= 1.0 else float(task.rows)
    executions_per_s = reading.throughput_per_s * task.rows / batch
    busy = executions_per_s * reading.execution_s
    alone = task.candidate.instances == 1
    return ServicePoint(
        batch=max(1, round(batch)),
        threads=task.candidate.threads,
        seconds=reading.execution_s,
        busy=1.0 if alone else min(float(task.candidate.instances), max(1.0, busy)),
        cv=_variation(record) if alone else 0.0,
    )


def _variation(record: Record) -> float:
    """Variation of the execution time, from the latencies of a client alone.

    Between the median and the 90th percentile a lognormal spans 1.2816 standard deviations of
    its logarithm; the far tail belongs to the machine, not to the model.
    """
    reading = record.reading
    if reading is None:
        return 0.0
    median, high = reading.latency_s(50.0), reading.latency_s(90.0)
    if not (high > median > 0.0):
        return 0.0
    excess = (high - median) / max(reading.execution_s, 1e-9)
    sigma = math.log1p(excess) / 1.2816
    return min(1.0, math.sqrt(math.expm1(sigma * sigma)))


def _prior_points(
    measured: tuple[ServicePoint, ...], prior: ServiceTimes
) -> tuple[ServicePoint, ...]:
    """The prior's points brought to the measured level, where nothing was measured."""
    known = {(point.batch, point.threads) for point in measured}
    alone = [point for point in measured if point.busy <= 1.0]
    levels = [math.log(p.seconds / prior.alone(p.batch, p.threads)) for p in alone]
    level = math.exp(sum(levels) / len(levels)) if levels else 1.0
    return tuple(
        replace(point, seconds=point.seconds * level)
        for point in prior.points
        if point.busy <= 1.0 and (point.batch, point.threads) not in known
    )


def _fit_overhead(records: Iterable[Record], service: ServiceTimes) -> tuple[float, float]:
    """(CPU seconds, other seconds) of a request outside its execution.

    Their sum is what a client alone waits beyond the execution. How much of it keeps a core busy
    shows when all instances are at work: the cost that explains the throughput is taken.
    """
    overheads, crowded = [], []
    for record in records:
        reading = record.reading
        if reading is None:
            continue
        load = record.task.load
        if isinstance(load, ClosedLoop) and load.concurrency == 1:
            mean = 1.0 / reading.throughput_per_s
            overheads.append(max(0.0, mean - reading.execution_s))
        elif record.task.candidate.instances > 1:
            crowded.append(record)
    if not overheads:
        return 0.0, 0.0
    overhead = sorted(overheads)[len(overheads) // 2]
    share = _core_share(crowded[-1], service, overhead) if crowded and overhead > 0.0 else 0.5
    return overhead * share, overhead * (1.0 - share)


def _core_share(record: Record, service: ServiceTimes, overhead: float) -> float:
    """The share of the overhead that keeps a core busy, by bisection on the simulation."""
    reading = record.reading
    measured = reading.throughput_per_s if reading is not None else 0.0
    low, high = 0.0, 1.0
    for _ in range(_FIT_STEPS):
        share = 0.5 * (low + high)
        trial = Calibration(service, overhead * share, overhead * (1.0 - share))
        server = trial.server(record.task.candidate, record.task.load, record.task.rows)
        found = simulate(server, seed=_FIT_SEED, requests=_FIT_REQUESTS).of("model")
        if found.throughput_per_s > measured:
            low = share
        else:
            high = share
    return 0.5 * (low + high)


def _factors(records: Iterable[Record], service: ServiceTimes) -> dict[tuple[int, bool], float]:
    found: dict[tuple[int, bool], float] = {}
    for record in records:
        mode = _mode(record.task.candidate)
        reading = record.reading
        if mode != (1, True) and reading is not None:
            alone = service.alone(record.task.rows, record.task.candidate.threads)
            found[mode] = reading.execution_s / alone
    return found
