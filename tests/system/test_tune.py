"""`tritongen tune` on the real Triton: what it finds, keeps, and does when things go wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from support.cli import Project, dense, tree
from support.cli_schemas import SCHEMAS
from support.format_models import PYTHON
from support.optimize import trained
from support.shared import made_once
from support.triton import EmbeddedRuntime, TestServer
from tritongen.repository.gather_evidence import gather_evidence, trial_policy
from tritongen.repository.project import load_project
from tritongen.serving.docker.docker_runtime import find_containers
from tritongen.serving.orphans import find_servers
from tritongen.triton.server_state import project_label
from tritongen.tune.tune_models import make_subjects
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tuned_model import loadable

SECONDS = 240.0
FUSSY = PYTHON.replace(
    '        self.config = json.loads(args["model_config"])\n',
    '        self.config = json.loads(args["model_config"])\n'
    '        if self.config["instance_group"][0]["count"] > 1:\n'
    '            raise RuntimeError("there can be only one")\n',
)


@pytest.fixture(scope="module")
def _tuned(
    tmp_path_factory: pytest.TempPathFactory, embedded_runtime: EmbeddedRuntime
) -> tuple[Path, dict]:
    """A project whose one model was tuned on one core, and what that printed."""

    def make(folder: Path) -> None:
        project = Project(folder)
        project.add("dense/model.onnx", dense())
        project.write("models/tritongen.yaml", "target: {cpus: 1}\n")
        words = ("tune", "models", "-m", "dense", "--budget", "60s", "--html", "page.html")
        project.write("tuned.json", json.dumps(project.json(*words)))

    folder = made_once(tmp_path_factory, "tuned", make)
    return folder, json.loads((folder / "tuned.json").read_text())


@pytest.fixture
def tuned(_tuned: tuple[Path, dict], tmp_path: Path) -> tuple[Project, dict]:
    """A copy of the tuned project for one test, and what tuning it printed."""
    folder, document = _tuned
    return Project(Path(shutil.copytree(folder, tmp_path / "tuned"))), document


def servers(project: Project) -> list[int]:
    """Processes of servers that were started for this project."""
    found = (item for item in find_servers() if item.project == project.folder.resolve())
    return [pid for item in found for pid in item.pids]


def wait_for(what, *arguments):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := what(*arguments):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} {arguments} never came true")


def journal(project: Project, model: str) -> list[str]:
    """Complete lines of a model's journal."""
    path = project.folder / ".tritongen/tune" / f"{model}.jsonl"
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def raced(project: Project, model: str, least: int = 1) -> list[dict]:
    """Records of the race, once there are enough."""
    records = [json.loads(line) for line in journal(project, model)[1:]]
    found = [item for item in records if item["purpose"] == "race" and item["reading"]]
    return found if len(found) >= least else []


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err
    return process.returncode, out, err


