"""What is deployed: services with their containers, replicas and goals."""

import re
from dataclasses import dataclass

from tritongen.errors import InvalidInputError
from tritongen.serving.docker.health_check import HealthCheck

# A DNS label with room for what Kubernetes adds to the names of pods.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_WEEKDAY_HOURS = 5 * 24
# Quotes, `$`, braces and line ends mean something in one format or another.
_PATH = re.compile(r"[\w ./:+@=,~-]+")
# 32 hexadecimal digits, drawn anew at each start and kept nowhere: what they close is for nobody.
KEY_DRAWN = "key=$(od -An -N16 -tx8 /dev/urandom | tr -d ' ') && [ ${#key} = 32 ]"
CLOSING_FLAGS = tuple(
    f'"--{flag}=shared-memory,model-repository,trace,logging:tritongen-closed=$key"'
    for flag in ("http-restricted-api", "grpc-restricted-protocol")
)
"""Flags of tritonserver as a shell reads them after `Container.prepared`."""
FORGET_S = 10
"""A cluster's services forget a pod within; measured on Kubernetes 1.34, with room to spare."""
_CLAIM = "pvc://"
HUB = "hub"
"""Name of the cache for what is fetched from the models' hub."""
CONNECTION_FLAGS = ("--grpc-max-connection-age=3000", "--grpc-max-connection-age-grace=30000")
"""Milliseconds after which Triton sends a gRPC client to a new connection, well within `FORGET_S`,
and those that a stream may take to end on the old one: as long as Triton waits for requests."""


