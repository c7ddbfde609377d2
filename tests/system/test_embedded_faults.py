"""Faults that an embedded server survives or explains, on the real Triton."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from support.serving_models import ONE_INSTANCE, config_text, identity
from support.triton import READY_SECONDS, server_spec, start_server, write_model
from tritongen.errors import EnvironmentProblem
from tritongen.serving import reaper
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.serving.orphans import end_server, find_servers
from tritongen.serving.protocol import Ports
from tritongen.system.processes import SERVER, region_prefix
from tritongen.triton.server_state import StateStore

MODEL = "1/model.onnx"


@pytest.fixture
def repository(tmp_path) -> Path:
    folder = tmp_path / "repository"
    write_model(folder, "good", config_text(), {MODEL: identity()})
    return folder


def left_over(server: str) -> list[str]:
    """Processes and shared memory of a server."""
    regions = reaper.SHARED_MEMORY.glob(f"{region_prefix(server)}*")
    pids = reaper.marked(f"{SERVER}={server}")
    return [*(str(pid) for pid in pids), *(path.name for path in regions)]


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_server_killed_while_serving(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        server = running.server
        assert left_over(server.state.server) != []
        os.kill(server.state.pid, signal.SIGKILL)
        wait_until(lambda: not server.alive())
        with pytest.raises(EnvironmentProblem) as caught:
            server.statuses()
        assert caught.value.code == "TG812"
        assert "SIGKILL" in caught.value.what
        assert caught.value.where == server.state.log
        assert caught.value.details
        server.stop(grace=0.0)
        assert left_over(server.state.server) == []


def test_stop_leaves_no_process_and_no_shared_memory(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        name = running.server.state.server
        assert len(left_over(name)) >= 3  # the server, a stub, a region
        running.server.stop()
        assert left_over(name) == []
        assert "Non-graceful" not in Path(running.server.state.log).read_text()


def test_stop_kills_a_server_that_does_not_listen(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        name = running.server.state.server
        os.kill(running.server.state.pid, signal.SIGSTOP)
        running.server.stop(grace=0.3)
        assert left_over(name) == []


def test_a_dead_backend_process_is_seen(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        (stub,) = (
            pid
            for pid in reaper.marked(f"{SERVER}={running.server.state.server}")
            if pid != running.server.state.pid
        )
        os.kill(stub, signal.SIGKILL)
        wait_until(lambda: stub not in reaper.marked(f"{SERVER}={running.server.state.server}"))
        (status,) = running.server.statuses()
        assert not status.ready
        assert status.code == "TG829"
        assert status.reason == "1 of 1 backend processes died"


def test_a_taken_port_is_named_before_the_start(repository, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        spec = server_spec(repository, tmp_path / "project", ports=Ports(0, port, 0))
        runtime = EmbeddedRuntime()
        (finding,) = runtime.preflight(spec)
        assert (finding.code, finding.message) == (
            "TG807",
            f"port {port} for gRPC is taken on 127.0.0.1",
        )
        with pytest.raises(EnvironmentProblem) as caught:
            runtime.start(spec)
        assert caught.value.code == "TG807"
        assert str(port) in caught.value.what


def test_a_port_that_is_lost_during_the_start_is_named(repository, tmp_path):
    spec = server_spec(repository, tmp_path / "project")
    server = EmbeddedRuntime().start(spec)
    try:
        # Triton binds its ports after it has loaded the models.
        port = int(server.endpoints.grpc.rpartition(":")[2])
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(EnvironmentProblem) as caught,
        ):
            server.wait_ready(READY_SECONDS)
    finally:
        server.stop(grace=0.0)
    assert caught.value.code == "TG807"
    assert str(port) in caught.value.what
    assert "exit code 1" in caught.value.what


BROKEN = {
    "syntax": ('backend: "onnxruntime"\nmax_batch_size: many\n', "TG821", "config.pbtxt:2:17"),
    "rule": (config_text(batch=-1), "TG821", "'max_batch_size' must be non-negative value"),
    "backend": (config_text().replace("onnxruntime", "nosuch"), "TG825", "unable to find backend"),
    "dims": (config_text(dims=[5]), "TG823", "making complete shape [-1,5]"),
    "gpu": (
        config_text().replace(ONE_INSTANCE, "instance_group { count: 1 kind: KIND_GPU }\n"),
        "TG826",
        "has kind KIND_GPU but no GPUs are available",
    ),
}


def test_broken_models_among_good_ones_each_say_why(repository, tmp_path):
    for name, (config, _, _) in BROKEN.items():
        write_model(repository, name, config, {MODEL: identity()})
    write_model(repository, "damaged", config_text(), {MODEL: b"garbage"})
    write_model(repository, "versionless", config_text(), {"v1/model.onnx": identity()})
    with start_server(repository, tmp_path / "project") as running:
        statuses = {status.name: status for status in running.statuses}
        assert statuses["good"].ready
        for name, (_, code, words) in BROKEN.items():
            assert not statuses[name].ready
            assert words in statuses[name].reason
            assert (name, statuses[name].code) == (name, code)
        assert statuses["damaged"].code == "TG822"
        assert statuses["versionless"].code == "TG828"
        assert {name for name, one in statuses.items() if one.code} == set(statuses) - {"good"}


def test_a_flag_that_triton_does_not_know(repository, tmp_path):
    spec = server_spec(repository, tmp_path / "project", flags=(("no-such-flag", "1"),))
    server = EmbeddedRuntime().start(spec)
    try:
        with pytest.raises(EnvironmentProblem) as caught:
            server.wait_ready(READY_SECONDS)
    finally:
        server.stop(grace=0.0)
    assert caught.value.code == "TG830"
    assert "no-such-flag" in caught.value.what


def test_a_log_that_cannot_be_written_starts_nothing(repository, tmp_path):
    (tmp_path / "file").touch()
    spec = server_spec(repository, tmp_path / "project", log=tmp_path / "file" / "server.log")
    with pytest.raises(EnvironmentProblem) as caught:
        EmbeddedRuntime().start(spec)
    assert caught.value.code == "TG004"
    assert not [found for found in find_servers() if found.label == spec.label]


# The tool, as far as a start goes: it prints the server's name, waits for its models, and either
# detaches and ends or stays.
STARTER = """
import json, sys, time
from pathlib import Path
from dataclasses import asdict
sys.path.insert(0, sys.argv[4])
from support.triton import server_spec
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.triton.server_state import StateStore
spec = server_spec(Path(sys.argv[1]), Path(sys.argv[2]), auto_complete=False)
server = EmbeddedRuntime().start(spec)
StateStore(Path(sys.argv[2])).write(server.state)
print(server.state.server, flush=True)
if sys.argv[3] != "early":
    server.wait_ready(180)
    print("ready", flush=True)
