"""Other ways to execute a model: which are tried for which target, and what is said of them."""

import errno
import json
from dataclasses import replace

import numpy as np
import pytest

from support.cli import dense
from support.optimize import faulty
from tritongen.errors import InvalidInputError
from tritongen.model.evidence import AxisProof, AxisVerdict
from tritongen.model.intent import AxisIntent, Metric
from tritongen.model.kept_folders import ENGINE_CACHE
from tritongen.model.tensors import DType
from tritongen.model.variants import Speedup, StepKind
from tritongen.optimize import graph_execution, stages
from tritongen.optimize.accelerators import accelerators, plan_command, proven_ranges
from tritongen.optimize.child_jobs import (
    ChildJob,
    Gate,
    JobInput,
    Stage,
    StageRefusal,
    TargetRuntime,
)
from tritongen.optimize.evaluate import Evaluator, _join, _scored, _usual
from tritongen.optimize.graph_execution import (
    Level,
    OpenVinoRunner,
    convert_to_ir,
    futile_step,
    level_for,
    optimise,
)
from tritongen.optimize.isa import Isa
from tritongen.optimize.onnx_files import DATA_FILE
from tritongen.optimize.onnx_session import OrtRunner
from tritongen.optimize.paired_speed import Point, points
from tritongen.optimize.stages import run_stage
from tritongen.optimize.user_samples import Samples

RUNTIME = TargetRuntime("ONNX Runtime", 11, 23, 5)


@pytest.mark.parametrize(
    ("gpu", "older", "level"),
    [(False, False, Level.EXTENDED), (True, False, Level.BASIC), (False, True, Level.BASIC)],
)
def test_fused_operators_are_for_the_target_alone(gpu, older, level):
    found, why = level_for(gpu=gpu, older=older)
    assert found is level
    assert why.startswith(level.value)


@pytest.mark.parametrize(
    ("parallelism", "threads", "why"),
    [
        (1.249, 4, "a chain, which inter-op threads cannot speed up"),
        (1.25, 4, None),
        (1.25, 2, None),
        (1.25, 1, "with one core nothing runs side by side"),
    ],
)
def test_what_cannot_run_side_by_side_is_not_tried(parallelism, threads, why):
    step = futile_step(parallelism, threads)
    assert (step is None) if why is None else (why in step.reason and not step.applied)


def job(tmp_path, stage: Stage, **changes: object) -> ChildJob:
    path, work = tmp_path / "model.onnx", tmp_path / "work"
    path.write_bytes(dense().SerializeToString())
    work.mkdir()
    values: dict[str, object] = {
        "stage": stage, "path": str(path), "work": str(work), "runtime": RUNTIME,
        "inputs": (JobInput("x", DType.FP32, (-1, 4), (1, 4)),), "time_budget_s": 0.05,
    }  # fmt: skip
    return ChildJob(**{**values, **changes})


@pytest.mark.parametrize("gpu", [False, True])
def test_a_graph_is_optimised_for_the_target_and_answers_the_same(tmp_path, gpu):
    found = run_stage(job(tmp_path, Stage.GRAPH, gpu=gpu))
    assert (found.code, found.error) == ("", "")
    (step,) = found.steps
    level = "basic" if gpu else "extended"
    assert (step.name, step.kind, step.applied) == (f"graph_{level}", StepKind.GRAPH, True)
    assert "operators, loading ×" in step.reason
    assert found.recipe == {"method": "graph optimised offline", "level": level}
    assert found.proof.inputs == 4
    inputs = {"x": np.ones((3, 4), np.float32)}
    own = OrtRunner(tmp_path / "work" / found.model).run(inputs)
    assert np.allclose(own["y"], OrtRunner(tmp_path / "model.onnx").run(inputs)["y"])


