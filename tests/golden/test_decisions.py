"""What the planner decides for invented models, each decision with its reason, reviewed as text.

`test_config.py` holds whole configurations; here stand many small differences beside each other: a
rate a little higher, a time a little shorter, one core less.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path

import pytest

from tritongen.intent.reader import parse_intent
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import (
    AxisProof,
    AxisVerdict,
    BatchProof,
    BatchVerdict,
    Cost,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Served,
    ServedRate,
    Trial,
    Tuned,
)
from tritongen.model.facts import GraphShape, ModelFacts, ModelFormat, PythonFacts
from tritongen.model.findings import Finding
from tritongen.model.graph_work import GraphWork, Work
from tritongen.model.serving_plan import Planned, Reason, ServingPlan
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving

DECISIONS = Path(__file__).parent / "decisions"
ROW = TensorSpec("x", DType.FP32, ("n", 4))
FACTS = ModelFacts(
    "m", "m/model.onnx", ModelFormat.ONNX, inputs=(ROW,),
    outputs=(TensorSpec("y", DType.FP32, ("n", 2)),), weight_bytes=40 << 20,
)  # fmt: skip
PROVEN = BatchProof(BatchVerdict.PROVEN, "equal row by row")


def trial(
    ms: float = 4.0,
    item: float = 0.5,
    spread: float = 0.02,
    threads: Mapping[int, float] | None = None,
    **changes: object,
) -> Trial:
    """A row takes `ms` alone; in a batch each further one that share of it."""
    costs = [Cost(n, 1, round(ms * (1 + item * (n - 1)), 4), spread) for n in (1, 2, 4, 8, 16)]
    costs += [Cost(1, count, time, spread) for count, time in (threads or {}).items()]
    seen = (ObservedTensor("x", DType.FP32, (1, 4)),)
    values: dict[str, object] = {
        "inputs": seen, "proof": PROVEN, "costs": tuple(costs), "zeros_ok": True,
        "peak_bytes": 100 << 20, "declared": (), "cpu": "a CPU",
    }  # fmt: skip
    return Trial("onnxruntime 1.28.0", ok=True, **{**values, **changes})  # type: ignore[arg-type]  # fields of it


def bound(verdict: BatchVerdict, rows: int = 0) -> BatchProof:
    return BatchProof(verdict, "for a test", (1, 2), 0.25, 1e-5, rows)


def tuned(wanted: str | None = "", cores: int = 4, **changes: object) -> Tuned:
    numbers = {"throughput_per_s": 500.0, "p99_us": 9000.0, "rounds": 3.0, "candidates": 5.0}
    values: dict[str, object] = {
        "goal": "throughput", "instances": 2, "threads": 2, "max_batch_size": 8,
        "queue_delay_us": 500, "numbers": numbers, "cores": cores, "wanted": wanted,
    }  # fmt: skip
    return Tuned(**{**values, **changes})  # type: ignore[arg-type]  # fields of it


SERVED = Served(
    4.0, "a CPU", (Cost(1, 2, 3.0, 0.1), Cost(8, 2, 10.0, 0.1)), 0.1, 0.2, 0.1, wake_ms=0.05,
    stall_ms=5.0, stalls_per_s=0.5, rates=(ServedRate(100.0, 500, ((50.0, 4.0), (99.0, 12.0))),),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One model, or several of the same facts, and what is wanted of them."""

    intent: str = ""
    trial: Trial | None = field(default_factory=trial)
    cores: float = 4
    facts: ModelFacts = FACTS
    tuned: Tuned | None = None
    served: Served | None = None
    others: Mapping[str, Trial | None] = field(default_factory=dict)

    def plan(self) -> ServingPlan:
        document = parse_intent(self.intent, "")
        assert document.faults == ()
        own = ModelEvidence((), self.trial, self.tuned, self.served)
        known = {"m": own, **{name: ModelEvidence((), one) for name, one in self.others.items()}}
        models = [self.facts, *(replace(FACTS, name=name) for name in self.others)]
        cores = budget_of_limit(self.cores)
        return plan_serving(models, document.intent, Evidence(known), cores)


