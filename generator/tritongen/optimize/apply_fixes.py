"""Applies fixes one after another and keeps those that are proven.

The original runs once on every sample. Each fix is then held against those results: after it, the
model must give what the original gave, in the fix's own terms. What is not proven is undone.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.model.agreement import TOLERANCES, Tolerance
from tritongen.model.samples import Array, make_inputs
from tritongen.model.tensors import DType, fits, is_dynamic, show_shape
from tritongen.model.variants import Proof, Step, StepKind
from tritongen.optimize.child_jobs import ChildJob, JobInput, JobResult
from tritongen.optimize.fixes import FIXES, CannotFix, Fix, FixContext
from tritongen.optimize.libraries import onnx
from tritongen.optimize.onnx_files import Model, load, save
from tritongen.optimize.onnx_session import Arrays, OrtRunner, ReferenceRunner, RunRefusal
from tritongen.optimize.rewrite_proof import (
    ExpectedRun,
    Unproven,
    compare,
    compare_rows,
    expect,
    rows_agree,
)
from tritongen.optimize.rewritten_graph import Graph, dims_of, is_tensor
from tritongen.optimize.user_samples import load_samples

MODEL_FILE = "model.onnx"
_MAPPED_FROM_BYTES = 256 * 2**20
# Faults of odd graphs that a rewrite did not foresee end that rewrite, not the run.
_ODD_GRAPH = (ValueError, KeyError, IndexError, TypeError, AttributeError)
# Chosen: sets of generated inputs, rows of a further one, and rows of the user's that prove a fix.
_SEEDS = 4
_ROWS = 3
_USER_ROWS = 8


def apply_fixes(
    source: Path,
    work: Path,
    context: FixContext,
    samples: Sequence[Arrays],
    tolerance: Tolerance,
    names: Iterable[str] = tuple(FIXES),
) -> JobResult:
    """Apply what fixes there are for a model; the main file of the result is named in full.

    Args:
        source: the original; only read.
        work: an empty folder on the same file system; holds the result.
        context: what the fixes need to know.
        samples: sets of the original's inputs, several of them different.
        tolerance: that counts as equal.
        names: of the fixes to try, in this order.

    Raises:
        InvalidInputError: the model cannot be read.
        OSError: the disk is full.
    """
    model = load(source)
    if model.bytes_ >= _MAPPED_FROM_BYTES and not model.data_files:
        model = _mapped(model, work / "original")
    expected, refusal = _originals(model.source, samples)
    fixing = _Fixing(model, expected, refusal, work, context, tolerance)
    for name in names:
        fixing.apply(FIXES[name])
    return fixing.finished()


def _mapped(model: Model, folder: Path) -> Model:
    """The same graph and weights with the weights in a file of their own.

    ONNX Runtime maps such a file instead of copying it, and every rewrite links to it.
    """
    folder.mkdir(parents=True)
    save(model, folder / MODEL_FILE, outside=True)
    return load(folder / MODEL_FILE)


def _originals(source: Path, samples: Sequence[Arrays]) -> tuple[list[ExpectedRun], str]:
    """The original's results; by onnx's reference where ONNX Runtime refuses every sample."""
    first = ""
    for runner in (OrtRunner, ReferenceRunner):
        try:
            found, refusal = expect(runner(source), samples)
        except RunRefusal as problem:
            found, refusal = [], str(problem)
        first = first or refusal
        if found:
            return found, ""
    return [], first or "there are no inputs for it"


@dataclass(slots=True)
class _Fixing:
    """The model as far as it is proven.

    Attributes:
        model: loaded.
        expected: what it must give, in its own terms; empty where the original does not run.
        refusal: why it does not.
        work: folder for results.
        context: what the fixes need to know.
        tolerance: that counts as equal.
        result: so far.
    """

    model: Model
    expected: list[ExpectedRun]
    refusal: str
    work: Path
    context: FixContext
    tolerance: Tolerance
    result: JobResult = field(default_factory=JobResult)

    def apply(self, fix: Fix) -> None:
        """Apply one fix in the first way that is proven; leave everything as it is otherwise."""
        failures: list[str] = []
        for attempt in range(fix.attempts):
            folder = self.work / f"{fix.name}-{attempt}"
            try:
                if self._attempt(fix, attempt, folder):
                    return
                break
            except (CannotFix, Unproven) as problem:
                failures.append(str(problem))
            except _ODD_GRAPH as problem:
                kind = type(problem).__name__
                failures.append(f"this graph is not understood: {kind}: {problem}")
            shutil.rmtree(folder, ignore_errors=True)
        if failures:
            self._add(Step(fix.name, StepKind.FIX, False, f"not proven: {failures[0]}"), fix)

    def _attempt(self, fix: Fix, attempt: int, folder: Path) -> bool:
        """Apply a fix in one way; whether there was anything to do.

        Raises:
            CannotFix, Unproven: it cannot be done, or does not give what the original gave.
        """
        graph = Graph(onnx().ModelProto())
        graph.proto.CopyFrom(self.model.proto)
        observed = {
            name: array.shape for one in self.expected[:1] for name, array in one.tensors.items()
        }
        rewrite = fix.rewrite(graph, replace(self.context, observed=observed, attempt=attempt))
        if rewrite is None:
            return False
        if self.refusal:
            raise Unproven(f"the original cannot be run: {self.refusal}")
        expected = [item.through(rewrite.adapter) for item in self.expected]
        graph.drop_unused()
        folder.mkdir(parents=True)
        path = folder / MODEL_FILE
        save(replace(self.model, proto=graph.proto), path)
        model = load(path)
        proof = self._prove(path, graph, expected, rewrite.claims_batch)
        before = self.result.model
        self.model, self.expected = model, expected
        self.result = replace(self.result, model=os.fspath(path), proof=proof)
        if rewrite.labels:
            labels, labels_of = rewrite.labels, rewrite.labels_of
            self.result = replace(self.result, labels=labels, labels_of=labels_of)
        renamed = dict(rewrite.renamed)
        self._add(Step(fix.name, StepKind.FIX, True, rewrite.reason, proof, renamed=renamed), fix)
        if before:
            shutil.rmtree(Path(before).parent)
        return True

    def _prove(self, path: Path, graph: Graph, expected: list[ExpectedRun], claims: bool) -> Proof:
        """The rewritten model against the original's results; row by row if it claims a batch.

        Raises:
            Unproven: it differs, or declares a shape that is not what comes out.
        """
        try:
            runner = OrtRunner(path)
        except RunRefusal as problem:
            raise Unproven(f"ONNX Runtime refuses the rewritten model: {problem}") from None
        comparison = compare(runner, expected, self.tolerance)
        _check_declared(graph, expected)
        if claims:
            compare_rows(runner, expected, comparison)
            return comparison.proof(rows_equal=True)
        rows_equal = rows_agree(runner, expected, self.tolerance) if _batched(graph) else None
        return comparison.proof(rows_equal)

    def _add(self, step: Step, fix: Fix) -> None:
        steps = (*self.result.steps, replace(step, cures=fix.codes))
        self.result = replace(self.result, steps=steps)

    def finished(self) -> JobResult:
        """The result, with what is known of its rows."""
        path = self.result.model
        if not path or not _batched(Graph(self.model.proto)):
            return self.result
        equal = rows_agree(OrtRunner(Path(path)), self.expected, self.tolerance)
        return replace(self.result, rows_equal=equal)


def _check_declared(graph: Graph, expected: Sequence[ExpectedRun]) -> None:
    for info in graph.outputs:
        dims = dims_of(info)
        for item in expected:
            array = item.tensors.get(info.name)
            if array is not None and dims is not None and not fits(dims, array.shape):
                raise Unproven(
                    f"output {info.name!r} declares {show_shape(dims)} and is {list(array.shape)}"
                )


def _batched(graph: Graph) -> bool:
    """Whether every input and output is a tensor with a dynamic first axis."""
    infos = [*graph.inputs, *graph.outputs]
    return all(
        is_tensor(info) and (dims := dims_of(info)) and is_dynamic(dims[0]) for info in infos
    )


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
    recipe = {"method": "fixes", **({"renamed": renamed} if renamed else {})}
    result = replace(fixed, details=(remark,) if remark else (), recipe=recipe)
    if not fixed.model:
        return result
    save(load(Path(fixed.model)), work / MODEL_FILE)
    return replace(result, model=MODEL_FILE)


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
            yield JobInput.declared(info.name, dtype, dims_of(plain) or ())


def _samples(job: ChildJob) -> tuple[list[Mapping[str, Array]], str]:
    """Seeded inputs, several rows of them where axis 0 is open, and some of the user's own.

    The user's samples may be made for the fixed model; the proof does without them then.
    """
    inputs = (*job.inputs, *_optional_inputs(Path(job.path)))
    samples = replace(job, inputs=inputs).seeded(_SEEDS)
    if inputs and all(item.dims and item.dims[0] == -1 for item in inputs):
        many = [item.recipe.with_rows(_ROWS) for item in inputs]
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
