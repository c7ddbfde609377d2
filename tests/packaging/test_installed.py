"""The wheel at work in environments of its own, far from the checkout."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from support.cli import dense, sequence
from support.cli_schemas import SCHEMAS
from support.onnx_models import save
from support.packages import ROOT, Installed
from tritongen import __version__
from tritongen.cli.main import COMMANDS

# What `--help` must not load, and the base install not even bring, where it is not its own.
HEAVY = ("docker", "google.protobuf", "grpc", "jinja2", "numpy", "onnx", "onnxruntime", "yaml")
EXTRAS = {"onnx", "onnxruntime", "openvino", "torch", "treelite", "xgboost-cpu"}
OWN_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


def furnished(folder: Path) -> Path:
    """A models folder with one model."""
    models = folder / "models"
    save(dense(), models / "dense" / "model.onnx")
    return models


def test_the_base_install_is_small(base: Installed) -> None:
    listed = json.loads(base.pip("list", "--format", "json"))
    names = {item["name"].lower() for item in listed}
    assert "tritongen" in names
    assert not EXTRAS & names
    assert len(names) < 40


def test_it_is_the_wheel_that_runs(base: Installed) -> None:
    place = Path(base.python_says("import tritongen; print(tritongen.__file__)"))
    assert place.is_relative_to(base.python.parents[1])
    assert ROOT not in place.parents
    folders = "resource_folder('templates'), resource_folder('compose')"
    found = base.python_says(f"from tritongen.resources import resource_folder; print({folders})")
    assert str(ROOT) not in found
    assert found.count("_data") == 2


def test_help_loads_nothing_heavy(base: Installed) -> None:
    loaded = base.python_says(
        "import sys, contextlib, io\n"
        "from tritongen.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print('\\n'.join(sys.modules))"
    ).splitlines()
    assert "tritongen.cli.main" in loaded
    assert not set(HEAVY) & set(loaded)


def test_version_help_and_completion(base: Installed) -> None:
    assert base.command("--version").strip() == f"tritongen {__version__}"
    assert set(COMMANDS) <= set(base.command("--help").split())
    for shell in ("bash", "zsh"):
        assert "tritongen" in base.command("completion", shell)
    script = base.folder / "completion.bash"
    script.write_text(base.command("completion", "bash"))
    base.run("bash", "-n", script)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(base: Installed, command: str) -> None:
    assert f"tritongen {command}" in base.command(command, "--help")


def test_schema(base: Installed) -> None:
    schema = json.loads(base.command("init", "--schema"))
    jsonschema.Draft202012Validator.check_schema(schema)


def test_from_models_to_a_checked_repository(base: Installed, tmp_path: Path) -> None:
    """Everything but the trial works without a runtime; the trial says what it needs."""
    work = Installed(base.python, tmp_path)
    save(sequence(), furnished(tmp_path) / "sequence" / "model.onnx")
    found = json.loads(work.command("inspect", "models", "--format", "json", expect=1))
    jsonschema.validate(found, SCHEMAS["inspect"])
    assert [item["servable"] for item in found["models"]] == [True, False]
    work.command("init", "models")
    refused = json.loads(work.command("build", "models", "--format", "json", expect=3))
    assert refused["error"]["code"] == "TG006"
    assert "tritongen[onnx]" in refused["error"]["fix"]
    assert not (tmp_path / "model_repository").exists()
    words = ("build", "models", "--no-trial", "--format", "json")
    built = json.loads(work.command(*words, expect=1))
    jsonschema.validate(built, SCHEMAS["build"])
    assert built["written"]
    assert "up to date" in work.command("build", "models", "--check", expect=1)
    assert "max_batch_size" in work.command("explain", "dense")
    assert json.loads(work.command("check", "--format", "json"))["summary"]["errors"] == 0
    (tmp_path / "model_repository" / "dense" / "config.pbtxt").write_text("no_such_field: 1\n")
    work.command("build", "models", "--check", expect=1)
    work.command("check", expect=1)


def test_hooks_of_pre_commit(base: Installed, tmp_path: Path) -> None:
    """Each hook's entry is a command of the wheel, and passes on a fresh repository."""
    work = Installed(base.python, tmp_path)
    furnished(tmp_path)
    work.command("build", "models", "--no-trial")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {hook["id"] for hook in hooks} == {"tritongen-check", "tritongen-build-check"}
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        assert program == "tritongen"
        assert hook["pass_filenames"] is False
        work.command(*arguments, *hook.get("args", []))


def test_served_and_verified(with_onnx: Installed) -> None:
    furnished(with_onnx.folder)
    assert "wrote model_repository" in with_onnx.command("build", "models")
    assert "up to date" in with_onnx.command("build", "models", "--check")
    try:
        up = json.loads(with_onnx.command("up", *OWN_PORTS, "--format", "json"))
        assert [item["ready"] for item in up["models"]] == [True]
        (verified,) = json.loads(with_onnx.command("verify", "--format", "json"))["models"]
        assert verified["ok"]
    finally:
        with_onnx.command("down")
