"""What `tritongen export` makes of the demo: the page shows it, and it breaks no rule."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from support.exports import documents, faults
from tritongen.fleet.export.deployment_from_repository import ExportMode, ExportRequest
from tritongen.fleet.export.export_files import export
from tritongen.fleet.export.targets import TARGETS

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "export_page.py"


def test_the_page_is_up_to_date():
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, f"run scripts/export_page.py\n{found.stderr}"


@pytest.mark.parametrize("target", TARGETS)
def test_the_demos_files_break_no_rule(target, tmp_path):
    repository, models = ROOT / "model_repository", ROOT / "demo" / "models"
    result = export(
        ExportRequest(target, repository, tmp_path / target, models=models, mode=ExportMode.SHOW)
    )
    read = {file.path: list(documents(file)) for file in result.files}
    assert faults(read, result.deployment) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("word", ["Models", "Update", "Undo", "Scale", "Observe", "Run"])
def test_each_target_says_how_it_lives_and_what_of_it_was_run(target, word):
    told = inspect.getdoc(inspect.getmodule(TARGETS[target].files)) or ""
    assert f"**{word}" in told
