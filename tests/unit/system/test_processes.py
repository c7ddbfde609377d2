"""Processes told apart from later ones with their number; what those of the tool import from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tritongen.system import process_files
from tritongen.system.process_files import (
    children,
    command_line,
    descendants,
    exists,
    parent,
    running_pids,
    stat_fields,
)
from tritongen.system.process_usage import cpu_seconds, process_tree, resident_bytes
from tritongen.system.processes import (
    ProcessRef,
    boot_id,
    environment_of,
    module_command,
    module_environment,
    prefer_for_oom_kill,
)


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


def test_a_process_is_found_until_it_ends(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    assert reference is not None
    assert reference.alive()
    sleeper.terminate()
    sleeper.wait()
    assert not reference.alive()


def test_a_zombie_is_not_alive(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not reference.alive()
    assert ProcessRef.of(sleeper.pid) is None


def test_the_same_number_of_another_process_is_not_it(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    other = ProcessRef(sleeper.pid, reference.start_ticks + 1)
    assert not other.alive()
    assert reference.alive()


def test_environment(sleeper):
    assert environment_of(sleeper.pid)["MARKED"] == "yes"
    assert environment_of(2**22 + 1) == {}


def test_what_a_process_is_and_whose(sleeper):
    own, pid = os.getpid(), sleeper.pid
    assert pid in running_pids()
    assert exists(pid)
    assert parent(pid) == own
    assert pid in children(own)
    assert pid in descendants(own)
    assert pid in process_tree(own)
    assert command_line(pid)[:2] == [os.fsencode(sys.executable), b"-c"]
    assert resident_bytes(pid) > 0
    assert cpu_seconds(own, pid) >= cpu_seconds(own) > 0


def test_a_process_that_is_gone(sleeper):
    sleeper.kill()
    sleeper.wait()
    pid = sleeper.pid
    assert not exists(pid)
    assert (parent(pid), resident_bytes(pid), cpu_seconds(pid)) == (0, 0, 0.0)
    assert (list(stat_fields(pid)), command_line(pid), process_tree(pid)) == ([], [], [])


def test_a_name_with_parentheses_is_no_field(tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert parent(child.pid) == os.getpid()
        child.stdin.close()


def test_this_boot_has_a_name():
    assert len(boot_id()) == 36


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", ()), (":", ()), (":lib:", ("lib",)), ("/a:lib", ("/a", "lib"))],
)
def test_an_empty_entry_of_the_path_is_no_folder(given, kept, tmp_path, monkeypatch):
    """`PYTHONPATH=$PYTHONPATH:lib` would name the current folder where it was empty before."""
    monkeypatch.chdir(tmp_path)
    found = module_environment({"PYTHONPATH": given, "A": "b"})
    assert found.pop("A") == "b"
    paths = [item for item in found.get("PYTHONPATH", "").split(os.pathsep) if item]
    assert paths == [str(tmp_path / item) for item in kept]


def test_a_module_is_not_taken_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "this.py").write_text("print('not that one')\n")
    (tmp_path / "here.py").write_text("print('here')\n")
    monkeypatch.chdir(tmp_path)
    environment = module_environment({"PYTHONPATH": ":"})
    command = module_command("this")
    assert "Zen of Python" in subprocess.check_output(command, env=environment, text=True)
    environment = module_environment({}, Path())
    assert subprocess.check_output(module_command("here"), env=environment, text=True) == "here\n"


def test_the_end_of_a_process_is_waited_for(sleeper):
    reference = ProcessRef.of(sleeper.pid)
    assert not reference.wait(0.0)
    sleeper.kill()
    sleeper.wait()
    assert reference.wait(0.0)


def test_variables_are_pairs(sleeper):
    assert set(environment_of(sleeper.pid)) == {"MARKED"}
    assert module_environment({"PYTHONPATH": "", "A": "b"}, Path("/x")) == {
        "A": "b", "PYTHONPATH": "/x",
    }  # fmt: skip


def test_a_process_is_offered_first_when_memory_runs_out(sleeper):
    prefer_for_oom_kill(sleeper.pid)
    assert Path(f"/proc/{sleeper.pid}/oom_score_adj").read_text() == "1000\n"
    prefer_for_oom_kill(2**22 + 1)


def test_a_process_is_found_without_the_kernels_files(monkeypatch, tmp_path):
    monkeypatch.setattr(process_files, "_PROC", tmp_path / "absent")
    assert process_files.exists(os.getpid())
    assert not process_files.exists(2**22 + 1)
    assert process_files.running_pids() == ()
