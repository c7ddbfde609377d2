"""The container of a server: one set of settings, given to the engine or printed as a command.

Everything that a user could ask of ``docker run`` stands in `ContainerSettings`; the engine's
arguments and the printed line are two readings of it.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.serving.arguments import server_arguments
from tritongen.serving.docker.container_binds import Mount
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.triton.api_keys import ApiKeys

__all__ = [
    "LABEL",
    "PROJECT",
    "SERVER",
    "ContainerSettings",
    "DockerOptions",
    "container_settings",
    "shared_memory",
]

# Labels by which containers are found again.
SERVER = "tritongen.server"
LABEL = "tritongen.label"
PROJECT = "tritongen.project"

MODELS = PurePosixPath("/models")
# The triton-server user of official images. A number holds in every image.
USER = "1000:1000"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?")

_INSIDE = Ports(8000, 8001, 8002)
_SHARED_MEMORY = 256 << 20
_LEAST_SHARED_MEMORY = 64 << 20
_STOP_GRACE_S = 35  # Triton itself waits 30 s for requests in flight
_ULIMITS = (("stack", 64 << 20),)
# Pinned memory is for GPUs; engines without privileges cannot raise this limit.
_GPU_ULIMITS = (("memlock", -1),)
# Their models bring no code that would have to run from /tmp.
_NO_CODE = frozenset({"onnxruntime", "openvino", "fil", "tensorrt", "ensemble"})
_HEALTH_PROGRAM = (
    "import http.client as h, sys; c = h.HTTPConnection(sys.argv[1], timeout=4); "
    "c.request(*sys.argv[2:]); sys.exit(c.getresponse().status != 200)"
)
HEALTH = (
    "python3", "-I", "-S", "-c", _HEALTH_PROGRAM, "127.0.0.1:8000", "GET", "/v2/health/ready",
)  # fmt: skip
_HEALTH_INTERVAL_S = 10
_HEALTH_TIMEOUT_S = 5
_HEALTH_START_S = 300
_HEALTH_RETRIES = 3
_LOG_SIZE = "16m"
_LOG_FILES = 2
_NANO = 10**9


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """What a user may choose beyond the spec.

    Attributes:
        image: to run; the official one of the plan's release when empty.
        user: ``uid:gid`` inside the container.
        read_only: keep the container's root file system read-only; None where it is known to work.

    Raises:
        InvalidInputError: TG304.
    """

    image: str = ""
    user: str = USER
    read_only: bool | None = None

    def __post_init__(self) -> None:
        if not _USER.fullmatch(self.user):
            raise InvalidInputError("TG304", f"user {self.user!r} is not UID:GID")


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """Everything about one container.

    Attributes:
        image: its reference.
        name: of the container.
        entrypoint: replaces the image's own; empty keeps it.
        command: what follows it.
        environment: (variable, value).
        labels: (label, value).
        ports: (address, port on the engine's machine, port inside).
        mounts: read-only binds.
        tmpfs: (folder inside, mount options).
        cpus: quota in CPUs, None for none.
        cpuset: CPU numbers, empty for all.
        memory_bytes: limit without swap, None for none.
        shared_memory_bytes: size of /dev/shm.
        gpus: number of GPUs.
        user: ``uid:gid``.
        read_only: root file system.
    """

    image: str
    name: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int, int], ...]
    mounts: tuple[Mount, ...]
    tmpfs: tuple[tuple[str, str], ...]
    cpus: int | None = None
    cpuset: tuple[int, ...] = ()
    memory_bytes: int | None = None
    shared_memory_bytes: int = _SHARED_MEMORY
    gpus: int = 0
    user: str = USER
    read_only: bool = True

    @property
    def ulimits(self) -> tuple[tuple[str, int], ...]:
        """(name, soft and hard limit)."""
        return (*_ULIMITS, *(_GPU_ULIMITS if self.gpus else ()))

    def body(self) -> dict[str, Any]:
        """What the engine is asked for, as its API has it (``POST /containers/create``)."""
        return {
            "Image": self.image,
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in self.environment],
            "Labels": dict(self.labels),
            "ExposedPorts": {f"{inside}/tcp": {} for _, _, inside in self.ports},
            "User": self.user,
            "Healthcheck": {
                "Test": ["CMD-SHELL", shlex.join(HEALTH)],
                "Interval": _HEALTH_INTERVAL_S * _NANO,
                "Timeout": _HEALTH_TIMEOUT_S * _NANO,
                "StartPeriod": _HEALTH_START_S * _NANO,
                "Retries": _HEALTH_RETRIES,
            },
            "StopTimeout": _STOP_GRACE_S,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": {**self._host_part(), **self._limits()},
            # Without one the image's own stays.
            **({"Entrypoint": list(self.entrypoint)} if self.entrypoint else {}),
        }

    def _host_part(self) -> dict[str, Any]:
        """What of the engine's machine is given to the container."""
        return {
            "PortBindings": {
                f"{inside}/tcp": [{"HostIp": host, "HostPort": str(port)}]
                for host, port, inside in self.ports
            },
            "Mounts": [
                {"Type": "bind", "Source": item.source, "Target": item.target, "ReadOnly": True}
                for item in self.mounts
            ],
            "Tmpfs": dict(self.tmpfs),
            "NetworkMode": "default",
            "ReadonlyRootfs": self.read_only,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": _LOG_SIZE, "max-file": str(_LOG_FILES)},
            },
        }

    def _limits(self) -> dict[str, Any]:
        gpus = {"Driver": "", "Count": self.gpus, "DeviceIDs": [], "Capabilities": [["gpu"]]}
        limits = {
            "NanoCpus": self.cpus * _NANO if self.cpus else None,
            "CpusetCpus": ",".join(map(str, self.cpuset)) or None,
            "Memory": self.memory_bytes,
            "MemorySwap": self.memory_bytes,
            "ShmSize": self.shared_memory_bytes,
            "Ulimits": [{"Name": name, "Soft": size, "Hard": size} for name, size in self.ulimits],
            "DeviceRequests": [{**gpus, "Options": {}}] if self.gpus else None,
        }
        return {name: value for name, value in limits.items() if value is not None}

    def run_line(self) -> str:
        """The same as a ``docker run`` command, quoted for a shell."""
        words = ["docker", "run", "--detach", "--name", self.name]
        for flag, value in self._options():
            words += [flag] if value is None else [flag, value]
        words.append(self.image)
        return shlex.join([*words, *self.entrypoint[1:], *self.command])

    def _options(self) -> list[tuple[str, str | None]]:
        options: list[tuple[str, str | None]] = [
            *(("--label", f"{name}={value}") for name, value in self.labels),
            *(("--env", f"{name}={value}") for name, value in self.environment),
            *(("--publish", f"{_host(host)}:{port}:{inside}") for host, port, inside in self.ports),
            *(("--mount", mount.option()) for mount in self.mounts),
            *(("--tmpfs", f"{folder}:{how}") for folder, how in self.tmpfs),
        ]
        if self.entrypoint:
            options.append(("--entrypoint", self.entrypoint[0]))
        if self.cpus:
            options.append(("--cpus", str(self.cpus)))
        if self.cpuset:
            options.append(("--cpuset-cpus", ",".join(map(str, self.cpuset))))
        if self.memory_bytes:
            memory = str(self.memory_bytes)
            options += [("--memory", memory), ("--memory-swap", memory)]
        options.append(("--shm-size", str(self.shared_memory_bytes)))
        options += [("--ulimit", f"{name}={size}:{size}") for name, size in self.ulimits]
        if self.gpus:
            options.append(("--gpus", str(self.gpus)))
        options.append(("--user", self.user))
        if self.read_only:
            options.append(("--read-only", None))
        return [*options, *_FIXED_OPTIONS]


