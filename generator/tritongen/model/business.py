"""What the business says: clients, services, availability, budget, cloud, how fast it may scale."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tritongen.model.traffic_pattern import Pattern


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

    request_bytes: int | None = None
    response_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Clients:
    """Who sends requests."""

    place: Place = Place.DATA_CENTRE
    protocol: ClientProtocol = ClientProtocol.HTTP
    compression: Compression = Compression.NONE


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where machines come from.

    Attributes:
        provider: ``azure``, ``aws``, ``gcp`` or one of the user's own price list; empty for any.
        region: of the provider; empty for any.
        machines: names of machine types to consider; empty for all.
        prices: path of a price list (CSV) that replaces or adds to the shipped one.
        platform: what runs the containers.
    """

    provider: str = ""
    region: str = ""
    machines: tuple[str, ...] = ()
    prices: str = ""
    platform: Platform = Platform.VM


@dataclass(frozen=True, slots=True)
class Scaling:
    """How replicas are added and taken away.

    Attributes:
        mode: static, autoscaled, or whichever is cheaper.
        start_up_s: from the decision until a new replica answers: machine, image, models.
        interval_s: between two looks of the autoscaler.
        cool_down_s: the load must have been lower for so long before a replica goes.
        max_replicas: None for no limit of the user's own.
    """

    mode: ScalingMode = ScalingMode.AUTO
    start_up_s: float = 180.0
    interval_s: float = 30.0
    cool_down_s: float = 300.0
    max_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Business:
    """Everything that a plan of machines needs beyond the models.

    Attributes:
        pattern: of every model that states none.
        burstiness: coefficient of variation of the gaps between requests within a step of the
            pattern; 1 is Poisson.
        clients: who sends requests.
        grouping: which models share a container, where `services` is empty.
        services: models by the name of their service.
        min_replicas: of every service, for availability.
        budget_usd: a month, None when not stated.
        cloud: where machines come from.
        scaling: how replicas are added and taken away.
    """

    pattern: Pattern = field(default_factory=Pattern)
    burstiness: float = 1.0
    clients: Clients = Clients()
    grouping: Grouping = Grouping.AUTO
    services: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    min_replicas: int = 1
    budget_usd: float | None = None
    cloud: Cloud = Cloud()
    scaling: Scaling = Scaling()