def _refuse_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "TG752",
            f"{what} {name!r} must be 1 to 40 lower-case letters, digits and hyphens, beginning "
            "with a letter",
        )


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """One model of a service, as its configuration has it.

    Attributes:
        name: of the model.
        backend: that serves it; ``ensemble`` for a pipeline.
        instances: instance count, 0 for a pipeline.
        threads: that one instance uses at most.
        latency_ms: goal at `percentile`, None when not stated.
        percentile: of the goal.
        peak_rate: requests per second that are planned for, None when not stated.
        config_digest: sha256 of its config.pbtxt.
        weight_bytes: of its files, as far as they are known.
        fetched_bytes: of weights that it fetches when it loads, as far as they are known.
        answers_tokens: it is a language model, whose tokens AIPerf measures instead of `probe`.
    """

    name: str
    backend: str
    instances: int
    threads: int
    latency_ms: float | None = None
    percentile: float = 99.0
    peak_rate: float | None = None
    config_digest: str = ""
    weight_bytes: int = 0
    fetched_bytes: int = 0
    answers_tokens: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """The container of a service, the same that `tritongen up --runtime docker` starts.

    Attributes:
        image: reference.
        image_entrypoint: keep the image's own entry point, which runs what follows it.
        arguments: flags of tritonserver beside `CLOSING_FLAGS`.
        environment: (variable, value).
        cores: physical cores that its threads share; None for no limit.
        cpus: limit in hardware threads, of which engines count CPUs; None for none.
        memory_bytes: limit; None for none.
        memory_request_bytes: what it is expected to need.
        shared_memory_bytes: size of /dev/shm.
        gpus: number of GPUs.
        user: ``uid:gid``.
        read_only: root file system.
        tmp_bytes: size of /tmp.
        ulimits: (name, soft and hard limit).
        health: checks.
        caches: (name, folder) of what its models fetch or make when they load, which must outlive
            it: weights of a hub, and engines.
        rate_limited: whether its arguments turn the rate limiter on.
        holds_models: whether its image holds the repository, and is built from a Dockerfile.
        linger_s: seconds for which it serves on once it is told to end, for a gateway that has not
            heard of it yet: Triton refuses requests at once.
    """

    image: str
    image_entrypoint: bool
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    cores: int | None
    cpus: int | None
    memory_bytes: int | None
    memory_request_bytes: int
    shared_memory_bytes: int
    gpus: int
    user: str
    read_only: bool
    tmp_bytes: int
    ulimits: tuple[tuple[str, int], ...]
    health: HealthCheck
    caches: tuple[tuple[str, str], ...] = ()
    rate_limited: bool = False
    holds_models: bool = False
    linger_s: int = 0

    @property
    def prepared(self) -> str:
        """What a shell does before tritonserver: raise the stack as pods cannot, draw the key."""
        stack = dict(self.ulimits).get("stack")
        return f"ulimit -s {stack >> 10} && {KEY_DRAWN}" if stack else KEY_DRAWN

    @property
    def program(self) -> tuple[str, ...]:
        """Runs tritonserver, its closed APIs behind such a key; its other flags follow.

        It ends where a cache is not its own yet, so that the engine starts it again.
        """
        own = "".join(
            f"{{ test -w {folder} || {{ echo '{folder} is not writable' >&2; exit 1; }}; }} && "
            for _, folder in self.caches
        )
        server = f'tritonserver {" ".join(CLOSING_FLAGS)} "$@"'
        if self.linger_s:
            # The signal ends the first `wait`, the server the second one.
            trap = f"trap 'sleep {self.linger_s}; kill $!' TERM"
            server = f"{{ {trap}; {server} & wait $! || wait $!; }}"
        else:
            server = f"exec {server}"
        return ("sh", "-c", f"{own}{self.prepared} && {server}", "tritonserver")

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """Replaces the image's own; empty keeps it."""
        return () if self.image_entrypoint else self.program

    @property
    def command(self) -> tuple[str, ...]:
        """What follows the entry point."""
        return (*self.program, *self.arguments) if self.image_entrypoint else self.arguments

    @property
    def fetches(self) -> bool:
        """Whether its models come from a hub, which may ask for a token."""
        return HUB in dict(self.caches)

    @property
    def told_cores(self) -> str:
        """Its cores in words, and what engines call them where that is another number."""
        if self.cores is None or self.cores == self.cpus:
            return f"{self.cores or 'all'} cores"
        return f"{self.cores} cores, {self.cpus} hardware threads"

    @property
    def pinned(self) -> bool:
        """Whether its image is named by a digest, so that nobody can put another in its place."""
        return "@sha256:" in self.image

    @property
    def told_image(self) -> str:
        """What is to be known of its image's name; empty for one with a digest."""
        if self.holds_models:
            return "Built from Dockerfile: its tag is the repository's digest."
        return "" if self.pinned else "Named by its tag: `--image NAME@sha256:…` pins its content."


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many containers run.

    Attributes:
        least: at any time.
        most: the autoscaler's upper bound.
        hourly: by hour of the week from Monday 00:00, empty when not known.
        start_up_s: until a new replica serves.
        interval_s: between two looks of the autoscaler.
        cool_down_s: the load must have been lower for so long before a replica goes.
        planned: whether a capacity plan decided them.
    """

    least: int
    most: int
    hourly: tuple[int, ...] = ()
    start_up_s: float = 180.0
    interval_s: float = 30.0
    cool_down_s: float = 300.0
    planned: bool = False

    @property
    def scaled(self) -> bool:
        """Whether there is anything for an autoscaler to decide."""
        return self.least < self.most

    @property
    def weekend_least(self) -> int:
        """Replicas at least on Saturdays and Sundays."""
        return max(self.least, min(self.hourly[_WEEKDAY_HOURS:], default=0))

    @property
    def weekday_least(self) -> int:
        """Replicas at least from Monday to Friday."""
        return max(self.least, min(self.hourly[:_WEEKDAY_HOURS], default=0))


@dataclass(frozen=True, slots=True)
class PlannedService:
    """What a plan of machines says of one service.

    Attributes:
        name: of the service.
        models: (name, instances, threads).
        cores: CPU limit of its container.
        memory_bytes: that one container needs, None when not known.
        replicas: how many.
        queue_target_us: at which the autoscaler aims, None when not known.
        concurrency: requests at a time, None when not known.
        rate_per_s: the greatest rate of one replica, None when not known.
        endpoints: of Azure ML, among which rates and replicas are divided.
    """

    name: str
    models: tuple[tuple[str, int, int], ...]
    cores: int
    memory_bytes: int | None
    replicas: Replicas
    queue_target_us: int | None = None
    concurrency: int | None = None
    rate_per_s: float | None = None
    endpoints: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """One kind of container and its replicas.

    Attributes:
        name: a DNS label.
        models: in the order of their names.
        container: that serves them.
        replicas: how many.
        queue_target_us: mean wait in the queue at which the autoscaler aims.
        concurrency: requests at a time that one replica serves within its goals.
        rate_per_s: the greatest rate of one replica at the goals, None when not measured.
        endpoints: of Azure ML, among which rates and replicas are divided.

    Raises:
        InvalidInputError: TG752, the name is no DNS label of 1 to 40 characters.
    """

    name: str
    models: tuple[DeployedModel, ...]
    container: Container
    replicas: Replicas
    queue_target_us: int
    concurrency: int
    rate_per_s: float | None = None
    endpoints: int = 1

    def __post_init__(self) -> None:
        _refuse_name("service", self.name)

    @property
    def told(self) -> str:
        """Its models, their threads and the cores that hold them, in words."""
        names = ", ".join(model.name for model in self.models)
        held = ", which the rate limiter holds them to" if self.container.rate_limited else ""
        return f"{names}: {self.total_threads} threads of {self.container.told_cores}{held}"

    @property
    def total_threads(self) -> int:
        """Threads of all instances together."""
        return sum(model.instances * model.threads for model in self.models)

    @property
    def scratch_bytes(self) -> int:
        """What /tmp must hold where Triton copies the repository there, as from an object store."""
        return self.container.tmp_bytes + sum(model.weight_bytes for model in self.models)

    @property
    def latency_ms(self) -> float | None:
        """The tightest goal of its models, None when none is stated."""
        goals = [model.latency_ms for model in self.models if model.latency_ms is not None]
        return min(goals, default=None)

    @property
    def peak_rate(self) -> float:
        """Requests per second of all its models at their peaks, 0 when not stated."""
        return sum(model.peak_rate or 0.0 for model in self.models)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that is deployed together.

    Attributes:
        name: of the whole.
        services: one or more.
        digest: of configurations and weights: changes when what is served changes.
        repository: path of the model repository, relative to the folder that is written.
        storage: where the cluster finds the repository, such as ``pvc://models`` or ``s3://…``.
        machine: machine type, empty where it does not matter.
        machine_vcpus: its virtual CPUs, None when not known.
        time_zone: IANA name of the clock of every schedule.
        namespace: of a cluster, in which everything lies.
        files: (path in the repository, sha256) of everything that a build has put there.
        base_image: on which an image with the models is built; empty where there is none.

    Raises:
        InvalidInputError: TG767, targets cannot name the repository's path or storage; TG752, the
            name or the namespace is no DNS label.
    """

    name: str
    services: tuple[Service, ...]
    digest: str
    repository: str
    storage: str
    machine: str = ""
    machine_vcpus: int | None = None
    time_zone: str = "UTC"
    namespace: str = "triton"
    files: tuple[tuple[str, str], ...] = ()
    base_image: str = ""

    @property
    def weight_bytes(self) -> int:
        """Of all models, as far as they are known."""
        return sum(model.weight_bytes for one in self.services for model in one.models)

    @property
    def caches(self) -> bool:
        """Whether a container keeps what its models fetch or make when they load."""
        return any(one.container.caches for one in self.services)

    @property
    def in_claim(self) -> bool:
        """Whether a claim of a cluster holds the models."""
        return self.storage.startswith(_CLAIM) and not self.base_image

    @property
    def claim(self) -> tuple[str, str]:
        """Name of the claim, and the folder in it with a slash before it; empty for its root."""
        name, _, path = self.storage.removeprefix(_CLAIM).partition("/")
        return name, f"/{path}" if path else ""

    def __post_init__(self) -> None:
        _refuse_name("deployment", self.name)
        _refuse_name("namespace", self.namespace)
        for path in (self.repository, self.storage):
            if not _PATH.fullmatch(path):
                raise InvalidInputError("TG767", f"{path!r} cannot be written into every format")
