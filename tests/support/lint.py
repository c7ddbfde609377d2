"""Views of model repositories for the tests of `check`, in memory and from a folder."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritongen.config.lint import LintContext, ModelView, lint
from tritongen.errors import InvalidInputError
from tritongen.formats import inspect_model
from tritongen.formats.discovery import find_models
from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.releases import find
from tritongen.trial.onnx_runtime import OnnxRuntime
from tritongen.trial.runtime import RuntimeRefusal

PYTHON_MODEL = b"""import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        return [utils.InferenceResponse(output_tensors=[]) for _ in requests]
"""
# A configuration that Triton loads and the lint has nothing to say of.
BASE = """backend: "python"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
NEWEST = LintContext(find("26.07"), gpus=0)


def context(**changes: Any) -> LintContext:
    """The newest release without GPUs, with some fields changed; `release` as a tag."""
    if "release" in changes:
        changes["release"] = find(changes["release"])
    return replace(NEWEST, **changes)


def model_view(
    name: str = "m",
    config: str | None = BASE,
    files: Mapping[str, bytes] | Iterable[str] = ("1/model.py",),
    directories: Iterable[str] = (),
    facts: ModelFacts | None = None,
    variants: tuple[tuple[str, str], ...] = (),
    trial: Trial | None = None,
) -> ModelView:
    """A model folder in memory; files without content have ten bytes."""
    sizes = (
        {path: len(data) for path, data in files.items()}
        if isinstance(files, Mapping)
        else dict.fromkeys(files, 10)
    )
    folders = {path.partition("/")[0] for path in sizes if "/" in path} | set(directories)
    return ModelView(name, config, sizes, tuple(sorted(folders)), facts, variants, trial)


def reported(path: Path) -> Trial | None:
    """What ONNX Runtime says of a model file's shapes; None where it does not load it."""
    with suppress(RuntimeRefusal):
        session = OnnxRuntime().load(path, threads=1)
        return Trial(
            "onnxruntime",
            ok=True,
            reported_inputs=tuple(session.inputs),
            reported_outputs=tuple(session.outputs),
        )
    return None


def view_of(repository: Path, release: str = "26.07") -> tuple[ModelView, ...]:
    """The views of a folder on disk, ONNX models inspected and shown to the runtime."""
    models = []
    facts: dict[str, ModelFacts] = {}
    if any(repository.rglob("*.onnx")):
        with suppress(InvalidInputError):  # a folder without a readable model has no facts
            for item in find_models(repository).candidates:
                facts[item.name] = inspect_model(repository.resolve(), item, find(release))
    for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
        config = folder / "config.pbtxt"
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        text = config.read_text(errors="replace") if config.is_file() else None
        directories = [path.name for path in folder.iterdir() if path.is_dir()]
        found = facts.get(folder.name)
        trial = reported(repository / found.versions[-1].files[0].source) if found else None
        models.append(model_view(folder.name, text, files, directories, found, trial=trial))
    return tuple(models)


def findings_of(*models: ModelView, **changes: Any) -> tuple[Finding, ...]:
    """The lint of these models; keyword arguments as for `context`."""
    return lint(models, context(**changes))


def codes(findings: Iterable[Finding], severity: Severity | None = None) -> set[str]:
    """Codes of the findings of one severity, or of all."""
    return {item.code for item in findings if severity in {None, item.severity}}


def find_code(findings: Iterable[Finding], code: str) -> Finding:
    """The one finding of a code.

    Raises:
        AssertionError: there is none, or more than one.
    """
    found = [item for item in findings if item.code == code]
    assert len(found) == 1, found
    return found[0]
