"""That trials ran with another library than the target's is told, as a warning where it is new."""

from dataclasses import replace
from pathlib import Path

import pytest

from tritongen.model.evidence import ModelEvidence, Trial
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Severity
from tritongen.model.intent import Intent
from tritongen.model.releases import find
from tritongen.repository import runtime_versions as versions
from tritongen.repository.project import Project

RELEASE = find("26.07")
HERE = RELEASE.onnxruntime


def other(step: int) -> str:
    major, minor, *_ = HERE.split(".")
    return f"{major}.{int(minor) + step}.0"


def told(ran: str, format_: ModelFormat, count: int = 1, tried: tuple[str, ...] = ()):
    names = [f"m{number}" for number in range(count)]
    facts = tuple(ModelFacts(name, f"{name}/x", format_) for name in names)
    project = Project(Path("/m"), Path("/r"), Intent(), RELEASE, facts, (), None)
    known = {name: ModelEvidence((), Trial(ran, ok=True) if ran else None) for name in names}
    return versions.runtime_findings(project, known, tried)


@pytest.mark.parametrize(
    ("ran", "differs"),
    [(f"onnxruntime {HERE}", False), (f"onnxruntime {other(1)}", True),
     (f"onnxruntime {other(-1)}", True), ("", False)],
)  # fmt: skip
def test_any_other_version_of_onnx_runtime_is_told(ran, differs):
    assert bool(told(ran, ModelFormat.ONNX)) is differs


def test_it_is_a_warning_of_what_was_tried_just_now():
    ran = f"onnxruntime {other(1)}"
    (old,) = told(ran, ModelFormat.ONNX)
    (new,) = told(ran, ModelFormat.ONNX, tried=("m0",))
    assert (old.severity, new.severity) == (Severity.INFO, Severity.WARNING)
    assert old.message == f"m0: tried with {ran}; Triton 26.07 has {HERE}"
    assert new.message.startswith(old.message)


def test_why_the_target_s_library_is_not_had_is_told_of_onnx_alone(monkeypatch):
    lacking = replace(versions.target_library(HERE), reason="it is not installed")
    monkeypatch.setattr(versions, "target_library", lambda _version: lacking)
    monkeypatch.setattr(versions, "runtime_version", lambda *_: HERE)
    monkeypatch.setattr(versions, "older", lambda *_: True)
    for format_, why in ((ModelFormat.ONNX, True), (ModelFormat.TORCHSCRIPT, False)):
        (found,) = told("library 1", format_, tried=("m0",))
        assert found.message.endswith(": it is not installed") is why
        (found,) = told("library 1", format_)
        assert not found.message.endswith(": it is not installed")


def test_of_many_models_some_are_named(monkeypatch):
    most = versions._MAX_NAMES
    ran = f"onnxruntime {other(1)}"
    (found,) = told(ran, ModelFormat.ONNX, most)
    assert " more: tried" not in found.message
    (found,) = told(ran, ModelFormat.ONNX, most + 1)
    assert " and 1 more: tried" in found.message
