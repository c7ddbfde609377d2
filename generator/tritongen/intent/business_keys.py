"""What `tritongen.yaml` says of the business: its keys, and what they become."""

import math
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tritongen.intent.value_shapes import (
    Choice,
    Faults,
    Key,
    ListOf,
    MapOf,
    Number,
    OneOf,
    Record,
    Text,
)
from tritongen.model.business import (
    Business,
    ClientProtocol,
    Clients,
    Cloud,
    Compression,
    Grouping,
    Payload,
    Place,
    Platform,
    Scaling,
    ScalingMode,
)
from tritongen.model.quantities import duration_ms, size_bytes
from tritongen.model.traffic_pattern import Burst, Pattern, PatternKind

_NAME_PATTERN = r"[a-z][a-z0-9-]{0,38}[a-z0-9]"


def _hours(text: str) -> tuple[float, float] | None:
    """``8-18`` or ``08:30-17``: first and last busy hour."""
    ends = []
    for part in text.split("-"):
        hour, _, minute = part.strip().partition(":")
        if not hour.isdigit() or (minute and not minute.isdigit()):
            return None
        ends.append(int(hour) + int(minute or 0) / 60.0)
    if len(ends) != 2 or not 0.0 <= ends[0] < ends[1] <= 24.0:
        return None
    return ends[0], ends[1]


def _minutes_ms(text: str) -> float | None:
    """Milliseconds of ``90s``, ``5m`` or ``2h``."""
    factor = {"m": 60e3, "h": 3600e3}.get(text.strip()[-1:])
    if factor is None or text.strip().endswith("ms"):
        return duration_ms(text)
    try:
        value = float(text.strip()[:-1])
    except ValueError:
        return None
    return value * factor if 0.0 < value < math.inf else None


def _zone(text: str) -> str | None:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return text


_SHARE = Number(minimum=0, maximum=1)
_LENGTH = Text("a duration such as 90s, 5m or 2h", convert=_minutes_ms)
_SIZE = Text("a size such as 600KB", convert=size_bytes)

_PATTERN = Record(
    {
        "kind": Key(Choice(tuple(kind.value for kind in PatternKind)), "shape of the week"),
        "hours": Key(Text("busy hours such as 8-18", convert=_hours), "busy hours of a day"),
        "night": Key(Number(above=0, maximum=1), "level outside the busy hours, as a share"),
        "weekend": Key(Number(above=0, maximum=10), "level of the weekend, as a share of weekdays"),
        "burst": Key(
            Record(
                {
                    "factor": Key(Number(minimum=1, maximum=1000), "times the level around it"),
                    "length": Key(_LENGTH, "of one burst"),
                    "per_day": Key(Number(minimum=0, maximum=288, whole=True), "bursts a day"),
                },
                shorthand="factor",
            ),
            "sudden surges of ramp-burst; the factor is Friday's for black-friday",
        ),
        "time_zone": Key(Text("an IANA time zone", convert=_zone), "of the hours and of the file"),
        "file": Key(Text("a path"), "recorded traffic: CSV, or JSON of a Prometheus range query"),
    },
    shorthand="kind",
)

MODEL_KEYS: dict[str, Key] = {
    "pattern": Key(_PATTERN, "shape of this model's traffic over the week"),
    "payload": Key(
        Record(
            {
                "request": Key(_SIZE, "bytes of one request on the wire"),
                "response": Key(_SIZE, "bytes of one answer on the wire"),
            },
            shorthand="request",
        ),
        "sizes on the wire; taken from inputs and outputs where they are fixed",
    ),
}

_SERVICES = MapOf(
    ListOf(Text("a model's name"), least=1),
    key_pattern=_NAME_PATTERN,
    key_expected="a name of 2 to 40 lower-case letters, digits and hyphens",
)

ROOT_KEYS: dict[str, Key] = {
    "traffic": Key(
        Record(
            {
                "pattern": Key(_PATTERN, "shape of the traffic of models that state none"),
                "burstiness": Key(
                    Number(minimum=0, maximum=20),
                    "variation of the gaps between requests; 1 is Poisson, more is bursty",
                ),
            },
            shorthand="pattern",
        ),
        "how requests arrive",
    ),
    "clients": Key(
        Record(
            {
                "place": Key(Choice(tuple(p.value for p in Place)), "where clients are"),
                "protocol": Key(Choice(tuple(p.value for p in ClientProtocol)), "what they speak"),
                "compression": Key(Choice(tuple(c.value for c in Compression)), "of bodies"),
            },
            shorthand="place",
        ),
        "who sends requests",
    ),
    "services": Key(
        OneOf(Choice(tuple(g.value for g in Grouping)), _SERVICES),
        "which models share a container: `auto`, `together`, `separate`, or models by service",
    ),
    "availability": Key(
        Record(
            {"replicas": Key(Number(minimum=1, maximum=1000, whole=True), "least replicas")},
            shorthand="replicas",
        ),
        "least replicas of every service",
    ),
    "budget": Key(Number(above=0), "USD a month"),
    "cloud": Key(
        Record(
            {
                "provider": Key(Text("a provider such as azure"), "of machines"),
                "region": Key(Text("a region such as eastus"), "of machines and prices"),
                "machines": Key(ListOf(Text("a machine type"), least=1), "types to consider"),
                "prices": Key(Text("a path"), "a price list (CSV) of your own"),
                "platform": Key(Choice(tuple(p.value for p in Platform)), "what runs containers"),
            },
            shorthand="provider",
        ),
        "where machines come from",
    ),
    "scaling": Key(
        Record(
            {
                "mode": Key(Choice(tuple(m.value for m in ScalingMode)), "static or autoscaled"),
                "start_up": Key(_LENGTH, "from the decision until a new replica answers"),
                "interval": Key(_LENGTH, "between two looks of the autoscaler"),
                "cool_down": Key(_LENGTH, "of lower load before a replica goes"),
                "max_replicas": Key(Number(minimum=1, maximum=10000, whole=True), "at most"),
            },
            shorthand="mode",
        ),
        "how replicas are added and taken away",
    ),
}


