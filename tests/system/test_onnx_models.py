"""Every model of the `onnx` package's backend tests: inspected, built, served, and right.

What cannot be served is listed here, each with its reason, and the reason is held against what
ONNX Runtime and Triton say themselves.
"""

import io
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.cli import Project
from support.onnx_suite import LOCALE, Arrays, SuiteModel, has_locale, suite
from support.triton import EmbeddedRuntime, TestServer, start_server
from tritongen.formats import CandidateVersion, ModelCandidate, inspect_model
from tritongen.model.codec import decode
from tritongen.model.evidence import BatchVerdict, Trial
from tritongen.model.facts import ModelFormat
from tritongen.model.intent import DEFAULT_TRITON, ModelIntent
from tritongen.model.releases import find
from tritongen.repository.project import read_lock
from tritongen.trial.child_report import Reporter, read_report
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.onnx_runtime import OnnxRuntime
from tritongen.trial.preparation import make_request
from tritongen.trial.procedure import perform
from tritongen.trial.runtime import RuntimeRefusal

# Refused by syntax: a training graph, whose operators no inference build of ONNX Runtime has.
REFUSED = {"test_gradient_of_add": "TG119", "test_gradient_of_add_and_mul": "TG119"}
# Of opset 6 and earlier, which ONNX Runtime implements in parts: the operator that it lacks.
NOT_IMPLEMENTED = {
    **dict.fromkeys(
        (
            "test_AvgPool1d",
            "test_AvgPool1d_stride",
            "test_AvgPool2d",
            "test_AvgPool2d_stride",
            "test_AvgPool3d",
            "test_AvgPool3d_stride",
            "test_AvgPool3d_stride1_pad0_gpu_input",
        ),
        "AveragePool(1)",
    ),
    **dict.fromkeys(
        (
            "test_BatchNorm1d_3d_input_eval",
            "test_BatchNorm2d_eval",
            "test_BatchNorm2d_momentum_eval",
            "test_BatchNorm3d_eval",
            "test_BatchNorm3d_momentum_eval",
        ),
        "BatchNormalization(6)",
    ),
    **dict.fromkeys(
        (
            "test_Softsign",
            "test_operator_add_broadcast",
            "test_operator_add_size1_broadcast",
            "test_operator_add_size1_right_broadcast",
            "test_operator_add_size1_singleton_broadcast",
            "test_operator_addconstant",
            "test_operator_basic",
            "test_operator_non_float_params",
            "test_operator_params",
        ),
        "Add(6)",
    ),
    **dict.fromkeys(("test_Linear", "test_operator_addmm", "test_operator_mm"), "Gemm(6)"),
    **dict.fromkeys(("test_GLU", "test_GLU_dim", "test_PoissonNLLLLoss_no_reduce"), "Mul(6)"),
    **dict.fromkeys(
        (
            "test_PReLU_1d",
            "test_PReLU_1d_multiparam",
            "test_PReLU_2d",
            "test_PReLU_2d_multiparam",
            "test_PReLU_3d",
            "test_PReLU_3d_multiparam",
        ),
        "PRelu(6)",
    ),
    "test_operator_pow": "Pow(1)",
}
# Change the case of letters, and ask for that locale as soon as they are loaded.
NEED_LOCALE = frozenset(
    {
        "test_strnorm_model_monday_casesensintive_lower",
        "test_strnorm_model_monday_casesensintive_upper",
        "test_strnorm_model_monday_empty_output",
        "test_strnorm_model_monday_insensintive_upper_twodim",
    }
)
# What a trial cannot guess: values that fit the sizes of another input.
NOT_GUESSED = {"test_sequence_model8": "split_size_sum"}
# Models that one server loads: each is a process of its own.
GROUP = 40

MODELS = tuple(model.name for model in suite())
SERVABLE = tuple(name for name in MODELS if name not in REFUSED)
BY_NAME = {model.name: model for model in suite()}


