"""`up`, `status`, `verify`, `logs` and `down`: one server a project, and what a plan asks of it."""

import os
import re
import shutil
import signal

import pytest

from support.cli import FREE_PORTS, INTENT, SERVED, Project, dense, fixed
from support.triton import EmbeddedRuntime
from tritongen.triton.http_client import HttpClient


@pytest.mark.smoke
def test_status_and_verify_from_another_shell(served: Project) -> None:
    status = served.json("status")
    assert [item["name"] for item in status["models"] if item["ready"]] == [*SERVED]
    assert "ready" in served.run("status").out
    out = served.run("verify").out
    assert out.count("equal") == len(SERVED)
    address = status["endpoints"]["http"]
    elsewhere = served.json("verify", "-u", address, "--seed", "5")
    assert all(item["ok"] for item in elsewhere["models"])


def test_figures_of_the_embedded_server_say_whose_backend_they_are_of(served: Project) -> None:
    quick = ("--duration", "0.5", "-m", "dense")
    whose = served.json("probe", *quick)["environment"]["measured_on"]
    assert whose == "this project's own Python backend for onnxruntime, not NVIDIA's C++ one"
    assert f"measured on {whose}" in served.run("probe", *quick).out


def test_a_second_up_names_the_first(served: Project) -> None:
    problem = served.error("up", *FREE_PORTS, expect=3)
    assert problem["code"] == "TG808"
    assert served.json("status")["endpoints"]["http"] in problem["message"]


@pytest.mark.smoke
def test_verify_finds_a_server_that_answers_otherwise(served: Project) -> None:
    """The file in the repository was exchanged after the server had loaded it."""
    path = served.repository / "dense/1/model.onnx"
    before = path.read_bytes()
    path.write_bytes(dense(seed=8).SerializeToString())
    try:
        own = served.json("verify", expect=1)
        address = served.json("status")["endpoints"]["http"]
        elsewhere = served.json("verify", "-u", address, expect=1)
    finally:
        path.write_bytes(before)
    dense_own, dense_elsewhere = (
        next(item for item in document["models"] if item["name"] == "dense")
        for document in (own, elsewhere)
    )
    # Only of the own server it is known that it is older than the file.
    assert (dense_own["verdict"], dense_elsewhere["verdict"]) == ("stale", "different")
    assert "dense/1/model.onnx is newer than the server" in dense_own["reason"]
    assert all("differs by" in item["reason"] for item in (dense_own, dense_elsewhere))
    verdicts = {item["name"]: item["verdict"] for item in own["models"]}
    assert verdicts["fixed"] == "equal"
    # The same bytes again, though written later.
    assert all(item["verdict"] == "equal" for item in served.json("verify")["models"])


def test_verify_finds_a_server_of_an_older_repository(served: Project) -> None:
    path = served.config("labels")
    before = path.read_text()
    path.write_text(re.sub(r"max_batch_size: \d+", "max_batch_size: 3", before))
    later = shutil.copytree(served.repository / "fixed", served.repository / "later")
    later.joinpath("config.pbtxt").write_text(
        later.joinpath("config.pbtxt").read_text().replace('name: "fixed"', 'name: "later"')
    )
    try:
        document = served.json("verify", expect=1)
        told = served.run("verify", expect=1).out
    finally:
        path.write_text(before)
        shutil.rmtree(later)
    found = {item["name"]: item for item in document["models"]}
    assert {name for name, item in found.items() if item["verdict"] == "stale"} == {
        "labels", "later"
    }  # fmt: skip
    assert "max_batch_size: 3 on disk, " in found["labels"]["reason"]
    assert "before this model was built" in found["later"]["reason"]
    assert not found["labels"]["ok"]
    assert [line.split()[1] for line in told.splitlines() if line.startswith("la")] == [
        "stale", "stale"
    ]  # fmt: skip
    assert "tritongen restart" in told


def test_verify_does_not_call_different_what_it_could_not_compare(served: Project) -> None:
    path = served.repository / "dense/1/model.onnx"
    before = path.read_bytes()
    path.write_bytes(b"no model")
    try:
        document = served.json("verify", expect=1)
        told = served.run("verify", expect=1).out
    finally:
        path.write_bytes(before)
    found = {item["name"]: item for item in document["models"]}["dense"]
    assert (found["ok"], found["verdict"], found["outputs"]) == (False, "not-compared", [])
    (line,) = (line for line in told.splitlines() if line.startswith("dense"))
    assert line.split()[1:4] == ["not", "compared", "–"]


def test_verify_without_evidence(served: Project) -> None:
    """A repository whose lock is lost is still compared, on inputs made from declarations."""
    lock = served.repository / "tritongen.lock"
    text = lock.read_bytes()
    lock.unlink()
    try:
        document = served.json("verify")
    finally:
        lock.write_bytes(text)
    assert [item["name"] for item in document["models"] if item["ok"]] == [*SERVED]


def test_nobody_answers(built: Project) -> None:
    assert built.error("verify", expect=3)["code"] == "TG809"
    assert built.error("verify", "-u", "127.0.0.1:9", expect=3)["code"] == "TG814"
    assert built.error("status", expect=3)["code"] == "TG809"
    assert built.error("logs", expect=3)["code"] == "TG809"


def test_two_ups_at_once(built: Project, embedded_runtime: EmbeddedRuntime) -> None:
    both = [built.start("up", *FREE_PORTS), built.start("up", *FREE_PORTS)]
    try:
        errors = {process.communicate()[1] for process in both}
        assert sorted(process.returncode for process in both) == [0, 3]
        assert any("TG008" in text or "TG808" in text for text in errors)
        assert all(item["ready"] for item in built.json("status")["models"])
    finally:
        stopped = built.json("down")["stopped"]
    assert len(stopped) == 1


