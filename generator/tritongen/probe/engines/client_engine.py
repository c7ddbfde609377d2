"""What the engines share that send with tritonclient itself, as a Python service does.

tritonclient returns or calls back in threads. The next request of a closed loop is sent from that
same thread, so that no request waits for another thread to wake up. What was done is noted there,
and handled by the thread that drives the engine.
"""

import itertools
import os
import select
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from tritongen.probe.engines.dialer import Dialer
from tritongen.probe.engines.infer_results import judge, read_response
from tritongen.probe.engines.slot_engine import LoadSlot, SlotEngine
from tritongen.probe.load_engine import EngineOptions, FailureCode, RequestPlan, clock_ns
from tritongen.triton.address import Endpoint

# Chosen: how long what a closed loop did may wait to be handled. Handling more of it at a time
# would keep the threads that send from running for longer.
_HANDLE_S = 0.02
# For what is outstanding when an engine is closed, and for its threads to end. Chosen.
_MAX_JOIN_S = 1.0
_MAX_MESSAGE_CHARACTERS = 300
# What may have been written to wake an engine up, and a timer's count of eight.
_WAKE_BYTES = 4096

Failure = tuple[str, str]


@dataclass(slots=True, eq=False)
class CallSlot(LoadSlot):
    """A slot that sends by calls of tritonclient. See `LoadSlot`, too.

    Attributes:
        number: of its last call.
        broken: whether that failed for want of a connection.
    """

    number: int = 0
    broken: bool = False


C = TypeVar("C", bound=CallSlot)