def exception_of(name: str) -> str:
    """What ONNX Runtime says of a model that it does not run here, empty when it runs it."""
    if name in NOT_IMPLEMENTED:
        return f"Could not find an implementation for {NOT_IMPLEMENTED[name]}"
    return LOCALE if name in NEED_LOCALE and not has_locale() else ""


@dataclass(frozen=True)
class Answer:
    """What Triton said of one model: its reason when it is not ready, its outputs otherwise."""

    ready: bool
    reason: str
    outputs: tuple[Arrays, ...] = ()


@dataclass(frozen=True)
class Everything:
    """The whole suite after inspection, build and service."""

    inspected: dict[str, dict[str, Any]]
    built: dict[str, Any]
    repository: Path
    answers: dict[str, Answer]


def ask(server: TestServer, model: SuiteModel) -> tuple[Arrays, ...]:
    return tuple(
        server.client.infer(
            model.name,
            # Triton knows no scalar: one is served as [1].
            {name: array.reshape(array.shape or (1,)) for name, array in inputs.items()},
        )
        for inputs, _ in model.pairs()
    )


def serve(repository: Path, folder: Path, runtime: EmbeddedRuntime) -> dict[str, Answer]:
    """Everything of the repository, some models at a time."""
    lock = read_lock(repository)
    assert lock is not None
    names = sorted(lock.models)
    answers: dict[str, Answer] = {}
    for number in count():
        part = names[number * GROUP : (number + 1) * GROUP]
        if not part:
            return answers
        group = folder / str(number)
        group.mkdir()
        for name in part:
            (group / name).symlink_to(repository / name)
        flags = (*lock.server.flags, ("model-load-thread-count", "16"))
        with start_server(
            group,
            folder / f"project{number}",
            runtime=runtime,
            flags=flags,
            environment=tuple(lock.server.environment.items()),
            auto_complete=False,
        ) as server:
            for status in server.statuses:
                outputs = ask(server, BY_NAME[status.name]) if status.ready else ()
                answers[status.name] = Answer(status.ready, status.reason, outputs)
    raise AssertionError


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, embedded_runtime: EmbeddedRuntime
) -> Everything:
    folder = tmp_path_factory.mktemp("suite")
    project = Project(folder)
    for model in suite():
        project.write(f"models/{model.name}/model.onnx", model.path.read_bytes())
    inspected = {
        item["name"]: item for item in project.json("inspect", "models", expect=1)["models"]
    }
    built = project.json("build", "models", "--no-trial", expect=1)
    served = folder / "served"
    served.mkdir()
    answers = serve(project.repository, served, embedded_runtime)
    return Everything(inspected, built, project.repository, answers)


def test_no_model_is_left_out(everything: Everything) -> None:
    assert len(MODELS) >= 149
    assert set(everything.inspected) == set(MODELS)
    assert [item["name"] for item in everything.built["models"]] == [*SERVABLE]
    assert set(everything.answers) == set(SERVABLE)
    assert {*REFUSED, *NOT_IMPLEMENTED, *NEED_LOCALE} <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_inspected(everything: Everything, name: str) -> None:
    found = everything.inspected[name]
    errors = {item["code"] for item in found["findings"] if item["severity"] == "error"}
    assert errors == ({REFUSED[name]} if name in REFUSED else set())
    assert found["servable"] is (name not in REFUSED)
    assert found["format"] == "onnx"
    # The exporters of these models fixed every size, so no axis is free for a batch.
    assert not found["batchable"]
    if name not in REFUSED:
        assert "has no dynamic first axis" in found["batch_reason"]
        old = any(item["code"] == "TG132" for item in found["findings"])
        assert old is (found["onnx"]["opsets"]["ai.onnx"] < 7)
        assert old or name not in NOT_IMPLEMENTED


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_the_runtime_too(name: str) -> None:
    with pytest.raises(RuntimeRefusal, match=r"ai\.onnx\.preview\.training"):
        OnnxRuntime().load(BY_NAME[name].path, threads=1)


