"""Models that are programs of a stranger's: what they cannot do while the tool runs them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from support import format_models as make
from support.cli import FREE_PORTS, Project, dense
from support.triton import EmbeddedRuntime
from tritongen.system.sandbox import SandboxGap, sandbox_gaps

SECRET = "s3cret-of-the-caller"  # noqa: S105  (nobody's)
# What a program of the user's could do, as lines that end without an error where it is done.
ATTACKS = {
    "a server of this machine": "socket.create_connection(('127.0.0.1', {port}), 5)",
    "a socket of this machine": "socket.socket(socket.AF_UNIX).connect({unix!r})",
    "a socket without a name": "socket.socket(socket.AF_UNIX).connect({abstract!r})",
    "the hypervisor": "socket.socket(socket.AF_VSOCK)",
    "a datagram": (
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))"
    ),
    "a file": "open({file!r}, 'a').write('x')",
    "a new file": "open({file!r} + '.new', 'w')",
    "a file cut": "os.truncate({file!r}, 0)",
    "a file gone": "os.unlink({file!r})",
    "a file moved": "os.rename({file!r}, {file!r} + '.moved')",
    "a link": "os.symlink('/etc', {file!r} + '.link')",
    "a hard link of its own": "os.link({file!r}, 'own'); open('own', 'a').write('x')",
    "its own source": "open(__file__, 'a').write('#')",
    "a process": "os.kill({victim}, signal.SIGTERM)",
    "the tool": "os.kill(os.getppid(), signal.SIGTERM)",
    "the caller's variables": (
        "subprocess.run(['grep', '-qsa', {secret!r}, *glob.glob('/proc/[0-9]*/environ')]"
        ", check=True)"
    ),
    "the tool's memory": "open(f'/proc/{{os.getppid()}}/mem', 'r+b')",
    "a region of shared memory": "open('/dev/shm/' + {region!r}, 'r+b').write(b'x')",
    "a second interface": (
        "assert ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)) >= 0"
    ),
}
# These are closed to a program of this user's without a sandbox as well, on some machines.
ALWAYS_CLOSED = {"the hypervisor", "a datagram", "a second interface"}


@dataclass
class Prey:
    """What an attack is after."""

    names: dict[str, object]
    file: Path
    victim: "subprocess.Popen[bytes]"
    region: SharedMemory

    def line(self, attack: str) -> str:
        """The attack as a line of Python."""
        return ATTACKS[attack].format(**self.names)

    def unharmed(self) -> bool:
        """Whether all of it is as it was."""
        return (
            self.file.read_text() == "keep"
            and [path.name for path in self.file.parent.iterdir()] == [self.file.name]
            and self.victim.poll() is None
            and bytes(self.region.buf[:4]) == b"keep"
        )


@pytest.fixture
def prey(tmp_path: Path) -> Iterator[Prey]:
    folder = tmp_path / "others"
    folder.mkdir()
    file = folder / "notes"
    file.write_text("keep")
    unix, abstract = str(tmp_path / "socket"), f"\0{tmp_path}"
    region = SharedMemory(create=True, size=16)
    region.buf[:4] = b"keep"
    victim = subprocess.Popen(["sleep", "600"])
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as nameless,
    ):
        for server, address in ((named, unix), (nameless, abstract)):
            server.bind(address)
            server.listen()
        names = {
            "port": listener.getsockname()[1], "unix": unix, "abstract": abstract,
            "file": str(file), "victim": victim.pid, "secret": SECRET, "region": region.name,
        }  # fmt: skip
        try:
            yield Prey(names, file, victim, region)
        finally:
            victim.kill()
            victim.wait()
            region.close()
            region.unlink()


def program(line: str) -> str:
    """A model that does it while it is loaded, and cannot be served where it succeeds."""
    body = f"""
import ctypes, glob, os, signal, socket, subprocess

def attack():
    {line}

try:
    attack()
except Exception:
    pass
else:
    raise RuntimeError("reached")