def test_a_server_that_was_killed(built: Project, embedded_runtime: EmbeddedRuntime) -> None:
    built.run("up", *FREE_PORTS)
    state = built.folder / ".tritongen/server.json"
    os.kill(int(state.read_text().partition('"pid": ')[2].partition(",")[0]), signal.SIGKILL)
    assert built.error("status", expect=3)["code"] == "TG809"
    assert "Started HTTPService" in built.run("logs", "-n", "500").out
    built.run("down")
    built.run("up", *FREE_PORTS)
    built.run("down")


def test_one_broken_model(built: Project, embedded_runtime: EmbeddedRuntime) -> None:
    """A hand-written model that Triton refuses: told with its reason; others serve on wish."""
    text = built.config("dense").read_text().replace("dims: [ 4 ]", "dims: [ 5 ]")
    built.write("model_repository/broken/config.pbtxt", text.replace('"dense"', '"broken"'))
    built.write("model_repository/broken/1/model.onnx", dense().SerializeToString())
    problem = built.error("up", *FREE_PORTS, expect=2)
    assert problem["code"] == "TG510", "`check` sees it before any server does"
    assert "broken" in problem["where"]
    assert built.json("down")["stopped"] == []
    try:
        document = built.json("up", *FREE_PORTS, "--keep-going", expect=1)
        ready = {item["name"]: item["ready"] for item in document["models"]}
        assert not ready.pop("broken")
        assert all(ready.values())
        built.run("status", expect=1)
    finally:
        built.run("down")


def test_every_fault_of_a_repository_is_told_with_its_model(built: Project) -> None:
    text = built.config("dense").read_text().replace("dims: [ 4 ]", "dims: [ 5 ]")
    for name in ("broken", "worse"):
        built.write(f"model_repository/{name}/config.pbtxt", text.replace('"dense"', f'"{name}"'))
        built.write(f"model_repository/{name}/1/model.onnx", dense().SerializeToString())
    problem = built.error("up", *FREE_PORTS, expect=2)
    *others, ways_on = problem["details"]
    assert {line.partition("/")[0] for line in (problem["where"], *others)} == {"broken", "worse"}
    assert "--keep-going" in ways_on
    assert "serve: false" in ways_on


def test_what_was_edited_by_hand_is_linted_before_the_start(built: Project) -> None:
    text = built.config("dense").read_text()
    built.config("dense").write_text(text.replace("dims: [ 4 ]", "dims: [ 5 ]"))
    assert built.error("up", *FREE_PORTS, expect=2)["code"] == "TG510"
    # So is what this version has not linted here: parts of two builds may have come together.
    built.config("dense").write_text(text)
    (built.folder / ".tritongen/linted.json").unlink()
    built.write("model_repository/dense/1/model.onnx", b"garbage")
    assert built.error("up", *FREE_PORTS, expect=2)["code"].startswith("TG1")


def test_more_models_than_cores(project: Project, embedded_runtime: EmbeddedRuntime) -> None:
    """The rate limiter holds executions to the cores: its flags are accepted and models answer."""
    for number in range(4):
        project.add(f"m{number}/model.onnx", dense(seed=number))
    document = project.json("build", "models", "--cpus", "2")
    assert "TG310" in {item["code"] for item in document["findings"]}
    assert ["rate-limit", "execution_count"] in project.lock()["server"]["flags"]
    assert "rate_limiter" in project.config("m0").read_text()
    assert project.json("check")["summary"]["errors"] == 0
    try:
        project.run("up", *FREE_PORTS)
        assert all(item["ok"] for item in project.json("verify")["models"])
        address = project.json("status")["endpoints"]["http"]
        with HttpClient(address) as client:
            limiter = client.model_config("m0")["instance_group"][0]["rate_limiter"]
        assert limiter["resources"] == [{"name": "cpu", "global": True, "count": 1}]
    finally:
        project.run("down")


def test_served_versions(built: Project, embedded_runtime: EmbeddedRuntime) -> None:
    built.write("models/tritongen.yaml", INTENT + "  twice: {versions: [1, 2]}\n")
    built.run("build", "models")
    try:
        built.run("up", *FREE_PORTS)
        assert all(item["ok"] for item in built.json("verify")["models"])
        with HttpClient(built.json("status")["endpoints"]["http"]) as client:
            assert client.model_metadata("twice").versions == ("1", "2")
    finally:
        built.run("down")


def test_an_overlay_reaches_the_server(built: Project, embedded_runtime: EmbeddedRuntime) -> None:
    overlay = """\
    overlay:
      parameters: {enable_mem_arena: "0"}
      optimization: {priority: PRIORITY_MAX}
      version_policy: {all: {}}
"""
    built.write("models/tritongen.yaml", INTENT + overlay)
    built.run("build", "models")
    try:
        built.run("up", *FREE_PORTS)
        with HttpClient(built.json("status")["endpoints"]["http"]) as client:
            config = client.model_config("dense")
        assert config["parameters"]["enable_mem_arena"]["string_value"] == "0"
        assert config["optimization"]["priority"] == "PRIORITY_MAX"
        assert built.json("verify")["models"]
    finally:
        built.run("down")


def test_there_is_nothing_to_serve(project: Project) -> None:
    assert project.error("up", expect=2)["code"] == "TG708"
    project.repository.mkdir()
    assert project.error("up", expect=2)["code"] == "TG708"
    project.add("fixed.onnx", fixed())
    assert project.error("check", expect=2)["code"] == "TG708"
