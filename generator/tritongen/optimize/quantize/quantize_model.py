"""Makes a model of lower precision by one method, under the gate, and measures what it gained."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tritongen.errors import InvalidInputError
from tritongen.model.agreement import TOLERANCES
from tritongen.model.facts import Precision
from tritongen.model.samples import Array
from tritongen.model.variants import Accuracy, Proof
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import ChildJob, JobResult, Method, Stage, StageRefusal
from tritongen.optimize.evaluate import Evaluator, Scale
from tritongen.optimize.libraries import onnx
from tritongen.optimize.onnx_files import DATA_FILE, save_within, unlinked
from tritongen.optimize.onnx_session import OrtRunner, RunSettings, needs_data_file
from tritongen.optimize.paired_speed import points, speedups
from tritongen.optimize.quantize.builders import Builder, DynamicBuilder, choose_static, quiet_tools
from tritongen.optimize.quantize.prepare import (
    Prepared,
    calibrate,
    fix_scales,
    is_quantised,
    prepare,
)
from tritongen.optimize.rewrite_proof import ExpectedRun, rows_agree
from tritongen.optimize.user_samples import Samples, samples_of

# With more than this share of the operators left out there is nothing to gain.
MAX_EXCLUDED_SHARE = 0.5
# Chosen: each row is an execution with all the model's values kept.
CALIBRATION_ROWS = 200
# Without data of the user's, so many generated samples say how similar the outputs are.
SEEDED_ROWS = 32
# Of the samples, one in so many is for calibration and not for evaluation.
_CALIBRATE_EVERY = 3
# Chosen: below the first, rows are for calibration and evaluation both; below the second, nothing
# can be said. Ranking operators by their error takes one execution for each operator and row.
_FEW_ROWS = 6
_MIN_ROWS = 2
_RANKING_ROWS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search.

    Attributes:
        excluded: operators left as they are.
        accuracy: with them left out.
    """

    excluded: tuple[str, ...]
    accuracy: Accuracy


def exclude_until_accepted(
    evaluate: Callable[[tuple[str, ...]], Accuracy],
    first: Accuracy,
    ranked: Sequence[str],
    expired: Callable[[], bool],
) -> Found:
    """Leave out 1, 2, 4, … of the lossiest operators until the gate holds, then as few as do.

    Args:
        evaluate: the accuracy with these operators left out.
        first: the accuracy with none left out.
        ranked: operators, the lossiest first.
        expired: whether the time is over.

    Returns:
        The fewest that were found to do; nothing left out and `first` when none did.
    """
    most = int(len(ranked) * MAX_EXCLUDED_SHARE)
    if first.accepted or not first.rows:
        return Found((), first)
    failed, count = 0, 1
    best: Found | None = None
    while count <= most and not expired():
        accuracy = evaluate(tuple(ranked[:count]))
        if accuracy.accepted:
            best = Found(tuple(ranked[:count]), accuracy)
            break
        failed = count
        count = most if count < most < 2 * count else 2 * count
    while best is not None and len(best.excluded) - failed > 1 and not expired():
        middle = (failed + len(best.excluded)) // 2
        accuracy = evaluate(tuple(ranked[:middle]))
        if accuracy.accepted:
            best = Found(tuple(ranked[:middle]), accuracy)
        else:
            failed = middle
    return best or Found((), first)


@dataclass(slots=True)
class Quantization:
    """What the steps of making one model of lower precision share.

    Attributes:
        job: as asked.
        evaluator: scores models.
        scale: the metric and its truths.
        original: outputs of the original on the evaluation samples.
        calibration: samples for ranges.
        end: `time.monotonic()` after which no further candidate is tried.
        tries: models built so far.
    """

    job: ChildJob
    evaluator: Evaluator
    scale: Scale
    original: Mapping[str, Array]
    calibration: Samples
    end: float
    tries: int = 0

    @property
    def work(self) -> Path:
        """The folder for everything."""
        return Path(self.job.work)

    def expired(self) -> bool:
        """Whether the time for searches is over."""
        return time.monotonic() > self.end

    def evaluate(self, path: Path) -> Accuracy:
        """The accuracy of a variant."""
        runner = OrtRunner(path, RunSettings(threads=self.job.threads))
        outputs = self.evaluator.outputs(runner)
        return self.evaluator.accuracy(self.scale, self.original, outputs)

    def built(self, builder: Builder, exclude: Sequence[str]) -> Path:
        """A fresh variant with some operators left out, in a folder of its own."""
        self.tries += 1
        folder = self.work / f"try-{self.tries}"
        folder.mkdir()
        return builder.build(folder / MODEL_FILE, exclude)