def test_operators_side_by_side_are_kept_where_they_are_faster(tmp_path):
    found = run_stage(job(tmp_path, Stage.PARALLEL, threads=2, parallelism=1.5))
    (step,), (speed,) = found.steps, found.speedups
    assert speed.threads == 2
    assert step.applied is (speed.low > 1)
    verdict = "faster" if speed.low > 1 else "slower" if speed.high < 1 else "no difference"
    assert step.reason.endswith(verdict)
    assert "1.50 times as many" in step.reason
    assert "with 1 threads each against one after the other with 2" in step.reason
    values = {"execution_mode": "1", "inter_op_thread_count": "2", "intra_op_thread_count": "1"}
    parameters = {key: {"string_value": value} for key, value in values.items()}
    assert step.overlay == ({"parameters": parameters} if step.applied else {})


def test_openvino_computes_in_fp32_where_it_is_asked_to(tmp_path):
    made = job(tmp_path, Stage.OPENVINO, batched=True)
    found = convert_to_ir(made)
    precise = OpenVinoRunner(tmp_path / "work/model.xml", precise=True)
    usual = OpenVinoRunner(tmp_path / "work/model.xml")
    assert not precise.in_bf16
    assert ("computes in" in found.recipe) is usual.in_bf16
    assert found.steps[0].reason.startswith("OpenVINO IR")
    assert ("computed in BF16" in found.steps[0].reason) is usual.in_bf16
    assert found.rows_equal is found.proof.rows_equal is True


def test_without_a_batch_axis_rows_are_not_claimed(tmp_path):
    found = run_stage(job(tmp_path, Stage.OPENVINO))
    assert found.rows_equal is None
    assert found.steps[0].applied


@pytest.mark.parametrize(
    ("threads", "batched", "found"),
    [
        (1, False, [(1, 1)]),
        (1, True, [(1, 1), (8, 1)]),
        (2, False, [(1, 1), (1, 2)]),
        (2, True, [(1, 1), (8, 1), (1, 2), (8, 2)]),
    ],
)
def test_one_row_on_one_thread_comes_first(threads, batched, found):
    assert points(threads, batched=batched) == tuple(Point(*one) for one in found)


@pytest.mark.parametrize(
    ("problem", "stage", "code", "words"),
    [
        (InvalidInputError("TG107", "leads out", where="m"), Stage.FIX, "TG107", "m: leads out"),
        (MemoryError(), Stage.FIX, "TG010", "out of memory"),
        (OSError(errno.ENOSPC, "No space"), Stage.FIX, "TG005", "no space"),
        (OSError(errno.EACCES, "Denied"), Stage.FIX, "TG004", "denied"),
        (OSError("gone"), Stage.FIX, "TG004", "gone"),
        (StageRefusal("x: No space left on device"), Stage.FIX, "TG005", "no space left on device"),
        (StageRefusal("no kernel"), Stage.GRAPH, "TG213", "no kernel"),
        (StageRefusal("no kernel"), Stage.QUANTIZE, "TG231", "no kernel"),
        (StageRefusal("no kernel"), Stage.HALF, "TG231", "no kernel"),
    ],
)
def test_what_goes_wrong_is_part_of_the_answer(problem, stage, code, words, monkeypatch):
    def fails(_job: ChildJob):
        raise problem

    monkeypatch.setitem(stages.STAGES, stage, fails)
    found = run_stage(ChildJob(RUNTIME, stage=stage))
    assert (found.code, found.error) == (code, words)


X = JobInput("x", DType.FP32, (-1, 3, -1), (1, 3, 8))
FIXED = JobInput("z", DType.FP32, (1, 3), (1, 3))
SCALAR = JobInput("s", DType.FP32, (), ())


def offered(*inputs: JobInput, **options: object):
    settings = {"gpus": 1, "isa": Isa(), "max_batch": 16, **options}
    return list(accelerators(inputs or (X,), **settings))


