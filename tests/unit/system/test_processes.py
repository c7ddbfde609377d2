"""Processes told apart from later ones with their number."""

import os
import signal
import subprocess
import sys

import pytest

from tritongen.system.processes import ProcessRef, boot_id, environment_of, oom_kills


@pytest.fixture
def sleeper():
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"],
        stdout=subprocess.PIPE,
        env={"MARKED": "yes"},
    )
    child.stdout.readline()
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_process_is_found_and_signalled(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    assert reference is not None
    assert reference.alive()
    assert reference.send(signal.SIGTERM)
    sleeper.wait()
    assert not reference.alive()
    assert not reference.send(signal.SIGTERM)


def test_a_zombie_is_not_alive(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not reference.alive()
    assert ProcessRef.of(sleeper.pid) is None


def test_the_same_number_of_another_process_is_left_alone(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    other = ProcessRef(sleeper.pid, reference.start_ticks + 1)
    assert not other.alive()
    assert not other.send(signal.SIGKILL)
    assert reference.alive()


def test_environment(sleeper):
    assert environment_of(sleeper.pid)["MARKED"] == "yes"
    assert environment_of(2**22 + 1) == {}


def test_facts_of_this_machine():
    assert len(boot_id()) == 36
    assert oom_kills() >= 0