def business_of(values: Mapping[str, Any], faults: Faults) -> Business:
    """The business's part of the checked document; contradictions are added to the faults."""
    default = Business()
    traffic = _mapping(values.get("traffic"))
    services = values.get("services")
    grouping = Grouping(services) if isinstance(services, str) else default.grouping
    named = {name: tuple(models) for name, models in _mapping(services).items() if models}
    _check_services(named, faults)
    scaling = _scaling(_mapping(values.get("scaling")), faults)
    replicas = _mapping(values.get("availability")).get("replicas") or 1
    if scaling.max_replicas is not None and scaling.max_replicas < replicas:
        faults.add("scaling.max_replicas", f"must not be below {replicas} replicas", "TG305")
    burstiness = traffic.get("burstiness")
    return Business(
        pattern=pattern_of(_mapping(traffic.get("pattern")), "traffic.pattern", faults)
        or default.pattern,
        burstiness=default.burstiness if burstiness is None else float(burstiness),
        clients=_clients(_mapping(values.get("clients"))),
        grouping=grouping,
        services=named,
        min_replicas=replicas,
        budget_usd=values.get("budget"),
        cloud=_cloud(_mapping(values.get("cloud"))),
        scaling=scaling,
    )


def pattern_of(values: Mapping[str, Any], path: str, faults: Faults) -> Pattern | None:
    """A pattern, None where nothing is stated."""
    if not values:
        return None
    default = Pattern()
    file = values.get("file") or ""
    kind = values.get("kind") or (PatternKind.HISTORY.value if file else default.kind.value)
    if (kind == PatternKind.HISTORY.value) != bool(file):
        what = "a history needs its `file`" if not file else "only a history has a `file`"
        faults.add(path, what, "TG305")
    burst = _mapping(values.get("burst"))
    length = burst.get("length")
    return Pattern(
        kind=PatternKind(kind),
        busy=values.get("hours") or default.busy,
        night=values.get("night") or default.night,
        weekend=values.get("weekend") or default.weekend,
        burst=Burst(
            factor=burst.get("factor") or default.burst.factor,
            minutes=length / 60e3 if length else default.burst.minutes,
            per_day=_or(burst.get("per_day"), default.burst.per_day),
        ),
        time_zone=values.get("time_zone") or "",
        file=str(file),
    )


def payload_of(values: Mapping[str, Any]) -> Payload:
    """Sizes on the wire."""
    return Payload(values.get("request"), values.get("response"))


def _check_services(services: Mapping[str, tuple[str, ...]], faults: Faults) -> None:
    owner: dict[str, str] = {}
    for name, models in services.items():
        for model in models:
            if model in owner:
                what = f"{model} is in {owner[model]} already; a model belongs to one service"
                faults.add(f"services.{name}", what, "TG305")
            owner[model] = name


def _clients(values: Mapping[str, Any]) -> Clients:
    default = Clients()
    return Clients(
        Place(values.get("place") or default.place),
        ClientProtocol(values.get("protocol") or default.protocol),
        Compression(values.get("compression") or default.compression),
    )


def _cloud(values: Mapping[str, Any]) -> Cloud:
    return Cloud(
        provider=str(values.get("provider") or "").lower(),
        region=str(values.get("region") or ""),
        machines=tuple(values.get("machines") or ()),
        prices=str(values.get("prices") or ""),
        platform=Platform(values.get("platform") or Platform.VM),
    )


def _scaling(values: Mapping[str, Any], faults: Faults) -> Scaling:
    default = Scaling()
    interval = values.get("interval")
    if interval is not None and interval < 1000.0:
        faults.add("scaling.interval", "must be at least 1s")
    return Scaling(
        mode=ScalingMode(values.get("mode") or default.mode),
        start_up_s=_seconds(values.get("start_up"), default.start_up_s),
        interval_s=_seconds(interval, default.interval_s),
        cool_down_s=_seconds(values.get("cool_down"), default.cool_down_s),
        max_replicas=values.get("max_replicas"),
    )


def _seconds(milliseconds: float | None, default: float) -> float:
    return default if milliseconds is None else milliseconds / 1e3


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
