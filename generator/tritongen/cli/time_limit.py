"""The longest time that a command gives a server that nobody vouches for, all answers together."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tritongen.errors import EnvironmentProblem

_log = logging.getLogger(__name__)
# Chosen: what has gone on after the first signal, such as the last reading of a probe, ends then.
_AGAIN_S = 1.0
_SOON_S = 0.05


class TimeIsOver(KeyboardInterrupt):
    """The time limit of the command is reached."""

    number = signal.SIGALRM


@contextmanager
def time_limit(limit_s: float | None) -> Iterator[None]:
    """End what is done here as Ctrl-C does, wherever it waits; in the main thread.

    Each answer has bounds of its own, but a server says how many there are to ask for.

    Args:
        limit_s: seconds; None for no limit.

    Raises:
        EnvironmentProblem: TG013, it is reached.
    """
    if limit_s is not None:
        _log.info("to be done within %g s", limit_s)
    ended = False

    def over(_number: int, frame: FrameType | None) -> None:
        if not ended:  # else a signal of before, which Python delivers late
            _over(frame)

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s or 0.0, _AGAIN_S)
        try:
            yield
        finally:
            ended = True
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    except TimeIsOver:
        ended = True
        raise EnvironmentProblem("TG013", f"not done within {limit_s:g} s") from None
    finally:
        signal.signal(signal.SIGALRM, before)


def _over(frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            # A library that is being imported takes this for a fault of its own: once it is there.
            signal.setitimer(signal.ITIMER_REAL, _SOON_S, _AGAIN_S)
            return
        frame = frame.f_back
    raise TimeIsOver