def test_accelerators_are_those_of_the_target_s_device():
    assert [step.name for step in offered()] == ["tensorrt-fp16"]
    assert [step.name for step in offered(quantised=True)] == ["tensorrt-fp16", "tensorrt-int8"]
    assert offered(gpus=0) == []
    intel = Isa(model="Intel(R) Xeon(R)")
    assert [step.name for step in offered(gpus=0, isa=intel, quantised=True)] == ["openvino"]
    assert [step.name for step in offered(isa=intel)] == ["tensorrt-fp16"]
    assert "Q/DQ" in offered(quantised=True)[1].reason
    assert "Q/DQ" not in offered()[0].reason
    assert plan_command(offered(quantised=True)[1]) == ""


def parameters_of(step) -> dict[str, str]:
    (entry,) = step.overlay["optimization"]["execution_accelerators"]["gpu_execution_accelerator"]
    return entry["parameters"]


@pytest.mark.parametrize(("batch", "rows"), [(16, 16), (1, 1), (0, 1)])
def test_profiles_go_up_to_the_planned_batch(batch, rows):
    found = parameters_of(offered(X, FIXED, SCALAR, max_batch=batch)[0])
    assert found["trt_profile_min_shapes"] == "x:1x3x8,z:1x3,s:"
    assert found["trt_profile_max_shapes"] == f"x:{rows}x3x8,z:1x3,s:"


def test_profiles_span_the_sizes_that_were_proven():
    axes = (
        AxisProof("x", 2, "width", AxisVerdict.FREE, tried=(8, 16, 64)),
        AxisProof("y", 1, "", AxisVerdict.BOUNDED, bound=512, tried=(128, 1, 600)),
        AxisProof("y", 2, "", AxisVerdict.MULTIPLE, bound=4, tried=(4, 6, 32)),
        AxisProof("y", 3, "", AxisVerdict.FIXED, bound=3, tried=(3, 4)),
    )
    found = proven_ranges(axes, {"width": AxisIntent(maximum=32)})
    assert found == {("x", 2): (8, 32), ("y", 1): (1, 512), ("y", 2): (4, 32)}
    step = offered(ranges=found)[0]
    parameters = parameters_of(step)
    assert parameters["trt_profile_min_shapes"] == "x:1x3x8"
    assert parameters["trt_profile_opt_shapes"] == "x:16x3x8"
    assert parameters["trt_profile_max_shapes"] == "x:16x3x32"
    assert plan_command(step) == (
        "trtexec --onnx=model.onnx --saveEngine=model.plan --fp16 --minShapes=x:1x3x8 "
        "--optShapes=x:16x3x8 --maxShapes=x:16x3x32"
    )


def test_engines_and_their_timings_are_kept_where_the_release_can():
    found = parameters_of(offered()[0])
    assert found["trt_engine_cache_path"] == found["trt_timing_cache_path"] == ENGINE_CACHE
    old = parameters_of(offered(release="24.03")[0])
    assert "trt_engine_cache_path" in old
    assert not any("timing" in key or "profile" in key for key in old)


def test_fixed_sizes_need_no_profile_and_openvino_no_parameters():
    assert not any("profile" in key for key in parameters_of(offered(FIXED, SCALAR)[0]))
    (step,) = offered(gpus=0, isa=Isa(model="intel"))
    assert '"parameters"' not in json.dumps(step.overlay)


def evaluator(labels=None, *, data: bool = True, **gate: object) -> Evaluator:
    return Evaluator(Samples({}, labels, frozenset(), 2), Gate(**gate), data)


SCORES = {"scores": np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)}
LABEL = {"label": np.array([1, 0])}
TEXTS = {"text": np.array([b"cat", b"dog"], dtype=object)}
ONE = {"one": np.array([[0.1], [0.9]], np.float32)}


OWN = "the original's own answers"
GENERATED = "the original's outputs on generated inputs"