def tried(model: SuiteModel) -> Trial:
    """The trial of one model, in this process: none of these needs limits."""
    facts = inspect_model(model.path.parent, candidate_of(model), find(DEFAULT_TRITON))
    options = TrialOptions(cores=1, time_budget_s=0.01)
    request = make_request(facts, model.path.parent, ModelIntent(), options)
    said = io.StringIO()
    perform(request, OnnxRuntime(), Reporter(said))
    fields = {"runtime": "", "ok": False, **read_report(said.getvalue()).fields}
    return decode(Trial, fields)


def candidate_of(model: SuiteModel) -> ModelCandidate:
    version = CandidateVersion(1, model.path.name, ModelFormat.ONNX)
    return ModelCandidate(model.name, model.path.name, ModelFormat.ONNX, (version,))


@pytest.mark.parametrize("name", SERVABLE)
def test_tried(everything: Everything, name: str) -> None:
    """The trial refuses for good what Triton does not load, and nothing else."""
    trial, answer = tried(BY_NAME[name]), everything.answers[name]
    if name in NOT_IMPLEMENTED:
        assert (trial.ok, trial.code) == (False, "TG145")
        assert exception_of(name) in trial.error
        assert not answer.ready
    elif exception_of(name) or name in NOT_GUESSED:
        assert (trial.ok, trial.code) == (False, "TG201" if name in NOT_GUESSED else "TG218")
        assert (exception_of(name) or NOT_GUESSED[name]) in trial.error
    else:
        assert trial.ok, trial.error
        assert trial.proof.verdict is BatchVerdict.DISPROVEN
        assert answer.ready


def test_a_refusal_by_trial_is_remembered(project: Project) -> None:
    for name in ("test_Linear", "test_ReLU"):
        project.write(f"models/{name}/model.onnx", BY_NAME[name].path.read_bytes())
    built = project.json("build", "models", expect=1)
    assert [item["name"] for item in built["models"]] == ["test_ReLU"]
    assert built["refused"] == [{"name": "test_Linear", "codes": ["TG145"]}]
    (told,) = [item for item in built["findings"] if item["code"] == "TG145"]
    assert (told["severity"], told["model"]) == ("error", "test_Linear")
    assert not project.json("build", "models", "--check", expect=1)["drift"]
    assert not project.json("build", "models", "--no-trial", expect=1)["written"]
    found = project.json("inspect", "models", expect=1)["models"]
    assert [item["servable"] for item in found] == [False, True]
    # The operators of a GPU are others, and so may those of a newer runtime be.
    project.write("models/tritongen.yaml", "target: {gpus: 1}\n")
    again = project.json("build", "models", "--dry-run")
    assert again["refused"] == []
    assert [item["severity"] for item in again["findings"] if item["code"] == "TG145"] == [
        "warning"
    ]


@pytest.mark.parametrize("name", SERVABLE)
def test_served(everything: Everything, name: str) -> None:
    model, answer, exception = BY_NAME[name], everything.answers[name], exception_of(name)
    if exception:
        assert not answer.ready
        assert exception in answer.reason
        with pytest.raises(RuntimeRefusal, match=exception.replace("(", r"\(").replace(")", r"\)")):
            OnnxRuntime().load(model.path, threads=1)
        return
    assert answer.ready, answer.reason
    pairs = model.pairs()
    assert pairs
    for (_, expected), outputs in zip(pairs, answer.outputs, strict=True):
        assert set(outputs) == set(expected)
        for output, wanted in expected.items():
            got = outputs[output].reshape(wanted.shape)
            if wanted.dtype == object:
                assert got.tolist() == wanted.tolist()
            else:
                assert got.dtype == wanted.dtype
                np.testing.assert_allclose(got, wanted, model.relative, 1e-7)
