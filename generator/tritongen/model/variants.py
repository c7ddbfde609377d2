"""Variants of a model: what was done to it, the proof of each step, and which one is worth serving.

A variant lives beside the original, which is never changed. Its record goes into a JSON file next
to its model file, and into the lock when it is the one that is served. What each fix is for stands
here, apart from the fixes themselves, which need numpy and take their time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tritongen.model.counting import counted

VARIANTS_FOLDER = ".variants"
RECORD_FILE = "variant.json"
# The record of one that was judged and not kept.
REFUSED_FILE = "refused.json"
LABELS_FILE = "labels.txt"
# The name by which a user asks for the model as it is.
ORIGINAL = "original"
# The variant with every fix that is proven.
FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class FixPurpose:
    """What a fix is for.

    Attributes:
        fix: its name.
        codes: findings that it may remove; empty for one that is asked for by name only.
        summary: what it does, a clause.
        moves_axes: whether clients must send or read their tensors in another layout.
    """

    fix: str
    codes: tuple[str, ...]
    summary: str
    moves_axes: bool = False


# In the order in which the fixes are tried: each finds the graph as the ones before left it.
FIX_PURPOSES: Mapping[str, FixPurpose] = {
    purpose.fix: purpose
    for purpose in (
        FixPurpose("label_indices", (), "text labels become indices"),
        FixPurpose("zipmap", ("TG110",), "maps of a classifier become scores"),
        FixPurpose("optional", ("TG111",), "optional values become tensors"),
        FixPurpose("sequence", ("TG110",), "sequences become tensors"),
        FixPurpose("names", ("TG116",), "unusable names are replaced"),
        FixPurpose("sizes", ("TG128",), "sizes below 1 become dynamic"),
        FixPurpose("ranks", ("TG121", "TG207"), "outputs declare their true shape"),
        FixPurpose("batch_first", ("TG205",), "the batch axis moves to the front", moves_axes=True),
        FixPurpose("free_batch", ("TG122", "TG205"), "a fixed batch axis follows the request"),
        FixPurpose("scalars", ("TG115",), "scalars get one axis"),
        FixPurpose("opset", ("TG118", "TG132"), "the opset suits the target"),
        FixPurpose("ir_version", ("TG117",), "the IR version suits the target"),
    )
}


def fixes_for(code: str) -> tuple[FixPurpose, ...]:
    """The fixes that may remove a finding, in the order in which they are tried."""
    return tuple(purpose for purpose in FIX_PURPOSES.values() if code in purpose.codes)


class StepKind(StrEnum):
    """What a step is about."""

    FIX = "fix"
    GRAPH = "graph"
    QUANTIZE = "quantize"
    HALF = "half"
    PARALLEL = "parallel"
    ACCELERATOR = "accelerator"
    CONVERT = "convert"


class Verdict(StrEnum):
    """What became of a variant, by proof and measurement."""

    ACCEPTED = "accepted"
    # The metric lost more than the threshold.
    REFUSED = "refused"
    # Within the threshold, and slower than the original.
    SLOWER = "slower"
    # Within the threshold, and the interval of its speed-up holds 1.
    NO_GAIN = "no_gain"
    # No evaluation data: never chosen by the tool.
    UNGATED = "ungated"
    # It is meant for a device that this machine lacks.
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True)
class Proof:
    """Both models on the same inputs.

    Attributes:
        inputs: sets of inputs that were compared.
        max_abs_diff: greatest absolute difference of any output.
        tolerance: absolute part of the tolerance that was applied where that difference arose.
        rows_equal: whether several rows together give what each gives alone; None where no batch
            axis is claimed.
    """

    inputs: int
    max_abs_diff: float
    tolerance: float
    rows_equal: bool | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, or looked at and left.

    Attributes:
        name: of the rewrite or measurement, such as ``zipmap``.
        kind: what it is about.
        applied: whether the result is kept.
        reason: one sentence, with the numbers where it rests on any.
        proof: None where nothing was run.
        cures: codes of the findings that it removes.
        renamed: new name by old name, of inputs and outputs.
        overlay: fields of ModelConfig that go with it, as in `overlay:` of tritongen.yaml.
    """

    name: str
    kind: StepKind
    applied: bool
    reason: str
    proof: Proof | None = None
    cures: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    overlay: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a variant costs in the user's metric.

    Attributes:
        metric: its name.
        original: of the original model; None where it is not a finite number.
        variant: of the variant, likewise.
        drop: how much worse the variant is; see `tritongen.optimize.accuracy.drop`; None where that
            has no bound.
        threshold: greatest drop accepted.
        accepted: whether the drop is within the threshold, on data of the user's.
        rows: rows that were evaluated.
        basis: what the outputs were held against.
    """

    metric: str
    original: float | None
    variant: float | None
    drop: float | None
    threshold: float
    accepted: bool
    rows: int = 0
    basis: str = ""

    @property
    def scores(self) -> str:
        """The metric of both: ``top1 0.98 → 0.97``."""
        return f"{self.metric} {score_text(self.original)} → {score_text(self.variant)}"

    @property
    def loss(self) -> str:
        """The drop in words."""
        return "a loss without bound" if self.drop is None else f"a loss of {self.drop:.3g}"


def score_text(score: float | None) -> str:
    """A metric's value for people."""
    return "not a finite number" if score is None else f"{score:.4g}"


