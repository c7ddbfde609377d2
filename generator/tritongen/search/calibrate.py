"""Calibration: the few short measurements from which the server's model is fitted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritongen.domain.queueing import (
    Batcher,
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    ServedModel,
    Server,
    ServiceTimes,
)
from tritongen.search.records import History, Purpose, Task
from tritongen.search.space import Candidate, SearchSpace

# Enough executions for a mean within some per cent; the race corrects the rest.
MIN_REQUESTS = 40
# Clients of the measurement that shows what requests cost beside their execution.
_BESIDE = 4
# Requests merged into one execution until what they cost beside it decides the throughput.
_MERGED = 16
# Load of the measurement with rests.
_RESTED_LOAD = 0.35
# Shorter executions are mostly the waking of threads: they rest always, and load speeds them.
SHORTEST_S = 0.0005


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted model of one model on one server.

    Attributes:
        service: times of executions.
        front_end_s: CPU seconds that each request costs outside its execution, on the same cores.
        transport_s: latency of each request outside queue and execution that costs no core.
        pause_s: mean of the pauses that one in twenty requests meets on its way.
        factors: by inter-op threads: how much longer an execution takes than in sequence; 1
            where it was not measured.
    """

    service: ServiceTimes
    front_end_s: float = 0.0
    transport_s: float = 0.0
    pause_s: float = 0.0
    factors: Mapping[int, float] = field(default_factory=dict)

    def service_of(self, candidate: Candidate) -> ServiceTimes:
        """Service times under a candidate's execution mode."""
        factor = self.factors.get(candidate.inter_op, 1.0)
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
            pause_s=self.pause_s,
        )
        front = FrontEnd(self.front_end_s) if self.front_end_s > 0.0 else None
        return Server((model,), self.service.cores, front)


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


def rested_task(history: History, rows: int, seconds: float = 1.0) -> Task | None:
    """The measurement at a low rate: how much a rest slows the next execution, and what pauses.

    Args:
        history: the other calibration records; the rate follows from the client alone.
        rows: of each request.
        seconds: for one measurement; this one takes two of them, as it looks for what is rare.

    Returns:
        None when nothing is known yet.
    """
    for record in history:
        task, reading = record.task, record.sound
        alone = task.load == ClosedLoop(1) and task.rows == rows and not task.candidate.batches
        if task.purpose is not Purpose.CALIBRATE or reading is None or not alone:
            continue
        # One execution may take longer than the whole measurement: then there is no rate.
        if reading.throughput_per_s > 0.0:
            rate = float(f"{_RESTED_LOAD * reading.throughput_per_s:.3g}")
            return replace(_task(task.candidate, 1, rows, 2.0 * seconds), load=OpenLoop(rate))
    return None


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
