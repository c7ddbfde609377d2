"""Models and runtimes that misbehave: the tool goes on, and no process stays behind."""

import ast
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx
import pytest

from support import trial_models as made
from tritongen.errors import EnvironmentProblem
from tritongen.model.evidence import BatchVerdict
from tritongen.trial.warm_worker import WarmWorker

MIB = 2**20


def children(pid="self"):
    """Processes whose parent is this one, zombies included."""
    own = os.getpid() if pid == "self" else pid
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == own:
                found.append(int(folder.name))
    return set(found)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("did not come about in time")


@pytest.fixture(autouse=True)
def nothing_left():
    before = children()
    yield
    assert children() <= before


@pytest.fixture(params=["alone", "in a row"])
def try_model(request):
    """Runs a trial, in a process of its own or as one of several in forks of one process."""
    if request.param == "alone":
        yield made.try_model
        return
    with WarmWorker() as worker:
        yield partial(made.try_model, worker=worker)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Install a stand-in for onnxruntime that the child, not this process, imports."""

    def install(run="pass", load="pass", top=""):
        folder = tmp_path / "path" / "onnxruntime"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(
            textwrap.dedent("""
                import ctypes, os, signal, subprocess, sys, time
                import numpy as np
                __version__ = "0"
                {top}
                class ExecutionMode:
                    ORT_PARALLEL = 1
                class SessionOptions:
                    pass
                class Info:
                    def __init__(self, name, width):
                        self.name, self.type, self.shape = name, "tensor(float)", ["N", width]
                class InferenceSession:
                    def __init__(self, path, options, providers):
                        {load}
                    def get_inputs(self):
                        return [Info("x", 6)]
                    def get_outputs(self):
                        return [Info("y", 3)]
                    def run(self, names, inputs):
                        x = inputs["x"]
                        {run}
                        return [np.ascontiguousarray(x[:, :3])]
            """).format(run=run, load=load, top=top)
        )
        monkeypatch.setenv("PYTHONPATH", str(folder.parent))

    return install


def test_a_model_that_never_ends_is_stopped(tmp_path, try_model):
    trial = try_model(made.endless(), tmp_path, timeout_s=8)
    assert (trial.ok, trial.code) == (False, "TG202")
    assert trial.error == "still running 1 row after 8 s"
    assert trial.runtime.startswith("onnxruntime")


def test_one_huge_tensor_is_refused(tmp_path, try_model):
    trial = try_model(made.hungry(2**36), tmp_path)
    assert (trial.ok, trial.code) == (False, "TG203")
    assert "Failed to allocate memory" in trial.error


def test_memory_that_is_really_used_is_watched(tmp_path, try_model):
    trial = try_model(made.hungry(2**27, times=3), tmp_path, memory_bytes=400 * MIB)
    assert (trial.ok, trial.code) == (False, "TG203")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "No graph"),
        (b"\x00" * 50, "Protobuf parsing failed"),
        (b"not a model at all", "Protobuf parsing failed"),
        (made.mlp().SerializeToString()[:-40], "Protobuf parsing failed"),
        *((proto.SerializeToString(), words) for proto, words in made.unloadable().values()),
        # Latin-1 for a name that has an accent: no UTF-8, as protobuf in Python would have it.
        (
            made.two_makers("result").SerializeToString().replace(b"result", b"r\xe9sult"),
            "Duplicate definition of name (r\ufffdsult)",
        ),
    ],
    ids=("nothing", "zeros", "text", "cut", *made.unloadable(), "no text"),
)
def test_what_is_not_loaded_is_refused_with_the_runtimes_words(data, words, tmp_path, try_model):
    trial = try_model(made.mlp(), tmp_path, content=data)
    assert (trial.ok, trial.code) == (False, "TG145")
    assert words in trial.error
    assert "\n" not in trial.error
    assert str(tmp_path) not in trial.error


def test_a_newer_ir_than_the_runtime_knows_is_told_without_this_machines_paths(tmp_path, try_model):
    proto = made.mlp()
    proto.ir_version = 99
    trial = try_model(proto, tmp_path)
    assert trial.code == "TG145"
    assert "Unsupported model IR version: 99" in trial.error
    assert str(tmp_path) not in trial.error


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        ("os.abort()", "SIGABRT"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
    ],
)
@pytest.mark.parametrize("place", ["load", "run"])
def test_a_crash_is_a_finding(harm, name, place, stand_in, tmp_path, try_model):
    stand_in(**{place: harm})
    trial = try_model(made.mlp(), tmp_path)
    assert (trial.ok, trial.code) == (False, "TG204")
    doing = {"load": "loading the model", "run": "running 1 row"}[place]
    assert trial.error.startswith(f"{name} while {doing}")


def test_a_crash_on_two_rows_rules_batching_out_and_keeps_the_rest(stand_in, tmp_path, try_model):
    stand_in(run="len(x) == 2 and os.abort()")
    trial = try_model(made.mlp(), tmp_path)
    assert (trial.ok, trial.code) == (True, "TG204")
    assert trial.outputs[0].shape == (1, 3)
    assert trial.proof.verdict is BatchVerdict.DISPROVEN
    assert "SIGABRT while running 2 rows" in trial.proof.reason


def test_a_death_by_the_systems_hand_is_taken_for_memory(stand_in, tmp_path, try_model):
    stand_in(run="os.kill(os.getpid(), signal.SIGKILL)")
    trial = try_model(made.mlp(), tmp_path)
    assert trial.code == "TG203"


def test_noise_of_libraries_does_not_reach_the_report(stand_in, tmp_path, try_model):
    noise = (
        r"""os.write(1, b'{"done": true}\n' * 5000); print("printed"); os.write(2, b"x" * 200000)"""
    )
    stand_in(run=noise, load=noise)
    trial = try_model(made.mlp(), tmp_path)
    assert (trial.ok, trial.code) == (True, "")
    assert trial.proof.verdict is BatchVerdict.PROVEN


def running(word):
    """Processes with the word on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word in (folder / "cmdline").read_bytes().decode(errors="replace").split("\0"):
                found.append(int(folder.name))
    return [pid for pid in found if not gone(pid)]