class TestResult:
    def test_json_is_as_documented(self, tuned):
        _, document = tuned
        jsonschema.validate(document, SCHEMAS["tune"])

    def test_says_what_is_best_and_how_sure(self, tuned):
        _, document = tuned
        assert document["met"]
        assert document["runtime"] == "embedded"
        assert any("own Python backend for onnxruntime" in note for note in document["notes"])
        (model,) = document["models"]
        assert model["name"] == "dense"
        best, default = model["best"], model["default"]
        assert best["instances"] * best["threads"] == 1
        assert (default["instances"], default["threads"]) == (2, 1)
        assert (default["max_batch_size"], default["queue_delay_us"]) == (4, 0)
        for figures in (best, default):
            for name in ("throughput_per_s", "p99_us"):
                assert 0 < figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
        assert model["verdict"] in {"separated", "immaterial", "budget"}
        assert 0 < model["wall_s"] <= document["wall_s"]

    def test_the_choice_was_measured_at_rates_without_the_others_beside_it(self, tuned):
        project, (model,) = tuned[0], tuned[1]["models"]
        rates = [one["rate_per_s"] for one in model["rates"]]
        assert rates == sorted(rates) != []
        assert rates[-1] < model["best"]["throughput_per_s"]["high"]
        for latency in (one["latency_us"] for one in model["rates"]):
            assert 0 < latency["p50"] <= latency["p99"]
        assert (project.folder / ".tritongen/tune/server.log").read_text().count('"loading: ') == 1

    def test_lists_every_candidate_with_its_fate(self, tuned):
        _, document = tuned
        rows = document["models"][0]["evaluated"]
        fates = {row["key"]: row["fate"] for row in rows if row["fate"] != "baseline"}
        assert fates[document["models"][0]["best"]["key"]] == "best"
        assert "predicted" in fates.values()
        assert all(row["why"] for row in rows if row["fate"] in {"behind", "predicted"})
        assert set(document["models"][0]["pareto"]) <= set(fates)

    def test_the_page_stands_alone(self, tuned):
        project, document = tuned
        page = (project.folder / "page.html").read_text()
        assert page.count("<svg") == 2
        assert document["models"][0]["best"]["key"] in page
        assert "http" not in page

    def test_nothing_is_left_running(self, tuned):
        project, _ = tuned
        assert servers(project) == []
        assert not (project.folder / ".tritongen/tune/repository").exists()
        assert (project.folder / ".tritongen/.gitignore").read_text() == "*\n"


class TestEvidence:
    def test_the_lock_takes_choice_and_service_times(self, tuned):
        project, document = tuned
        best = document["models"][0]["best"]
        evidence = project.lock()["models"]["dense"]["evidence"]
        choice = evidence["tuned"]
        for name in ("instances", "threads", "max_batch_size"):
            assert choice[name] == best[name]
        assert choice["cores"] == 1
        rate = choice["numbers"]["throughput_per_s"]
        assert rate == pytest.approx(best["throughput_per_s"]["value"], rel=1e-3)
        served = evidence["served"]
        assert served["cpus"] == 1.0
        assert all(cost["ms"] > 0 for cost in served["costs"])

    def test_build_renders_it_and_has_nothing_to_add(self, tuned):
        project, document = tuned
        best = document["models"][0]["best"]
        built = project.json("build", "models")
        (model,) = built["models"]
        assert model["instances"] == best["instances"]
        assert model["max_batch_size"] == best["max_batch_size"]
        assert model["dynamic_batching"] == (best["queue_delay_us"] is not None)
        assert not project.json("build", "models", "--check")["drift"]

    def test_explain_shows_the_measurements(self, tuned):
        project, _ = tuned
        project.run("build", "models")
        shown = project.run("explain", "dense", "instance_group").out
        assert "tuned for throughput on 1 core" in shown
        assert "requests/s" in shown
        assert "by the auto-completed configuration" in shown

    def test_going_without_the_memory_arena_is_rendered_explained_and_measured(self, tuned):
        project, _ = tuned
        project.run("build", "models")
        lock = project.lock()
        lock["models"]["dense"]["evidence"]["tuned"]["arena"] = False
        (project.repository / "tritongen.lock").write_text(json.dumps(lock))
        project.run("build", "models")
        assert "enable_mem_arena" in project.config("dense").read_text()
        assert not project.json("build", "models", "--check")["drift"]
        shown = project.run("explain", "dense", "parameters").out
        assert "faster without the memory arena; tuned for throughput" in shown
        # Today's configuration always races: this one is loaded by the real server.
        document = project.json("tune", "models", "-m", "dense", "--budget", "8s", "--dry-run")
        (model,) = document["models"]
        assert model["before"]["memory_arena"] is False
        (row,) = [row for row in model["evaluated"] if row["key"] == model["before"]["key"]]
        assert row["throughput_per_s"]["value"] > 0

    def test_a_finished_run_is_resumed_without_measuring(self, tuned):
        project, document = tuned
        before, lines = tree(project.repository), journal(project, "dense")
        again = project.json(
            "tune", "models", "-m", "dense", "--budget", "12s", "--resume", "--dry-run"
        )
        assert journal(project, "dense") == lines
        assert again["models"][0]["best"]["rounds"] >= document["models"][0]["best"]["rounds"]
        assert tree(project.repository) == before


