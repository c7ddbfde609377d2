"""A project folder that a stranger prepared: nothing of it runs or is followed unasked."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from support import format_models as make
from support.cli import FREE_PORTS, Project, dense
from support.commands import SWITCH
from support.triton import EmbeddedRuntime
from support.watched import watched
from tritongen.triton.server_state import project_label

# pip finds no index, so that a start ends where it would download Triton.
NO_TRITON = {
    "DOCKER_HOST": "unix:///nowhere/docker.sock",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
    "TRITONGEN_TRITON_WHEEL": "",
}
# What the tool imports or starts as a program. What the interpreter itself imports before the first
# line of a program is beyond any program's reach: contextlib, importlib, warnings and their like.
SHADOWS = ("argparse", "jinja2", "json", "numpy", "onnx", "pip", "signal", "tempfile", "yaml")


@pytest.fixture
def trapped(built: Project) -> Project:
    """A project beside modules that write down that they run."""
    for name in SHADOWS:
        for file in ("__init__.py", "__main__.py"):
            built.write(f"{name}/{file}", "open('ran', 'a').write(f'{__name__}\\n')\n")
    return built


@pytest.mark.parametrize("words", [("doctor",), ("up", "--runtime", "embedded")])
def test_no_module_of_the_folder_runs_in_place_of_pip(words, trapped, tmp_path):
    # A fork would have imported what the traps stand for before it came here.
    own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), SWITCH: "each"}
    ran = trapped.run(*words, *FREE_PORTS, expect=3, **NO_TRITON, **own)
    assert "TG801" in ran.out + ran.err
    assert not (trapped.folder / "ran").exists()


def test_no_module_of_the_folder_runs_in_the_tool(trapped):
    """`python -m` has the current folder first on its path."""
    done = subprocess.run(
        [sys.executable, "-m", "tritongen", "build", "models", "--check"],
        cwd=trapped.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (trapped.folder / "ran").exists()


def test_the_sources_folder_is_a_place_to_run_from():
    sources = Path(__file__).resolve().parents[2] / "generator"
    command = [sys.executable, "-S", "-c", "import tritongen; print(tritongen.__file__)"]
    assert subprocess.check_output(command, cwd=sources, text=True).startswith(str(sources))
    command = [sys.executable, "-S", "-m", "tritongen", "--version"]
    assert subprocess.check_output(command, cwd=sources, text=True).startswith("tritongen ")


@pytest.mark.parametrize("name", ["lock", "server.log", "server.json"])
def test_a_link_among_the_state_overwrites_nothing(
    name, built: Project, embedded_runtime: EmbeddedRuntime, tmp_path
):
    victim = tmp_path / "notes"
    victim.write_text("keep")
    place = built.write(f".tritongen/{name}", "")
    place.unlink()
    place.symlink_to(victim)
    try:
        if name != "server.json":
            problem = built.error("up", *FREE_PORTS, "--runtime", "embedded", expect=3)
            assert (problem["code"], problem["where"]) == ("TG011", str(place))
            assert f"rm -r {place}" in problem["fix"]
        if name == "lock":
            assert built.error("down", expect=3)["code"] == "TG011"
        elif name == "server.log":
            assert built.error("logs", expect=3)["code"] == "TG011"
        else:
            assert built.error("status", expect=3)["code"] == "TG817"
            assert built.json("down")["stopped"] == []
            assert not place.is_symlink(), "as the message said"
    finally:
        place.unlink(missing_ok=True)
        built.run("down", "--grace", "1")
    assert victim.read_text() == "keep"


def a_pipe(place: Path) -> None:
    os.mkfifo(place)


def an_endless_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


@pytest.mark.parametrize("trap", [a_pipe, an_endless_device])
@pytest.mark.parametrize("words", [("status",), ("logs",), ("probe",), ("up", *FREE_PORTS)])
def test_a_state_without_an_end(words, trap, built: Project):
    place = built.write(".tritongen/server.json", "")
    place.unlink()
    trap(place)
    assert built.error(*words, expect=3)["code"] == "TG817"
    assert built.json("down")["stopped"] == []
    assert not os.path.lexists(place)


LOUD = """
import os

for _ in range(300):
    os.write(1, b"x" * (1 << 20))
"""


def test_a_model_that_prints_without_an_end(project: Project, embedded_runtime: EmbeddedRuntime):
    """Whoever reads the server's log holds no more of it than its end."""
    name = project.repository / "m/1/model.py"
    name.parent.mkdir(parents=True)
    name.write_text(f"{LOUD}\n{make.PYTHON}")
    project.write("model_repository/m/config.pbtxt", 'name: "m"\nbackend: "python"\n')
    try:
        ends = watched([(project.folder, words) for words in (
            ["up", *FREE_PORTS], ["logs"], ["logs", "-n", "1000000"], ["status"],
        )])  # fmt: skip
        assert Path(project.state()["log"]).stat().st_size > 300 << 20
        assert [end.code for end in ends] == [0, 0, 0, 0], [end.printed[-2000:] for end in ends]
        assert max(end.peak for end in ends) < 256 << 20
    finally:
        project.run("down", "--grace", "1")


def test_a_result_without_an_end(project: Project):
    whole = project.write("a.json", "{}")
    problem = project.error("probe", "--compare", str(whole), "/dev/zero", expect=2)
    assert problem["code"] == "TG912"


