"""What the load engines share: sockets, slots of concurrency, requests that wait, time-outs.

An engine owns the connections of one process. It is driven from outside: `serve` runs a closed
loop, `submit` and `poll` an open one. It never waits for anything but its sockets, and writes
down three times for each request: when it was due, when it was sent, when it was done.

A slot is one request at a time. In a closed loop its next request follows the answer; in an open
one it rests until a request is due. How requests travel is the engine's own.
"""

import select
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from tritongen.probe.load_engine import (
    EngineOptions,
    FailureCode,
    LoadTarget,
    RequestPlan,
    clock_ns,
)

# Chosen: how long an engine may sleep before it looks at the time again.
MAX_WAIT_S = 0.1


@dataclass(slots=True, eq=False)
class LoadSlot:
    """A request and its place in the load.

    Attributes:
        target: what it is for.
        target_index: of that target.
        next_request: gives the next request.
        request: what was sent last: bytes, or arguments of tritonclient's `infer`.
        log_sent, log_done: append to the target's log.
        intended: when it was due.
        sent: when it was sent.
        busy: whether a request is outstanding.
    """

    target: LoadTarget = field(init=False)
    next_request: Callable[[], Any] = field(init=False)
    log_sent: Callable[[int], None] = field(init=False)
    log_done: Callable[[int], None] = field(init=False)
    target_index: int = 0
    request: Any = b""
    intended: int = 0
    sent: int = 0
    busy: bool = False

    def serve_target(self, target: LoadTarget, index: int, place: int) -> None:
        """Send requests of this target from now on, as its slot of that number."""
        self.target = target
        self.target_index = index
        self.next_request = target.source(place)
        # Bound once: these run for every request.
        self.log_sent = target.log.sent.append
        self.log_done = target.log.done.append


S = TypeVar("S", bound=LoadSlot)