def told(value: object, place: str) -> Iterator[str]:
    """Every decision and finding below a value, one a line."""
    if isinstance(value, Planned):
        shown = value.value.value if isinstance(value.value, Enum) else value.value
        yield f"{place} = {shown} [{value.reason.source}] {value.reason.sentence}"
        yield from _numbers(value.reason)
    elif isinstance(value, Reason):
        yield f"{place}: [{value.source}] {value.sentence}"
        yield from _numbers(value)
    elif isinstance(value, Finding):
        yield f"{value.severity} {value.code} {value.model}: {value.message} → {value.fix}"
    elif is_dataclass(value):
        for item in fields(value):
            yield from told(getattr(value, item.name), f"{place}.{item.name}".strip("."))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from told(inner, f"{place}.{name}")
    elif isinstance(value, tuple) and any(
        is_dataclass(one) or isinstance(one, tuple) for one in value
    ):
        for number, inner in enumerate(value):
            yield from told(inner, f"{place}[{number}]")
    elif value not in (None, (), "", False):
        yield f"{place} {value}"


def _numbers(reason: Reason) -> Iterator[str]:
    if reason.numbers:
        short = (
            f"{k} {float(f'{v:.6g}') if isinstance(v, float) and math.isfinite(v) else v}"
            for k, v in reason.numbers
        )
        yield f"    {', '.join(short)}"


def goal(text: str) -> str:
    return f"models: {{m: {{{text}}}}}"