"""
    return body + make.PYTHON


def trial_of(project: Project, name: str) -> dict[str, object] | None:
    """The trial that the lock holds of a model."""
    return project.lock()["models"][name]["evidence"].get("trial")


def test_the_sandbox_of_this_machine_has_no_gap():
    """What the other tests rest on; where there is one, `doctor` tells of it."""
    assert sandbox_gaps() == ()


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_of_a_folder_reaches_nothing(attack: str, prey: Prey, project: Project):
    make.python_model(project.models / "program/1/model.py", program(prey.line(attack)))
    source = (project.models / "program/1/model.py").read_text()
    ran = project.run("build", "models", MY_TOKEN=SECRET)
    assert "reached" not in ran.out + ran.err
    assert prey.unharmed()
    assert (project.models / "program/1/model.py").read_text() == source
    assert trial_of(project, "program")["ok"], "it was run"


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - ALWAYS_CLOSED))
def test_each_attack_would_succeed_without_a_sandbox(attack: str, prey: Prey, tmp_path: Path):
    path = tmp_path / "program.py"
    path.write_text(program(prey.line(attack)))
    inner = [sys.executable, str(path)]
    # A parent of its own, which the attack may end.
    outer = (
        f"import subprocess; r = subprocess.run({inner!r}, capture_output=True); print(r.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", outer],
        cwd=tmp_path,
        env={**os.environ, "MY_TOKEN": SECRET},
        capture_output=True,
        check=False,
    )
    assert b"reached" in done.stdout or done.returncode < 0, done


# What a program takes, and the code of the trial that it fails.
GREED = {
    "processes": (
        "[os.fork() or time.sleep(600) for _ in range(1000)]; time.sleep(600)", "TG203",
    ),
    "memory of all": (
        "kept = bytearray(b'x') * 2**29; os.fork(); os.fork(); kept += b'y'; time.sleep(600)",
        "TG203",
    ),
    "open files": ("kept = [open('/dev/null') for _ in range(5000)]", "TG201"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "code"), GREED.values(), ids=GREED)
def test_code_of_a_folder_takes_no_more_than_its_share(line: str, code: str, project: Project):
    source = f"import os, time\n{line}\n{make.PYTHON}"
    make.python_model(project.models / "program/1/model.py", source)
    project.add("dense/model.onnx", dense())
    document = project.json("build", "models", "--trial-memory", "1.5")
    (found,) = (item for item in document["findings"] if item["model"] == "program")
    assert found["code"] == code
    assert trial_of(project, "dense")["ok"]


def test_what_code_of_a_folder_has_given_up(project: Project):
    source = f"""
import os, resource

given = dict(line.split(":") for line in open("/proc/self/status") if line.count(":") == 1)
assert int(given["NoNewPrivs"]) == 1
# Root keeps the right to read files of others.
assert int(given["CapBnd"], 16) & ~(6 if os.getuid() == 0 else 0) == 0
most = {{name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1] for name in (
    "NOFILE", "FSIZE", "CORE", "CPU",
)}}
assert (most["NOFILE"], most["FSIZE"], most["CORE"]) == (4096, 64 << 30, 0), most
assert most["CPU"] > 0  # -1 is no limit
assert set(os.environ) & {{"MY_TOKEN", "HTTPS_PROXY", "SSH_AUTH_SOCK"}} == set()
{make.PYTHON}"""
    make.python_model(project.models / "program/1/model.py", source)
    hidden = {"MY_TOKEN": SECRET, "HTTPS_PROXY": SECRET, "SSH_AUTH_SOCK": SECRET}
    project.run("build", "models", **hidden)
    assert trial_of(project, "program")["ok"]


@pytest.mark.parametrize(
    "attack", ["a file", "a server of this machine", "the caller's variables", "a process"]
)
def test_functions_of_accuracy_reach_nothing(attack: str, prey: Prey, project: Project):
    project.add("dense/model.onnx", dense())
    imports = "import ctypes, glob, os, signal, socket, subprocess"
    body = f"{imports}\n\ndef make():\n    {prey.line(attack)}\n    return {{}}\n"
    project.write("models/samples.py", body)
    project.write("models/tritongen.yaml", "models: {dense: {accuracy: {data: 'samples:make'}}}\n")
    problem = project.error("optimize", "models", "--quantize", expect=2, MY_TOKEN=SECRET)
    assert problem["code"] == "TG220"
    assert "raised" in problem["message"]
    assert prey.unharmed()


def test_what_the_sandbox_forbids_is_told_as_such(project: Project):
    source = f"open('/var/log/model.log', 'a')\n{make.PYTHON}"
    make.python_model(project.models / "program/1/model.py", source)
    project.add("dense/model.onnx", dense())
    document = project.json("build", "models")
    (found,) = (item for item in document["findings"] if item["model"] == "program")
    assert "Permission denied" in found["message"]
    assert "sandbox without network" in found["message"]
    assert "--no-trial" in found["message"]
    project.run("build", "models", "--no-trial")


def test_a_program_may_use_its_own_folder_and_its_own_processes(project: Project):
    source = f"""
import multiprocessing, os, socket, subprocess, tempfile, threading

with tempfile.NamedTemporaryFile("w") as file:
    file.write("mine")
