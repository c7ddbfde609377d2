"""Outputs of two models on the same samples, scored in the user's metric."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tritongen.errors import InvalidInputError
from tritongen.model.intent import Metric
from tritongen.model.samples import Array
from tritongen.model.variants import Accuracy
from tritongen.optimize.accuracy import judge_drop, predicted, score
from tritongen.optimize.child_jobs import Gate, StageRefusal
from tritongen.optimize.onnx_session import Runner, RunRefusal
from tritongen.optimize.user_samples import Samples, call_function

Outputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Scale:
    """How outputs are scored.

    Attributes:
        metric: what is computed.
        output: of this output; empty for a callable, which sees all.
        truth: what the outputs are held against; None for a callable without labels.
        basis: the same in words.
    """

    metric: Metric
    output: str
    truth: Array | None
    basis: str


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Scores models on the same samples.

    Attributes:
        samples: to evaluate on.
        gate: the user's metric and threshold.
        data: whether the samples are the user's; generated ones give similarity only.
    """

    samples: Samples
    gate: Gate
    data: bool

    def outputs(self, runner: Runner) -> dict[str, Array]:
        """Every tensor output of every sample, joined along axis 0.

        Raises:
            StageRefusal: the runtime refuses a sample, or outputs cannot be joined.
        """
        collected: dict[str, list[Array]] = {}
        for index in range(self.samples.rows):
            try:
                values = runner.run(self.samples.run(index))
            except RunRefusal as problem:
                raise StageRefusal(f"sample {index} is refused: {problem}") from None
            for name, value in values.items():
                if isinstance(value, np.ndarray):
                    collected.setdefault(name, []).append(value)
        return {name: joined for name, a in collected.items() if (joined := _join(a)) is not None}

    def scale(self, original: Outputs) -> Scale:
        """The metric, the output and the truths.

        Raises:
            InvalidInputError: TG224, the metric does not fit outputs and labels.
        """
        labels = self.samples.labels
        if not self.data:
            return self._similarity(original, "the original's outputs on generated inputs")
        if self.gate.function:
            return Scale(Metric.CALLABLE, "", labels, "the labels" if labels is not None else "")
        metric = Metric(self.gate.metric) if self.gate.metric else _usual(labels)
        output = self.gate.output or _scored(original, metric, labels)
        if output not in original:
            raise InvalidInputError(
                "TG224",
                f"there is no output {output!r} to score",
                fix=f"Name one of {', '.join(original)} as `accuracy: {{output: NAME}}`.",
            )
        if labels is not None:
            return Scale(metric, output, labels, "the labels")
        if not metric.wants_classes:
            return Scale(metric, output, original[output], "the original's outputs")
        try:
            truth = predicted(original[output])
        except ValueError as fault:
            raise InvalidInputError("TG224", f"output {output!r}: {fault}") from None
        return Scale(metric, output, truth, "the original's own answers")

    @staticmethod
    def _similarity(original: Outputs, basis: str) -> Scale:
        output = _scored(original, Metric.COSINE)
        if original[output].dtype.kind == "f":
            return Scale(Metric.COSINE, output, original[output], basis)
        return Scale(Metric.TOP1, output, predicted(original[output]), basis)

    def accuracy(self, scale: Scale, original: Outputs, variant: Outputs) -> Accuracy:
        """Both scores and the verdict of the gate.

        Raises:
            InvalidInputError: TG223 the user's callable fails; TG224 the metric does not fit.
        """
        first, second = self._score(scale, original), self._score(scale, variant)
        return judge_drop(
            scale.metric,
            first,
            second,
            self.gate.max_drop,
            rows=self.samples.rows,
            basis=scale.basis,
            data=self.data,
        )

    def _score(self, scale: Scale, outputs: Outputs) -> float:
        if scale.metric is Metric.CALLABLE:
            return _call(self.gate, outputs, scale.truth)
        if scale.truth is None:
            raise InvalidInputError("TG224", "there is nothing to hold the outputs against")
        try:
            return score(scale.metric, outputs[scale.output], scale.truth)
        except ValueError as fault:
            raise InvalidInputError(
                "TG224", f"metric {scale.metric}, output {scale.output!r}: {fault}"
            ) from None


def _join(arrays: list[Array]) -> Array | None:
    """Outputs of all samples along axis 0; scalars become one entry each; None if sizes differ."""
    if arrays[0].ndim == 0:
        return np.stack(arrays)
    if len({array.shape[1:] for array in arrays}) != 1:
        return None
    return np.concatenate(arrays, axis=0)


def _usual(labels: Array | None) -> Metric:
    if labels is None:
        return Metric.COSINE
    return Metric.MAE if labels.dtype.kind == "f" else Metric.TOP1


def _scored(outputs: Outputs, metric: Metric, labels: Array | None = None) -> str:
    """The output to score where the user names none.

    For classes, an output with labels of the same kind as the user's comes first: the greatest
    score tells an index only, and classes need not be numbered.

    Raises:
        InvalidInputError: TG224, there is none that suits.
    """
    floats = [name for name, array in outputs.items() if array.dtype.kind == "f"]
    if metric.wants_classes:
        scores = [name for name in floats if outputs[name].ndim == 2 and outputs[name].shape[1] > 1]
        named = [name for name, a in outputs.items() if a.dtype.kind in "iuO" and a.ndim <= 2]
        text = labels is not None and labels.dtype.kind in "OSU"
        alike = [n for n in named if labels is not None and (outputs[n].dtype == object) == text]
        found = alike + scores + named + floats
    else:
        found = floats + [name for name in outputs if name not in floats]
    if not found:
        raise InvalidInputError("TG224", "no output has the same size for every sample")
    return found[0]


def _call(gate: Gate, outputs: Outputs, labels: Array | None) -> float:
    given = {name: array.copy() for name, array in outputs.items()}
    return call_function(
        gate.function, gate.folders, "TG223", lambda function: float(function(given, labels))
    )
