"""Other ways to execute a model: its graph optimised offline, operators side by side, OpenVINO.

Each is tried and timed beside the original, and what changes the model is proven equal.
"""

import os
import re
import time
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from tritongen.model.agreement import TOLERANCES
from tritongen.model.facts import Precision
from tritongen.model.variants import Speedup, Step, StepKind
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import ChildJob, JobResult
from tritongen.optimize.libraries import Library, onnxruntime, openvino
from tritongen.optimize.onnx_files import DATA_FILE, load, save_within
from tritongen.optimize.onnx_session import (
    Arrays,
    OrtRunner,
    Runner,
    RunRefusal,
    RunSettings,
    Value,
    needs_data_file,
    open_session,
)
from tritongen.optimize.paired_speed import paired_speedup, paired_times, points, speedups
from tritongen.optimize.rewrite_proof import Unproven, compare, expect, rows_agree
from tritongen.trial.onnx_runtime import described, silent_options

# Chosen: so many sets of generated inputs compare two forms of a model, and so many pairs of loads
# their times.
_SEEDS = 4
_LOADS = 7
# Below this, a chain in all but name: nothing can run beside anything for long.
_WORTH_TRYING = 1.25
OPENVINO_IR = "openvino-ir"
IR_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
# Key of the recipe of a model that is computed more coarsely than it is written.
COMPUTES_IN = "computes in"
_PLACES = re.compile(r"(Exception from|Check '[^']*' failed at) \S+:\d+:\s*")


class Level(StrEnum):
    """How far a saved graph is optimised.

    `BASIC` folds constants and removes what is not needed: any runtime on any device reads it.
    `EXTENDED` fuses operators into ONNX Runtime's own ones for the CPU. The level beyond, which
    lays tensors out for the very CPU at hand, is never saved: it is done when the model is loaded.
    """

    BASIC = "basic"
    EXTENDED = "extended"


def level_for(*, gpu: bool, older: bool) -> tuple[Level, str]:
    """The level that suits a target, with the reason.

    Args:
        gpu: whether it has a GPU.
        older: whether its ONNX Runtime is older than the one here.
    """
    if gpu:
        return (
            Level.BASIC,
            "basic, since the target has a GPU and fused CPU operators would stay on",
        )
    if older:
        return Level.BASIC, "basic, since the target's ONNX Runtime is older than the one here"
    return Level.EXTENDED, "extended: operators fused for the CPU"


def optimise(source: Path, target: Path, level: Level, without: Sequence[str] = ()) -> Path:
    """Write the optimised graph.

    Args:
        source: main file of the model.
        target: file to write; its folder must exist.
        level: how far.
        without: names of ONNX Runtime's optimisers that are left out.

    Raises:
        RunRefusal: ONNX Runtime does not load the model or cannot save it.
    """
    library = onnxruntime()
    options = silent_options(library, 1)
    options.graph_optimization_level = getattr(
        library.GraphOptimizationLevel, f"ORT_ENABLE_{level.name}"
    )
    options.optimized_model_filepath = os.fspath(target)
    if needs_data_file(source):
        entry = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(entry, DATA_FILE)
    open_session(library, source, options, disabled_optimizers=list(without))
    return target


