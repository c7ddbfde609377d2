"""Calibration: the few short measurements from which the server's model is fitted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritongen.queueing import (
    ClosedLoop,
    FrontEnd,
    Loop,
    OpenLoop,
    Pauses,
    ServedModel,
    Server,
    ServiceTimes,
)
from tritongen.tune.search.measurement_records import History, Purpose, Task
from tritongen.tune.search.search_space import Candidate, SearchSpace

# Enough executions for a mean within some per cent; the race corrects the rest.
MIN_REQUESTS = 40
# Clients of the measurement that shows what requests cost beside their execution.
_BESIDE = 4
# Requests merged into one execution until what they cost beside it decides the throughput.
_MERGED = 16
# Rates that are measured: a share of what a client alone reached, shares of what many reached, the
# last one where that before it was too much.
_LOW, _HIGH, _SPARE = 0.35, 0.75, 0.55
# Shorter executions are mostly the waking of threads: they rest always, and load speeds them.
SHORTEST_S = 0.0005


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted model of one model on one server.

    Attributes:
        service: times of executions.
        front_end_s: CPU seconds that each request costs outside its execution, on the same cores.
        transport_s: latency of each request outside queue and execution that costs no core.
        wake_s: CPU seconds more of a request that comes at a rate and finds the threads asleep.
        at_rates: how much longer everything on the cores takes at rates than in closed loops.
        pauses: in which nothing runs, None where none were seen.
        factors: by inter-op threads: how much longer an execution takes than in sequence; 1
            where it was not measured.
    """

    service: ServiceTimes
    front_end_s: float = 0.0
    transport_s: float = 0.0
    wake_s: float = 0.0
    at_rates: float = 1.0
    pauses: Pauses | None = None
    factors: Mapping[int, float] = field(default_factory=dict)

    def service_of(self, candidate: Candidate) -> ServiceTimes:
        """Service times under a candidate's execution mode."""
        factor = self.factors.get(candidate.inter_op, 1.0)
        return self.service if factor == 1.0 else self.service.scaled(factor)

    def server(self, candidate: Candidate, load: Loop, rows: int = 1) -> Server:
        """The server to simulate with a candidate under a load."""
        slower = self.at_rates if isinstance(load, OpenLoop) else 1.0
        service = self.service_of(candidate)
        model = ServedModel(
            name="model",
            service=service if slower == 1.0 else service.scaled(slower),
            load=load,
            instances=candidate.instances,
            threads=candidate.threads,
            max_batch_size=candidate.max_batch_size,
            queue_delay_s=candidate.queue_delay_s,
            rows=(rows,),
            transport_s=self.transport_s,
        )
        front = None
        if self.front_end_s > 0.0:
            front = FrontEnd(self.front_end_s * slower, wake_s=self.wake_s * slower)
        return Server((model,), self.service.cores, front, pauses=self.pauses)


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