def test_processes_of_the_model_are_ended_too(stand_in, tmp_path, try_model):
    seconds = f"300.{secrets.randbelow(10**9)}"
    stand_in(
        load=f"self.other = subprocess.Popen(['sleep', {seconds!r}])",
        run="assert self.other.poll() is None; os.abort()",
    )
    trial = try_model(made.mlp(), tmp_path)
    assert trial.code == "TG204"
    assert trial.error.startswith("SIGABRT")
    assert not running(seconds)


def test_an_exception_in_the_childs_own_code_is_a_finding(stand_in, tmp_path, try_model):
    stand_in(run="return 5")
    trial = try_model(made.mlp(), tmp_path)
    assert not trial.ok
    assert trial.code == "TG204"


def test_a_missing_onnxruntime_is_told_with_its_cure(stand_in, tmp_path, try_model):
    stand_in(top="raise ImportError('libonnx.so: cannot open')")
    with pytest.raises(EnvironmentProblem) as caught:
        try_model(made.mlp(), tmp_path)
    assert caught.value.code == "TG006"
    assert "libonnx.so: cannot open" in caught.value.what
    assert caught.value.fix == "pip install 'tritongen[onnx]'"


def test_the_child_runs_without_telemetry_core_files_and_the_current_folder(
    stand_in, tmp_path, monkeypatch, try_model
):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    stand_in(
        load="import resource; raise RuntimeError(repr((os.getcwd(), os.environ['TMPDIR'], "
        "oct(os.stat('.').st_mode), os.environ['ORT_DISABLE_TELEMETRY'], "
        "resource.getrlimit(resource.RLIMIT_CORE), os.getsid(0) == os.getppid())))"
    )
    folder, *rest = ast.literal_eval(try_model(made.mlp(), tmp_path).error)
    assert rest == [folder, "0o40700", "1", (0, 0), True]
    assert Path(folder).parent == Path(tempfile.gettempdir())
    assert not Path(folder).exists()


def test_no_variable_of_the_caller_reaches_the_model(stand_in, tmp_path, monkeypatch, try_model):
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HTTPS_PROXY", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "s3cret")
    stand_in(
        load="raise RuntimeError(repr([name for name, value in os.environ.items() "
        "if name in ('HOME', 'OMP_NUM_THREADS') or 's3cret' in value]))"
    )
    assert try_model(made.mlp(), tmp_path).error == "['HOME']"


