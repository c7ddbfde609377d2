"""From the text of `tritongen.yaml` to an `Intent`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError, told
from tritongen.intent.business_keys import business_of, pattern_of, payload_of
from tritongen.intent.intent_faults import Fault
from tritongen.intent.keys import PERCENTILES, ROOT
from tritongen.intent.value_shapes import Faults
from tritongen.intent.yaml_tree import MAX_BYTES, parse
from tritongen.model.intent import (
    DEFAULT_TRITON,
    AccuracyIntent,
    DeclaredTensor,
    Intent,
    ModelIntent,
    Overload,
    PipelineIntent,
    PipelineStep,
    SequenceControl,
    SequenceIntent,
    SequenceStrategy,
    Target,
    WeightsMode,
)
from tritongen.model.releases import find as find_release
from tritongen.model.tensors import DType
from tritongen.system.paths import read_head

INTENT_FILE = "tritongen.yaml"


@dataclass(frozen=True, slots=True)
class IntentDocument:
    """An intent with what is needed to report further faults of its text.

    Attributes:
        intent: the checked content; defaults where the file is silent.
        path: the file, empty when there is none.
        faults: everything wrong so far; the caller adds its own and raises once.
        lines: 1-based line of each value, by dotted path.
    """

    intent: Intent
    path: str = ""
    faults: tuple[Fault, ...] = ()
    lines: Mapping[str, int] | None = None

    def fault(self, path: str, message: str, code: str = "TG304") -> Fault:
        """A fault at the line of `path`."""
        return Fault(path, message, Faults(self.lines or {}).line_of(path), code)


def read_intent(path: Path) -> IntentDocument:
    """Read a `tritongen.yaml`; the defaults when the file does not exist.

    Raises:
        InvalidInputError: TG003 unreadable, TG301 not UTF-8 or not YAML, TG302 too large. Other
            faults are collected in the result.
    """
    try:
        data = read_head(path, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidInputError(
                "TG302", f"the file is larger than {MAX_BYTES:,} bytes", where=str(path)
            )
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        return IntentDocument(Intent())
    except OSError as problem:
        what = f"cannot be read: {told(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem
    except UnicodeDecodeError as problem:
        raise InvalidInputError(
            "TG301",
            f"not UTF-8 text: byte {problem.start} is {data[problem.start]:#04x}",
            where=str(path),
            fix="Save it as UTF-8 text.",
        ) from problem
    return parse_intent(text, str(path))


def parse_intent(text: str, where: str) -> IntentDocument:
    """Check a document's text; faults are collected in the result.

    Raises:
        InvalidInputError: TG301 not YAML, TG302 beyond the bounds.
    """
    document = parse(text, where)
    faults = Faults(document.lines)
    for path, line in document.duplicates:
        faults.items.append(Fault(path, "the key occurs twice", line))
    values = ROOT.parse(document.value, "", faults)
    models_value = values.get("models")
    models = models_value if isinstance(models_value, dict) else {}
    pipelines = _mapping(values.get("pipelines"))
    intent = Intent(
        target=_target(_mapping(values.get("target")), faults),
        models={
            name: _model(_mapping(entry), f"models.{name}", faults)
            for name, entry in models.items()
        },
        pipelines={
            name: _pipeline(_mapping(entry), f"pipelines.{name}", faults)
            for name, entry in pipelines.items()
        },
        weights=WeightsMode(str(values.get("weights") or WeightsMode.COPY.value)),
        business=business_of(values, faults),
    )
    return IntentDocument(intent, where, tuple(faults.items), document.lines)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _target(values: dict[str, Any], faults: Faults) -> Target:
    triton = values.get("triton") or DEFAULT_TRITON
    try:
        find_release(triton)
    except InvalidInputError as problem:
        faults.add("target.triton", problem.what)
    return Target(
        triton=triton,
        cpus=values.get("cpus"),
        memory_bytes=values.get("memory"),
        gpus=values.get("gpus") or 0,
    )


def _pipeline(values: dict[str, Any], path: str, faults: Faults) -> PipelineIntent:
    average, peak = _rate(_mapping(values.get("rate")), path, faults)
    percentile, latency = _latency(_mapping(values.get("latency")), path, faults)
    for key in ("steps", "outputs"):
        if not values.get(key) and f"{path}.{key}" not in {item.path for item in faults.items}:
            faults.add(f"{path}.{key}", "is missing")
    steps = []
    for index, entry in enumerate(values.get("steps") or ()):
        step = _mapping(entry)
        if not step.get("model"):
            faults.add(f"{path}.steps[{index}].model", "is missing")
            continue
        outputs = _mapping(step["outputs"]) if step.get("outputs") else None
        steps.append(PipelineStep(step["model"], _mapping(step.get("inputs")), outputs))
    return PipelineIntent(
        steps=tuple(steps),
        outputs=tuple(values.get("outputs") or ()),
        rate=average,
        peak_rate=peak,
        latency_ms=latency,
        percentile=percentile,
    )


def _rate(values: dict[str, Any], path: str, faults: Faults) -> tuple[float | None, float | None]:
    average, peak = values.get("average"), values.get("peak")
    if average is not None and peak is not None and peak < average:
        faults.add(f"{path}.rate.peak", "must not be below average", "TG305")
    return average, peak


def _overload(values: dict[str, Any], path: str, faults: Faults) -> Overload:
    found = Overload(values.get("overload") or Overload.QUEUE)
    if found is Overload.REJECT and values.get("latency") is None:
        faults.add(f"{path}.overload", "reject needs a latency goal", "TG305")
    return found


def _model(values: dict[str, Any], path: str, faults: Faults) -> ModelIntent:
    average, peak = _rate(_mapping(values.get("rate")), path, faults)
    percentile, latency = _latency(_mapping(values.get("latency")), path, faults)
    batch, limit = _batch(values, path, faults)
    request_batch = values.get("request_batch") or 1
    if limit is not None and 0 < limit < request_batch:
        faults.add(f"{path}.request_batch", "must not be above max_batch_size", "TG305")
    return ModelIntent(
        rate=average,
        peak_rate=peak,
        latency_ms=latency,
        percentile=percentile,
        overload=_overload(values, path, faults),
        request_batch=request_batch,
        batch=batch,
        max_batch_size=limit,
        instances=values.get("instances"),
        threads=values.get("threads"),
        accuracy_drop=_mapping(values.get("accuracy")).get("max_drop"),
        accuracy=_accuracy(_mapping(values.get("accuracy"))),
        response_cache=bool(values.get("response_cache")),
        versions=values.get("versions"),
        inputs=_tensors(_mapping(values.get("inputs"))),
        outputs=_tensors(_mapping(values.get("outputs"))),
        overlay=_mapping(values.get("overlay")),
        skip=bool(values.get("skip")),
        pattern=pattern_of(_mapping(values.get("pattern")), f"{path}.pattern", faults),
        payload=payload_of(_mapping(values.get("payload"))),
        sequence=_sequence(values, path, faults),
    )


def _batch(values: dict[str, Any], path: str, faults: Faults) -> tuple[bool | None, int | None]:
    """Whether to batch and the upper limit, by whichever key says so: the overlay's, too.

    The plan follows an overlay's max_batch_size: with it the dims, the warm-up and the batcher
    have another meaning.
    """
    batch, limit = values.get("batch"), values.get("max_batch_size")
    if batch is False and (limit or 0) > 1:
        faults.add(f"{path}.max_batch_size", "contradicts batch: false", "TG305")
    if batch is True and limit == 0:
        faults.add(f"{path}.max_batch_size", "contradicts batch: true", "TG305")
    overlay = _mapping(values.get("overlay"))
    size = _overlaid_size(overlay)
    if size is None:
        return batch, limit
    if batch is not None and batch is not (size > 0):
        against = f"contradicts batch: {str(batch).lower()}"
        faults.add(f"{path}.overlay.max_batch_size", against, "TG305")
    if limit is not None and size > limit:
        faults.add(f"{path}.overlay.max_batch_size", f"is above max_batch_size: {limit}", "TG305")
    # Who states the tensors, too, knows better than the trial what the model takes.
    own = size > 0 and not overlay.keys().isdisjoint({"input", "output"})
    return batch if own else size > 0, size


def _overlaid_size(overlay: Mapping[str, object]) -> int | None:
    """An overlay's batch size, 0 where it takes the field away; None where it states none."""
    if "max_batch_size" not in overlay:
        return None
    size = overlay["max_batch_size"]
    if size is None:
        return 0
    try:
        number = int(str(size))
    except ValueError:
        return None  # no number: told where the overlay is held against its schema
    return number if number >= 0 else None


