"""What the business says: traffic over the week, clients, services, availability, budget, cloud.

A pattern of traffic is a shape in local time; average and peak rate come from the models. Time
begins on Monday at 00:00.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.intent_key import (
    Key,
    KeyGroup,
    TextForm,
    duration_minutes,
    duration_s,
    hours_of_day,
    iana_time_zone,
    size_bytes,
)

LONG_DURATION = "a duration such as 90s, 5m or 2h"
STEP_S = 300.0
_STEPS_AN_HOUR = 12
_STEPS_A_DAY = 24 * _STEPS_AN_HOUR
_STEPS = 7 * _STEPS_A_DAY
# Hours in which a day rises to its busy level, and falls from it.
_RISE_H = 2.0
# The hour of the day at which a constant pattern shows a peak above its average.
_PEAK_HOUR = 10
_TRACE = 1e-5

_SIZE = TextForm("a size such as 600KB", read=size_bytes)
_DURATION = TextForm(LONG_DURATION, read=duration_s)
_TRAFFIC = KeyGroup("traffic", "how requests arrive", bare="pattern")
_AVAILABILITY = KeyGroup("availability", "least replicas of every service", bare="replicas")


class PatternKind(StrEnum):
    """Shapes that need no data, and recorded data."""

    CONSTANT = "constant"
    WEEKDAY_WEEKEND = "weekday-weekend"
    RAMP_BURST = "ramp-burst"
    BLACK_FRIDAY = "black-friday"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Burst:
    """Sudden surges, evenly spread over the busy hours."""

    factor: float = Key("times the level around it", minimum=1, maximum=1000).default(4.0)
    minutes: float = Key(
        "length of one burst", "length", text=TextForm(LONG_DURATION, read=duration_minutes)
    ).default(15.0)
    per_day: int = Key("bursts a day", minimum=0, maximum=288).default(2)


@dataclass(frozen=True, slots=True)
class Pattern:
    """The shape of traffic over a week.

    Attributes:
        busy: begin and end of a day's busy hours, local time, 0 ≤ begin < end ≤ 24.
        time_zone: empty for the plan's own.
        file: of a `history`.
    """

    kind: PatternKind = Key("shape of the week").default(PatternKind.CONSTANT)
    busy: tuple[float, float] = Key(
        "busy hours of a day", "hours", text=TextForm("busy hours such as 8-18", read=hours_of_day)
    ).default((8.0, 18.0))
    night: float = Key("level outside the busy hours, as a share", above=0, maximum=1).default(0.15)
    weekend: float = Key(
        "level of the weekend, as a share of weekdays", above=0, maximum=10
    ).default(0.4)
    burst: Burst = Key(
        "sudden surges of ramp-burst; the factor is Friday's for black-friday", bare="factor"
    ).default(Burst())
    time_zone: str = Key(
        "time zone of the hours and of the file",
        text=TextForm("an IANA time zone", read=iana_time_zone),
    ).default("")
    file: str = Key(
        "recorded traffic: CSV, or JSON of a Prometheus range query", text=TextForm("a path")
    ).default("")


def week_shape(pattern: Pattern) -> tuple[float, ...]:
    """Relative rates of a week in steps of `STEP_S`, positive; only their proportions count.

    A `constant` pattern comes with one hour a day that is higher by a trace, so that a peak above
    the average, where one is stated, has a time of the day.
    """
    if pattern.kind is PatternKind.CONSTANT:
        return tuple(
            1.0 if step // _STEPS_AN_HOUR % 24 == _PEAK_HOUR else 1.0 - _TRACE
            for step in range(_STEPS)
        )
    if pattern.kind is PatternKind.WEEKDAY_WEEKEND:
        return tuple(_day_level(pattern, step) * _weekend(pattern, step) for step in range(_STEPS))
    if pattern.kind is PatternKind.RAMP_BURST:
        return tuple(_ramp(pattern, step) * _surge(pattern, step) for step in range(_STEPS))
    if pattern.kind is PatternKind.BLACK_FRIDAY:
        return tuple(_black_friday(pattern, step) for step in range(_STEPS))
    raise ValueError("a history has no shape of its own")


def _hour(step: int) -> float:
    return (step % _STEPS_A_DAY + 0.5) / _STEPS_AN_HOUR


def _day_level(pattern: Pattern, step: int) -> float:
    """The level of a day: the night's, a smooth rise, the busy hours', a smooth fall."""
    begin, end = pattern.busy
    hour = _hour(step)
    inside = min(
        _smooth((hour - begin + _RISE_H) / _RISE_H), _smooth((end + _RISE_H - hour) / _RISE_H)
    )
    # Hours of an evening rise that reach past midnight belong to the day before or after.
    if begin < _RISE_H:
        inside = max(inside, _smooth((hour - 24.0 - begin + _RISE_H) / _RISE_H))
    if end > 24.0 - _RISE_H:
        inside = max(inside, _smooth((end + _RISE_H - hour - 24.0) / _RISE_H))
    # A shallow noon, so that the peak is a time of the day and not all of it.
    wave = 1.0 - 0.1 * math.cos(2.0 * math.pi * (hour - begin) / max(end - begin, 1.0)) ** 2
    return pattern.night + (1.0 - pattern.night) * inside * wave


def _smooth(share: float) -> float:
    x = min(1.0, max(0.0, share))
    return x * x * (3.0 - 2.0 * x)


def _weekend(pattern: Pattern, step: int) -> float:
    return pattern.weekend if step // _STEPS_A_DAY >= 5 else 1.0


def _ramp(pattern: Pattern, step: int) -> float:
    """From the night's level in the first busy hour straight up to the last one."""
    begin, end = pattern.busy
    share = (_hour(step) - begin) / (end - begin)
    level = min(1.0, share) if share >= 0.0 else 0.0
    if share > 1.0:
        level = max(0.0, 1.0 - (share - 1.0) * (end - begin) / _RISE_H)
    return pattern.night + (1.0 - pattern.night) * level