BUSY = "rate: 400, latency: 100ms"
BATCHING: dict[str, Case] = {
    "gains too little": Case(trial=trial(item=0.9)),
    "just noise": Case(trial=trial(item=0.87, spread=0.09)),
    "just beyond noise": Case(trial=trial(item=0.86, spread=0.01)),
    "very noisy": Case(trial=trial(item=0.6, spread=3.0)),
    "no costs": Case(trial=trial(costs=())),
    "on samples": Case(trial=trial(declared=("samples: ab",))),
    "busy": Case(goal(BUSY)),
    "idle": Case(goal("rate: 20, latency: 100ms")),
    "rate alone": Case(goal("rate: 400")),
    "goal alone": Case(goal("latency: 100ms")),
    "peak counts": Case(goal("rate: {average: 20, peak: 400}, latency: 100ms")),
    "batches beyond the goal": Case(goal("rate: 400, latency: 16ms")),
    "batches just within the goal": Case(goal("rate: 400, latency: 20ms")),
    "no batch fits the goal": Case(goal("rate: 400, latency: 11ms")),
    "rejects": Case(goal(f"{BUSY}, overload: reject")),
    "rows of clients": Case(goal("request_batch: 12")),
    "many rows of clients": Case(goal("request_batch: {typical: 2, max: 64}")),
    "limit": Case(goal("max_batch_size: 4")),
    "limit of one": Case(goal("max_batch_size: 1")),
    "limit of none": Case(goal("max_batch_size: 0")),
    "forbidden": Case(goal("batch: false")),
    "demanded": Case(goal("batch: true"), trial=None),
    "demanded, disproven": Case(
        goal("batch: true"), trial=trial(proof=bound(BatchVerdict.DISPROVEN))
    ),
    "disproven": Case(trial=trial(proof=bound(BatchVerdict.DISPROVEN))),
    "coupled": Case(goal("request_batch: 4"), trial=trial(proof=bound(BatchVerdict.COUPLED))),
    "untested": Case(trial=trial(proof=bound(BatchVerdict.UNTESTED))),
    "not tried": Case(trial=None),
    "failed": Case(trial=Trial("onnxruntime 1.28.0", ok=False, error="no kernel")),
    "refuses rows": Case(trial=trial(proof=bound(BatchVerdict.PROVEN, 4))),
    "fixed first axis": Case(
        facts=replace(FACTS, inputs=(TensorSpec("x", DType.FP32, (1, 4)),)), trial=None
    ),
    "fixed output": Case(
        facts=replace(FACTS, outputs=(TensorSpec("y", DType.FP32, (1, 2)),)), trial=trial()
    ),
    "python sets none": Case(
        facts=replace(FACTS, format=ModelFormat.PYTHON, python=PythonFacts(max_batch_size=0))
    ),
    "python sets some": Case(
        facts=replace(FACTS, format=ModelFormat.PYTHON, python=PythonFacts(max_batch_size=3))
    ),
    "openvino": Case(facts=replace(FACTS, format=ModelFormat.OPENVINO)),
    "forest": Case(facts=replace(FACTS, format=ModelFormat.XGBOOST_JSON), trial=None),
    "axis alone": Case(facts=replace(FACTS, outputs=(TensorSpec("y", DType.INT64, ("n",)),))),
    "scalar": Case(facts=replace(FACTS, outputs=(TensorSpec("y", DType.FP32, ()),)), trial=None),
    "axis held": Case(
        facts=replace(FACTS, inputs=(TensorSpec("x", DType.FP32, ("n", "seq")),)),
        trial=trial(
            axes=(AxisProof("x", 1, "seq", AxisVerdict.FIXED, 4, (4, 5), "refused", True),)
        ),
    ),
    "no zeros": Case(trial=trial(zeros_ok=False)),
    "odd trial": Case(
        trial=trial(
            deterministic=False, mismatches=("y is [1, 3]",), code="TG203", error="too large"
        )
    ),
}  # fmt: skip
SPLITS: dict[str, Case] = {
    "fits the goal": Case(goal("latency: 8ms"), trial=trial(4.0)),
    "needs threads": Case(goal("latency: 7.9ms"), trial=trial(4.0, threads={2: 2.5, 4: 1.5})),
    "needs more threads": Case(goal("latency: 4ms"), trial=trial(4.0, threads={2: 2.5, 4: 1.5})),
    "threads are too few": Case(goal("latency: 2ms"), trial=trial(4.0, threads={2: 2.5, 4: 1.5})),
    "goal below one execution": Case(goal("latency: 1ms"), trial=trial(4.0, threads={2: 2.5})),
    "threads beyond the cores": Case(
        goal("latency: 4ms"), trial=trial(4.0, threads={2: 2.5, 4: 1.5}), cores=2
    ),
    "instances fixed": Case(goal("instances: 2")),
    "instances do not divide": Case(goal("instances: 3")),
    "more instances than cores": Case(goal("instances: 5")),
    "threads fixed": Case(goal("threads: 3")),
    "more threads than cores": Case(goal("threads: 5")),
    "both fixed": Case(goal("threads: 2, instances: 2")),
    "rate decides": Case(goal("rate: 100")),
    "rate too high": Case(goal("rate: 3000")),
    "rate just too high": Case(goal("rate: 1600")),
    "server itself is busy": Case(goal("rate: 30000"), trial=trial(0.1, 0.1)),
    "rows pay each": Case(goal("rate: 300, request_batch: 8")),
    "little memory": Case(
        f"target: {{memory: 1GiB}}\n{goal('rate: 9')}", trial=trial(peak_bytes=300 << 20)
    ),
    "less memory": Case("target: {memory: 300MiB}", trial=trial(peak_bytes=300 << 20)),
    "memory, threads fixed": Case(
        f"target: {{memory: 600MiB}}\n{goal('threads: 1')}", trial=trial(peak_bytes=200 << 20)
    ),
    "memory, instances fixed": Case(
        f"target: {{memory: 300MiB}}\n{goal('instances: 4')}", trial=trial(peak_bytes=300 << 20)
    ),
    "side by side": Case(
        facts=replace(FACTS, graph=GraphShape(40, 10, 4)),
        trial=trial(costs=(Cost(1, 1, 4.0), Cost(1, 2, 2.5), Cost(1, 1, 2.0, 0.0, 2))),
    ),
    "side by side is no faster": Case(
        facts=replace(FACTS, graph=GraphShape(40, 10, 4)),
        trial=trial(costs=(Cost(1, 1, 4.0), Cost(1, 2, 2.5), Cost(1, 1, 2.45, 0.0, 2))),
    ),
    "cache and versions": Case(goal("response_cache: true, versions: [1, 3]")),
    "two, one busier": Case(
        "models: {m: {rate: 300}, other: {rate: 100}}", others={"other": trial(4.0)}, cores=6
    ),
    "two, one slower": Case("models: {m: {rate: 100}}", others={"other": trial(12.0)}, cores=6),
    "two, one fixed": Case("models: {m: {instances: 1}}", others={"other": trial()}, cores=5),
    "as many as cores": Case(others={"a": trial(), "b": None, "c": trial()}),
    "more than cores": Case(others={"a": trial(), "b": None, "c": trial()}, cores=3),
    "more than cores, fixed": Case(
        goal("threads: 2"), others={"a": trial(), "b": trial()}, cores=3
    ),
    "callers hold nothing": Case(
        facts=replace(FACTS, format=ModelFormat.PYTHON, python=PythonFacts(callees=("a", "lost"))),
        others={"a": trial(), "b": trial()}, cores=2,
    ),
    "torch": Case(
        facts=replace(FACTS, format=ModelFormat.TORCHSCRIPT), others={"a": trial()}, cores=2
    ),
    "left out": Case("models: {other: {serve: false}}", others={"other": trial()}),
}  # fmt: skip
GPU = "target: {gpus: 1}\n"
OTHERS: dict[str, Case] = {
    "gpu": Case(GPU),
    "gpu at a rate": Case(GPU + goal("rate: 100")),
    "gpu at a high rate": Case(GPU + goal("rate: 10000")),
    "gpu with a goal": Case(GPU + goal("rate: 1000, latency: 20ms, overload: reject")),
    "gpu of little memory": Case(GPU, trial=trial(peak_bytes=40 << 30)),
    "two gpus, fixed": Case("target: {gpus: 2}\n" + goal("instances: 3"), others={"a": trial()}),
    "gpu, no cores": Case(GPU, others={name: trial() for name in "abcdef"}, cores=2),
    "tensorrt": Case(GPU, facts=replace(FACTS, format=ModelFormat.TENSORRT), trial=None),
    "tensorrt without a gpu": Case(facts=replace(FACTS, format=ModelFormat.TENSORRT), trial=None),
    "tuned": Case(tuned=tuned("the highest throughput over http")),
    "tuned without a delay": Case(
        tuned=tuned("the highest throughput over http", queue_delay_us=None)
    ),
    "tuned for one row": Case(tuned=tuned("the highest throughput over http", max_batch_size=1)),
    "tuned for no batch": Case(tuned=tuned("the highest throughput over http", max_batch_size=0)),
    "tuned by an older one": Case(tuned=tuned(None)),
    "tuned by an older one for a goal": Case(goal("rate: 50"), tuned=tuned(None)),
    "tuned on a gpu now": Case(GPU, tuned=tuned("the highest throughput over http")),
    "tuned for more cores": Case(tuned=tuned("the highest throughput over http"), cores=3),
    "tuned for fewer cores": Case(tuned=tuned("the highest throughput over http"), cores=6),
    "tuned for another goal": Case(
        goal("rate: 50"), tuned=tuned("the highest throughput over http")
    ),
    "tuned, seen to hold": Case(
        goal("rate: 90, latency: 12ms"), tuned=tuned("50 requests/s over http"), served=SERVED
    ),
    "tuned, expected to hold": Case(
        goal("rate: 90, latency: 11ms"), tuned=tuned("50 requests/s over http"), served=SERVED
    ),
    "tuned, not expected to hold": Case(
        goal("rate: 300, latency: 4ms"), tuned=tuned("50 requests/s over http"), served=SERVED
    ),
    "tuned, too much": Case(
        goal("rate: 9000"), tuned=tuned("50 requests/s over http"), served=SERVED
    ),
    "tuned, rows beyond its batch": Case(
        goal("rate: 9, request_batch: 9"), tuned=tuned("50 requests/s over http"), served=SERVED
    ),
    "tuned, rows within its batch": Case(
        goal("rate: 9, request_batch: 8"), tuned=tuned("50 requests/s over http"), served=SERVED
    ),
    "tuned, no times": Case(
        goal("rate: 50"), tuned=tuned("50 requests/s over http"), served=replace(SERVED, costs=())
    ),
    "tuned, other cores and times": Case(
        goal("rate: 50, latency: 30ms"), cores=6, served=SERVED,
        tuned=tuned("50 requests/s, p99 within 30 ms over http"),
    ),
}  # fmt: skip
# About a ResNet-50, and a model of a few small operators.
LARGE = GraphWork(
    Work(8_178_368_512, 189_239_616, 16_960_832, 147_533_632, 122, 9_633_792),
    Work(8_178_368_512, 87_239_616, 16_960_832, 147_533_632, 0, 9_633_792),
)
SMALL = GraphWork(Work(9_472, 19_752, 283, 2_044, 8, 512), Work(9_472, 808, 283, 1_708, 0, 512))