def _sequence(values: dict[str, Any], path: str, faults: Faults) -> SequenceIntent | None:
    if "sequence" not in values:
        return None
    given = _mapping(values["sequence"])
    state, controls = _mapping(given.get("state")), _mapping(given.get("controls"))
    if not state and not controls:
        faults.add(f"{path}.sequence", "must name a state or a control")
    initial = _mapping(given.get("initial"))
    for name in sorted(set(initial) - set(state)):
        faults.add(f"{path}.sequence.initial.{name}", "is no state", "TG305")
    for key, names in (
        ("sequence.state", list(state.values())),
        ("sequence", [*state, *controls.values()]),
    ):
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            faults.add(f"{path}.{key}", f"{', '.join(twice)} is named twice", "TG305")
    for key, why in (
        ("response_cache", "answers depend on the requests before"),
        ("request_batch", "a request of a sequence has one row"),
    ):
        if (values.get(key) or 0) > (1 if key == "request_batch" else 0):
            faults.add(f"{path}.{key}", f"contradicts sequence: {why}", "TG305")
    return SequenceIntent(
        state=state,
        controls={SequenceControl(name): entry for name, entry in controls.items() if entry},
        initial={name: file for name, file in initial.items() if file},
        strategy=SequenceStrategy(given.get("strategy") or SequenceStrategy.OLDEST),
        concurrent=given.get("concurrent"),
        idle_ms=given.get("idle"),
    )


def _latency(values: dict[str, Any], path: str, faults: Faults) -> tuple[float, float | None]:
    stated = {name: value for name, value in values.items() if value is not None}
    if not stated:
        return PERCENTILES["p99"], None
    if len(stated) > 1:
        faults.add(f"{path}.latency", "state one percentile", "TG305")
    name, value = next(iter(stated.items()))
    return PERCENTILES[name], float(value)


def _accuracy(values: dict[str, Any]) -> AccuracyIntent:
    return AccuracyIntent(
        metric=values.get("metric") or "",
        data=values.get("data") or "",
        function=values.get("callable") or "",
        labels=values.get("labels") or "",
        output=values.get("output") or "",
    )


def _tensors(values: dict[str, Any]) -> dict[str, DeclaredTensor]:
    result = {}
    for name, entry in values.items():
        declared = _mapping(entry)
        dtype = declared.get("dtype")
        result[name] = DeclaredTensor(
            name=name,
            dtype=DType(dtype) if dtype else None,
            dims=declared.get("dims"),
            values=declared.get("values") or "",
            shape=declared.get("shape"),
        )
    return result