def _surge(pattern: Pattern, step: int) -> float:
    burst = pattern.burst
    if burst.per_day < 1:
        return 1.0
    begin, end = pattern.busy
    gap = (end - begin) / burst.per_day
    length = max(burst.minutes / 60.0, 1.0 / _STEPS_AN_HOUR)
    offset = (_hour(step) - begin) % gap - gap / 2.0
    inside = begin <= _hour(step) < end and 0.0 <= offset < length
    return burst.factor if inside else 1.0


def _black_friday(pattern: Pattern, step: int) -> float:
    level = _day_level(pattern, step)
    if step // _STEPS_A_DAY == 4:
        return level * pattern.burst.factor
    return level * (pattern.weekend if step // _STEPS_A_DAY >= 5 else 1.0)


class Place(StrEnum):
    """Where clients are, seen from the server."""

    SAME_HOST = "same-host"
    DATA_CENTRE = "data-centre"
    MOBILE = "mobile"


class Compression(StrEnum):
    """How bodies are compressed on the wire."""

    NONE = "none"
    GZIP = "gzip"


class Platform(StrEnum):
    """What runs the containers."""

    VM = "vm"
    KUBERNETES = "kubernetes"
    AZUREML = "azureml"


class ScalingMode(StrEnum):
    """Whether the number of replicas follows the traffic."""

    AUTO = "auto"
    STATIC = "static"
    AUTOSCALED = "autoscaled"


class Grouping(StrEnum):
    """Which models share a container, where it is not spelled out."""

    AUTO = "auto"
    TOGETHER = "together"
    SEPARATE = "separate"


@dataclass(frozen=True, slots=True)
class Payload:
    """Sizes of one request and its answer on the wire, None to take them from the tensors."""

    request_bytes: int | None = Key(
        "bytes of one request on the wire", "request", text=_SIZE
    ).default(None)
    response_bytes: int | None = Key(
        "bytes of one answer on the wire", "response", text=_SIZE
    ).default(None)


@dataclass(frozen=True, slots=True)
class Clients:
    """Who sends requests."""

    place: Place = Key("where clients are").default(Place.DATA_CENTRE)
    protocol: ClientProtocol = Key("what they speak").default(ClientProtocol.HTTP)
    concurrency: int | None = Key(
        "requests of one model that are under way at a time; `tune` compares its choice at it, "
        "and where it is left out at 8 and at 16",
        minimum=1,
        maximum=65536,
    ).default(None)
    compression: Compression = Key("of the bodies of requests and answers").default(
        Compression.NONE
    )


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where machines come from; empty stands for any."""

    provider: str = Key(
        "the provider of machines", text=TextForm("a provider such as azure", read=str.lower)
    ).default("")
    region: str = Key(
        "the provider's region, for machines and prices", text=TextForm("a region such as eastus")
    ).default("")
    machines: tuple[str, ...] = Key(
        "machine types to consider; all when left out", min_items=1, text=TextForm("a machine type")
    ).default(())
    prices: str = Key("a price list (CSV) of your own", text=TextForm("a path")).default("")
    platform: Platform = Key("what runs containers").default(Platform.VM)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How replicas are added and taken away."""

    mode: ScalingMode = Key("`static`, `autoscaled`, or `auto`: whichever is cheaper").default(
        ScalingMode.AUTO
    )
    start_up_s: float = Key(
        "time from the decision until a new replica answers", "start_up", text=_DURATION
    ).default(180.0)
    interval_s: float = Key(
        "time between two looks of the autoscaler", "interval", text=_DURATION
    ).default(30.0)
    cool_down_s: float = Key(
        "how long the load must have been lower before a replica goes", "cool_down", text=_DURATION
    ).default(300.0)
    max_replicas: int | None = Key(
        "the most replicas of a service", minimum=1, maximum=10000
    ).default(None)


@dataclass(frozen=True, slots=True)
class Business:
    """Everything that a plan of machines needs beyond the models.

    Attributes:
        burstiness: coefficient of variation of the gaps between requests within a step of the
            pattern.
        grouping: which models share a container, where `services` is empty.
        services: models by the name of their service.
        min_replicas: of every service, for availability.
        budget_usd: a month, None when not stated.
    """

    pattern: Pattern = Key(
        "shape of the traffic of models that state none", bare="kind", group=_TRAFFIC
    ).default(Pattern())
    burstiness: float = Key(
        "variation of the gaps between requests; 1 is Poisson, more is bursty",
        minimum=0,
        maximum=20,
        group=_TRAFFIC,
    ).default(1.0)
    clients: Clients = Key("who sends requests", bare="place").default(Clients())
    grouping: Grouping = Grouping.AUTO
    services: Mapping[str, tuple[str, ...]] = Key(
        "which models share a container: `auto`, `together`, `separate`, or models by service",
        word=Grouping,
        names=TextForm(
            "a name of 2 to 40 lower-case letters, digits and hyphens",
            r"[a-z][a-z0-9-]{0,38}[a-z0-9]",
        ),
        min_items=1,
        text=TextForm("a model's name"),
    ).mapping()
    min_replicas: int = Key(
        "least replicas of every service", "replicas", minimum=1, maximum=1000, group=_AVAILABILITY
    ).default(1)
    budget_usd: float | None = Key("USD a month", "budget", above=0).default(None)
    cloud: Cloud = Key("where machines come from", bare="provider").default(Cloud())
    scaling: Scaling = Key("how replicas are added and taken away", bare="mode").default(Scaling())
