"""The GitHub Action: its declaration, and its steps run as a runner runs them."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cli import dense
from support.lint import BASE, PYTHON_MODEL
from support.onnx_models import save
from support.packages import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: dict[str, dict[str, Any]] = {
    step.get("name", step.get("uses")): step for step in ACTION["runs"]["steps"]
}
INPUT = re.compile(r"\$\{\{ inputs\.(\w+) \}\}")
SLOW = "dynamic_batching { max_queue_delay_microseconds: 2000000 }"  # TG654, a warning


@dataclass(frozen=True)
class Step:
    """What one step left: its exit code, its log, and the job's summary after it."""

    code: int
    log: str
    summary: str


class Runner:
    """Runs the shell steps of the action in a workspace of its own.

    Args:
        folder: of the workspace.
        home: with the folders and files that outlive a workspace.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self._home = home
        self._summary = folder.with_name(f"{folder.name}.summary")

    def run(self, name: str, **inputs: str) -> Step:
        """One step, with the inputs' defaults where nothing else is given."""
        step = STEPS[name]
        given = {key: entry["default"] for key, entry in ACTION["inputs"].items()} | inputs
        own = {
            key: INPUT.sub(lambda found: given[found[1]], text) for key, text in step["env"].items()
        }
        added = self._home / "path"
        paths = added.read_text().split() if added.exists() else []
        runner = {
            "PATH": os.pathsep.join([*paths, str(Path(sys.executable).parent), os.environ["PATH"]]),
            "RUNNER_TEMP": str(self._home / "temp"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_PATH": str(added),
            "GITHUB_STEP_SUMMARY": str(self._summary),
            "GITHUB_ACTIONS": "true",
        }
        script = self._home / "script.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.folder, env={**os.environ, "PIP_COMPILE": "0", **runner, **own},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        summary = self._summary.read_text() if self._summary.exists() else ""
        return Step(done.returncode, done.stdout, summary)

    def write_model(self, config: str) -> None:
        """A hand-written model in the usual repository."""
        folder = self.folder / "model_repository" / "m"
        (folder / "1").mkdir(parents=True, exist_ok=True)
        (folder / "1" / "model.py").write_bytes(PYTHON_MODEL)
        (folder / "config.pbtxt").write_text(config)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Where the step `install` has put the tool."""
    place = tmp_path_factory.mktemp("runner")
    (place / "temp").mkdir()
    installed = Runner(place, place).run("install")
    assert installed.code == 0, installed.log
    return place


@pytest.fixture
def runner(tmp_path, home) -> Runner:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return Runner(folder, home)


def test_it_is_a_composite_action_with_the_promised_inputs():
    assert ACTION["runs"]["using"] == "composite"
    assert list(ACTION["inputs"]) == ["path", "models", "select", "ignore", "strict", "version"]
    assert all(entry["description"] and "default" in entry for entry in ACTION["inputs"].values())


def test_its_steps_take_inputs_through_variables_alone():
    used = set()
    for step in STEPS.values():
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
            continue
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        for key, text in step["env"].items():
            (name,) = INPUT.findall(text)
            used.add(name)
            assert f"${key}" in step["run"] or f"${{{key}" in step["run"]
    assert used == set(ACTION["inputs"])


def test_findings_become_annotations_and_a_summary(runner):
    runner.write_model(f"{BASE}{SLOW}\n")
    step = runner.run("check")
    assert step.code == 0
    assert "::warning file=model_repository/m/config.pbtxt,line=6,title=TG654" in step.log
    assert "### tritongen check" in step.summary
    assert "0 errors, 1 warning, 0 remarks" in step.summary


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"strict": "true"}, 1),
        ({"strict": "true", "ignore": "TG654"}, 0),
        ({"strict": "true", "select": "TG4,TG5"}, 0),
        ({"strict": "true", "select": "TG4; touch injected"}, 2),
        ({"path": "elsewhere"}, 2),
    ],
)
def test_inputs_choose(runner, inputs, code):
    runner.write_model(f"{BASE}{SLOW}\n")
    step = runner.run("check", **inputs)
    assert step.code == code, step.log
    assert not (runner.folder / "injected").exists()


def test_the_intent_beside_the_models_is_heeded(runner):
    runner.write_model(f"{BASE}{SLOW}\n")
    models = runner.folder / "models"
    models.mkdir()
    (models / "tritongen.yaml").write_text("check: {ignore: [TG654 (a night job)]}\n")
    step = runner.run("check", strict="true")
    assert (step.code, "1 ignored" in step.summary) == (0, True)


def test_drift_is_an_error_with_a_summary(runner):
    save(dense(), runner.folder / "models" / "dense" / "model.onnx")
    step = runner.run("build --check")
    assert step.code == 1, step.log
    assert "::error title=tritongen build --check::model_repository is not what" in step.log
    assert "drift: run `tritongen build` and commit" in step.summary
    tool = Path((runner._home / "path").read_text().strip()) / "tritongen"
    subprocess.run([tool, "build", "models", "--no-trial"], cwd=runner.folder, check=True)
    step = runner.run("build --check")
    assert step.code == 0, step.log
    assert "up to date" in step.summary


def test_without_a_models_folder_drift_is_not_looked_for(runner):
    runner.write_model(BASE)
    for models in ("models", ""):
        step = runner.run("build --check", models=models)
        assert step.code == 0
        assert "::notice title=tritongen::" in step.log
    assert runner.run("build --check", models="misspelt").code == 2