def optimise_graph(job: ChildJob) -> JobResult:
    """Save the graph at the level that suits the target, prove it equal and time it.

    Raises:
        RunRefusal: ONNX Runtime does not load the model or cannot save it.
    """
    work, source = Path(job.work), Path(job.path)
    level, why = level_for(gpu=job.gpu, older=job.runtime.older)
    result = work / MODEL_FILE
    save_within(optimise(source, work / "optimised.onnx", level), result, job.runtime.ir)
    rows = job.seeded(_SEEDS)
    expected, _ = expect(OrtRunner(source), rows)
    name = f"graph_{level.value}"
    try:
        proof = compare(OrtRunner(result), expected, TOLERANCES[job.precision]).proof(None)
    except Unproven as problem:
        reason = f"{why}; not proven: {problem}"
        return JobResult(steps=(Step(name, StepKind.GRAPH, False, reason),))
    where = points(job.threads, batched=False)
    both = (partial(OrtRunner, source), partial(OrtRunner, result))
    measured = speedups(both, rows, where, min(6.0, job.time_budget_s))
    loading = _loading(source, result)
    before, after = (len(load(path).proto.graph.node) for path in (source, result))
    reason = (
        f"{why}; {before} → {after} operators, loading {loading} "
        f"({loading.original_ms:.3g} ms before), running {measured[0]}"
    )
    step = Step(name, StepKind.GRAPH, True, reason, proof)
    recipe = {"method": "graph optimised offline", "level": level.value}
    return JobResult(steps=(step,), model=MODEL_FILE, proof=proof, speedups=measured, recipe=recipe)


def _loading(source: Path, result: Path) -> Speedup:
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(_LOADS):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            begun = time.perf_counter()
            OrtRunner((source, result)[side], RunSettings(lean=False))
            times[side].append(time.perf_counter() - begun)
    return paired_speedup(*times)


def _bound(parallelism: float) -> str:
    return f"the operators are {parallelism:.2f} times as many as the longest path has"


def futile_step(parallelism: float, threads: int) -> Step | None:
    """Why there is nothing to try, None where there is something.

    Args:
        parallelism: operators divided by the longest path.
        threads: to be used at most.
    """
    why = ""
    if parallelism < _WORTH_TRYING:
        why = ": a chain, which inter-op threads cannot speed up; not tried"
    elif threads < 2:
        why = "; not tried: with one core nothing runs side by side"
    reason = f"{_bound(parallelism)}{why}"
    return Step("inter_op", StepKind.PARALLEL, False, reason) if why else None