@pytest.mark.usefixtures("embedded_runtime")
class TestWishes:
    def test_a_goal_out_of_reach_names_the_nearest(self, tuned):
        project, _ = tuned
        document = project.json(
            "tune", "models", "--goal", "p99<10us", "--budget", "8s", "--dry-run", expect=4
        )
        (model,) = document["models"]
        assert not model["met"]
        assert "misses the goal" in model["reason"] or model["verdict"] == "infeasible"
        (nearest,) = model["nearest"]
        assert nearest.startswith("p99<")
        assert nearest != "p99<10us"

    def test_models_of_one_container_share_its_cores(self, project):
        project.add("one/model.onnx", dense())
        project.add("two/model.onnx", dense(seed=1))
        project.write("models/tritongen.yaml", "target: {cpus: 2}\n")
        document = project.json("tune", "models", "--budget", "8s")
        assert [(model["name"], model["cores"]) for model in document["models"]] == [
            ("one", 1),
            ("two", 1),
        ]
        project.run("build", "models")
        project.run("build", "models", "--check")

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("--goal", "p99<20parsecs"), "TG304"),
            (("--goal", "rate=fast"), "TG304"),
            (("--budget", "2s"), "TG951"),
            (("--budget", "soon"), "TG009"),
            (("-m", "nobody"), "TG306"),
        ],
    )
    def test_what_cannot_be_is_refused_at_once(self, tuned, arguments, code):
        project, _ = tuned
        assert project.error("tune", "models", *arguments, expect=2)["code"] == code

    def test_the_users_own_threads_are_kept(self, tuned):
        project, _ = tuned
        wish = "target: {cpus: 1}\nmodels: {dense: {threads: 3}}\n"
        other = Project(project.folder / "other")
        other.add("dense/model.onnx", dense())
        other.write("models/tritongen.yaml", wish)
        problem = other.error("tune", "models", "-m", "dense", "--cpus", "1", expect=2)
        assert problem["code"] == "TG305"


class TestDefault:
    def test_is_what_triton_completes(self, tuned, explicit_server: TestServer):
        project, _ = tuned
        loaded = load_project(project.models, project.repository)
        gathered = gather_evidence(loaded, trial_policy(run=False), lambda *_: None)
        (subject,), _ = make_subjects(loaded, gathered, TuneOptions(models=("dense",), cpus=1))
        ours = loadable(subject, subject.baseline, default=True).config
        name = explicit_server.unique("default")
        weights = (project.models / "dense/model.onnx").read_bytes()
        config = 'backend: "onnxruntime"\n'
        assert explicit_server.try_model(name, config, {"1/model.onnx": weights}) is None
        real = explicit_server.client.model_config(name)
        explicit_server.unload(name)
        assert ours["max_batch_size"] == real["max_batch_size"]
        assert "dynamic_batching" in real
        assert "dynamic_batching" in ours
        for side in ("input", "output"):
            assert [(t["name"], [int(d) for d in t["dims"]]) for t in ours[side]] == [
                (t["name"], [int(d) for d in t["dims"]]) for t in real[side]
            ]
        assert not any("thread" in key for key in ours.get("parameters", {}))


@pytest.mark.usefixtures("embedded_runtime")
class TestVariants:
    def test_an_accepted_variant_is_offered_and_not_taken(self, project):
        project.add("net/model.onnx", trained.cnn(batch=1))
        project.run("optimize", "models", "--fix")
        document = project.json("tune", "models", "--cpus", "1", "--budget", "16s")
        (model,) = document["models"]
        jsonschema.validate(document, SCHEMAS["tune"])
        (offer,) = model["variants"]
        assert offer["name"] == "fixed"
        assert offer["throughput_ratio"]["low"] <= offer["throughput_ratio"]["high"]
        assert "variant" not in project.lock()["models"]["net"]["evidence"]
        assert project.json("build", "models")["models"][0]["variant"] is None