os.makedirs("cache/of/mine")
os.rename("cache", "moved")
assert subprocess.run(["true"]).returncode == 0
multiprocessing.Lock()
left, right = socket.socketpair()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), 5)
{make.PYTHON}"""
    make.python_model(project.models / "program/1/model.py", source)
    project.run("build", "models")
    assert trial_of(project, "program")["ok"]


def test_the_first_run_of_a_folders_code_is_told_once(project: Project):
    make.python_model(project.models / "program/1/model.py")
    said = project.run("build", "models").err
    (line,) = (line for line in said.splitlines() if "sandbox" in line)
    assert line == (
        "code of models runs in a sandbox (no network, files of its own only): program; "
        "--untrusted forbids it"
    )
    assert "sandbox" not in project.run("build", "models", "--remeasure").err


@pytest.mark.parametrize("how", [("--untrusted",), ()])
def test_untrusted_code_runs_nowhere(how: tuple[str, ...], project: Project):
    make.python_model(project.models / "program/1/model.py")
    project.add("dense/model.onnx", dense())
    variables = {} if how else {"TRITONGEN_UNTRUSTED": "1"}
    document = project.json("build", "models", *how, **variables)
    assert {model["name"] for model in document["models"]} == {"dense", "program"}
    found = [item for item in document["findings"] if item["code"] == "TG147"]
    assert [item["model"] for item in found] == ["program"]
    assert trial_of(project, "program") is None
    assert trial_of(project, "dense")["ok"]
    inspected = project.json("inspect", "models", "--trial", *how, **variables)
    assert {item["name"] for item in inspected["models"]} == {"dense", "program"}
    for words in (("up",), ("tune", "models")):
        assert project.error(*words, *how, expect=2, **variables)["code"] == "TG149"
    project.write("models/tritongen.yaml", "models: {dense: {accuracy: {data: 'samples:make'}}}\n")
    problem = project.error("optimize", "models", *how, expect=2, **variables)
    assert (problem["code"], problem["where"]) == ("TG149", "samples:make")
    assert not (project.folder / ".tritongen/code.json").exists()


def test_a_library_of_operators_is_loaded_by_no_trial_and_no_untrusted_server(project: Project):
    """Which the overlay names; whoever loads this one fails."""
    project.add("dense/model.onnx", dense())
    project.write("models/dense/ops.so", "no library")
    named = '{op_library_filename: ["ops.so"]}'
    project.write(
        "models/tritongen.yaml", f"models: {{dense: {{overlay: {{model_operations: {named}}}}}}}\n"
    )
    project.json("build", "models")
    assert trial_of(project, "dense")["ok"]
    for words in (("up",), ("tune", "models")):
        assert project.error(*words, "--untrusted", expect=2)["code"] == "TG149"
    assert "ops.so" in project.error("up", *FREE_PORTS, expect=3)["message"]


def test_verify_runs_a_program_in_the_sandbox_or_not_at_all(
    prey: Prey, project: Project, embedded_runtime: EmbeddedRuntime
):
    line = f"\ntry:\n    {prey.line('a file')}\nexcept OSError:\n    pass\n"
    make.python_model(project.models / "program/1/model.py", line + make.PYTHON)
    project.add("dense/model.onnx", dense())
    project.run("build", "models")
    assert prey.file.read_text() == "keep"
    project.run("up", *FREE_PORTS, "--runtime", "embedded")
    try:
        # What a server serves is the user's to trust; what it has done there is put right.
        assert prey.file.read_text() != "keep"
        prey.file.write_text("keep")
        verified = project.json("verify")
        assert [model["verdict"] for model in verified["models"]] == ["equal", "equal"]
        verified = project.json("verify", "--untrusted", expect=1)
        found = {model["name"]: model for model in verified["models"]}
        assert found["program"]["verdict"] == "not-compared"
        assert "not run on this machine" in found["program"]["reason"]
        assert found["dense"]["verdict"] == "equal"
        assert prey.file.read_text() == "keep"
    finally:
        project.run("down")


def test_doctor_tells_of_the_sandbox(project: Project):
    checks = {item["name"]: item for item in project.json("doctor", expect=None)["checks"]}
    assert checks["sandbox"]["severity"] == "info"


def test_a_machine_without_namespaces_still_closes_the_network():
    """As in most containers, where no user namespace can be made."""
    script = (
        "import ctypes, json, socket, sys\n"
        "from tritongen.system import sandbox\n"
        "sandbox._leave_namespaces = lambda: False\n"
        "gaps = sandbox.enter_sandbox(())\n"
        "try: socket.socket(socket.AF_INET); reached = True\n"
        "except PermissionError: reached = False\n"
        "print(json.dumps([gaps, reached, bool(socket.socketpair())]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout) == [[], False, True]


def test_what_a_kernel_lacks_is_named():
    script = (
        "import json, sys\n"
        "from tritongen.system import sandbox\n"
        "sandbox._leave_namespaces = lambda: False\n"
        "sandbox.landlock_version = lambda: 0\n"
        "sandbox.platform.machine = lambda: 'riscv64'\n"
        "print(json.dumps(sandbox.enter_sandbox(())))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert set(json.loads(done.stdout)) == set(SandboxGap)