_FIXED_OPTIONS: tuple[tuple[str, str | None], ...] = (
    ("--cap-drop", "ALL"),
    ("--security-opt", "no-new-privileges"),
    ("--health-cmd", shlex.join(HEALTH)),
    ("--health-interval", f"{_HEALTH_INTERVAL_S}s"),
    ("--health-timeout", f"{_HEALTH_TIMEOUT_S}s"),
    ("--health-start-period", f"{_HEALTH_START_S}s"),
    ("--health-retries", str(_HEALTH_RETRIES)),
    ("--log-opt", f"max-size={_LOG_SIZE}"),
    ("--log-opt", f"max-file={_LOG_FILES}"),
    ("--stop-timeout", str(_STOP_GRACE_S)),
)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def shared_memory(spec: ServerSpec) -> int:
    """Size of /dev/shm: what the plan needs, within half of the memory it counts against."""
    wanted = spec.shared_memory_bytes or _SHARED_MEMORY
    if spec.memory_bytes:
        wanted = min(wanted, spec.memory_bytes // 2)
    return max(wanted, _LEAST_SHARED_MEMORY)


def container_settings(
    spec: ServerSpec,
    options: DockerOptions,
    image: str,
    *,
    server: str,
    ports: Ports,
    mounts: tuple[Mount, ...],
    engine_cpus: int | None,
    keys: ApiKeys,
) -> ContainerSettings:
    """The container of a spec.

    Args:
        spec: of the server.
        options: the user's further choices.
        image: reference.
        server: unique name of this start.
        ports: settled ports on the engine's machine.
        mounts: the repository first, then what its links lead to.
        engine_cpus: of the engine's machine, which refuses a quota beyond them; None if not known.
        keys: of the server's restricted APIs.
    """
    cpus = spec.cores
    if cpus is not None and engine_cpus is not None:
        cpus = min(cpus, engine_cpus)
    # With GPUs the official entry point prepares CUDA's compatibility libraries.
    entrypoint = () if spec.gpus else ("tritonserver",)
    arguments = server_arguments(spec, [("model-repository", str(MODELS))], keys)
    runs_code = bool(set(spec.backends) - _NO_CODE) or not spec.backends
    tmp = "rw,exec,nosuid,nodev,size=1g" if runs_code else "rw,noexec,nosuid,nodev,size=64m"
    numbers = zip(_numbers(ports), _numbers(_INSIDE), strict=True)
    return ContainerSettings(
        image=image,
        name=f"tritongen-{spec.label}-{server[:6]}",
        entrypoint=entrypoint,
        command=tuple(arguments) if entrypoint else ("tritonserver", *arguments),
        environment=_environment(spec),
        labels=((SERVER, server), (LABEL, spec.label), (PROJECT, str(spec.project.resolve()))),
        ports=tuple((spec.host, port, inside) for port, inside in numbers),
        mounts=mounts,
        tmpfs=(("/tmp", tmp),),  # noqa: S108  (inside the container, of its own)
        cpus=cpus,
        cpuset=spec.cpuset,
        memory_bytes=spec.memory_bytes,
        shared_memory_bytes=shared_memory(spec),
        gpus=spec.gpus,
        user=options.user,
        read_only=not spec.gpus if options.read_only is None else options.read_only,
    )


def _numbers(ports: Ports) -> tuple[int, int, int]:
    return ports.http, ports.grpc, ports.metrics


def _environment(spec: ServerSpec) -> tuple[tuple[str, str], ...]:
    own = {
        "HOME": "/tmp",  # noqa: S108  (the one place that the container may write to)
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return tuple({**own, **dict(spec.environment)}.items())
