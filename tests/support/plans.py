"""Hypothesis strategies for facts, intent and evidence."""

from hypothesis import strategies as st

from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Cost,
    ModelEvidence,
    ObservedTensor,
    Trial,
    Tuned,
)
from tritongen.model.facts import GraphShape, ModelFacts, ModelFormat
from tritongen.model.intent import ModelIntent
from tritongen.model.sequence_intent import SequenceControl, SequenceIntent, SequenceStrategy
from tritongen.model.tensors import DType, TensorSpec

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_./:-]{0,11}", fullmatch=True)
dims = st.one_of(st.integers(1, 512), st.sampled_from(["batch", "seq", "N"]), st.none())
shapes = st.lists(dims, max_size=4).map(tuple)


@st.composite
def specs(draw: st.DrawFn, batched: bool) -> TensorSpec:
    shape = draw(shapes)
    if batched:
        shape = ("batch", *shape)
    return TensorSpec(draw(names), draw(st.sampled_from(DType)), shape)


@st.composite
def facts(draw: st.DrawFn, name: str = "model") -> ModelFacts:
    batched = draw(st.booleans())
    tensors = st.lists(specs(batched), min_size=1, max_size=3, unique_by=lambda spec: spec.name)
    operators = draw(st.integers(1, 500))
    path = draw(st.integers(1, operators))
    return ModelFacts(
        name,
        f"{name}/model.onnx",
        ModelFormat.ONNX,
        inputs=tuple(draw(tensors)),
        outputs=tuple(draw(tensors)),
        weight_bytes=draw(st.integers(0, 2**33)),
        graph=GraphShape(operators, path, draw(st.integers(1, 20))),
    )


milliseconds = st.floats(0.01, 5000, allow_nan=False)


@st.composite
def trials(draw: st.DrawFn, model: ModelFacts) -> Trial:
    if draw(st.booleans()) and draw(st.booleans()):
        return Trial("onnxruntime 1.32.0", ok=False, code="TG201", error="no")
    threads = draw(st.lists(st.sampled_from([1, 2, 4, 8]), unique=True))
    costs = [Cost(1, count, draw(milliseconds)) for count in sorted({1, *threads})]
    costs += [Cost(size, 1, draw(milliseconds)) for size in (2, 4, 8, 16) if draw(st.booleans())]
    if draw(st.booleans()):
        costs.append(Cost(1, draw(st.sampled_from([1, 2])), draw(milliseconds), 0.0, 2))
    return Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=tuple(
            ObservedTensor(
                spec.name,
                spec.dtype or DType.FP32,
                tuple(dim if isinstance(dim, int) else 1 for dim in spec.shape or ()),
            )
            for spec in model.inputs
        ),
        proof=BatchProof(draw(st.sampled_from(BatchVerdict)), "because"),
        costs=tuple(costs),
        zeros_ok=draw(st.booleans()),
        peak_bytes=draw(st.integers(0, 2**32)),
    )


tunings = st.builds(
    Tuned,
    goal=st.just("throughput"),
    instances=st.integers(1, 16),
    threads=st.integers(1, 16),
    max_batch_size=st.sampled_from([0, 1, 8, 64]),
    queue_delay_us=st.one_of(st.none(), st.integers(0, 10_000)),
    inter_op=st.integers(1, 4),
)


@st.composite
def evidence(draw: st.DrawFn, model: ModelFacts) -> ModelEvidence:
    trial = draw(st.one_of(st.none(), trials(model)))
    return ModelEvidence((), trial, draw(st.one_of(st.none(), tunings)))


@st.composite
def intents(draw: st.DrawFn) -> ModelIntent:
    rate = draw(st.one_of(st.none(), st.floats(0.1, 10_000)))
    return ModelIntent(
        rate=rate,
        peak_rate=rate * 2 if rate and draw(st.booleans()) else None,
        latency_ms=draw(st.one_of(st.none(), st.floats(0.1, 2000))),
        request_batch=draw(st.sampled_from([1, 1, 4, 32])),
        batch=draw(st.sampled_from([None, None, True, False])),
        max_batch_size=draw(st.one_of(st.none(), st.sampled_from([0, 1, 8, 64]))),
        instances=draw(st.sampled_from([None, None, None, 1, 3, 20])),
        threads=draw(st.sampled_from([None, None, None, 1, 2, 7])),
        response_cache=draw(st.booleans()),
        versions=draw(st.one_of(st.none(), st.just((1, 3)))),
    )


@st.composite
def sequences(draw: st.DrawFn, model: ModelFacts) -> SequenceIntent | None:
    """States and controls of the model's own names, and of others, whether they fit or not."""
    if draw(st.integers(0, 3)):
        return None
    inputs = st.sampled_from([*(spec.name for spec in model.inputs), "absent"])
    outputs = st.sampled_from([*(spec.name for spec in model.outputs), "absent"])
    return SequenceIntent(
        state=draw(st.dictionaries(inputs, outputs, max_size=3)),
        controls=draw(st.dictionaries(st.sampled_from(SequenceControl), inputs, max_size=4)),
        strategy=draw(st.sampled_from(SequenceStrategy)),
        concurrent=draw(st.one_of(st.none(), st.integers(1, 10_000))),
        idle_ms=draw(st.one_of(st.none(), st.floats(1e-3, 1e7))),
    )


def warmup_lines(text: str) -> int:
    """Lines of a configuration from the comment on its warm-up samples to their end."""
    _, comment, rest = text.partition("\n# the first run of a batch size")
    block = rest.partition("\n\n")[0].rstrip("\n")
    return block.count("\n") + 1 if comment else 0