def try_parallel(job: ChildJob) -> JobResult:
    """Measure operators in sequence against operators side by side, on as many threads.

    Raises:
        RunRefusal: the model does not run.
    """
    path, half = Path(job.path), max(1, job.threads // 2)
    runners = (
        OrtRunner(path, RunSettings(threads=job.threads, lean=False)),
        OrtRunner(path, RunSettings(threads=half, inter_op=2, lean=False)),
    )
    times = paired_times(runners, job.seeded(1)[0], min(5.0, job.time_budget_s), settle=True)
    speed = paired_speedup(*times, threads=job.threads)
    applied = speed.low > 1
    verdict = "faster" if applied else "slower" if speed.high < 1 else "no difference"
    reason = (
        f"{_bound(job.parallelism)}, so at most that is to be gained; two side by side with {half} "
        f"threads each against one after the other with {job.threads}: {speed}, {verdict}"
    )
    values = {"execution_mode": 1, "inter_op_thread_count": 2, "intra_op_thread_count": half}
    parameters = {key: {"string_value": str(value)} for key, value in values.items()}
    overlay = {"parameters": parameters} if applied else {}
    step = Step("inter_op", StepKind.PARALLEL, applied, reason, overlay=overlay)
    return JobResult(steps=(step,), speedups=(speed,))


class OpenVinoRunner(Runner):
    """A model on OpenVINO's CPU plugin, compiled as Triton's backend compiles it: one stream.

    Args:
        path: an IR or an ONNX file.
        threads: of an execution.
        precise: in FP32, even where OpenVINO would compute in BF16, as it does by itself on a CPU
            with instructions for it; Triton's backend has no switch against that.

    Raises:
        RunRefusal: OpenVINO refuses the model.
    """

    def __init__(self, path: Path, threads: int = 1, *, precise: bool = False) -> None:
        library = openvino()
        options: dict[str, object] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        if precise:
            options["INFERENCE_PRECISION_HINT"] = "f32"
        try:
            core = library.Core()
            compiled = core.compile_model(core.read_model(os.fspath(path)), "CPU", options)
            request = compiled.create_infer_request()
            hint = compiled.get_property("INFERENCE_PRECISION_HINT")
        except Exception as error:  # noqa: BLE001  (openvino raises what its C++ code throws)
            raise RunRefusal(_words(error, path.parent)) from None
        self._ports = {str(port.get_any_name()): port for port in compiled.outputs}
        super().__init__(request, list(self._ports), path.parent)
        self.in_bf16 = "bf16" in str(hint) or "bfloat16" in str(hint)

    def run(self, inputs: Arrays) -> dict[str, Value]:
        """See `Runner.run`."""
        try:
            result = self._loaded.infer(dict(inputs))
        except Exception as error:  # noqa: BLE001  (as above)
            raise RunRefusal(_words(error, self._folder)) from None
        return {name: np.array(result[port]) for name, port in self._ports.items()}


def _words(error: Exception, folder: Path) -> str:
    """What went wrong, without the places in OpenVINO's sources where it was noticed."""
    return described(RuntimeError(_PLACES.sub("", str(error))), folder)


def convert_to_ir(job: ChildJob) -> JobResult:
    """Convert the model, prove it equal and time it.

    Raises:
        RunRefusal: OpenVINO does not read the model, or cannot keep its names.
        EnvironmentProblem: TG006, openvino is not installed.
    """
    source, result = Path(job.path), Path(job.work) / IR_FILE
    original = OrtRunner(source)
    _save(openvino(), source, result, original.output_names)
    rows = job.seeded(_SEEDS)
    expected, _ = expect(original, rows)
    try:
        rewritten = OpenVinoRunner(result)
        coarser = rewritten.in_bf16 and job.precision is Precision.SINGLE
        reason = "OpenVINO IR"
        if coarser:
            exact = compare(
                OpenVinoRunner(result, precise=True), expected, TOLERANCES[Precision.SINGLE]
            )
            difference = exact.proof(None).max_abs_diff
            reason += f", equal in FP32 (greatest difference {difference:.2g}), computed in BF16"
        tolerance = TOLERANCES[Precision.BRAIN if coarser else job.precision]
        proof = compare(rewritten, expected, tolerance).proof(
            rows_agree(rewritten, expected, tolerance) if job.batched else None
        )
    except (Unproven, RunRefusal) as problem:
        where = "converted, and not proven equal"
        return JobResult(steps=(Step(OPENVINO_IR, StepKind.CONVERT, False, f"{where}: {problem}"),))
    both = (
        partial(OrtRunner, source),
        lambda settings: OpenVinoRunner(result, settings.threads),
    )
    places = points(job.threads, batched=job.batched)
    measured = speedups(both, rows, places, min(12.0, job.time_budget_s))
    recipe = {
        "method": "converted to OpenVINO IR",
        "openvino": str(openvino().__version__).split("-", 1)[0],
    }
    return JobResult(
        steps=(
            Step(OPENVINO_IR, StepKind.CONVERT, True, f"{reason}, running {measured[0]}", proof),
        ),
        model=IR_FILE,
        files=(IR_FILE, WEIGHTS_FILE),
        proof=proof,
        speedups=measured,
        rows_equal=proof.rows_equal,
        recipe={**recipe, COMPUTES_IN: "BF16"} if coarser else recipe,
    )


def _save(library: Library, source: Path, result: Path, outputs: list[str]) -> None:
    try:
        model = library.Core().read_model(os.fspath(source))
        found = {name: port for port in model.outputs for name in port.get_names()}
        for name in outputs:
            # An output may carry its inner names too; clients know it by the first one.
            found[name].get_tensor().set_names({name})
        # Weights keep their precision: half of it would no longer be the same model.
        library.save_model(model, os.fspath(result), compress_to_fp16=False)
    except KeyError as error:
        raise RunRefusal(f"the converted model has no output {error}") from None
    except Exception as error:  # noqa: BLE001  (openvino raises what its C++ code throws)
        raise RunRefusal(_words(error, source.parent)) from None
