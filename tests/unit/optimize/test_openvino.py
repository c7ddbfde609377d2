"""One model as OpenVINO IR: converted, held against ONNX TargetRuntime, and judged."""

import pytest

from support.serving_models import graph_model, identity, two_by_two, value
from tritongen.model.tensors import DType
from tritongen.model.variants import Speedup, StepKind, Verdict
from tritongen.optimize.child_jobs import ChildJob, JobInput, Stage, TargetRuntime
from tritongen.optimize.graph_execution import OpenVinoRunner
from tritongen.optimize.one_model import judge_backend
from tritongen.optimize.onnx_session import OrtRunner
from tritongen.optimize.stages import run_stage


def job(tmp_path, model, inputs, batched=True):
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "work").mkdir()
    return ChildJob(
        stage=Stage.OPENVINO,
        path=str(tmp_path / "model.onnx"),
        work=str(tmp_path / "work"),
        inputs=tuple(JobInput(name, DType.FP32, (-1, size), (1, size)) for name, size in inputs),
        runtime=TargetRuntime("ONNX Runtime", 11, 23, 5),
        batched=batched,
        time_budget_s=0.1,
    )


def test_a_converted_model_keeps_names_and_answers(tmp_path):
    found = run_stage(job(tmp_path, two_by_two(), [("a", 2), ("b", 2)]))
    assert (found.code, found.error) == ("", "")
    assert found.files == ("model.xml", "model.bin")
    assert found.proof is not None
    assert found.rows_equal is True
    assert found.proof.max_abs_diff <= found.proof.tolerance
    assert (found.steps[0].kind, found.steps[0].applied) == (StepKind.CONVERT, True)
    assert found.speedups[0].pairs >= 9
    import numpy as np

    inputs = {name: np.arange(6, dtype=np.float32).reshape(3, 2) for name in "ab"}
    own = OpenVinoRunner(tmp_path / "work" / "model.xml").run(inputs)
    expected = OrtRunner(tmp_path / "model.onnx").run(inputs)
    assert set(own) == set(expected) == {"sum", "product"}
    np.testing.assert_allclose(own["product"], expected["product"], rtol=0.02)


def test_what_openvino_cannot_convert_is_told_in_one_sentence(tmp_path):
    from onnx import helper

    node = helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[2.0])
    model = graph_model([node], [value("x")], [value("y")])
    model.opset_import.add(domain="ai.onnx.ml", version=1)
    found = run_stage(job(tmp_path, model.SerializeToString(), [("x", 2)]))
    assert found.code == "TG213"
    assert "ai.onnx.ml.Scaler" in found.error
    assert "src/" not in found.error


def test_a_damaged_file_is_an_answer(tmp_path):
    found = run_stage(job(tmp_path, identity()[:20], [("x", 2)]))
    assert found.code == "TG213"


@pytest.mark.parametrize(
    ("low", "high", "batch_gain", "verdict", "words"),
    [
        (0.5, 0.8, 1.0, Verdict.SLOWER, "slower"),
        (0.9, 1.1, 1.0, Verdict.NO_GAIN, "no measurable difference"),
        (1.5, 1.7, 1.0, Verdict.ACCEPTED, ""),
        (1.5, 1.7, 2.0, Verdict.NO_GAIN, "merging alone gives the original ×2.00"),
    ],
)
def test_the_verdict(low, high, batch_gain, verdict, words):
    coarser = judge_backend(Speedup((low + high) / 2, low, high), batch_gain, coarser=True)
    assert coarser[0] is Verdict.UNGATED  # equal in fewer digits only: never chosen by the tool
    found, reason = judge_backend(Speedup((low + high) / 2, low, high), batch_gain)
    assert found is verdict
    assert words in reason