def split(samples: Samples) -> tuple[Samples, Samples]:
    """Calibration and evaluation samples; few samples serve for both."""
    everything = range(samples.rows)
    if samples.rows < _FEW_ROWS:
        return samples, samples
    chosen = list(everything)[::_CALIBRATE_EVERY]
    step = max(1, -(-len(chosen) // CALIBRATION_ROWS))
    chosen = chosen[::step]
    held = set(chosen)
    return samples.take(chosen), samples.take([i for i in everything if i not in held])


def quantise(job: ChildJob) -> JobResult:
    """Quantise by the job's method.

    Raises:
        InvalidInputError: the samples or the metric do not fit.
        StageRefusal: it cannot be done.
    """
    run = _begun(job)
    if job.method is Method.FIXED_SCALES:
        path = run.work / "fixed" / MODEL_FILE
        path.parent.mkdir()
        fix_scales(Path(job.path), path, run.calibration, run.work)
        found = Found((), run.evaluate(path))
        recipe: Mapping[str, object] = {
            "method": "scales of a dynamically quantised model fixed by calibration"
        }
        return _finish(run, path, found, recipe, 0)
    prepared = prepare(Path(job.path), run.work, dynamic=job.method is Method.DYNAMIC)
    builder = _builder(run, prepared)
    if not builder.candidates:
        raise StageRefusal("there is no operator that onnxruntime quantises in this way")
    path = run.built(builder, ())
    if not is_quantised(path):
        raise StageRefusal("onnxruntime found no operator with constant weights to quantise")
    found = _search(run, builder, run.evaluate(path))
    if found.excluded:
        path = run.built(builder, found.excluded)
    return _finish(run, path, found, builder.recipe, len(builder.candidates))


def _begun(job: ChildJob) -> Quantization:
    data = job.data is not None
    samples = samples_of(job, SEEDED_ROWS)
    if data and samples.rows < _MIN_ROWS and job.stage is Stage.QUANTIZE:
        raise InvalidInputError("TG225", "one sample is too few to calibrate and evaluate on")
    calibration, evaluation = split(samples)
    if job.method is Method.DYNAMIC:
        evaluation = samples
    evaluator = Evaluator(evaluation, job.gate, data)
    runner = OrtRunner(Path(job.path), RunSettings(threads=job.threads))
    original = evaluator.outputs(runner)
    scale = evaluator.scale(original)
    end = time.monotonic() + job.time_budget_s
    return Quantization(job, evaluator, scale, original, calibration, end)


def _builder(run: Quantization, prepared: Prepared) -> Builder:
    isa = run.job.isa
    reduce_range = not isa.vnni
    if run.job.method is Method.DYNAMIC:
        return DynamicBuilder(prepared, reduce_range)
    ranges = calibrate(prepared, run.calibration, run.job.threads)
    return choose_static(run.job, prepared, ranges, run.evaluator.samples.run(0))


def _search(run: Quantization, builder: Builder, first: Accuracy) -> Found:
    """Leave out the lossiest operators, where there are data to hold a gate against."""
    if first.accepted or not run.evaluator.data:
        return Found((), first)
    ranked = _ranked(run, builder)

    def evaluate(exclude: tuple[str, ...]) -> Accuracy:
        path = run.built(builder, exclude)
        accuracy = run.evaluate(path)
        shutil.rmtree(path.parent)
        return accuracy

    return exclude_until_accepted(evaluate, first, ranked, run.expired)


def _ranked(run: Quantization, builder: Builder) -> list[str]:
    """Operators by the error of the outputs when each alone is quantised, the greatest first."""
    samples = run.evaluator.samples
    few = samples.take(list(range(0, samples.rows, max(1, samples.rows // _RANKING_ROWS))))
    evaluator = replace(run.evaluator, samples=few)
    wanted = evaluator.outputs(OrtRunner(Path(run.job.path)))
    half = time.monotonic() + (run.end - time.monotonic()) / 2
    losses: dict[str, float] = {}
    for name in builder.candidates:
        if time.monotonic() > half:
            break
        others = [other for other in builder.candidates if other != name]
        path = run.built(builder, others)
        losses[name] = error(wanted, evaluator.outputs(OrtRunner(path)))
        shutil.rmtree(path.parent)
    measured = sorted(losses, key=lambda name: -losses[name])
    return measured + [name for name in builder.candidates if name not in losses]


def error(wanted: Mapping[str, Array], given: Mapping[str, Array]) -> float:
    """Root of the mean square difference of all float outputs, in units of their own size."""
    pairs = [
        (array.astype(np.float64).ravel(), given[name].astype(np.float64).ravel())
        for name, array in wanted.items()
        if array.dtype.kind == "f" and name in given
    ]
    size = sum(float(np.sum(first**2)) for first, _ in pairs)
    distance = sum(float(np.sum((first - second) ** 2)) for first, second in pairs)
    return float(np.sqrt(distance / size)) if size > 0 else float(np.sqrt(distance))


def _finish(
    run: Quantization, path: Path, found: Found, recipe: Mapping[str, object], candidates: int
) -> JobResult:
    """The result in its place, with its speed and the independence of its rows."""
    job = run.job
    result = run.work / MODEL_FILE
    save_within(path, result, job.runtime.ir)
    samples = run.evaluator.samples
    rows = [samples.run(index) for index in range(min(8, samples.rows))]
    both = (partial(OrtRunner, Path(job.path)), partial(OrtRunner, result))
    where = points(job.threads, batched=job.batched)
    measured = speedups(both, rows, where, min(20.0, job.time_budget_s / 2))
    outputs = run.evaluator.outputs(OrtRunner(result))
    rows_equal = _rows_equal(job, result, rows) if job.batched else None
    proof = Proof(samples.rows, _greatest(run.original, outputs), 0.0, rows_equal)
    settings = dict(recipe) | {"cpu": str(job.isa), "evaluated": samples.rows}
    if job.method is not Method.DYNAMIC:
        settings["calibrated"] = run.calibration.rows
    if not run.evaluator.data:
        settings["data"] = "generated: calibrate again on real samples before it is served"
    if candidates:
        settings["quantised"] = f"{candidates - len(found.excluded)} of {candidates} operators"
    if found.excluded:
        settings["left in float"] = list(found.excluded)
    return JobResult(
        model=MODEL_FILE,
        proof=proof,
        accuracy=found.accuracy,
        speedups=measured,
        rows_equal=rows_equal,
        recipe=settings,
    )


def _rows_equal(job: ChildJob, path: Path, rows: Sequence[Mapping[str, Array]]) -> bool | None:
    if job.method is Method.DYNAMIC:
        # The scale is taken over the whole batch; that some rows agree by chance proves nothing.
        return False
    tolerance = TOLERANCES[Precision.QUANTIZED]
    return rows_agree(OrtRunner(path), [ExpectedRun(item, {}) for item in rows], tolerance)


def _greatest(first: Mapping[str, Array], second: Mapping[str, Array]) -> float:
    """The greatest absolute difference of any number in any output."""
    greatest = 0.0
    for name, array in first.items():
        other = second.get(name)
        if other is None or array.dtype == object or other.shape != array.shape or not array.size:
            continue
        distance = np.abs(array.astype(np.float64) - other.astype(np.float64))
        greatest = max(greatest, float(np.nanmax(distance)))
    return float(f"{greatest:.4g}")


def halve(job: ChildJob) -> JobResult:
    """Convert a model and evaluate it; its speed is not measured, since that needs the GPU.

    Raises:
        InvalidInputError: the samples or the metric do not fit.
        StageRefusal: it cannot be done.
    """
    work = Path(job.work)
    result = work / MODEL_FILE
    _convert(unlinked(Path(job.path), work / "copied"), work / "half.onnx")
    save_within(work / "half.onnx", result, job.runtime.ir)
    run = _begun(job)
    rows = run.evaluator.samples.rows
    return JobResult(
        model=MODEL_FILE,
        proof=Proof(rows, 0.0, 0.0),
        accuracy=run.evaluate(result),
        recipe={
            "method": "fp16",
            "weights": "fp16",
            "inputs and outputs": "as they were",
            "evaluated": rows,
            "speed": "not measured: this machine has no GPU",
        },
    )


def _convert(source: Path, target: Path) -> None:
    library = onnx()
    with quiet_tools():
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = library.load(os.fspath(source))
        half = convert_float_to_float16(model, keep_io_types=True)
        outside = needs_data_file(source)
        location = DATA_FILE if outside else None
        library.save_model(
            half, os.fspath(target), save_as_external_data=outside, location=location
        )