# Forks twice and leaves session and group, as daemons do; its output is closed, its folder is "/".
_DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3): os.close(number)
        open('there', 'w').close()
        time.sleep(300)
    os._exit(0)
os.wait()
while not os.path.exists('there'): time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("pass", ""),
        ("os.abort()", "TG204"),
        ("time.sleep(300)", "TG202"),
        # Out of its reach.
        ("os.kill(os.getppid(), signal.SIGSTOP); time.sleep(300)", "TG201"),
    ],
)
def test_a_daemon_does_not_outlive_the_trial(then, code, stand_in, tmp_path, try_model):
    script = tmp_path / "daemon.py"
    script.write_text("import os, time\n" + _DAEMON)
    stand_in(load=f"subprocess.run([sys.executable, {str(script)!r}]); {then}")
    trial = try_model(made.mlp(), tmp_path, timeout_s=5.0 if code == "TG202" else 60.0)
    assert trial.code == code
    assert not running(str(script))


def test_a_child_killed_from_outside_leaves_the_parent_sane(tmp_path, try_model):
    results = []
    thread = threading.Thread(
        target=lambda: results.append(try_model(made.endless(), tmp_path, timeout_s=60))
    )
    before = children()
    thread.start()
    (pid,) = wait_for(lambda: children() - before)
    wait_for(lambda: Path(f"/proc/{pid}/statm").read_text().split()[1] > "0")
    time.sleep(0.5)
    os.kill(pid, signal.SIGABRT)
    thread.join(timeout=30)
    assert results[0].code == "TG204"
    assert "SIGABRT" in results[0].error
    assert try_model(made.mlp(), tmp_path).ok


_PARENT = """
import sys
sys.path[:0] = {path!r}
from contextlib import nullcontext
from pathlib import Path
from support import trial_models as made
from tritongen.trial.warm_worker import WarmWorker
print("ready", flush=True)
try:
    with {worker} as worker:
        made.try_model(made.endless(), Path({folder!r}), worker=worker, timeout_s=300)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("worker", ["nullcontext()", "WarmWorker()"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_child_does_not_outlive_its_parent(how, worker, tmp_path):
    tests = str(Path(__file__).parents[1])
    program = _PARENT.format(path=[tests], folder=str(tmp_path), worker=worker)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        (watcher,) = wait_for(lambda: children(parent.pid))
        (pid,) = wait_for(lambda: children(watcher))
        # Far enough to have asked the kernel for its own end.
        wait_for(lambda: "onnxruntime" in Path(f"/proc/{pid}/maps").read_text())
        parent.send_signal(how)
        parent.wait(timeout=20)
        wait_for(lambda: gone(pid) and gone(watcher))
        assert parent.stdout.read() == ("interrupted\n" if how is signal.SIGINT else "")
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_what_follows_in_a_row_is_tried_as_the_first(tmp_path):
    """After trials that crashed, hung and were refused, and with what the first had observed."""
    first = made.try_model(made.mlp(), tmp_path)
    before = children()
    with WarmWorker() as worker:
        row = partial(made.try_model, worker=worker)
        (tmp_path / "wrong").mkdir()
        second = row(made.mlp(), tmp_path)
        assert replace(second, peak_bytes=first.peak_bytes) == first
        assert row(made.endless(), tmp_path / "wrong", timeout_s=3).code == "TG202"
        assert row(made.mlp(), tmp_path / "wrong", content=b"none").code == "TG145"
        last = row(made.mlp(), tmp_path)
        assert replace(last, peak_bytes=first.peak_bytes) == first
        # Memory is what the model takes, not what a fork has not inherited.
        assert last.peak_bytes == pytest.approx(first.peak_bytes, rel=0.1)
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: gone(pid))
        assert row(made.mlp(), tmp_path).ok
        (pid,) = children() - before
    assert gone(pid)


def test_external_data_that_is_missing_is_told(tmp_path, try_model):
    onnx.save(
        made.mlp(),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    content = (tmp_path / "m.onnx").read_bytes()
    assert try_model(made.mlp(), tmp_path, content=content).ok
    (tmp_path / "w.bin").unlink()
    trial = try_model(made.mlp(), tmp_path, content=content)
    assert (trial.ok, trial.code) == (False, "TG201")
    assert str(tmp_path) not in trial.error
