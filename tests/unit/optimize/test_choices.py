"""What is asked of a model, and what an outcome of a job is called: decided without running one."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.cli import dense
from support.onnx_models import save
from tritongen.errors import InvalidInputError
from tritongen.model.evidence import ModelEvidence, Trial
from tritongen.model.facts import GraphShape, ModelFacts, ModelFormat, OnnxFacts
from tritongen.model.intent import AccuracyIntent, Intent, ModelIntent
from tritongen.model.releases import find
from tritongen.model.tensors import DType
from tritongen.optimize import child_jobs, optimize_models
from tritongen.optimize.child_jobs import (
    ChildJob,
    ChildLimits,
    DataSource,
    Gate,
    JobInput,
    Method,
    TargetRuntime,
)
from tritongen.optimize.one_model import _methods
from tritongen.optimize.optimization import OptimizeOptions
from tritongen.optimize.optimize_models import _data_source, _gate, _needs_fixing, named_code
from tritongen.optimize.quantize.quantize_model import _greatest, error, split
from tritongen.optimize.user_samples import Samples
from tritongen.repository.project import Project
from tritongen.trial.child import ChildEnd, ChildResult

GIB = 2**30
FACTS = ModelFacts("m", "m/model.onnx", ModelFormat.ONNX)
RUNTIME = TargetRuntime("ONNX Runtime", 11, 23, 5)


def graph_of(**counts: int) -> ModelFacts:
    return replace(FACTS, graph=GraphShape(9, 9, 1, tuple(counts.items())))


@pytest.mark.parametrize(
    ("facts", "methods"),
    [
        (graph_of(MatMul=2), ["dynamic", "static"]),
        (graph_of(Gemm=1), ["dynamic", "static"]),
        (graph_of(Conv=2, MatMul=1), ["static"]),
        (graph_of(Conv=2, MatMul=1, Gemm=1), ["dynamic", "static"]),
        (graph_of(Conv=1, ConvTranspose=1, Gemm=1), ["static"]),
        (graph_of(ConvTranspose=1), ["static"]),
        (graph_of(LSTM=1), ["dynamic"]),
        (graph_of(LSTM=1, MatMul=1), ["dynamic"]),
        (graph_of(LSTM=1, Conv=2), ["dynamic", "static"]),
        (graph_of(Relu=3), []),
        (FACTS, []),
        (replace(graph_of(MatMul=2), onnx=OnnxFacts(8, ())), ["dynamic", "static"]),
        (replace(graph_of(MatMul=2), onnx=OnnxFacts(8, (), quantized_operators=(("Q", 1),))), []),
        (
            replace(
                graph_of(MatMul=2),
                onnx=OnnxFacts(8, (), quantized_operators=(("Q", 1),), dynamic_quantization=True),
            ),
            ["fixed-scales"],
        ),
    ],
)
def test_methods_that_suit_a_graph(facts, methods):
    assert list(_methods(facts)) == [Method(one) for one in methods]


def project_of(root: Path, **models: ModelIntent) -> Project:
    facts = tuple(replace(FACTS, name=name) for name in models)
    return Project(root, root / "out", Intent(models=models), find("26.07"), facts, (), None)


def test_a_gate_is_the_option_s_else_the_intent_s(tmp_path):
    project = project_of(tmp_path)
    own = ModelIntent(accuracy=AccuracyIntent(metric="f1", function="a:b", output="y"))
    found = _gate(project, OptimizeOptions(), own)
    assert (found.metric, found.function, found.output) == ("f1", "a:b", "y")
    assert found.max_drop == Gate().max_drop
    over = _gate(project, OptimizeOptions(metric="top1", max_drop=0.0), own)
    assert (over.metric, over.function, over.max_drop) == ("top1", "", 0.0)
    with pytest.raises(InvalidInputError, match="'best' is no metric"):
        _gate(project, OptimizeOptions(metric="best"), own)


def test_samples_are_the_option_s_else_a_file_s_else_a_function_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = project_of(tmp_path / "models")
    file, code = AccuracyIntent(data="a.npz", labels="t"), AccuracyIntent(data="own:rows")
    assert _data_source(project, "", AccuracyIntent()) is None
    assert _data_source(project, "b.npz", file) == DataSource(str(tmp_path / "b.npz"), labels="t")
    beside = DataSource(str(tmp_path / "models/a.npz"), labels="t")
    assert _data_source(project, "", file) == beside
    found = _data_source(project, "", code)
    assert (found.function, found.path) == ("own:rows", "")
    assert found.folders == (str(tmp_path / "models"), str(tmp_path))
    assert _data_source(project, "c:d", code).path == str(tmp_path / "c:d")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/own:rows").touch()
    assert _data_source(project, "", code).function == ""


def test_code_that_optimising_would_run(tmp_path):
    given = AccuracyIntent(function="a:metric", data="a:rows")
    models = {
        "m": ModelIntent(accuracy=given),
        "n": ModelIntent(accuracy=AccuracyIntent(data="a.npz")),
        "off": ModelIntent(serve=False, accuracy=AccuracyIntent(function="z:z")),
    }
    project = project_of(tmp_path, **models)
    assert named_code(project, "") == {"a:metric", "a:rows"}
    assert named_code(project, "b.npz") == {"a:metric"}
    assert named_code(project_of(tmp_path, n=models["n"]), "") == set()


def test_a_model_needs_fixing_until_it_was_tried_and_nothing_is_found():
    tried = ModelEvidence((), Trial("ort", ok=True))
    assert _needs_fixing(FACTS, None)
    assert _needs_fixing(FACTS, ModelEvidence((), None))
    assert not _needs_fixing(FACTS, tried)


def test_a_folder_of_what_was_being_made_goes_with_its_empty_parent(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "base" / name).mkdir(parents=True)
    optimize_models._remove(tmp_path / "base/one")
    assert (tmp_path / "base/two").is_dir()
    optimize_models._remove(tmp_path / "base/two")
    assert not (tmp_path / "base").exists()
    optimize_models._remove(tmp_path / "base/two")


def test_versions_are_compared_as_numbers():
    numbers = optimize_models._numbers
    assert numbers("1.9.0") < numbers("1.27.0")
    assert numbers("1.27.0.dev3") == numbers("1.27.0") == (1, 27, 0)


def test_an_input_that_no_run_was_made_with_is_of_size_one_where_open():
    made = JobInput.declared("x", DType.FP32, ("n", 3, 0, -1, None))
    assert (made.dims, made.shape) == ((-1, 3, -1, -1, -1), (1, 3, 1, 1, 1))


def test_functions_of_the_user_get_no_right_to_the_model_s_folder():
    job = ChildJob(RUNTIME, path="/a/m/model.onnx", work="/a/work")
    assert child_jobs._writable(job) == ("/a/work", "/a/m")
    assert child_jobs._writable(replace(job, data=DataSource("/b.npz"))) == ("/a/work", "/a/m")
    for change in ({"gate": Gate(function="a:b")}, {"data": DataSource(function="a:b")}):
        assert child_jobs._writable(replace(job, **change)) == ("/a/work",)


@pytest.mark.parametrize(
    ("end", "status", "words", "code", "said"),
    [
        (ChildEnd.TIMED_OUT, signal.SIGKILL, "", "TG214", "not done after 7 s"),
        (ChildEnd.SIGNALLED, signal.SIGKILL, "", "TG215", "more memory needed than 2.0 GiB"),
        (ChildEnd.TOO_LARGE, 0, "", "TG215", "more memory needed than 2.0 GiB"),
        (ChildEnd.EXITED, 1, "MemoryError", "TG215", "more memory needed than 2.0 GiB"),
        (ChildEnd.EXITED, 9, "", "TG216", "the process ended with status 9"),
        (ChildEnd.SIGNALLED, 11, "x", "TG216", "the process ended with signal 11: x"),
    ],
)
def test_how_a_child_failed(end, status, words, code, said):
    limits = ChildLimits(timeout_s=7.0)
    found = child_jobs._failure(ChildResult(end, status, "", words), limits, 2 * GIB)
    assert (found.code, found.error) == (code, said)


@pytest.mark.parametrize(("stated", "memory"), [(None, 4 * GIB + 400), (3 * GIB, 3 * GIB)])
def test_a_child_has_the_memory_that_is_stated_else_by_the_model(
    tmp_path, monkeypatch, stated, memory
):
    (tmp_path / "model.onnx").write_bytes(b"x" * 60)
    (tmp_path / "model.data").write_bytes(b"x" * 40)
    asked = []

    def run(request: str, timeout_s: float, memory_bytes: int, module: str) -> ChildResult:
        asked.append((request, timeout_s, memory_bytes, module))
        return ChildResult(ChildEnd.TIMED_OUT, 0, "", "")

    monkeypatch.setattr(child_jobs, "run_worker", run)
    job = ChildJob(RUNTIME, path=str(tmp_path / "model.onnx"))
    assert child_jobs.run_job(job, ChildLimits(5.0, stated)).code == "TG214"
    ((request, *given),) = asked
    assert given == [5.0, memory, "tritongen.optimize.worker"]
    assert f'"address_space": {2 * memory + 400 + 8 * GIB}' in request


def samples(rows: int) -> Samples:
    return Samples({"x": np.arange(rows)}, None, frozenset({"x"}), rows)


@pytest.mark.parametrize(
    ("rows", "calibrate", "evaluate"), [(5, 5, 5), (6, 2, 4), (7, 3, 4), (600, 200, 400),
                                        (603, 101, 502)],
)  # fmt: skip
def test_few_samples_serve_twice_and_of_many_at_most_200_calibrate(rows, calibrate, evaluate):
    first, second = split(samples(rows))
    assert (first.rows, second.rows) == (calibrate, evaluate)


def test_the_error_of_outputs_is_relative_to_their_size():
    wanted = {"y": np.array([3.0, 4.0]), "n": np.array([1, 2]), "z": np.array([9.0])}
    given = {"y": np.array([3.0, 5.0]), "n": np.array([5, 5])}
    assert error(wanted, given) == pytest.approx(0.2)
    assert error({"y": np.zeros(2)}, {"y": np.array([3.0, 4.0])}) == pytest.approx(5.0)


def test_the_greatest_difference_of_any_number():
    first = {"y": np.array([1.0, 2.0]), "t": np.array(["a"], object), "e": np.zeros(0)}
    assert _greatest(first, {"y": np.array([1.5, -1.0]), "t": first["t"], "e": first["e"]}) == 3.0
    assert _greatest(first, {}) == 0.0
    assert _greatest(first, {"y": np.array([[9.0, 9.0]])}) == 0.0


def test_a_plain_model_is_not_quantised(tmp_path):
    from tritongen.optimize.quantize.prepare import is_quantised

    assert not is_quantised(save(dense(), tmp_path / "model.onnx"))