class TestDocker:
    def test_a_container_limited_to_the_cores(self, tuned, slim_image):
        project, _ = tuned
        document = project.json(
            "tune", "models", "--runtime", "docker", "--image", slim_image, "--budget", "10s",
            "--dry-run",
        )  # fmt: skip
        (model,) = document["models"]
        assert document["runtime"] == "docker"
        assert model["best"]["throughput_per_s"]["value"] > 0
        assert model["default"]["throughput_per_s"]["value"] > 0
        mine = project_label(project.folder)
        assert not [item for item in find_containers() if item.label == mine]


@contextmanager
def neighbours() -> Iterator[None]:
    """Processes that keep every CPU busy."""
    endless = [sys.executable, "-c", "while True: pass"]
    burning = [subprocess.Popen(endless) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("embedded_runtime")
class TestFaults:
    def test_a_candidate_that_does_not_load_loses(self, project):
        project.write("models/fussy/model.py", FUSSY)
        document = project.json("tune", "models", "-m", "fussy", "--cpus", "2", "--budget", "20s")
        (model,) = document["models"]
        assert model["best"]["instances"] == 1
        assert any("there can be only one" in note for note in model["notes"])

    def test_a_server_that_dies_is_replaced(self, project):
        project.add("dense/model.onnx", dense())
        process = project.start(
            "tune", "models", "-m", "dense", "--cpus", "1", "--budget", "20s", "--format", "json"
        )
        wait_for(raced, project, "dense")
        for pid in servers(project):
            if "tritonserver" in Path(f"/proc/{pid}/comm").read_text():
                os.kill(pid, signal.SIGKILL)
        code, out, _ = ended(process)
        document = json.loads(out)
        assert code == 0
        assert document["models"][0]["best"]["throughput_per_s"]["value"] > 0
        assert any("SIGKILL" in note for note in document["notes"])
        assert servers(project) == []

    def test_one_run_at_a_time_and_sigterm_keeps_the_best_so_far(self, project):
        project.add("dense/model.onnx", dense())
        process = project.start(
            "tune", "models", "-m", "dense", "--cpus", "1", "--budget", "600s", "--format", "json"
        )
        wait_for(raced, project, "dense", 2)
        assert project.error("tune", "models", "--cpus", "1", expect=3)["code"] == "TG008"
        process.send_signal(signal.SIGTERM)
        code, out, _ = ended(process)
        assert code == 128 + signal.SIGTERM
        document = json.loads(out)
        (model,) = document["models"]
        assert model["verdict"] == "interrupted"
        assert model["recorded"]
        assert project.lock()["models"]["dense"]["evidence"]["tuned"]["instances"] == 1
        assert servers(project) == []

    def test_a_killed_run_goes_on_where_it_was(self, project):
        project.add("dense/model.onnx", dense())
        words = ("tune", "models", "-m", "dense", "--cpus", "1", "--budget", "14s")
        process = project.start(*words)
        wait_for(raced, project, "dense")
        process.kill()
        process.communicate(timeout=SECONDS)
        kept = journal(project, "dense")
        assert not project.repository.exists()
        wait_for(lambda: not servers(project))
        project.run(*words, "--resume")
        assert journal(project, "dense")[: len(kept)] == kept
        assert project.lock()["models"]["dense"]["evidence"]["tuned"]["instances"] == 1

    def test_a_journal_of_another_goal_is_refused(self, tuned):
        words = ("tune", "models", "--goal", "latency@10/s", "--resume", "--dry-run")
        assert tuned[0].error(*words, expect=2)["code"] == "TG950"

    @pytest.mark.measures
    def test_noisy_neighbours_are_told_of(self, project):
        project.add("dense/model.onnx", dense())
        project.write("models/tritongen.yaml", "target: {cpus: 1}\n")
        words = ("tune", "models", "--goal", "throughput@2", "--budget", "8s", "--dry-run")
        with neighbours():
            document = project.json(*words)
        assert any("noisy" in note for note in document["notes"])
