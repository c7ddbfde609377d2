"""The same model as OpenVINO IR: converted by OpenVINO itself, proven equal, timed beside it."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tritongen.model.agreement import TOLERANCES
from tritongen.model.facts import Precision
from tritongen.model.variants import Speedup, Step, StepKind
from tritongen.optimize.child_jobs import ChildJob, JobResult
from tritongen.optimize.libraries import Library, openvino
from tritongen.optimize.onnx_session import Arrays, OrtRunner, RunRefusal, Value
from tritongen.optimize.paired_speed import Runners, points, speedups_of
from tritongen.optimize.rewrite_proof import Unproven, compare, expect, rows_agree
from tritongen.trial.onnx_runtime import described

NAME = "openvino-ir"
MODEL_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
# Key of the recipe of a model that is computed more coarsely than it is written.
COMPUTES_IN = "computes in"
_SINGLE = Precision.SINGLE
# Chosen: so many sets of generated inputs compare two forms of a model.
_SEEDS = 4
_PLACES = re.compile(r"(Exception from|Check '[^']*' failed at) \S+:\d+:\s*")


class OpenVinoRunner:
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
        self._folder = path.parent
        options: dict[str, object] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        if precise:
            options["INFERENCE_PRECISION_HINT"] = "f32"
        try:
            core = library.Core()
            compiled = core.compile_model(core.read_model(os.fspath(path)), "CPU", options)
            self._request = compiled.create_infer_request()
            hint = compiled.get_property("INFERENCE_PRECISION_HINT")
        except Exception as error:  # noqa: BLE001  (openvino raises what its C++ code throws)
            raise RunRefusal(_words(error, path.parent)) from None
        self._outputs = {str(port.get_any_name()): port for port in compiled.outputs}
        self.in_bf16 = "bf16" in str(hint) or "bfloat16" in str(hint)

    def run(self, inputs: Arrays) -> dict[str, Value]:
        """See `Runner.run`."""
        try:
            result = self._request.infer(dict(inputs))
        except Exception as error:  # noqa: BLE001  (as above)
            raise RunRefusal(_words(error, self._folder)) from None
        return {name: np.array(result[port]) for name, port in self._outputs.items()}


def _words(error: Exception, folder: Path) -> str:
    """What went wrong, without the places in OpenVINO's sources where it was noticed."""
    return described(RuntimeError(_PLACES.sub("", str(error))), folder)


def convert(job: ChildJob) -> JobResult:
    """Convert the model, prove it equal and time it.

    Raises:
        RunRefusal: OpenVINO does not read the model, or cannot keep its names.
        EnvironmentProblem: TG006, openvino is not installed.
    """
    source, result = Path(job.path), Path(job.work) / MODEL_FILE
    original = OrtRunner(source)
    _save(openvino(), source, result, original.output_names)
    rows = job.seeded(_SEEDS)
    expected, _ = expect(original, rows)
    try:
        rewritten = OpenVinoRunner(result)
        coarser = rewritten.in_bf16 and job.precision is Precision.SINGLE
        reason = "OpenVINO IR"
        if coarser:
            exact = compare(OpenVinoRunner(result, precise=True), expected, TOLERANCES[_SINGLE])
            difference = exact.proof(None).max_abs_diff
            reason += f", equal in FP32 (greatest difference {difference:.2g}), computed in BF16"
        tolerance = TOLERANCES[Precision.BRAIN if coarser else job.precision]
        proof = compare(rewritten, expected, tolerance).proof(
            rows_agree(rewritten, expected, tolerance) if job.batched else None
        )
    except (Unproven, RunRefusal) as problem:
        where = "converted, and not proven equal"
        return JobResult(steps=(Step(NAME, StepKind.CONVERT, False, f"{where}: {problem}"),))
    measured = _measured(job, source, result, rows)
    return JobResult(
        steps=(Step(NAME, StepKind.CONVERT, True, f"{reason}, running {measured[0]}", proof),),
        model=MODEL_FILE,
        files=(MODEL_FILE, WEIGHTS_FILE),
        proof=proof,
        speedups=measured,
        rows_equal=proof.rows_equal,
        recipe=_recipe(in_bf16=coarser),
    )


def _recipe(*, in_bf16: bool) -> Mapping[str, object]:
    found: dict[str, object] = {
        "method": "converted to OpenVINO IR",
        "openvino": str(openvino().__version__).split("-", 1)[0],
    }
    return {**found, COMPUTES_IN: "BF16"} if in_bf16 else found


def _measured(
    job: ChildJob, source: Path, result: Path, rows: Sequence[Arrays]
) -> tuple[Speedup, ...]:
    runners: Runners = (
        lambda settings: OrtRunner(source, settings),
        lambda settings: OpenVinoRunner(result, settings.threads),
    )
    where = points(job.threads, batched=job.batched)
    return speedups_of(runners, rows, where, min(12.0, job.time_budget_s))


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