class ClientEngine(SlotEngine[C]):
    """See `SlotEngine` for attributes and methods."""

    _alpn = ""

    def __init__(
        self, endpoint: Endpoint, plans: Sequence[RequestPlan], options: EngineOptions
    ) -> None:
        """Prepare; nothing is opened yet."""
        super().__init__(plans, options)
        self._endpoint = endpoint
        self._reached = False
        self._calls: dict[int, C] = {}
        self._numbers = itertools.count(1)
        # Slot, when it was sent and done, what failed, and whether the slot has gone on.
        self._done: deque[tuple[C, int, int, Failure | None, bool]] = deque()
        self._looks = [True for _ in plans]
        # Neither needs Linux.
        self._wake, self._waker = os.pipe()
        for end in (self._wake, self._waker):
            os.set_blocking(end, False)
        self._poll = select.poll()
        self.watch(self._wake)
        # A closed descriptor's number is given to the next file: no thread may write to it.
        self._waking = threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []

    @abstractmethod
    def _issue(self, slot: C) -> None:
        """Let tritonclient send the slot's request; may raise anything."""

    @abstractmethod
    def _abandon(self, slot: C) -> None:
        """The slot's answer is not waited for any more."""

    @abstractmethod
    def _describe(self, slot: C, fault: Exception) -> Failure:
        """The failure behind an exception; notes on the slot where its connection is lost."""

    @abstractmethod
    def _shut(self) -> None:
        """Close what all slots share."""

    def _connect(self, slots: int) -> None:
        """See that the server is there, so that a wrong address or certificate is told at once."""
        del slots
        if not self._reached:
            seconds = self._options.connect_timeout_s
            Dialer(self._endpoint, seconds, alpn=self._alpn).dial(wait=True)[0].close()
            self._reached = True

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `SlotEngine.serve`."""
        now = clock_ns()
        while now < until_ns and (self._sending or self.outstanding):
            self.poll(min(_HANDLE_S, (until_ns - now) / 1e9))
            now = clock_ns()

    def poll(self, timeout_s: float) -> None:
        """Handle what was done; see `SlotEngine.poll`."""
        if not self._done:
            for descriptor, _ in self._poll.poll(timeout_s * 1e3):
                os.read(descriptor, _WAKE_BYTES)
        # What comes in the meantime is for the next call: it may come as fast as it goes.
        for _ in range(len(self._done)):
            self._handle(*self._done.popleft())

    def watch(self, descriptor: int) -> None:
        """Let `poll` return when that descriptor can be read, and read it."""
        self._poll.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor: its number may be another file's next."""
        self._poll.unregister(descriptor)

    def inspect(self) -> None:
        """Look at the next response of every model in full."""
        self._looks = [True for _ in self.targets]

    def cancel_outstanding(self) -> int:
        """Give up what is outstanding; returns how many requests that were."""
        self.poll(0.0)
        before = self._given_up()
        super().cancel_outstanding()
        # The answers that came just now.
        limit = clock_ns() + round(_MAX_JOIN_S * 1e9)
        while self.outstanding and clock_ns() < limit:
            self.poll(_HANDLE_S)
        return self._given_up() - before

    def _given_up(self) -> int:
        return sum(target.log.codes.get(FailureCode.UNFINISHED, 0) for target in self.targets)

    def close(self) -> None:
        """Close every connection, and end the threads."""
        if self._closed:
            return
        self._sending = self._refilling = False
        limit = clock_ns() + round(_MAX_JOIN_S * 1e9)
        while self._calls and clock_ns() < limit:
            time.sleep(0.001)
        left = list(self._calls.values())
        self._calls.clear()
        for slot in left:
            self._abandon(slot)
        for slot in self._slots:
            self._release(slot)
        self._slots.clear()
        self._shut()
        limit = clock_ns() + round(_MAX_JOIN_S * 1e9)
        for thread in self._threads:
            thread.join(max(limit - clock_ns(), 0) / 1e9)
        with self._waking:
            self._closed = True
            os.close(self._wake)
            os.close(self._waker)

    def _start_thread(self, target: Callable[..., None], *arguments: object) -> None:
        """Run something that may take its time; `close` waits for it, though not for ever."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _begin(self, slot: C, intended_ns: int) -> None:
        """Send the slot's next request."""
        slot.busy, slot.intended = True, intended_ns
        self._send(slot)

    def _send(self, slot: C) -> None:
        """Send the slot's next request, from any thread."""
        number = slot.number = next(self._numbers)
        slot.broken = False
        slot.request = slot.next_request()
        slot.sent = clock_ns()
        self._calls[number] = slot
        try:
            self._issue(slot)
        except Exception as fault:  # noqa: BLE001  (what tritonclient raises is a failed request)
            self._answered(number, None, fault)

    def _answered(self, number: int, result: Any, error: Exception | None) -> None:  # noqa: ANN401  (an `InferResult`)
        """A call is over; runs in any thread."""
        now = clock_ns()
        slot = self._calls.pop(number, None)
        if slot is not None:  # else it was given up
            self._finish(slot, now, self._failure(slot, result, error))

    def _finish(self, slot: C, now: int, failure: Failure | None) -> None:
        """Note that the slot's request is done, and go on with a closed loop."""
        goes_on = failure is None and self._refilling
        self._done.append((slot, slot.sent, now, failure, goes_on))
        if goes_on:
            self._send(slot)
            return
        with self._waking:
            if not self._closed:
                with suppress(BlockingIOError):  # it is full: as good as one more
                    os.write(self._waker, b"\0")

    def _failure(self, slot: C, result: Any, error: Exception | None) -> Failure | None:  # noqa: ANN401  (an `InferResult`)
        """What is wrong with an answer, None when it is right."""
        if error is not None:
            return self._describe(slot, error)
        try:
            answer = read_response(result)
        except Exception as fault:  # noqa: BLE001  (tritonclient fails in any way on what it cannot read)
            return FailureCode.MALFORMED, message_of(fault)
        if self._looks[slot.target_index]:
            failure = judge(answer, slot.target, slot.request)
            self._looks[slot.target_index] = failure is not None
            return failure
        wrong = slot.target.plan.expectation.fault(answer.model, answer.outputs)
        return (FailureCode.WRONG_RESPONSE, wrong) if wrong else None

    def _handle(
        self, slot: C, sent: int, done: int, failure: Failure | None, goes_on: bool
    ) -> None:
        """Write down what was done, and use the slot again unless it has gone on."""
        if failure is None:
            self.last_success_ns, self.lost = done, 0
        if goes_on:
            slot.log_sent(sent)
            slot.log_done(done)
            return
        if failure is None:
            self._note_success(slot, done)
        else:
            self._note_failure(slot, *failure, done)
            self.lost += slot.broken
        if slot.broken and (self._refilling or self._left):
            self._retry_later(slot)
        else:
            self._proceed(slot, done)

    def _fail(self, slot: C, code: str, message: str, now: int) -> None:
        if self._calls.pop(slot.number, None) is None:
            return  # its answer waits to be handled
        self._abandon(slot)
        self._note_failure(slot, code, message, now)
        self._proceed(slot, now)


def message_of(fault: Exception) -> str:
    """What an exception says, on one line of bounded length."""
    said = getattr(fault, "message", None)
    text = str(said()) if callable(said) else f"{type(fault).__name__}: {fault}"
    return " ".join(text.split())[:_MAX_MESSAGE_CHARACTERS]
