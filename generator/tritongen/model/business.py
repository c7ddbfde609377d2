"""What the business says: clients, services, availability, budget, cloud, how fast it may scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tritongen.model.intent_key import Key, KeyGroup, TextForm
from tritongen.model.quantities import duration_s, size_bytes
from tritongen.model.traffic_pattern import LONG_DURATION, Pattern

_SIZE = TextForm("a size such as 600KB", read=size_bytes)
_DURATION = TextForm(LONG_DURATION, read=duration_s)
_TRAFFIC = KeyGroup("traffic", "how requests arrive", bare="pattern")
_AVAILABILITY = KeyGroup("availability", "least replicas of every service", bare="replicas")


class Place(StrEnum):
    """Where clients are, seen from the server."""

    SAME_HOST = "same-host"
    DATA_CENTRE = "data-centre"
    MOBILE = "mobile"


class ClientProtocol(StrEnum):
    """How requests travel."""

    HTTP = "http"
    GRPC = "grpc"


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