@pytest.mark.parametrize(
    ("outputs", "labels", "gate", "data", "metric", "output", "basis"),
    [
        (SCORES, None, {}, True, Metric.COSINE, "scores", "the original's outputs"),
        (SCORES, np.array([1, 0]), {}, True, Metric.TOP1, "scores", "the labels"),
        (SCORES, np.array([0.5, 0.1]), {}, True, Metric.MAE, "scores", "the labels"),
        (SCORES, None, {"metric": "top1"}, True, Metric.TOP1, "scores", OWN),
        (SCORES, None, {}, False, Metric.COSINE, "scores", GENERATED),
        (LABEL, None, {}, False, Metric.TOP1, "label", GENERATED),
        ({**SCORES, **LABEL}, np.array([1, 0]), {}, True, Metric.TOP1, "label", "the labels"),
        ({**LABEL, **TEXTS}, np.array(["cat", "dog"]), {}, True, Metric.TOP1, "text", "the labels"),
        ({**ONE, **SCORES}, None, {"metric": "f1"}, True, Metric.F1, "scores",
         OWN),
        ({**LABEL, **ONE}, None, {}, True, Metric.COSINE, "one", "the original's outputs"),
        ({**SCORES, **LABEL}, None, {"output": "label", "metric": "mae"}, True, Metric.MAE, "label",
         "the original's outputs"),
        (SCORES, None, {"function": "a:b"}, True, Metric.CALLABLE, "", ""),
        (SCORES, np.array([1]), {"function": "a:b"}, True, Metric.CALLABLE, "", "the labels"),
    ],
)  # fmt: skip
def test_what_outputs_are_held_against(outputs, labels, gate, data, metric, output, basis):
    found = evaluator(labels, data=data, **gate).scale(outputs)
    assert (found.metric, found.output, found.basis) == (metric, output, basis)


def test_an_output_that_is_not_there_or_cannot_be_scored():
    with pytest.raises(InvalidInputError, match="there is no output 'none' to score"):
        evaluator(output="none").scale(SCORES)
    cube = {"cube": np.zeros((2, 3, 4), np.float32)}
    with pytest.raises(InvalidInputError, match="output 'cube': scores must be"):
        evaluator(metric="top1").scale(cube)
    with pytest.raises(InvalidInputError, match="no output has the same size"):
        _scored({}, Metric.COSINE)


def test_the_loss_is_that_of_the_metric():
    gate = evaluator(np.array([1, 0]), max_drop=0.5)
    scale = gate.scale(SCORES)
    worse = {"scores": np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)}
    found = gate.accuracy(scale, SCORES, worse)
    assert (found.original, found.variant, found.drop, found.accepted, found.rows) == (
        1.0, 0.5, 0.5, True, 2,
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="nothing to hold the outputs against"):
        gate.accuracy(replace(scale, truth=None), SCORES, worse)
    with pytest.raises(InvalidInputError, match="metric top1, output 'scores': labels must be"):
        gate.accuracy(replace(scale, truth=np.array([1])), SCORES, worse)


def test_outputs_of_all_samples_are_joined_where_their_sizes_agree():
    assert _join([np.float32(1), np.float32(2)]).shape == (2,)
    assert _join([np.zeros((1, 3)), np.zeros((2, 3))]).shape == (3, 3)
    assert _join([np.zeros((1, 3)), np.zeros((1, 4))]) is None
    assert (_usual(None), _usual(np.array(["a"])), _usual(np.array([0.5]))) == (
        Metric.COSINE, Metric.TOP1, Metric.MAE,
    )  # fmt: skip


def test_a_speed_up_reads_as_a_ratio_with_its_interval():
    assert str(Speedup(1.5, 1.25, 2.0)) == "×1.50 (1.25 to 2.00)"


@pytest.mark.parametrize("apart", [True, False])
def test_weights_of_a_large_graph_lie_beside_it(tmp_path, monkeypatch, apart):
    monkeypatch.setattr(graph_execution, "needs_data_file", lambda _source: apart)
    ends = [faulty.tensor(name, ["n", 64]) for name in ("x", "y")]
    weights = [faulty.weights("w", 64, 64)]
    model = faulty.model([faulty.node("MatMul", "x w", "y")], ends[:1], ends[1:], weights)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "out").mkdir()
    optimise(tmp_path / "model.onnx", tmp_path / "out/model.onnx", Level.BASIC)
    assert (tmp_path / "out" / DATA_FILE).exists() is apart