if sys.argv[3] == "detach":
    server.detach()
else:
    time.sleep(600)
"""


def starter(repository: Path, project: Path, mode: str) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(repository), str(project), mode, tests],
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("number", "mode"),
    [
        (signal.SIGKILL, "early"),
        (signal.SIGTERM, "early"),
        (signal.SIGINT, "early"),
        (signal.SIGKILL, "stay"),
    ],
)
def test_a_starter_that_dies_takes_its_server_along(repository, tmp_path, number, mode):
    with starter(repository, tmp_path / "project", mode) as process:
        server = line_of(process)
        if mode == "stay":
            assert line_of(process) == "ready"
        process.send_signal(number)
        process.wait(60)
    wait_until(lambda: left_over(server) == [])


def test_a_detached_server_is_found_from_another_shell(repository, tmp_path):
    project = tmp_path / "project"
    with starter(repository, project, "detach") as process:
        name = line_of(process)
        assert line_of(process) == "ready"
    state = StateStore(project).read()
    assert state is not None
    assert state.server == name
    (found,) = (item for item in find_servers() if item.server == name)
    assert not found.orphaned
    server = EmbeddedRuntime().attach_to(state)
    assert server is not None
    try:
        assert server.alive()
        assert [status.ready for status in server.statuses()] == [True]
        assert server.logs(3)
    finally:
        server.stop(grace=0.0)
    assert left_over(name) == []
    assert EmbeddedRuntime().attach_to(state) is None


def test_an_orphan_is_found_and_ended(repository, tmp_path):
    project = tmp_path / "project"
    with starter(repository, project, "detach") as process:
        name = line_of(process)
        assert line_of(process) == "ready"
    StateStore(project).clear()
    (found,) = (item for item in find_servers() if item.server == name)
    assert found.orphaned
    assert found.project == project.resolve()
    end_server(found)
    assert left_over(name) == []


def test_a_server_whose_starter_lives_is_no_orphan(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        name = running.server.state.server
        (found,) = (item for item in find_servers() if item.server == name)
        assert found.owned
        assert running.server.state.pid in found.pids
        assert not found.orphaned


def test_stale_states_are_recognised(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        runtime = EmbeddedRuntime()
        state = running.server.state
        assert runtime.attach_to(state) is not None
        # after a reboot, with the number given to another process, and with another server's name
        assert runtime.attach_to(replace(state, boot_id="another boot")) is None
        assert runtime.attach_to(replace(state, start_ticks=state.start_ticks + 1)) is None
        assert runtime.attach_to(replace(state, server="another")) is None
    assert runtime.attach_to(state) is None


def test_two_starts_of_one_project_at_once(tmp_path):
    store = StateStore(tmp_path)
    with store.lock("starting the server"):
        script = (
            "import sys; from pathlib import Path\n"
            "from tritongen.errors import EnvironmentProblem\n"
            "from tritongen.triton.server_state import StateStore\n"
            "try:\n"
            "    with StateStore(Path(sys.argv[1])).lock('starting the server'): print('got it')\n"
            "except EnvironmentProblem as problem: print(problem.code, problem.what)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.startswith("TG008 another run")
    assert str(os.getpid()) in done.stdout


def test_the_server_sees_no_secret_and_no_setting_of_the_caller(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = (("MKL_NUM_THREADS", "1"),)
    options = {"auto_complete": False, "environment": environment}
    with start_server(repository, tmp_path / "project", **options) as running:
        raw = Path("/proc", str(running.server.state.pid), "environ").read_bytes()
        names = {entry.partition(b"=")[0].decode() for entry in raw.split(b"\0")}
        assert "MY_TOKEN" not in names
        assert "OMP_NUM_THREADS" not in names
        assert b"MKL_NUM_THREADS=1" in raw.split(b"\0")
        assert "MY_TOKEN" not in Path(running.server.state.log).read_text()
        assert "secret" not in repr(running.client.metadata())


def test_cores_pin_the_server_and_its_backends(repository, tmp_path):
    mine = os.sched_getaffinity(0)
    with start_server(repository, tmp_path / "project", auto_complete=False, cores=1) as running:
        for pid in reaper.marked(f"{SERVER}={running.server.state.server}"):
            assert os.sched_getaffinity(pid) == {min(mine)}
    assert os.sched_getaffinity(0) == mine


def test_control_apis_are_closed(repository, tmp_path):
    with start_server(repository, tmp_path / "project", auto_complete=False) as running:
        for path in ("/v2/logging", "/v2/trace/setting"):
            answer = running.client._ask("GET", path)
            assert answer.status == 403
            assert b"restricted" in answer.content
        with pytest.raises(EnvironmentProblem) as caught:
            running.client.load("good")
        assert caught.value.code == "TG815"
        assert "explicit" in caught.value.what
        loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
        for address in (running.server.endpoints.http, running.server.endpoints.grpc):
            assert listening_on(int(address.rpartition(":")[2])) <= loopback


def listening_on(port: int) -> set[str]:
    """Local addresses, as the kernel writes them, on which something listens to a port."""
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    local = [fields[1].rpartition(":") for fields in lines if fields[3] == "0A"]
    found = {address for address, _, number in local if int(number, 16) == port}
    assert found
    return found
