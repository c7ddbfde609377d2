"""One model (or the front end) inside a simulation: its instances, its queue and its counters."""

import math
from collections.abc import Callable
from heapq import heappop, heappush

from tritongen.queueing.queues import DirectQueue, RequestTable

# (virtual finish, order of start, requests, rows, real start)
Job = tuple[float, int, list[int], int, float]


class Station:
    """Instances that execute batches while sharing cores with others.

    Executions advance on a virtual clock of the station. It runs at `speed` virtual seconds a
    second, which is below 1 while the cores are shared, so that a change of the load changes
    the finish of everything that runs without rescheduling it. `draw` gives each execution a
    factor, by the seconds for which all instances rested before it.

    Attributes:
        instances: how many there are.
        threads: of each.
        busy: how many execute.
        clock: the virtual time.
        speed: virtual seconds a second; always positive.
        due: when the next execution ends in real time, infinite for none.
        queue: requests that wait.
        slots: units of the rate limiter's resource that an execution holds.
        ended: when the last execution ended.
        executions: executions started.
        counters: of the measured window.
    """

    __slots__ = (
        "_draw",
        "_jobs",
        "_slowdown",
        "_slowdowns",
        "_work",
        "_work_of",
        "busy",
        "clock",
        "counters",
        "due",
        "ended",
        "executions",
        "instances",
        "queue",
        "slots",
        "speed",
        "threads",
    )

    def __init__(
        self,
        queue: DirectQueue,
        instances: int,
        threads: int,
        work: Callable[[int], float],
        draw: Callable[[float], float] | None,
        slowdown: Callable[[int, int], float],
        slots: int = 0,
    ) -> None:
        self.queue = queue
        self.instances = instances
        self.threads = threads
        self.slots = slots
        self.busy = 0
        self.clock = 0.0
        self.speed = 1.0
        self.due = math.inf
        self.ended = 0.0
        self.executions = 0
        self.counters = Counters()
        self._jobs: list[Job] = []
        self._work_of = work
        self._work: dict[int, float] = {}
        self._draw = draw
        self._slowdown = slowdown
        self._slowdowns: dict[tuple[int, int], float] = {}

    @property
    def use(self) -> float:
        """Executions of an instance so far: the rate limiter serves the least used one first."""
        return self.executions / self.instances

    def start(self, now: float, requests: list[int], rows: int) -> None:
        """An idle instance begins a batch; call `respeed` on every station afterwards."""
        work = self._work.get(rows)
        if work is None:
            work = self._work[rows] = self._work_of(rows)
        if self._draw is not None:
            work *= self._draw(0.0 if self.busy else now - self.ended)
        self.busy += 1
        self.executions += 1
        heappush(self._jobs, (self.clock + work, self.executions, requests, rows, now))

    def finish(self, now: float) -> Job:
        """Takes the execution that is due."""
        self.busy -= 1
        self.ended = now
        return heappop(self._jobs)

    def respeed(self, now: float, foreign: int) -> None:
        """Adapts to what others keep busy: `foreign` threads beyond this station's own."""
        busy = self.busy
        if not busy:
            self.due = math.inf
            return
        key = (busy, foreign)
        slow = self._slowdowns.get(key)
        if slow is None:
            slow = self._slowdowns[key] = self._slowdown(busy, foreign)
        self.speed = 1.0 / slow
        self.due = now + max(0.0, self._jobs[0][0] - self.clock) * slow


class Counters:
    """What one station did in the measured window; `reset` begins the window.

    Attributes:
        begun: when the window began.
        in_system: requests between arrival and answer.
        latencies: of the requests that were answered, from arrival to answer, seconds.
        wait_s: summed time in the queue of the requests that were begun.
        waits: requests that were begun.
        rows: of all executions begun.
        started: executions begun.
        busy_s: summed time of the executions that ended.
        executions: that ended.
        in_system_s: area under the number of requests in the system.
    """

    __slots__ = (
        "_at",
        "begun",
        "busy_s",
        "executions",
        "in_system",
        "in_system_s",
        "latencies",
        "rows",
        "started",
        "wait_s",
        "waits",
    )

    def __init__(self) -> None:
        self.in_system = 0
        self._at = 0.0
        self.reset(0.0)

    def reset(self, now: float) -> None:
        """Forgets what was counted, but not what is in the system."""
        self.begun = now
        self._at = now
        self.latencies: list[float] = []
        self.wait_s = self.busy_s = self.in_system_s = 0.0
        self.waits = self.started = self.rows = self.executions = 0

    def pass_time(self, now: float) -> None:
        """Adds the area under the requests in the system since the last change."""
        self.in_system_s += (now - self._at) * self.in_system
        self._at = now


def rows_of(table: RequestTable, requests: list[int]) -> int:
    """Rows of a batch."""
    if len(requests) == 1:
        return table.rows[requests[0]]
    rows = table.rows
    return sum(rows[request] for request in requests)
