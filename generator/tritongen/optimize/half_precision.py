"""Half precision for GPUs: weights and arithmetic in FP16, inputs and outputs as they are."""

import os
from dataclasses import replace
from pathlib import Path

from tritongen.model.variants import Proof
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import Job, Outcome
from tritongen.optimize.evaluate import Evaluator
from tritongen.optimize.libraries import onnx, onnxruntime
from tritongen.optimize.onnx_files import DATA_FILE, load, save, unlinked
from tritongen.optimize.onnx_session import OrtRunner, RunSettings, model_bytes
from tritongen.optimize.quantize.builders import BuildFault
from tritongen.optimize.user_samples import load_samples, seeded_samples

_SEEDED_ROWS = 32
_OUTSIDE_FROM = 2**30


def halve(job: Job) -> Outcome:
    """Convert a model and evaluate it; its speed is not measured, since that needs the GPU.

    Raises:
        InvalidInputError: the samples or the metric do not fit.
        BuildFault, RunRefusal, EvaluationFault: it cannot be done.
    """
    work = Path(job.work)
    result = work / MODEL_FILE
    _convert(unlinked(Path(job.path), work / "copied"), work / "half.onnx")
    converted = load(work / "half.onnx")
    converted.proto.ir_version = min(converted.proto.ir_version, job.runtime.ir)
    save(converted, result)
    data = job.data is not None
    samples = (
        load_samples(job.data, job.inputs, job.renamed)
        if job.data is not None
        else seeded_samples(job.inputs, job.seed, _SEEDED_ROWS)
    )
    evaluator = Evaluator(samples, replace(job.gate), data)
    settings = RunSettings(threads=job.threads)
    original = evaluator.outputs(OrtRunner(Path(job.path), settings))
    variant = evaluator.outputs(OrtRunner(result, settings))
    scale = evaluator.scale(original)
    return Outcome(
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
        outside = model_bytes(source) >= _OUTSIDE_FROM
        location = DATA_FILE if outside else None
        library.save_model(
            half, os.fspath(target), save_as_external_data=outside, location=location
        )
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  (the converter raises whatever it meets)
        words = " ".join(str(error).split())[:200]
        raise BuildFault(f"{type(error).__name__}: {words}") from None
