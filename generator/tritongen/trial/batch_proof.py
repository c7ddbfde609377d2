"""The proof of the batch axis: several different rows together against each row alone.

A row that comes out otherwise is looked at again in a batch of copies of itself. If the copies
differ from the single row too, the result depends on the position or on the number of rows: axis
0 is time, or something is computed along it. If they agree, the row changes with its neighbours.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritongen.model.agreement import TOLERANCES, Gap, Tolerance, gap, tells_apart, worst
from tritongen.model.evidence import BatchProof, BatchVerdict
from tritongen.model.input_values import default_values
from tritongen.model.samples import Array, InputRecipe, make_inputs, row, stack_rows
from tritongen.model.tensors import is_dynamic, show_shape
from tritongen.trial.child_request import Feed, TrialRequest
from tritongen.trial.runtime import LoadedModel, RuntimeRefusal
from tritongen.trial.sizes import shared_axis

ROWS = (1, 2, 3)
# Further seeds, each with three rows; coupling between rows need not show on the first ones.
_FURTHER_SEEDS = 3
# Rows of very different magnitude share one quantisation scale badly.
_SCALES = (1.0, 30.0, 0.03)
# A change by more than this share of the output is not the noise of a shared scale.
_SMALL_SHARE = 0.1

Outputs = Mapping[str, Array]


def obstacle(feeds: Sequence[Feed], batch: bool | None) -> BatchProof | None:
    """What rules a batch axis out before anything is run, None when nothing does."""
    if batch is False:
        return BatchProof(BatchVerdict.UNTESTED, "tritongen.yaml switches batching off")
    if not feeds:
        return _disproven("the model has no inputs, so a batch has nowhere to come from")
    for feed in feeds:
        if feed.shape is None:
            continue
        if not feed.shape:
            return _disproven(f"input {feed.name!r} is a scalar and has no batch axis")
        if not is_dynamic(feed.shape[0]):
            return _disproven(_fixed_axis(feed, feeds))
        if (axis := shared_axis(feed, feed.shape[0])) is not None:
            return _disproven(
                f"axis {axis} of input {feed.name!r} has the same size {feed.shape[0]!r} as axis "
                "0, so its rows are not independent"
            )
    return None


def _fixed_axis(feed: Feed, feeds: Sequence[Feed]) -> str:
    shape = feed.shape or ()
    text = f"axis 0 of input {feed.name!r} {show_shape(shape)} is fixed at {shape[0]}"
    for other in feeds:
        symbol = other.shape[0] if other.shape else None
        if other is not feed and (axis := shared_axis(feed, symbol)) is not None:
            return f"{text}; its rows ({symbol!r}) stand on axis {axis}"
    return text


def _disproven(reason: str) -> BatchProof:
    return BatchProof(BatchVerdict.DISPROVEN, reason)


class _Contradiction(Exception):  # noqa: N818  (a finding on its way up, not a failure)
    """Ends the proof: its arguments are those of `Prover._proof`."""


@dataclass(slots=True)
class Prover:
    """Runs the proof for one loaded model.

    Attributes:
        session: the loaded model.
        recipes: inputs of one row that ran.
        request: precision, seed and quantisation.
        deadline: `time.monotonic()` after which no further seed is begun.
        stage: told how many rows are about to run, so that a crash can be blamed on it.
        tested: batch sizes that were compared with single rows.
    """

    session: LoadedModel
    recipes: tuple[InputRecipe, ...]
    request: TrialRequest
    deadline: float
    stage: Callable[[int], None]
    tested: tuple[int, ...] = ()
    _worst: Gap | None = None
    _varied: bool = False
    _bound: int = 0

    def prove(self) -> BatchProof:
        """The verdict on axis 0 with its reason."""
        try:
            self._first_seed()
            for extra in range(1, _FURTHER_SEEDS + 1):
                if time.monotonic() > self.deadline:
                    break
                self._compare(self._rows(self.request.seed + extra), ROWS[-1:])
            if self._scalable() and time.monotonic() < self.deadline:
                self._compare_scaled()
        except _Contradiction as end:
            return self._proof(*end.args)
        if not self._varied:
            return self._proof(
                BatchVerdict.UNTESTED,
                "the outputs are the same for every input that was tried, so rows cannot be told "
                "apart; describe real values in tritongen.yaml",
                self._worst,
            )
        return self._proven()

    def prove_most(self) -> BatchProof:
        """The verdict after as many rows as max_batch_size will allow, once fewer have proven it.

        Three rows stand there again and again. Where the runtime refuses so many, as many as it
        takes, by halves; what would take too long is not run.
        """
        try:
            self._compare_most()
        except _Contradiction as end:
            return self._proof(*end.args)
        return self._proven()

    def _proven(self) -> BatchProof:
        difference = self._worst.difference if self._worst else 0.0
        more = "".join(f", and {count} rows together," for count in self.tested if count > ROWS[-1])
        bound = f"; the runtime takes no more than {self._bound} rows" if self._bound else ""
        proof = self._proof(
            BatchVerdict.PROVEN,
            f"1, 2 and 3 different rows of {self.request.values_from}{more} give what each row "
            f"gives alone (greatest difference {difference:.2g}){bound}",
            self._worst,
        )
        return replace(proof, bound=self._bound)

    def _proof(self, verdict: BatchVerdict, reason: str, found: Gap | None = None) -> BatchProof:
        """A proof after what was tested, with the gap that decided."""
        if found is None:
            return BatchProof(verdict, reason, self.tested)
        difference, allowed = float(f"{found.difference:.4g}"), float(f"{found.allowed:.4g}")
        return BatchProof(verdict, reason, self.tested, difference, allowed)

    @property
    def _tolerance(self) -> Tolerance:
        if self.request.dynamic_quantization:
            # The integer arithmetic is exact; what is looser than this is a shared scale.
            return Tolerance(1e-3, 1e-4)
        return TOLERANCES[self.request.precision]

    def _rows(self, seed: int) -> list[dict[str, Array]]:
        many = [recipe.with_rows(ROWS[-1]) for recipe in self.recipes]
        inputs = make_inputs(many, seed)
        return [row(inputs, index) for index in range(ROWS[-1])]

    def _first_seed(self) -> None:
        rows = self._rows(self.request.seed)
        if all(np.array_equal(rows[0][name], other[name]) for other in rows[1:] for name in other):
            raise _Contradiction(
                BatchVerdict.UNTESTED,
                "only equal rows could be fed; describe more values in tritongen.yaml",
            )
        self._compare(rows, ROWS)

    def _compare(self, rows: Sequence[Outputs], sizes: Sequence[int]) -> None:
        """Every batch of the first rows against the rows alone.

        Raises:
            _Contradiction: a result is beyond the tolerance, or has another shape.
        """
        singles = [self._run(item, 1) for item in rows]
        self._varied = self._varied or any(tells_apart(singles[0], item) for item in singles[1:])
        for count in sizes:
            self.stage(count)
            together = self._run(stack_rows(rows[:count]), count)
            self._hold(rows, singles, together, range(count))

    def _compare_most(self) -> None:
        rows = self._rows(self.request.seed)
        begun = time.monotonic()
        singles = [self._run(item, 1) for item in rows]
        row_s = (time.monotonic() - begun) / len(rows)
        least, most = ROWS[-1], self.request.most_rows
        while most > least:
            if time.monotonic() + most * row_s > self.deadline:
                most //= 2
                continue
            order = [index % len(rows) for index in range(most)]
            self.stage(most)
            together = stack_rows([rows[index] for index in order])
            try:
                outputs = self.session.run(together)
            except RuntimeRefusal:
                most = self._bound = max(least, most // 2)
                continue
            self._check_rows(outputs, most)
            self._hold(rows, singles, outputs, order)
            return

    def _hold(
        self,
        rows: Sequence[Outputs],
        singles: Sequence[Outputs],
        together: Outputs,
        order: Sequence[int],
    ) -> None:
        """A batch of rows in some order against the rows alone; raises _Contradiction."""
        gaps = self._gaps([singles[index] for index in order], together)
        known = [self._worst] if self._worst else []
        self._worst = max([*known, *gaps], key=lambda item: item.difference, default=None)
        self.tested = tuple(sorted({*self.tested, len(order)}))
        if (found := worst(gaps)) is not None and found.exceeds:
            raise self._explain(rows, singles, found, len(order))

    def _run(self, inputs: Outputs, count: int) -> Outputs:
        try:
            outputs = self.session.run(inputs)
        except RuntimeRefusal as refusal:
            if refusal.out_of_memory:
                raise _Contradiction(
                    BatchVerdict.UNTESTED, f"{_many(count)} need too much memory: {refusal.message}"
                ) from None
            verdict = BatchVerdict.UNTESTED if count == 1 else BatchVerdict.DISPROVEN
            raise _Contradiction(
                verdict, f"the runtime refuses {_many(count)}: {refusal.message}"
            ) from None
        self._check_rows(outputs, count)
        return outputs

    @staticmethod
    def _check_rows(outputs: Outputs, count: int) -> None:
        """Raises _Contradiction where an output has another number of rows."""
        for name, array in outputs.items():
            if array.ndim == 0:
                raise _Contradiction(
                    BatchVerdict.DISPROVEN, f"output {name!r} is a scalar, whatever the rows"
                )
            if array.shape[0] != count:
                raise _Contradiction(
                    BatchVerdict.DISPROVEN,
                    f"output {name!r} has {array.shape[0]} in axis 0 for {_many(count)}",
                )

    def _gaps(self, singles: Sequence[Outputs], together: Outputs) -> list[Gap]:
        gaps = []
        if any(single.keys() != together.keys() for single in singles):
            raise _Contradiction(
                BatchVerdict.DISPROVEN, "the number of responses differs between rows"
            )
        for name, array in together.items():
            for index, single in enumerate(singles):
                one = array[index : index + 1]
                if one.shape != single[name].shape:
                    raise _Contradiction(
                        BatchVerdict.DISPROVEN,
                        f"output {name!r} is {list(single[name].shape)} for one row and "
                        f"{list(array.shape)} for {_many(len(singles))}",
                    )
                gaps.append(gap(name, single[name], one, self._tolerance))
        return gaps

    def _explain(
        self, rows: Sequence[Outputs], singles: Sequence[Outputs], found: Gap, count: int
    ) -> _Contradiction:
        """Position, number of rows, or neighbours? Copies of each row tell."""
        for item, single in zip(rows[:count], singles, strict=False):
            copies = self._run(stack_rows([item] * count), count)
            gaps = self._gaps([single] * count, copies)
            beyond = [one for one in gaps if one.exceeds]
            if beyond:
                return _Contradiction(BatchVerdict.DISPROVEN, _positional(beyond, gaps), found)
        amount = _amount(found)
        if self.request.dynamic_quantization:
            reason = (
                f"output {found.output!r} of a row changes with the rows beside it ({amount}): "
                "the scales of its dynamic quantisation are shared by the batch"
            )
            return _Contradiction(BatchVerdict.COUPLED, reason, found)
        small = not found.exact and found.share <= _SMALL_SHARE
        verdict = BatchVerdict.COUPLED if small else BatchVerdict.DISPROVEN
        reason = f"output {found.output!r} of a row changes with the rows beside it ({amount})"
        return _Contradiction(verdict, reason, found)

    def _scalable(self) -> bool:
        return self.request.dynamic_quantization and any(map(_is_plain_float, self.recipes))

    def _compare_scaled(self) -> None:
        """Rows of very different magnitude, as far as each alone gives finite results."""
        rows = [
            {
                recipe.name: self._scaled(recipe, item[recipe.name], factor)
                for recipe in self.recipes
            }
            for item, factor in zip(self._rows(self.request.seed), _SCALES, strict=True)
        ]
        try:
            alone = [self.session.run(item) for item in rows]
        except RuntimeRefusal:
            # Such values are not the user's; a refusal says nothing of the batch axis.
            return
        if all(
            np.all(np.isfinite(a)) for item in alone for a in item.values() if a.dtype.kind == "f"
        ):
            self._compare(rows, ROWS[-1:])

    @staticmethod
    def _scaled(recipe: InputRecipe, array: Array, factor: float) -> Array:
        return (array * array.dtype.type(factor)) if _is_plain_float(recipe) else array


def _is_plain_float(recipe: InputRecipe) -> bool:
    """Whether the values are the tool's own choice of floats, free to be scaled."""
    return recipe.dtype.is_float and recipe.description == default_values("x", recipe.dtype)


def _many(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _amount(found: Gap) -> str:
    if found.exact:
        return f"{found.share:.0%} of its values"
    return f"by up to {found.difference:.2g}, {found.share:.1%} of its magnitude"


def _positional(beyond: list[Gap], gaps: list[Gap]) -> str:
    name = beyond[0].output
    of_output = [one for one in gaps if one.output == name]
    if all(one.exceeds for one in of_output):
        return f"output {name!r} of a row changes with the number of rows, even of equal ones"
    return (
        f"output {name!r} of a row depends on its position among equal rows: axis 0 is time, or "
        "something is computed along it"
    )
