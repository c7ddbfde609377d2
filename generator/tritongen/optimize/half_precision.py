"""Half precision for GPUs: weights and arithmetic in FP16, inputs and outputs as they are."""

import os
from pathlib import Path

from tritongen.model.variants import Proof
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import ChildJob, JobResult
from tritongen.optimize.evaluate import Evaluator
from tritongen.optimize.libraries import onnx, onnxruntime
from tritongen.optimize.onnx_files import DATA_FILE, save_within, unlinked
from tritongen.optimize.onnx_session import OrtRunner, RunSettings, needs_data_file
from tritongen.optimize.quantize.builders import BuildFault
from tritongen.optimize.user_samples import samples_of

_SEEDED_ROWS = 32


def halve(job: ChildJob) -> JobResult:
    """Convert a model and evaluate it; its speed is not measured, since that needs the GPU.

    Raises:
        InvalidInputError: the samples or the metric do not fit.
        BuildFault, RunRefusal, EvaluationFault: it cannot be done.
    """
    work = Path(job.work)
    result = work / MODEL_FILE
    _convert(unlinked(Path(job.path), work / "copied"), work / "half.onnx")
    save_within(work / "half.onnx", result, job.runtime.ir)
    samples = samples_of(job, _SEEDED_ROWS)
    evaluator = Evaluator(samples, job.gate, job.data is not None)
    settings = RunSettings(threads=job.threads)
    original = evaluator.outputs(OrtRunner(Path(job.path), settings))
    variant = evaluator.outputs(OrtRunner(result, settings))
    scale = evaluator.scale(original)
    return JobResult(
        model=MODEL_FILE,
        proof=Proof(samples.rows, 0.0, 0.0),
        accuracy=evaluator.accuracy(scale, original, variant),
        recipe={
            "method": "fp16",
            "weights": "fp16",
            "inputs and outputs": "as they were",
            "evaluated": samples.rows,
            "speed": "not measured: this machine has no GPU",
        },
    )


def _convert(source: Path, target: Path) -> None:
    library = onnx()
    onnxruntime()
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = library.load(os.fspath(source))
        half = convert_float_to_float16(model, keep_io_types=True)
        outside = needs_data_file(source)
        location = DATA_FILE if outside else None
        library.save_model(
            half, os.fspath(target), save_as_external_data=outside, location=location
        )
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  (the converter raises whatever it meets)
        raise BuildFault(error) from None
