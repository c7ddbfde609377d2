"""Applies fixes one after another and keeps those that are proven.

The original runs once on every sample. Each fix is then held against those results: after it, the
model must give what the original gave, in the fix's own terms. What is not proven is undone.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritongen.model.agreement import Tolerance
from tritongen.model.tensors import is_dynamic, show_shape
from tritongen.model.variants import Proof, Step, StepKind
from tritongen.optimize.fixes import FIXES, CannotFix, Fix, FixContext, Rewrite
from tritongen.optimize.libraries import onnx
from tritongen.optimize.onnx_files import Model, load, save
from tritongen.optimize.onnx_session import Arrays, OrtRunner, ReferenceRunner, RunRefusal
from tritongen.optimize.rewrite_proof import (
    Expected,
    Unproven,
    compare,
    compare_rows,
    expect,
    rows_agree,
)
from tritongen.optimize.rewritten_graph import Graph, dims_of, is_tensor

MODEL_FILE = "model.onnx"
_MAPPED_FROM = 256 * 2**20
# Faults of odd graphs that a rewrite did not foresee end that rewrite, not the run.
_ODD_GRAPH = (ValueError, KeyError, IndexError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Fixed:
    """What the fixes made of a model.

    Attributes:
        steps: every fix that had something to do.
        model: the fixed model file; None when no fix was applied.
        proof: of the result as a whole.
        labels: class names by index.
        labels_of: the output that they belong to.
        rows_equal: whether rows are independent of their neighbours, None without a batch axis.
    """

    steps: tuple[Step, ...]
    model: Path | None = None
    proof: Proof | None = None
    labels: tuple[str, ...] = ()
    labels_of: str = ""
    rows_equal: bool | None = None


@dataclass(slots=True)
class _State:
    """The model as far as it is proven."""

    model: Model
    expected: list[Expected]
    steps: list[Step] = field(default_factory=list)
    path: Path | None = None
    proof: Proof | None = None
    labels: tuple[str, ...] = ()
    labels_of: str = ""


def apply_fixes(
    source: Path,
    work: Path,
    context: FixContext,
    samples: Sequence[Arrays],
    tolerance: Tolerance,
    names: Iterable[str] = tuple(FIXES),
) -> Fixed:
    """Apply what fixes there are for a model.

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
    if model.bytes_ >= _MAPPED_FROM and not model.data_files:
        model = _mapped(model, work / "original")
    state = _State(model, [])
    state.expected, refusal = _originals(model.source, samples)
    for name in names:
        _try(
            FIXES[name],
            state,
            work,
            replace(context, observed=_observed(state)),
            tolerance,
            refusal,
        )
    rows_equal = None
    if state.path is not None and _batched(Graph(state.model.proto)):
        rows_equal = rows_agree(OrtRunner(state.path), state.expected, tolerance)
    return Fixed(
        tuple(state.steps), state.path, state.proof, state.labels, state.labels_of, rows_equal
    )


def _mapped(model: Model, folder: Path) -> Model:
    """The same graph and weights with the weights in a file of their own.

    ONNX Runtime maps such a file instead of copying it, and every rewrite links to it.
    """
    folder.mkdir(parents=True)
    save(model, folder / MODEL_FILE, outside=True)
    return load(folder / MODEL_FILE)


def _originals(source: Path, samples: Sequence[Arrays]) -> tuple[list[Expected], str]:
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


def _observed(state: _State) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the outputs as they came back, in the terms of the current model."""
    if not state.expected:
        return {}
    return {name: array.shape for name, array in state.expected[0].tensors.items()}


def _try(
    fix: Fix,
    state: _State,
    work: Path,
    context: FixContext,
    tolerance: Tolerance,
    refusal: str,
) -> None:
    """Apply one fix in the first way that is proven; leave the state as it is otherwise."""
    failures: list[str] = []
    for attempt in range(fix.attempts):
        graph = Graph(onnx().ModelProto())
        graph.proto.CopyFrom(state.model.proto)
        folder = work / f"{fix.name}-{attempt}"
        try:
            rewrite = fix.rewrite(graph, replace(context, attempt=attempt))
            if rewrite is None:
                break
            if refusal:
                raise Unproven(f"the original cannot be run: {refusal}")
            expected = [item.through(rewrite.adapter) for item in state.expected]
            model, path = _store(state.model, graph, folder)
            proof = _prove(path, graph, expected, rewrite, tolerance)
        except (CannotFix, Unproven) as problem:
            failures.append(str(problem))
            shutil.rmtree(folder, ignore_errors=True)
            continue
        except _ODD_GRAPH as problem:
            failures.append(f"this graph is not understood: {type(problem).__name__}: {problem}")
            shutil.rmtree(folder, ignore_errors=True)
            continue
        _advance(state, fix, rewrite, model, path, expected, proof)
        return
    if failures:
        reason = f"not proven: {failures[0]}"
        state.steps.append(Step(fix.name, StepKind.FIX, False, reason, cures=fix.codes))


def _advance(
    state: _State,
    fix: Fix,
    rewrite: Rewrite,
    model: Model,
    path: Path,
    expected: list[Expected],
    proof: Proof,
) -> None:
    before = state.path
    state.model, state.path, state.expected, state.proof = model, path, expected, proof
    if rewrite.labels:
        state.labels, state.labels_of = rewrite.labels, rewrite.labels_of
    state.steps.append(
        Step(
            fix.name,
            StepKind.FIX,
            True,
            rewrite.reason,
            proof,
            cures=fix.codes,
            renamed=dict(rewrite.renamed),
        )
    )
    if before is not None:
        shutil.rmtree(before.parent)


def _store(model: Model, graph: Graph, folder: Path) -> tuple[Model, Path]:
    graph.drop_unused()
    folder.mkdir(parents=True)
    path = folder / MODEL_FILE
    save(replace(model, proto=graph.proto), path)
    return load(path), path


def _prove(
    path: Path,
    graph: Graph,
    expected: Sequence[Expected],
    rewrite: Rewrite,
    tolerance: Tolerance,
) -> Proof:
    """The rewritten model against the original's results, row by row where it claims a batch.

    Raises:
        Unproven: it differs, or declares a shape that is not what comes out.
    """
    try:
        runner = OrtRunner(path)
    except RunRefusal as problem:
        raise Unproven(f"ONNX Runtime refuses the rewritten model: {problem}") from None
    comparison = compare(runner, expected, tolerance)
    _check_declared(graph, expected)
    if rewrite.claims_batch:
        compare_rows(runner, expected, comparison)
        return comparison.proof(rows_equal=True)
    rows_equal = rows_agree(runner, expected, tolerance) if _batched(graph) else None
    return comparison.proof(rows_equal)


def _check_declared(graph: Graph, expected: Sequence[Expected]) -> None:
    for info in graph.outputs:
        dims = dims_of(info)
        for item in expected:
            array = item.tensors.get(info.name)
            if array is None or dims is None:
                continue
            same = len(dims) == array.ndim and all(
                is_dynamic(dim) or dim == size for dim, size in zip(dims, array.shape, strict=True)
            )
            if not same:
                raise Unproven(
                    f"output {info.name!r} declares {show_shape(dims)} and is {list(array.shape)}"
                )


def _batched(graph: Graph) -> bool:
    """Whether every input and output is a tensor with a dynamic first axis."""
    infos = [*graph.inputs, *graph.outputs]
    return all(
        is_tensor(info) and (dims := dims_of(info)) and is_dynamic(dims[0]) for info in infos
    )
