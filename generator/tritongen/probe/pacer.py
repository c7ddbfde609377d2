"""When requests of an open loop leave: waits for due times while an engine works.

A timer descriptor for the long part of a wait, spinning for the short one; without such a timer, as
elsewhere than on Linux, polls of whole milliseconds. A timer wakes a process tens of microseconds
late, more on a virtual machine. The pacer learns by how much, sets the timer that much earlier, and
spins the rest. It never moves a due time.
"""

import ctypes
import os
import sys
from typing import Any

from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.load_engine import clock_ns

_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1
# Other systems than Linux have none of that kind.
_NO_TIMER = -1
# Bounds of the margin, share of each lateness that it learns, and a poll at most. Chosen.
_MIN_MARGIN_NS = 20_000
_MAX_MARGIN_NS = 300_000
_LEARNING = 0.1
_MAX_WAIT_S = 0.1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Pacer:
    """Waits for due times while an engine handles what comes in between.

    Attributes:
        spun_ns: spent on spinning so far, without anything to do.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        self._timer = _NO_TIMER
        if sys.platform == "linux":
            self._timer = int(self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC))
            if self._timer < 0:
                raise OSError(ctypes.get_errno(), "timerfd_create")
        self._setting = _Itimerspec()
        self._pointer = ctypes.byref(self._setting)
        self._margin_ns = 100_000.0
        self.spun_ns = 0
        if self._timer != _NO_TIMER:
            engine.watch(self._timer)

    def close(self) -> None:
        """Close the timer."""
        if self._timer != _NO_TIMER:
            self._engine.unwatch(self._timer)
            os.close(self._timer)
            self._timer = _NO_TIMER

    def wait(self, due_ns: int) -> int:
        """Let the engine work until that moment, or a little less; returns the time now.

        Returns earlier when there is something in between, so call it in a loop.
        """
        now = clock_ns()
        wake = due_ns - int(self._margin_ns)
        if wake > now and (most_s := self._arm(wake, now)):
            self._engine.poll(most_s)
            now = clock_ns()
            if now >= wake:
                self._learn(now - wake)
            return now
        while now < due_ns:
            begun, outstanding = now, self._engine.outstanding
            self._engine.poll(0.0)
            now = clock_ns()
            if self._engine.outstanding == outstanding:
                self.spun_ns += now - begun
        return now

    def _arm(self, wake_ns: int, now_ns: int) -> float:
        """How long to poll at most, seconds: until the timer ends it, or in whole milliseconds."""
        if self._timer == _NO_TIMER:
            return min((wake_ns - now_ns) // 1_000_000 / 1e3, _MAX_WAIT_S)
        value = self._setting.value
        value.seconds, value.nanoseconds = divmod(wake_ns, 1_000_000_000)
        self._libc.timerfd_settime(self._timer, _ABSOLUTE, self._pointer, None)
        return _MAX_WAIT_S

    def _learn(self, late_ns: int) -> None:
        """The margin follows the lateness seen, with as much again for its spread."""
        wanted = min(max(2.0 * late_ns, _MIN_MARGIN_NS), _MAX_MARGIN_NS)
        self._margin_ns += _LEARNING * (wanted - self._margin_ns)
