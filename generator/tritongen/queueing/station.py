"""One model (or the front end) inside a simulation: its queue, its instances and its counters.

A queue stands between arrival and execution, without or with Triton's dynamic batcher. It keeps
requests by their number in the shared table and never looks at a clock: every call is told the
time, in seconds.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

# Seconds, far below any delay: what rounding leaves of a wait is none.
_EPSILON = 1e-12


@dataclass(slots=True)
class RequestTable:
    """What is known of each request of a simulation, by its number.

    Attributes:
        arrived: when the client sent it.
        queued: when it reached the model's queue.
        rows: its batch size.
    """

    arrived: list[float]
    queued: list[float]
    rows: list[int]


class DirectQueue:
    """Without a dynamic batcher every request is an execution of its own, in order.

    Attributes:
        waiting: numbers of the requests, the oldest first.
        wake: when the queue must be asked again although nothing else happened; infinite for never.
    """

    __slots__ = ("waiting", "wake")

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.wake = math.inf

    def take(self, now: float) -> list[int]:  # noqa: ARG002  (one signature for all queues)
        """The requests that a free instance executes now; empty when it must wait."""
        return [self.waiting.popleft()] if self.waiting else []


class BatchQueue(DirectQueue):
    """The dynamic batcher with no preferred size below the greatest batch, and no queue policy.

    Triton forms batches ahead of a free instance, which makes no difference here, since a batch on
    its way grows until it is full: a free instance takes what waits, up to the greatest batch, once
    the batch is full or its oldest request has waited for the delay.
    """

    __slots__ = ("_cap", "_delay", "_table")

    def __init__(self, table: RequestTable, delay_s: float, max_batch_size: int) -> None:
        super().__init__()
        self._table = table
        self._cap = max(1, max_batch_size)
        self._delay = delay_s

    def take(self, now: float) -> list[int]:
        """The largest batch of the oldest requests, if it is due."""
        queue, rows = self.waiting, self._table.rows
        if not queue:
            return []
        total = count = 0
        full = False
        for request in queue:
            total += rows[request]
            if total > self._cap:
                full = True
                break
            count += 1
            if total == self._cap:
                full = True
                break
        if not full and self._delay > 0.0:
            due = self._table.queued[queue[0]] + self._delay
            if now < due - _EPSILON:
                self.wake = due
                return []
        self.wake = math.inf
        return [queue.popleft() for _ in range(count)]


# (virtual finish, order of start, requests, real start)
Job = tuple[float, int, list[int], float]


@dataclass(slots=True)
class Counters:
    """What one station did in the measured window.

    Attributes:
        begun: when the window began.
        in_system: requests between arrival and answer.
        at: when that was looked at last.
        latencies: of the requests that were answered, from arrival to answer, seconds.
        wait_s: summed time in the queue of the requests that were begun.
        waits: requests that were begun.
        rows: of all executions begun.
        started: executions begun.
        busy_s: summed time of the executions that ended.
        executions: that ended.
        in_system_s: area under the number of requests in the system.
    """

    begun: float = 0.0
    in_system: int = 0
    at: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wait_s: float = 0.0
    waits: int = 0
    rows: int = 0
    started: int = 0
    busy_s: float = 0.0
    executions: int = 0
    in_system_s: float = 0.0

    def since(self, now: float) -> "Counters":
        """The counters of a window that begins now, with what is in the system."""
        return Counters(now, self.in_system, now)

    def pass_time(self, now: float) -> None:
        """Adds the area under the requests in the system since the last change."""
        self.in_system_s += (now - self.at) * self.in_system
        self.at = now


@dataclass(slots=True, eq=False)
class Station:
    """Instances that execute batches while sharing cores with others.

    Executions advance on a virtual clock of the station. It runs at `speed` virtual seconds a
    second, which is below 1 while the cores are shared, so that a change of the load changes
    the finish of everything that runs without rescheduling it.

    Attributes:
        queue: requests that wait.
        instances: how many there are.
        threads: of each.
        work_of: virtual seconds of an execution by its rows.
        draw: gives each execution a factor, by the seconds for which all instances rested before
            it; None for no scatter.
        slowdown: by the instances that execute, and the threads of others.
        slots: units of the rate limiter's resource that an execution holds.
        busy: how many execute.
        clock: the virtual time.
        speed: virtual seconds a second; always positive.
        due: when the next execution ends in real time, infinite for none.
        ended: when the last execution ended.
        executions: executions started.
        counters: of the measured window.
        jobs: that run, as a heap: the next one to end is the first.
        slowdowns: that were asked for, by the same.
    """

    queue: DirectQueue
    instances: int
    threads: int
    work_of: Callable[[int], float]
    draw: Callable[[float], float] | None
    slowdown: Callable[[int, int], float]
    slots: int = 0
    busy: int = 0
    clock: float = 0.0
    speed: float = 1.0
    due: float = math.inf
    ended: float = 0.0
    executions: int = 0
    counters: Counters = field(default_factory=Counters)
    jobs: list[Job] = field(default_factory=list)
    slowdowns: dict[tuple[int, int], float] = field(default_factory=dict)
    _work: dict[int, float] = field(default_factory=dict)

    @property
    def use(self) -> float:
        """Executions of an instance so far: the rate limiter serves the least used one first."""
        return self.executions / self.instances

    def start(self, now: float, batch: list[int], table: RequestTable) -> None:
        """An idle instance begins a batch; the speed of all that run changes with it."""
        counters, queued, sizes = self.counters, table.queued, table.rows
        rows = 0
        for request in batch:
            counters.wait_s += now - queued[request]
            rows += sizes[request]
        counters.waits += len(batch)
        counters.rows += rows
        counters.started += 1
        work = self._work.get(rows)
        if work is None:
            work = self._work[rows] = self.work_of(rows)
        if self.draw is not None:
            work *= self.draw(0.0 if self.busy else now - self.ended)
        self.busy += 1
        self.executions += 1
        heappush(self.jobs, (self.clock + work, self.executions, batch, now))

    def finish(self, now: float) -> list[int]:
        """The batch whose execution is due; the speed of all that run changes with its end."""
        self.busy -= 1
        if not self.busy:
            self.due = math.inf
        self.ended = now
        _, _, batch, begun = heappop(self.jobs)
        counters = self.counters
        counters.busy_s += now - max(begun, counters.begun)
        counters.executions += 1
        return batch
