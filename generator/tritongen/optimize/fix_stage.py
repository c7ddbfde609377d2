"""The fixes as one piece of work: samples in, a proven model and its steps out."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.model.agreement import TOLERANCES
from tritongen.model.samples import Array, make_inputs
from tritongen.model.tensors import DType
from tritongen.optimize.apply_fixes import MODEL_FILE, apply_fixes
from tritongen.optimize.child_jobs import ChildJob, JobInput, JobResult
from tritongen.optimize.fixes import FixContext
from tritongen.optimize.libraries import onnx
from tritongen.optimize.onnx_files import load, save
from tritongen.optimize.rewritten_graph import Graph, dims_of
from tritongen.optimize.user_samples import load_samples

# Chosen: sets of generated inputs, rows of a further one, and rows of the user's that prove a fix.
_SEEDS = 4
_ROWS = 3
_USER_ROWS = 8


def fix(job: ChildJob) -> JobResult:
    """Apply and prove every fix that has something to do.

    Raises:
        InvalidInputError: the model cannot be read.
        OSError: the disk is full.
    """
    work = Path(job.work)
    samples, remark = _samples(job)
    context = FixContext(job.runtime, string_labels=job.string_labels, batch=job.batch)
    fixed = apply_fixes(Path(job.path), work, context, samples, TOLERANCES[job.precision])
    renamed = {old: new for step in fixed.steps for old, new in step.renamed.items()}
    if fixed.model is not None:
        save(load(fixed.model), work / MODEL_FILE)
    return JobResult(
        steps=fixed.steps,
        details=(remark,) if remark else (),
        model=MODEL_FILE if fixed.model is not None else "",
        proof=fixed.proof,
        rows_equal=fixed.rows_equal,
        recipe={"method": "fixes", **({"renamed": renamed} if renamed else {})},
        labels=fixed.labels,
        labels_of=fixed.labels_of,
    )


def _optional_inputs(path: Path) -> Iterator[JobInput]:
    """Inputs that may be missing, as tensors that are there; a trial does not feed them."""
    library = onnx()
    for info in Graph(load(path).proto).inputs:
        inner = info.type.optional_type.elem_type
        if not info.type.HasField("optional_type") or not inner.HasField("tensor_type"):
            continue
        kind = library.helper.tensor_dtype_to_np_dtype(inner.tensor_type.elem_type)
        dtype = next((item for item in DType if item.numpy_name == str(kind)), None)
        if dtype is not None:
            plain = library.ValueInfoProto(type=inner)
            dims = tuple(
                dim if isinstance(dim, int) and dim > 0 else -1 for dim in dims_of(plain) or ()
            )
            yield JobInput(info.name, dtype, dims, tuple(max(1, dim) for dim in dims))


def _samples(job: ChildJob) -> tuple[list[Mapping[str, Array]], str]:
    """Seeded inputs, several rows of them where axis 0 is open, and some of the user's own.

    The user's samples may be made for the fixed model; the proof does without them then.
    """
    inputs = (*job.inputs, *_optional_inputs(Path(job.path)))
    recipes = [item.recipe for item in inputs]
    samples: list[Mapping[str, Array]] = [
        make_inputs(recipes, job.seed + number) for number in range(_SEEDS)
    ]
    if inputs and all(item.dims and item.dims[0] == -1 for item in inputs):
        many = [recipe.with_rows(_ROWS) for recipe in recipes]
        samples.append(make_inputs(many, job.seed + _SEEDS))
    if job.data is None:
        return samples, ""
    try:
        own = load_samples(job.data, inputs, {})
    except InvalidInputError as problem:
        if problem.code != "TG221":
            raise
        return samples, f"the proof does without your samples: {'; '.join(problem.details)}"
    step = max(1, own.rows // _USER_ROWS)
    samples += [own.run(index) for index in range(0, own.rows, step)][:_USER_ROWS]
    return samples, ""