def test_a_copied_state_ends_no_server_of_another_project(
    served: Project, built: Project, embedded_runtime: EmbeddedRuntime
):
    """Neither as it is, as in a folder that was copied, nor made out to be this project's own."""
    state = served.state()
    forged = state | {"label": project_label(built.folder)}
    for copy in (state, forged):
        built.write(".tritongen/server.json", json.dumps(copy))
        assert built.error("status", expect=3)["code"] == "TG809"
        assert built.json("down", "--grace", "1")["stopped"] == []
        assert all(model["ready"] for model in served.json("status")["models"])


@pytest.mark.parametrize(
    "settings",
    [
        {"environment": {"LD_AUDIT": "./audit.so"}},
        {"flags": [["http-restricted-api", "statistics:a=b"]]},
    ],
)
def test_a_lock_that_would_run_code_or_open_what_is_closed(settings, built: Project):
    lock = built.lock()
    lock["server"] |= settings
    built.write("model_repository/tritongen.lock", json.dumps(lock))
    problem = built.error("up", *FREE_PORTS, expect=2)
    assert problem["code"] == "TG704"
    assert problem["where"].endswith("tritongen.lock")
    assert "no build writes" in problem["message"]
    # As the message says.
    built.repository.rename(built.folder / "away")
    built.run("build", "models", "--no-trial")
    again = built.lock()["server"]
    assert all(again.get(key) != value for key, value in settings.items())


PLANNED = (
    ("build", "models", "--dry-run"),
    ("build", "models", "--diff"),
    ("build", "models", "--check"),
    ("build", "models", "--dry-run", "--remeasure"),
)


READING = (
    ("inspect", "models"),
    ("init", "models", "--stdout"),
    ("check", "model_repository"),
    ("explain", "program"),
    ("export", "compose", "-o", "deploy"),
    ("report", "-o", "page.html"),
)


def test_a_program_is_run_only_where_that_is_asked_for(project: Project, tmp_path):
    """Before the first build, after it, and when the program is another one: plans run none."""
    # A program can write nowhere; what it takes from a pipe is gone.
    trace = tmp_path / "trace"
    os.mkfifo(trace)
    pipe = os.open(trace, os.O_RDWR | os.O_NONBLOCK)
    taking = f"os.read(os.open({str(trace)!r}, os.O_RDONLY | os.O_NONBLOCK), 1)"
    source = f"import os\ntry:\n    {taking}\nexcept BlockingIOError:\n    pass\n{make.PYTHON}"

    def ran() -> bool:
        try:
            return os.read(pipe, 1) == b""
        except BlockingIOError:
            return True
        finally:
            os.write(pipe, b"x")

    os.write(pipe, b"x")
    make.python_model(project.models / "program/1/model.py", source)
    project.add("dense/model.onnx", dense())
    rates = "".join(f"  {name}: {{rate: {{peak: 20}}}}\n" for name in ("dense", "program"))
    project.write("models/tritongen.yaml", f"target: {{cpus: 1}}\nmodels:\n{rates}")

    def held(*commands: tuple[str, ...]) -> set[str]:
        """Models that each command says it has not run; it has run none."""
        told = set()
        for words in commands:
            document = project.json(*words, expect=None)
            assert not ran(), words
            found = {item["model"] for item in document["findings"] if item["code"] == "TG147"}
            told.add(tuple(sorted(found)))
        (names,) = told
        return set(names)

    assert held(*PLANNED, ("plan", "models")) == {"program"}
    assert "Run `tritongen build`" in project.run("build", "models", "--diff").out
    project.run("build", "models")
    assert ran()
    for words in READING:
        project.run(*words)
        assert not ran(), words
    assert held(*PLANNED) == set()
    document = project.json("build", "models", "--dry-run")
    (program,) = (item for item in document["models"] if item["name"] == "program")
    assert program["max_batch_size"] == 8
    make.python_model(project.models / "program/1/model.py", source + "# changed\n")
    assert held(*PLANNED) == {"program"}


def test_a_file_that_changes_while_it_is_tried_has_no_evidence(project: Project):
    """What is observed of one file must not stand in the lock under the hash of another."""
    gate = project.folder / "gate"
    os.mkfifo(gate)
    path = project.models / "program/1/model.py"
    make.python_model(path, f"open({str(gate)!r}).read()\n{make.PYTHON}")
    process = project.start("build", "models")
    with gate.open("w"):  # once the model waits there
        path.write_text(f"{make.PYTHON}# changed\n")
    process.communicate()
    assert process.returncode in {0, 1}
    evidence = project.lock()["models"]["program"]["evidence"]
    assert evidence.get("trial") is None
    assert dict(evidence["files"])["1/model.py"] == sha256(path.read_bytes()).hexdigest()
    project.run("build", "models")
    assert project.lock()["models"]["program"]["evidence"]["trial"]["ok"]


def test_a_plan_without_any_times_says_which_program_was_not_run(project: Project):
    make.python_model(project.models / "program/1/model.py")
    problem = project.error("plan", "models", expect=2)
    assert problem["code"] == "TG341"
    assert any("program" in line and "tritongen build" in line for line in problem["details"])
