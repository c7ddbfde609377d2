"""The proof of a rewrite: both models on the same inputs, and every row alone and among others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritongen.model.agreement import Gap, Tolerance, gap, tells_apart
from tritongen.model.samples import Array, row, stack_rows
from tritongen.model.variants import Proof
from tritongen.optimize.onnx_session import Arrays, Runner, RunRefusal, Value, Values

ROWS = (1, 2, 3)


class Unproven(Exception):  # noqa: N818  (a verdict on its way up, not a failure)
    """The rewritten model does not do what the original does; the message says where."""


class Indistinct(Unproven):
    """Rows cannot be told apart, so nothing can be said of them."""


def tensors_only(values: Values) -> dict[str, Array]:
    """Outputs that are arrays; containers are left out."""
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, slots=True)
class Adapter:
    """How inputs and outputs of the original become those of the rewritten model.

    Attributes:
        inputs: the rewritten model's inputs from the original's.
        outputs: what the rewritten model must give, from what the original gave; values of other
            kinds pass through.
    """

    inputs: Callable[[Arrays], dict[str, Array]] = dict
    outputs: Callable[[Values], dict[str, Value]] = dict


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """One set of inputs and what must come out, in the rewritten model's terms."""

    inputs: Arrays
    outputs: Values

    def through(self, adapter: Adapter) -> "ExpectedRun":
        """The same in the terms of a further rewrite."""
        return ExpectedRun(adapter.inputs(self.inputs), adapter.outputs(self.outputs))

    @property
    def tensors(self) -> dict[str, Array]:
        """Outputs that are arrays."""
        return tensors_only(self.outputs)


@dataclass(slots=True)
class OutputComparison:
    """Differences as they are found.

    Attributes:
        tolerance: that applies to every output.
        worst: the gap with the greatest difference so far.
        sets: input sets compared.
    """

    tolerance: Tolerance
    worst: Gap | None = None
    sets: int = 0

    def add(self, expected: Arrays, actual: Values, where: str) -> None:
        """Compare the tensors of two results.

        Raises:
            Unproven: an output is missing, has another shape or type, or differs.
        """
        self.sets += 1
        for name, wanted in expected.items():
            got = actual.get(name)
            if not isinstance(got, np.ndarray):
                raise Unproven(f"output {name!r} is missing {where}")
            if got.shape != wanted.shape or _kind(got) != _kind(wanted):
                raise Unproven(
                    f"output {name!r} is {_describe(got)} {where}, not {_describe(wanted)}"
                )
            found = gap(name, wanted, got, self.tolerance)
            if self.worst is None or found.difference > self.worst.difference:
                self.worst = found
            if found.exceeds:
                raise Unproven(
                    f"output {name!r} differs by {found.difference:.3g} {where}, more than "
                    f"{found.allowed:.3g}"
                )

    def proof(self, rows_equal: bool | None) -> Proof:
        """The proof, once nothing differed."""
        worst = self.worst
        return Proof(
            inputs=self.sets,
            max_abs_diff=float(f"{worst.difference:.4g}") if worst else 0.0,
            tolerance=float(f"{worst.allowed:.4g}") if worst else 0.0,
            rows_equal=rows_equal,
        )


def _kind(array: Array) -> str:
    return "O" if array.dtype.kind in "OSU" else str(array.dtype)


def _describe(array: Array) -> str:
    kind = "text" if _kind(array) == "O" else str(array.dtype)
    return f"{kind} {list(array.shape)}"


def expect(original: Runner, samples: Sequence[Arrays]) -> tuple[list[ExpectedRun], str]:
    """What the original gives; samples that it refuses are left out.

    Returns:
        The expectations, and the original's first refusal, empty when there was none.
    """
    found: list[ExpectedRun] = []
    refusal = ""
    for sample in samples:
        try:
            given = original.run(sample)
        except RunRefusal as problem:
            refusal = refusal or str(problem)
            continue
        found.append(ExpectedRun(sample, given))
    return found, refusal


def compare(
    rewritten: Runner, expected: Sequence[ExpectedRun], tolerance: Tolerance
) -> OutputComparison:
    """The rewritten model on every expectation.

    Raises:
        Unproven: it refuses one, or an output differs.
    """
    comparison = OutputComparison(tolerance)
    for item in expected:
        comparison.add(item.tensors, _run(rewritten, item.inputs, ""), "on the same inputs")
    return comparison


def compare_rows(
    rewritten: Runner, expected: Sequence[ExpectedRun], comparison: OutputComparison
) -> None:
    """Each row alone, then several different rows together.

    Args:
        rewritten: the model with a batch axis 0 on every input and output.
        expected: of one or more rows each.
        comparison: collects the differences.

    Raises:
        Unproven: the model refuses a number of rows, or a row comes out otherwise.
    """
    rows = single_rows(expected)
    if len(rows) < ROWS[-1]:
        raise Indistinct(f"only {len(rows)} different rows could be fed, too few for a proof")
    first = rows[0].tensors
    # Rows that differ from the first one stand beside it.
    rows[1:] = sorted(rows[1:], key=lambda item: not tells_apart(first, item.tensors))
    if not tells_apart(first, rows[1].tensors):
        raise Indistinct(
            "the outputs are the same for every input that was tried, so rows cannot be told "
            "apart; give real inputs with --data"
        )
    for count in ROWS:
        inputs = stack_rows([dict(item.inputs) for item in rows[:count]])
        outputs = stack_rows([item.tensors for item in rows[:count]])
        where = "for 1 row" if count == 1 else f"for {count} rows together"
        comparison.add(outputs, _run(rewritten, inputs, where), where)


def single_rows(expected: Sequence[ExpectedRun]) -> list[ExpectedRun]:
    """Every expectation cut along axis 0; all must have the shape of the first.

    Raises:
        Unproven: an input or output has another number of rows than the others.
    """
    rows: list[ExpectedRun] = []
    for item in expected:
        arrays = (*item.inputs.values(), *item.tensors.values())
        sizes = {array.shape[0] if array.ndim else -1 for array in arrays}
        if len(sizes) != 1 or -1 in sizes:
            raise Unproven("inputs and outputs do not have the same number of rows")
        for index in range(sizes.pop()):
            one = ExpectedRun(row(item.inputs, index), dict(row(item.tensors, index)))
            if not rows or _shapes(one) == _shapes(rows[0]):
                rows.append(one)
    return rows


def _shapes(item: ExpectedRun) -> list[tuple[int, ...]]:
    return [array.shape for array in (*item.inputs.values(), *item.tensors.values())]


def _run(runner: Runner, inputs: Arrays, where: str) -> Values:
    try:
        return runner.run(inputs)
    except RunRefusal as problem:
        raise Unproven(f"ONNX Runtime refuses the rewritten model {where}: {problem}") from None


def rows_agree(
    rewritten: Runner, expected: Sequence[ExpectedRun], tolerance: Tolerance
) -> bool | None:
    """Whether rows come out the same alone and among others, by the model's own results.

    None where the rows at hand cannot be told apart.
    """
    try:
        own = [
            replace(item, outputs=dict(tensors_only(_run(rewritten, item.inputs, ""))))
            for item in single_rows(expected)[: ROWS[-1]]
        ]
        compare_rows(rewritten, own, OutputComparison(tolerance))
    except Indistinct:
        return None
    except Unproven:
        return False
    return True
