"""The queues between arrival and execution, one kind for each way in which Triton forms batches.

A queue keeps requests by their number in the shared table and never looks at a clock: every call
is told the time, in seconds.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from tritongen.queueing.batcher import Batcher, TimeoutAction, form_batch

_EPSILON = 1e-12


@dataclass(slots=True)
class RequestTable:
    """What is known of each request of a simulation, by its number.

    Attributes:
        arrived: when the client sent it.
        queued: when it reached the model's queue.
        rows: its batch size.
        priority: its level, 0 for the default.
    """

    arrived: list[float]
    queued: list[float]
    rows: list[int]
    priority: list[int]


class RequestQueue(Protocol):
    """Waiting requests of one model.

    Attributes:
        waiting: requests in the queue, those in formed batches included.
        wake: when `poll` must be called although nothing else happened; infinite for never.
    """

    waiting: int
    wake: float

    def offer(self, now: float, request: int) -> bool:
        """Adds a request; False when it is rejected at once."""

    def take(self, now: float) -> list[int]:
        """The requests that a free instance executes now; empty when it must wait."""

    def poll(self, now: float) -> None:
        """Does what is due at `wake`."""

    def expired(self) -> list[int]:
        """Requests rejected because of their time-out since the last call."""


class _Plain:
    """What queues without time-outs share."""

    __slots__ = ("_queue", "waiting", "wake")

    def __init__(self) -> None:
        self._queue: deque[int] = deque()
        self.waiting = 0
        self.wake = math.inf

    def poll(self, now: float) -> None:  # noqa: ARG002  (nothing is due here; others need the time)
        """Nothing to do: the instance asks again."""
        self.wake = math.inf

    def expired(self) -> list[int]:
        """None ever."""
        return []


class DirectQueue(_Plain):
    """Without a dynamic batcher every request is an execution of its own, in order."""

    __slots__ = ()

    def offer(self, now: float, request: int) -> bool:  # noqa: ARG002  (one signature for all)
        """Adds a request; it is never rejected."""
        self._queue.append(request)
        self.waiting += 1
        return True

    def take(self, now: float) -> list[int]:  # noqa: ARG002  (one signature for all queues)
        """The oldest request."""
        if not self._queue:
            return []
        self.waiting -= 1
        return [self._queue.popleft()]


class GreedyQueue(_Plain):
    """The dynamic batcher with no preferred size below the greatest batch, and no queue policy.

    Forming batches ahead of a free instance then makes no difference, since a batch on its way
    grows until it is full: a free instance takes what waits, up to the greatest batch, once the
    batch is full or its oldest request has waited for the delay.
    """

    __slots__ = ("_cap", "_delay", "_table")

    def __init__(self, table: RequestTable, batcher: Batcher, max_batch_size: int) -> None:
        super().__init__()
        self._table = table
        self._cap = max(1, max_batch_size)
        self._delay = batcher.delay_s

    def offer(self, now: float, request: int) -> bool:  # noqa: ARG002  (one signature for all)
        """Adds a request; it is never rejected."""
        self._queue.append(request)
        self.waiting += 1
        return True

    def take(self, now: float) -> list[int]:
        """The largest batch of the oldest requests, if it is due."""
        queue, rows = self._queue, self._table.rows
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
        self.waiting -= count
        return [queue.popleft() for _ in range(count)]


@dataclass(slots=True)
class _Payload:
    requests: list[int]
    rows: int
    oldest: float


class PrefetchQueue(_Plain):
    """The dynamic batcher with preferred sizes: batches are formed ahead of a free instance.

    Up to two batches an instance stand ready; the last one grows until it reaches a preferred
    size or is taken.
    """

    __slots__ = ("_batcher", "_cap", "_open", "_ready", "_sizes", "_slots", "_table")

    def __init__(
        self, table: RequestTable, batcher: Batcher, max_batch_size: int, instances: int
    ) -> None:
        super().__init__()
        self._table = table
        self._batcher = batcher
        self._cap = max(1, max_batch_size)
        self._sizes = batcher.sizes(max_batch_size)
        self._slots = 2 * instances
        self._ready: deque[_Payload] = deque()
        self._open: _Payload | None = None

    def offer(self, now: float, request: int) -> bool:
        """Adds a request; it is never rejected."""
        self._queue.append(request)
        self.waiting += 1
        self._pump(now)
        return True

    def take(self, now: float) -> list[int]:
        """The batch that was formed first, with the following ones that are late and fit."""
        self._pump(now)
        if not self._ready:
            return []
        head = self._pop()
        delay = self._batcher.delay_s
        while delay > 0.0 and self._ready and now - self._ready[0].oldest > delay:
            if head.rows + self._ready[0].rows > self._cap:
                break
            merged = self._pop()
            head.requests += merged.requests
            head.rows += merged.rows
        self.waiting -= len(head.requests)
        self._pump(now)
        return head.requests

    def poll(self, now: float) -> None:
        """Moves requests whose delay is over into a batch."""
        self._pump(now)

    def _pop(self) -> _Payload:
        payload = self._ready.popleft()
        if payload is self._open:
            self._open = None
        return payload

    def _pump(self, now: float) -> None:
        rows, queued = self._table.rows, self._table.queued
        self.wake = math.inf
        while self._queue and len(self._ready) < self._slots:
            current = self._open
            formed = form_batch(
                (rows[request] for request in self._queue),
                now - queued[self._queue[0]],
                current.rows if current else 0,
                self._sizes,
                self._cap,
                self._batcher.delay_s,
            )
            if formed.count:
                taken = [self._queue.popleft() for _ in range(formed.count)]
                self._join(taken)
            if formed.saturated:
                self._open = None
            elif not formed.count:
                self.wake = now + formed.wait_s
                return

    def _join(self, taken: list[int]) -> None:
        total = sum(self._table.rows[request] for request in taken)
        if self._open is None:
            self._open = _Payload(taken, total, self._table.queued[taken[0]])
            self._ready.append(self._open)
        else:
            self._open.requests += taken
            self._open.rows += total


class PolicyQueue:
    """The dynamic batcher with priorities or limits: batches are formed when an instance is free.

    A request whose time-out has passed is found when the next batch is formed, as in Triton.
    """

    __slots__ = (
        "_batcher",
        "_cap",
        "_deadlines",
        "_expired",
        "_late",
        "_levels",
        "_sizes",
        "_table",
        "waiting",
        "wake",
    )

    def __init__(self, table: RequestTable, batcher: Batcher, max_batch_size: int) -> None:
        self._table = table
        self._batcher = batcher
        self._cap = max(1, max_batch_size)
        self._sizes = batcher.sizes(max_batch_size)
        levels = range(1, batcher.priority_levels + 1) if batcher.priority_levels else (0,)
        self._levels: dict[int, deque[int]] = {level: deque() for level in levels}
        self._late: dict[int, deque[int]] = {level: deque() for level in levels}
        self._deadlines: dict[int, float] = {}
        self._expired: list[int] = []
        self.waiting = 0
        self.wake = math.inf

    def offer(self, now: float, request: int) -> bool:
        """Adds a request to its level's queue, unless that queue is full."""
        level = self._level(request)
        limit = self._batcher.limit_of(level)
        waiting = len(self._levels[level]) + len(self._late[level])
        if limit.max_size and waiting >= limit.max_size:
            return False
        self._levels[level].append(request)
        if limit.timeout_s > 0.0:
            self._deadlines[request] = now + limit.timeout_s
        self.waiting += 1
        return True

    def take(self, now: float) -> list[int]:
        """The most urgent requests that form a batch, after those whose time is over are out."""
        self.wake = math.inf
        self._expire(now)
        order = self._head()
        if not order:
            return []
        formed = form_batch(
            (self._table.rows[request] for request in order),
            now - min(self._table.queued[request] for request in order),
            0,
            self._sizes,
            self._cap,
            self._batcher.delay_s,
        )
        if not formed.count:
            closest = min((self._deadlines.get(r, math.inf) for r in order), default=math.inf)
            self.wake = min(now + formed.wait_s, max(closest, now) + 1e-6)
            return []
        taken = order[: formed.count]
        self._remove(taken)
        return taken

    def poll(self, now: float) -> None:  # noqa: ARG002  (the instance asks again by itself)
        """Nothing beyond what `take` does."""
        self.wake = math.inf

    def expired(self) -> list[int]:
        """Requests rejected because of their time-out since the last call."""
        gone, self._expired = self._expired, []
        return gone

    def _level(self, request: int) -> int:
        levels = self._batcher.priority_levels
        if levels == 0:
            return 0
        asked = self._table.priority[request]
        return asked if 0 < asked <= levels else max(1, self._batcher.default_priority)

    def _expire(self, now: float) -> None:
        for level, queue in self._levels.items():
            limit = self._batcher.limit_of(level)
            while queue and self._deadlines.get(queue[0], math.inf) < now:
                request = queue.popleft()
                del self._deadlines[request]
                if limit.action is TimeoutAction.DELAY:
                    self._late[level].append(request)
                else:
                    self._expired.append(request)
                    self.waiting -= 1

    def _head(self) -> list[int]:
        """Requests in the order of service, no more than one batch could take plus one."""
        order: list[int] = []
        for level, queue in self._levels.items():
            for line in (queue, self._late[level]):
                for request in line:
                    order.append(request)
                    if len(order) > self._cap:
                        return order
        return order

    def _remove(self, taken: list[int]) -> None:
        chosen = set(taken)
        for request in taken:
            self._deadlines.pop(request, None)
        for lines in (self._levels, self._late):
            for line in lines.values():
                while line and line[0] in chosen:
                    line.popleft()
        self.waiting -= len(taken)


def queue_for(
    table: RequestTable, batcher: Batcher | None, max_batch_size: int, instances: int
) -> RequestQueue:
    """The queue that behaves as Triton would with these settings."""
    if batcher is None:
        return DirectQueue()
    if not batcher.prefetches:
        return PolicyQueue(table, batcher, max_batch_size)
    if batcher.sizes(max_batch_size) == (max(1, max_batch_size),):
        return GreedyQueue(table, batcher, max_batch_size)
    return PrefetchQueue(table, batcher, max_batch_size, instances)
