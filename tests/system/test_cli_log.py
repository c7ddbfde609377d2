"""`-v`, `-q` and the log of the tool, as a user meets them."""

import shutil
import stat

import pytest

from support.cli import FREE_PORTS, INTENT, SERVED, Project, dense
from support.triton import EmbeddedRuntime

LOG = ".tritongen/tritongen.log"


def logged(project: Project) -> str:
    """What the log holds."""
    return (project.folder / LOG).read_text()


@pytest.mark.smoke
def test_a_build_leaves_a_log_of_its_decisions(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    ran = project.run("build", "models")
    assert "info:" not in ran.out + ran.err
    text = logged(project)
    assert "INFO tritongen.cli.activity: build: " in text
    assert "models=models" in text
    assert "INFO tritongen.repository.gather_evidence: model dense is tried\n" in text
    assert "trials: 1 run, 0 hold from the lock, 0 missing" in text
    assert "DEBUG tritongen.trial.child: process " in text
    assert "INFO tritongen.cli.activity: build ended after " in text
    assert stat.S_IMODE((project.folder / LOG).stat().st_mode) == 0o600
    project.run("build", "models")
    assert "trials: 0 run, 1 hold from the lock, 0 missing" in logged(project)


def test_v_says_it_on_stderr_and_vv_in_full(built: Project) -> None:
    once = built.run("build", "models", "-v")
    assert "info: trials: 0 run, " in once.err
    assert "debug: " not in once.err
    assert "info: " not in once.out
    twice = built.run("build", "models", "-vv")
    assert "debug: tritongen " in twice.err
    assert built.json("build", "models", "-vv")["schema_version"] == 1


def test_q_leaves_results_and_errors(built: Project) -> None:
    built.write("models/tritongen.yaml", f"{INTENT}    max_batch_size: 2\n")
    before = shutil.copytree(built.repository, built.folder / "before", symlinks=True)
    usual = built.run("build", "models")
    shutil.rmtree(built.repository)
    before.rename(built.repository)
    quiet = built.run("build", "models", "-q")
    results, hint = usual.out.split("\nnext: ")
    assert quiet.out == results
    assert "\n" not in hint.strip()
    assert quiet.err == ""
    assert "error TG809" in built.run("status", "--quiet", expect=3).err


def test_an_error_stands_in_the_log(built: Project) -> None:
    built.write("models/tritongen.yaml", "target: {cpus: 0}\n")
    built.run("build", "models", expect=2)
    text = logged(built)
    assert "ERROR tritongen.cli.activity: TG304 " in text
    assert "\n  line 1: target.cpus: must be above 0, got 0 [TG304]\n" in text


def test_a_command_that_keeps_nothing_leaves_no_log(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    project.run("inspect", "models")
    assert [path.name for path in project.folder.iterdir()] == ["models"]


def test_a_server_is_logged_from_its_start_to_its_end(
    built: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    try:
        ran = built.run("up", *FREE_PORTS, "-v")
    finally:
        built.run("down")
    assert "info: runtime embedded: " in ran.err
    text = logged(built)
    assert f"tritonserver runs as process {built_pid(text)}, its log is " in text
    assert f"{len(SERVED)} of {len(SERVED)} models are ready" in text
    assert f"tritonserver of {built.repository} has ended" in text


def built_pid(text: str) -> int:
    """The process that the log names as the server."""
    return int(text.partition("tritonserver runs as process ")[2].partition(",")[0])
