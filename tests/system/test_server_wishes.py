"""What `up` is asked of the server itself: flags, model control, what is logged."""

import re
import subprocess
from pathlib import Path

import pytest

from support.cli import FREE_PORTS, Project
from support.serving_models import config_text, identity
from support.triton import EmbeddedRuntime, write_model
from tritongen.model.server_flags import SERVER_FLAGS, missing_since
from tritongen.serving.embedded.fetch import TRITON_VERSION
from tritongen.serving.embedded.layout import TritonLayout
from tritongen.triton.server_state import StateStore

UP = ("up", *FREE_PORTS, "--runtime", "embedded")
AGAINST = ("probe", "-m", "dense", "--concurrency", "1", "--time-budget", "0.3", "--against")


@pytest.fixture
def built(project: Project) -> Project:
    write_model(project.repository, "dense", config_text(), {"1/model.onnx": identity()})
    return project


def test_two_configurations_are_compared_on_the_projects_own_server(
    built: Project, embedded_runtime: EmbeddedRuntime
):
    other = built.write("other.pbtxt", f"{config_text()}\ndynamic_batching {{ }}\n")
    built.run(*UP)
    try:
        closed = built.error(*AGAINST, str(other), expect=3)
        assert closed["code"] == "TG913"
        assert "--model-control explicit" in closed["fix"]
        built.run("down", "--grace", "1")
        built.run(*UP, "--model-control", "explicit")
        for _ in range(2):
            found = built.json(*AGAINST, str(other), expect=None)
            assert {item["metric"] for item in found["comparisons"]} >= {"throughput", "p50"}
            built.run("restart", "--grace", "1")  # explicit as before
        built.run("verify", "--seed", "3")
    finally:
        built.run("down", "--grace", "1")


def test_flags_and_what_is_logged_hold_after_a_restart_too(
    built: Project, embedded_runtime: EmbeddedRuntime
):
    log = built.folder / ".tritongen/server.log"
    wishes = ("--server-flag", "metrics-interval-ms=500", "--response-cache", "1MiB")
    built.run(*UP, *wishes, "--log-level", "warning")
    try:
        for _ in range(2):
            assert not re.search(r"^I\d{4} ", log.read_text(), re.MULTILINE)
            assert StateStore(built.folder).read().flags == (
                ("log-info", "false"), ("cache-config", "local,size=1048576"),
                ("metrics-interval-ms", "500"),
            )  # fmt: skip
            built.run("restart", "--grace", "1")
    finally:
        built.run("down", "--grace", "1")


def test_a_variable_is_handed_over_and_kept_by_name(
    built: Project, embedded_runtime: EmbeddedRuntime
):
    def has() -> bool:
        pid = StateStore(built.folder).read().pid
        return b"\0HUB_WORD=of mine\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()

    assert built.error(*UP, "--env", "HUB_WORD", expect=2)["code"] == "TG009"
    built.run(*UP, "--env", "HUB_WORD", HUB_WORD="of mine")
    try:
        assert has()
        assert built.error("restart", "--grace", "1", expect=2)["code"] == "TG009"
        assert has()  # the old one is still there
        built.run("restart", "--grace", "1", HUB_WORD="of mine")
        assert has()
        kept = [path.read_text() for path in (built.folder / ".tritongen").glob("*.json")]
        assert kept
        assert "of mine" not in "".join(kept)
    finally:
        built.run("down", "--grace", "1")


def test_a_flag_that_this_release_has_not_is_told_before_anything_starts(
    built: Project, embedded_runtime: EmbeddedRuntime
):
    problem = built.error(*UP, "--server-flag", "http-max-input-size=1", expect=3)
    assert problem["code"] == "TG863"
    assert "25.06" in problem["message"]
    problem = built.error(*UP, "--server-flag", "http-threads=1", expect=2)
    assert problem["code"] == "TG863"
    problem = built.error(*UP, "--response-cache", "redis://localhost:6379", expect=3)
    assert problem["code"] == "TG806"
    assert not (built.folder / ".tritongen/server.json").exists()


def test_the_table_has_the_flags_that_the_server_tells_of(embedded_layout: TritonLayout):
    home = embedded_layout.home
    done = subprocess.run(
        [home.executable, "--help"], env={"LD_LIBRARY_PATH": str(home.libraries)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = set(re.findall(r"^\s*(?:-\w, )?--([a-z0-9-]+)", done.stdout + done.stderr, re.MULTILINE))
    had = {flag for flag in SERVER_FLAGS if not missing_since(flag, TRITON_VERSION)}
    assert had == told
