"""The time limit of a command, wherever it waits."""

import importlib
import signal
import socket
import time
from contextlib import suppress

import pytest

from tritongen.cli.time_limit import TimeIsOver, time_limit
from tritongen.errors import EnvironmentProblem

LONG_S = 30.0


def test_what_waits_is_ended():
    here, there = socket.socketpair()
    with here, there, pytest.raises(EnvironmentProblem) as caught, time_limit(0.05):
        here.recv(1)
    assert caught.value.code == "TG013"
    assert "0.05 s" in caught.value.what


def test_what_goes_on_after_the_first_signal_is_ended_by_the_next():
    """As a probe does, which reads the server once more before it tells its numbers."""

    def asks_twice() -> None:
        with suppress(TimeIsOver):
            time.sleep(LONG_S)
        time.sleep(LONG_S)

    with pytest.raises(EnvironmentProblem), time_limit(0.05):
        asks_twice()


def test_a_signal_that_comes_late_is_none(monkeypatch):
    """As on a machine so busy that more than a second lies between two steps."""
    stop = signal.setitimer

    def stop_late(which: int, seconds: float, interval: float = 0.0) -> None:
        stop(which, seconds, interval)
        if not seconds:
            signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(signal, "setitimer", stop_late)
    with time_limit(LONG_S):
        pass


@pytest.mark.parametrize("limit_s", [None, LONG_S])
def test_nothing_is_left_of_a_limit(limit_s):
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(limit_s):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_library_that_is_being_imported_is_not_interrupted(tmp_path, monkeypatch):
    """It takes an interruption for a fault of its own, and says so."""
    (tmp_path / "slow_library.py").write_text(
        "import time\n"
        "try:\n    time.sleep(0.3)\n"
        "except KeyboardInterrupt:\n    raise ImportError('a part of it is missing') from None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def import_within_a_limit():
        with time_limit(0.05):
            importlib.import_module("slow_library")
            time.sleep(LONG_S)

    with pytest.raises(EnvironmentProblem) as caught:
        import_within_a_limit()
    assert caught.value.code == "TG013"