@dataclass(frozen=True, slots=True)
class Speedup:
    """Time of the original divided by time of the variant, from paired runs.

    Attributes:
        value: median of the pairs' ratios; above 1 the variant is faster.
        low: lower end of its interval at 95 %.
        high: upper end.
        batch: rows in an execution.
        threads: intra-op threads of both.
        pairs: pairs that were run.
        original_ms: median milliseconds of the original.
    """

    value: float
    low: float
    high: float
    batch: int = 1
    threads: int = 1
    pairs: int = 0
    original_ms: float = 0.0

    def __str__(self) -> str:
        return f"×{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Variant:
    """A rewritten model beside its original.

    Attributes:
        name: unique among the model's variants; also the name of its folder.
        model: the original's name.
        path: main file, relative to the models folder, with ``/``; empty when it was not kept.
        files: (path relative to the variant's folder, sha256), main file first.
        sources: the original's files and hashes for which it holds, as in `ModelEvidence.files`.
        size_bytes: of all its files.
        steps: what was done, in order.
        recipe: settings, by name, in words and numbers.
        verdict: what became of it.
        reason: of the verdict, one sentence.
        accuracy: None for a rewrite that is proven equal.
        speedup: at the point that the verdict rests on; None where nothing was measured.
        speedups: at every point.
        rows_equal: whether rows are independent of their neighbours; None where not tried.
        labels: class names by index, for the output named `labels_of`.
        labels_of: output that `labels` belong to.
    """

    name: str
    model: str
    path: str
    files: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    size_bytes: int = 0
    steps: tuple[Step, ...] = ()
    recipe: Mapping[str, object] = field(default_factory=dict)
    verdict: Verdict = Verdict.UNGATED
    reason: str = ""
    accuracy: Accuracy | None = None
    speedup: Speedup | None = None
    speedups: tuple[Speedup, ...] = ()
    rows_equal: bool | None = None
    labels: tuple[str, ...] = ()
    labels_of: str = ""

    @property
    def folder(self) -> str:
        """Its folder, relative to the models folder."""
        return f"{VARIANTS_FOLDER}/{self.model}/{self.name}"

    @property
    def cured(self) -> frozenset[str]:
        """Codes of the original's findings that its steps remove."""
        return frozenset(code for step in self.steps if step.applied for code in step.cures)

    @property
    def moved(self) -> tuple[str, ...]:
        """What it does, after which clients must send or read another layout, in sentences."""
        return tuple(
            f"{step.reason} ({step.name})"
            for step in self.steps
            if step.applied and step.name in FIX_PURPOSES and FIX_PURPOSES[step.name].moves_axes
        )

    @property
    def kept(self) -> bool:
        """Whether its files were kept."""
        return bool(self.path)


def judge(
    accuracy: Accuracy | None,
    speedup: Speedup | None,
    *,
    data: bool,
    device: str = "",
    forfeit: float = 1.0,
) -> tuple[Verdict, str]:
    """The verdict on a quantised variant with its reason.

    Args:
        accuracy: measured loss, None when it could not be evaluated.
        speedup: at the point that counts, None when it was not measured.
        data: whether the loss was measured on the user's data.
        device: that it is meant for, when this machine lacks it.
        forfeit: what batching gains the original and cannot gain the variant, because its rows
            change with their neighbours; 1 when nothing is lost.
    """
    if accuracy is None or not data:
        return Verdict.UNGATED, (
            "there are no evaluation data, so it is offered and never chosen by the tool"
        )
    loss = accuracy.scores
    if not accuracy.accepted:
        return Verdict.REFUSED, f"{loss}: {accuracy.loss}, more than {accuracy.threshold:g}"
    if device:
        return Verdict.NOT_MEASURED, f"{loss}; meant for {device}, which this machine lacks"
    if speedup is None:
        return Verdict.NO_GAIN, f"{loss}; its speed was not measured"
    where = f"{speedup}, {counted(speedup.batch, 'row')} on {counted(speedup.threads, 'thread')}"
    if speedup.high < 1.0:
        return Verdict.SLOWER, f"{loss}, and slower: {where}"
    if speedup.low <= 1.0:
        return Verdict.NO_GAIN, f"{loss}; no measurable difference in speed: {where}"
    if speedup.low <= forfeit:
        return Verdict.NO_GAIN, (
            f"{loss}; {where}, but its rows change with their neighbours, and batching alone gives "
            f"the original ×{forfeit:.2f}"
        )
    return Verdict.ACCEPTED, f"{loss}; faster: {where}"


def choose(variants: Iterable[Variant]) -> str | None:
    """The variant to serve: the fastest accepted one; None keeps the original."""
    accepted = [item for item in variants if item.verdict is Verdict.ACCEPTED and item.kept]
    if not accepted:
        return None
    return max(accepted, key=lambda item: item.speedup.value if item.speedup else 1.0).name


def gate_missed(variants: Iterable[Variant]) -> bool:
    """Whether variants were held against the gate and none of them passed it."""
    gated = [
        item
        for item in variants
        if item.accuracy is not None and item.verdict is not Verdict.UNGATED
    ]
    return bool(gated) and all(item.verdict is Verdict.REFUSED for item in gated)