def on(card: str, rest: str = "") -> str:
    return f"target: {{gpu: {card}}}\n{rest}"


def works(work: GraphWork = LARGE, **changes: object) -> Trial:
    return trial(work=work, **changes)  # type: ignore[arg-type]  # as above


GPUS: dict[str, Case] = {
    "no card": Case(GPU, trial=works()),
    "memory alone": Case(on("{memory: 48GB}"), trial=works()),
    **{
        card: Case(on(card), trial=works())
        for card in ("T4", "L4", "A10G", "A100-40", "H100", "B200")
    },
    "small on L4": Case(on("L4"), trial=works(SMALL)),
    "not counted": Case(on("L4")),
    "half precision": Case(
        on("T4"), facts=replace(FACTS, precisions=(("FP16", 100),)), trial=works()
    ),
    "rate": Case(on("T4", goal("rate: 100")), trial=works()),
    "rate and goal": Case(on("T4", goal("rate: 250, latency: 150ms")), trial=works()),
    "too high a rate": Case(on("T4", goal("rate: 5000, latency: 50ms")), trial=works()),
    "goal": Case(on("T4", goal("latency: 100ms")), trial=works()),
    "goal that no batch fits": Case(on("T4", goal("latency: 5ms")), trial=works()),
    "limit": Case(on("A100-40", goal("max_batch_size: 4")), trial=works()),
    "rows of clients": Case(on("T4", goal("request_batch: 24, rate: 20")), trial=works()),
    "not batched": Case(
        on("L4"), trial=works(GraphWork(LARGE.first), proof=bound(BatchVerdict.DISPROVEN))
    ),
    "little memory": Case(on("{name: T4, memory: 1500MB}"), trial=works()),
    "instances fixed": Case(on("T4", goal("instances: 3")), trial=works()),
    "more instances than memory": Case(on("T4", goal("instances: 400")), trial=works()),
    "larger than the card": Case(
        on("T4"), trial=works(), facts=replace(FACTS, weight_bytes=20 << 30)
    ),
    "two GPUs, one each": Case(
        "target: {gpus: 2, gpu: {memory: 1300MB}}\nmodels: {m: {rate: 50}, o: {rate: 50}}",
        facts=replace(FACTS, weight_bytes=500 << 20),
        trial=works(),
        others={"o": works()},
    ),
    "two GPUs, all on each": Case(
        "target: {gpus: 2, gpu: T4}\nmodels: {m: {rate: 300, latency: 100ms}}", trial=works()
    ),
    "two GPUs, one model too many": Case(
        "target: {gpus: 2, gpu: {name: T4, memory: 11GB}}",
        facts=replace(FACTS, weight_bytes=12 << 30),
        trial=works(),
        others={"o": works()},
    ),
    "slice": Case(on("{name: A100-80, mig: 1g.10gb}"), trial=works()),
}
ALL = {"batching": BATCHING, "splits": SPLITS, "others": OTHERS, "gpus": GPUS}


def decided(case: Case) -> list[str]:
    plan = case.plan()
    return list(told(replace(plan, server=replace(plan.server, environment=())), ""))


@pytest.mark.parametrize("group", ALL)
def test_decisions(group, update_golden) -> None:
    """Of each case what is otherwise than usual: where nothing is known but what a trial saw."""
    usual = decided(Case())
    lines = ["== usual", *usual]
    for name, case in ALL[group].items():
        differences = difflib.unified_diff(usual, decided(case), n=0, lineterm="")
        changed = [line for line in differences if not line.startswith(("---", "+++", "@@"))]
        lines += ["", f"== {name}", *changed]
    text = "\n".join([*lines, ""])
    expected = DECISIONS / f"{group}.txt"
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