class SlotEngine(ABC, Generic[S]):
    """A load engine of one process.

    Attributes:
        name: for reports.
        targets: what it sends, one a model.
        closed: whether it runs a closed loop: every answer is followed by the next request.
        outstanding: requests sent and not answered.
        last_success_ns: when an answer last was right; monotonic.
        lost: connections that could not be opened since the last success.
    """

    name: str
    _slot_kind: type[S]

    def __init__(self, plans: Sequence[RequestPlan], options: EngineOptions) -> None:
        self.targets: Sequence[LoadTarget] = [LoadTarget(plan) for plan in plans]
        self.closed = True
        self.outstanding = 0
        self.last_success_ns = clock_ns()
        self.lost = 0
        self._options = options
        self._slots: list[S] = []
        self._idle: list[list[S]] = [[] for _ in plans]
        self._pending: deque[tuple[int, int]] = deque()
        self._broken: list[S] = []
        self._max_slots = options.max_outstanding
        self._sending = False
        # Whether an answer is followed by the next request.
        self._refilling = False
        # Requests of a counted closed loop that are still to be sent.
        self._left = 0

    @cached_property
    def _epoll(self) -> "select.epoll":
        """Made when it is first used: tritonclient sends where there is none, too."""
        return select.epoll()

    @abstractmethod
    def serve(self, until_ns: int) -> None:
        """Run the closed loop until that moment, or until nothing is outstanding."""

    @abstractmethod
    def poll(self, timeout_s: float) -> None:
        """Handle what the sockets have, waiting at most that long for the first of it."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def _begin(self, slot: S, intended_ns: int) -> None:
        """Send the slot's next request."""

    @abstractmethod
    def _fail(self, slot: S, code: str, message: str, now: int) -> None:
        """The slot's request has failed; the slot is free."""

    def _connect(self, slots: int) -> None:
        """Open what that many slots share."""

    def _reconnect(self, now_ns: int) -> None:
        """Open what was lost of it again."""

    def _assign(self, slot: S, target: int, place: int) -> None:
        """Let the slot send requests of a target, as that target's slot of that number."""
        slot.serve_target(self.targets[target], target, place)

    def _prepare(self, slot: S) -> None:
        """Open what the slot needs for itself, before the load begins."""

    def _release(self, slot: S) -> None:
        """The slot is not needed any more."""

    def _may_grow(self) -> bool:
        """Whether an open loop may have one more slot."""
        return len(self._slots) < self._max_slots

    def _flush(self) -> None:
        """Write what was begun."""

    def _flush_one(self, slot: S) -> None:
        """Write what was begun with that slot."""

    @property
    def sending(self) -> bool:
        """Whether more requests of a closed loop are to come."""
        return self._sending

    @property
    def waiting(self) -> int:
        """Requests that are due and wait for a free slot."""
        return len(self._pending)

    def open(self, slots: int, *, closed: bool, max_outstanding: int | None = None) -> None:
        """Prepare that many requests at a time; connections that exist are used again.

        Args:
            slots: requests at a time, to begin with.
            closed: whether every answer is followed by the next request.
            max_outstanding: requests of an open loop beyond this wait; None for the engine's limit.

        Raises:
            EnvironmentProblem: TG901, the server cannot be reached.
        """
        limit = self._options.max_outstanding
        self._max_slots = limit if max_outstanding is None else min(max_outstanding, limit)
        self.closed, self._sending, self._refilling, self._left = closed, True, closed, 0
        self.last_success_ns, self.lost = clock_ns(), 0
        self._broken.clear()
        for slot in self._slots[slots:]:
            self._release(slot)
        del self._slots[slots:]
        for idle in self._idle:
            idle.clear()
        self._connect(slots)
        shares = divide_slots([target.plan.share for target in self.targets], slots)
        places = [(target, place) for target, count in enumerate(shares) for place in range(count)]
        for number, (target, place) in enumerate(places):
            if number == len(self._slots):
                self._slots.append(self._slot_kind())
            slot = self._slots[number]
            self._assign(slot, target, place)
            self._prepare(slot)
            self._idle[target].append(slot)

    def start(self, requests: int | None = None) -> None:
        """Send the first request of every slot of a closed loop; `requests` end it, if given."""
        if requests is not None:
            self._refilling, self._left = False, requests - len(self._slots)
            self._sending = self._left > 0
        for idle in self._idle:
            for slot in idle:
                self.outstanding += 1
                self._begin(slot, clock_ns())
            idle.clear()
        self._flush()

    def submit(self, target: int, intended_ns: int) -> None:
        """Send a request that was due at that moment, or let it wait for a free slot."""
        idle = self._idle[target]
        if idle:
            slot = idle.pop()
        elif self._may_grow():
            slot = self._slot_kind()
            self._assign(slot, target, sum(one.target_index == target for one in self._slots))
            self._slots.append(slot)
        else:
            self._pending.append((target, intended_ns))
            return
        self.outstanding += 1
        self._begin(slot, intended_ns)
        self._flush_one(slot)

    def watch(self, descriptor: int) -> None:
        """Let `poll` return when that descriptor can be read."""
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor, which is closed next; epoll does so by itself."""

    def inspect(self) -> None:
        """Look at the next response of every model in full, its values too."""

    def stop_sending(self) -> None:
        """Send no next request, and none that waits."""
        self._sending = self._refilling = False
        self._left = 0
        self._pending.clear()

    def check_timeouts(self, now_ns: int) -> None:
        """Fail the requests whose time is up, and open lost connections again."""
        limit = now_ns - round(self._options.timeout_s * 1e9)
        message = f"no answer within {self._options.timeout_s:g} s"
        for slot in self._slots:
            if slot.busy and slot.sent < limit:
                self._fail(slot, FailureCode.TIMEOUT, message, now_ns)
        if self._sending:
            self._reconnect(now_ns)
        broken, self._broken = self._broken, []
        for slot in broken:
            if self._refilling or self._count_down():
                self.outstanding += 1
                self._begin(slot, clock_ns())
        self._flush()

    def cancel_outstanding(self) -> int:
        """Give up what is outstanding; returns how many requests that were."""
        busy = [slot for slot in self._slots if slot.busy]
        now = clock_ns()
        for slot in busy:
            self._fail(slot, FailureCode.UNFINISHED, "no answer before the end", now)
        self._flush()
        return len(busy)

    def _note_success(self, slot: S, now: int) -> None:
        if not self.closed:
            slot.target.log.intended.append(slot.intended)
        slot.log_sent(slot.sent)
        slot.log_done(now)

    def _note_failure(self, slot: S, code: str, message: str, now: int) -> None:
        intended = slot.sent if self.closed else slot.intended
        slot.target.log.fail(intended, slot.sent, now, code, message)

    def _count_down(self) -> bool:
        """Whether a counted loop goes on, by one request less."""
        if not self._left:
            return False
        self._left -= 1
        self._sending = self._left > 0
        return True

    def _proceed(self, slot: S, now: int) -> None:
        """The slot is free: send the next request or let it rest."""
        if self._refilling or (self._left and self._count_down()):
            self._begin(slot, now)
            return
        slot.busy = False
        self.outstanding -= 1
        if self._pending and self._pending[0][0] == slot.target_index:
            _, intended = self._pending.popleft()
            self.outstanding += 1
            self._begin(slot, intended)
            return
        self._idle[slot.target_index].append(slot)

    def _retry_later(self, slot: S) -> None:
        """No connection for the slot: `check_timeouts` tries again, and not at once.

        A server that is dead or starting would otherwise be asked again and again.
        """
        slot.busy = False
        self.outstanding -= 1
        if self._refilling or self._left:
            self._broken.append(slot)
        else:
            self._idle[slot.target_index].append(slot)

    def _see_last_success(self) -> None:
        """Remember when the last right answer came."""
        for target in self.targets:
            if target.log.done and target.log.done[-1] > self.last_success_ns:
                self.last_success_ns, self.lost = target.log.done[-1], 0


def divide_slots(shares: Sequence[float], slots: int) -> list[int]:
    """Slots for each share: in proportion, at least one each as long as there are enough."""
    whole = sum(shares)
    exact = [share / whole * slots for share in shares]
    counts = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda i: (counts[i] > 0, counts[i] - exact[i]))
    for index in order[: slots - sum(counts)]:
        counts[index] += 1
    while 0 in counts and max(counts) > 1:
        counts[counts.index(max(counts))] -= 1
        counts[counts.index(0)] += 1
    return counts


Engine = SlotEngine[Any]
