"""What holds between the values of `tritongen.yaml`, and the fields that follow from several."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.intent.value_shapes import FaultList
from tritongen.model.business import Business, Grouping, Pattern, PatternKind, Scaling
from tritongen.model.gpu_cards import CARDS, known_slice
from tritongen.model.intent import (
    DEFAULT_TRITON,
    PERCENTILES,
    AxisIntent,
    ModelIntent,
    Overload,
    PipelineIntent,
    Target,
)
from tritongen.model.releases import find as find_release
from tritongen.model.target_gpu import TargetGpu

Values = Mapping[str, Any]
Fields = dict[str, Any]


def derived_fields(owner: type, values: Values, path: str, faults: FaultList) -> Fields:
    """Fields of a dataclass that no key alone decides; values that disagree become faults.

    Args:
        owner: the dataclass.
        values: of its keys, each of the right shape, None where it was not.
        path: where the keys stand.
        faults: takes the contradictions.
    """
    check = _CHECKS.get(owner)
    return check(values, path, faults) if check is not None else {}


def _mapping(value: object) -> Values:
    return value if isinstance(value, dict) else {}


def _target(values: Values, path: str, faults: FaultList) -> Fields:
    try:
        find_release(values.get("triton") or DEFAULT_TRITON)
    except InvalidInputError as problem:
        faults.add(f"{path}.triton", problem.what)
    stated, gpus = "gpu" in values and values["gpu"] != {}, values.get("gpus")
    if stated and gpus == 0:
        faults.add(f"{path}.gpu", "contradicts gpus: 0", "TG305")
    if (gpus or 0) > 1 and _mapping(values.get("gpu")).get("mig"):
        why = "a server sees one MIG slice: state gpus: 1, and start a server for each slice"
        faults.add(f"{path}.gpu.mig", why, "TG305")
    return {"gpus": 1} if stated and gpus is None else {}


def _gpu(values: Values, path: str, faults: FaultList) -> Fields:
    """The MIG slice is one of the card's."""
    name, profile = values.get("name"), values.get("mig")
    if profile and "name" not in values:
        faults.add(f"{path}.mig", "needs the card's name", "TG305")
    elif profile and name and (wrong := known_slice(profile, CARDS[name])):
        faults.add(f"{path}.mig", wrong)
    return {}


def _goal(values: Values, path: str, faults: FaultList) -> Fields:
    """The rate and the latency goal of a model or pipeline."""
    rate = _mapping(values.get("rate"))
    average, peak = rate.get("average"), rate.get("peak")
    if average is not None and peak is not None and peak < average:
        faults.add(f"{path}.rate.peak", "must not be below average", "TG305")
    latency = _mapping(values.get("latency"))
    stated = [(name, value) for name, value in latency.items() if value is not None]
    if len(stated) > 1:
        faults.add(f"{path}.latency", "state one percentile", "TG305")
    name, goal = stated[0] if stated else ("p99", None)
    return {"percentile": PERCENTILES[name], "latency_ms": goal}


def _model(values: Values, path: str, faults: FaultList) -> Fields:
    goal = _goal(values, path, faults)
    batch, limit = _batch(values, path, faults)
    rows = _request_rows(values)
    if limit is not None and 0 < limit < rows:
        faults.add(f"{path}.request_batch", "must not be above max_batch_size", "TG305")
    if values.get("overload") == Overload.REJECT and values.get("latency") is None:
        faults.add(f"{path}.overload", "reject needs a latency goal", "TG305")
    if "sequence" in values:
        _check_sequence(values, path, faults)
    skipped = bool(values.get("skip"))
    if skipped and values.get("serve"):
        faults.add(f"{path}.skip", "contradicts serve: true", "TG305")
    serve = values.get("serve") is not False and not skipped
    return {**goal, "batch": batch, "max_batch_size": limit, "serve": serve}


def _request_rows(values: Values) -> int:
    """The most rows that one request is said to have."""
    return max(
        (int(rows or 1) for rows in _mapping(values.get("request_batch")).values()), default=1
    )


def _batch(values: Values, path: str, faults: FaultList) -> tuple[bool | None, int | None]:
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


def _overlaid_size(overlay: Values) -> int | None:
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


def _check_sequence(values: Values, path: str, faults: FaultList) -> None:
    given = _mapping(values["sequence"])
    state, controls = _mapping(given.get("state")), _mapping(given.get("controls"))
    if not state and not controls:
        faults.add(f"{path}.sequence", "must name a state or a control")
    for name in sorted(set(_mapping(given.get("initial"))) - set(state)):
        faults.add(f"{path}.sequence.initial.{name}", "is no state", "TG305")
    for key, names in (
        ("sequence.state", list(state.values())),
        ("sequence", [*state, *controls.values()]),
    ):
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            faults.add(f"{path}.{key}", f"{', '.join(twice)} is named twice", "TG305")
    for key, wrong, why in (
        ("response_cache", values.get("response_cache"), "answers depend on the requests before"),
        ("request_batch", _request_rows(values) > 1, "a request of a sequence has one row"),
    ):
        if wrong:
            faults.add(f"{path}.{key}", f"contradicts sequence: {why}", "TG305")


def _axis(values: Values, path: str, faults: FaultList) -> Fields:
    sizes = [(key, values[key]) for key in ("min", "typical", "max") if values.get(key)]
    for (lower, least), (upper, most) in pairwise(sizes):
        if most < least:
            faults.add(f"{path}.{upper}", f"must not be below {lower}", "TG305")
    return {}


def _pattern(values: Values, path: str, faults: FaultList) -> Fields:
    """A pattern with a file is a history."""
    file = values.get("file") or ""
    kind = values.get("kind") or (PatternKind.HISTORY if file else Pattern().kind)
    if (kind == PatternKind.HISTORY) != bool(file):
        what = "a history needs its `file`" if not file else "only a history has a `file`"
        faults.add(path, what, "TG305")
    return {"kind": PatternKind(kind)}


def _business(values: Values, _path: str, faults: FaultList) -> Fields:
    scaling, availability = _mapping(values.get("scaling")), _mapping(values.get("availability"))
    most, replicas = scaling.get("max_replicas"), availability.get("replicas") or 1
    if most is not None and most < replicas:
        faults.add("scaling.max_replicas", f"must not be below {replicas} replicas", "TG305")
    burstiness = _mapping(values.get("traffic")).get("burstiness")
    derived: Fields = {} if burstiness is None else {"burstiness": float(burstiness)}
    services = values.get("services")
    if isinstance(services, str):
        return derived | {"grouping": Grouping(services), "services": Business().services}
    owner: dict[str, str] = {}
    for name, models in _mapping(services).items():
        for model in models or ():
            if model in owner:
                what = f"{model} is in {owner[model]} already; a model belongs to one service"
                faults.add(f"services.{name}", what, "TG305")
            owner[model] = name
    return derived


def _scaling(values: Values, path: str, faults: FaultList) -> Fields:
    interval_s = values.get("interval")
    if interval_s is not None and interval_s < 1.0:
        faults.add(f"{path}.interval", "must be at least 1s")
    return {}


_CHECKS: Mapping[type, Callable[[Values, str, FaultList], Fields]] = {
    Target: _target,
    TargetGpu: _gpu,
    ModelIntent: _model,
    AxisIntent: _axis,
    PipelineIntent: _goal,
    Pattern: _pattern,
    Business: _business,
    Scaling: _scaling,
}
