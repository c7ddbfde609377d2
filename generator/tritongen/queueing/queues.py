"""The queues between arrival and execution: without and with Triton's dynamic batcher.

A queue keeps requests by their number in the shared table and never looks at a clock: every call
is told the time, in seconds.
"""

import math
from collections import deque
from dataclasses import dataclass

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
