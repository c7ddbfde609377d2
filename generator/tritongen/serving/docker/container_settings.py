"""The container of a server: one set of settings, given to the engine or printed as a command.

Everything that a user could ask of ``docker run`` follows from a `ServerSpec` and what is settled
at its start; the engine's arguments and the printed line are two readings of it.

A link to weights outside the repository leads nowhere inside a container. Its target is mounted
read-only at the place where the link leads from /models; a link whose target would land on the
container's own folders is refused.
"""

import csv
import io
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tritongen.serving.docker.health_check import HEALTH
from tritongen.serving.protocol import ServerSpec, server_arguments
from tritongen.triton.server import ApiKeys

# Places of a container that nothing may be mounted over.
_RESERVED = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/opt/nvidia", "/opt/tritonserver",
    "/proc", "/run", "/sbin", "/sys", "/usr", "/var/run",
)  # fmt: skip
# Labels by which containers are found again.
SERVER = "tritongen.server"
LABEL = "tritongen.label"
PROJECT = "tritongen.project"

MODELS = PurePosixPath("/models")
# Where Triton listens inside, whatever the ports outside are.
_HTTP_PORT, _GRPC_PORT, _METRICS_PORT = 8000, 8001, 8002
# For the tensors of Python-based backends where nobody has estimated them.
_SHARED_MEMORY_BYTES = 256 << 20
# For the engines of language models, whose processes hand each other tensors through it.
_ENGINES = frozenset({"vllm", "tensorrtllm"})
_ENGINE_SHARED_MEMORY_BYTES = 1 << 30
# What the engine itself gives.
_MIN_SHARED_MEMORY_BYTES = 64 << 20
_ULIMITS = (("stack", 64 << 20),)
# Pinned memory is for GPUs; engines without privileges cannot raise this limit.
_GPU_ULIMITS = (("memlock", -1),)
# Their models bring no code that would have to run from /tmp.
_NO_CODE = frozenset({"onnxruntime", "openvino", "fil", "tensorrt", "ensemble"})
_TMP = "/tmp"  # noqa: S108  (inside the container, of its own)
_TMP_WITH_CODE_BYTES, _TMP_BYTES = 1 << 30, 64 << 20
_LOG_SIZE = "16m"
_LOG_FILES = 2
_NANO = 10**9


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind: `source` on the engine's machine, `target` in the container; mostly read-only."""

    source: str
    target: str
    writable: bool = False

    def option(self) -> str:
        """The value of ``docker run --mount``."""
        text = io.StringIO()
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        fields += [] if self.writable else ["readonly"]
        csv.writer(text, lineterminator="").writerow(fields)
        return text.getvalue()


@dataclass(frozen=True, slots=True)
class BadLink:
    """A link that cannot be followed from inside, relative to the repository, and why."""

    path: str
    reason: str


def repository_mounts(
    repository: Path, inside: PurePosixPath
) -> tuple[tuple[Mount, ...], tuple[BadLink, ...]]:
    """The binds for a repository, and the links that no bind can mend.

    Args:
        repository: an existing folder.
        inside: where it stands in the container.
    """
    root = repository.resolve()
    mounts = {str(inside): Mount(str(root), str(inside))}
    bad = []
    for link in _links(root):
        name = link.relative_to(root).as_posix()
        target, reason = _target(link, root, inside)
        if reason:
            bad.append(BadLink(name, reason))
        elif target is not None:
            mounts.setdefault(target, Mount(str(link.resolve()), target))
    return tuple(mounts.values()), tuple(bad)


def _links(root: Path) -> Iterator[Path]:
    """Every symbolic link below the root; linked folders are not entered."""
    for place, folders, files in os.walk(root):
        for name in sorted((*folders, *files)):
            path = Path(place, name)
            if path.is_symlink():
                yield path


def _target(link: Path, root: Path, inside: PurePosixPath) -> tuple[str | None, str]:
    """Where the link leads in the container when a bind is needed there; or why none can be."""
    text = os.readlink(link)  # noqa: PTH115  (the text as it stands)
    if not link.exists():
        return None, f"leads to {text}, which does not exist"
    here = inside / link.relative_to(root).as_posix()
    leads = PurePosixPath(os.path.normpath(here.parent / text))
    if leads.is_relative_to(inside):
        return None, ""  # to a neighbour, which is there or is a link that is looked at itself
    if root.is_relative_to(link.resolve()):
        return None, f"leads to {text}, which holds the repository itself"
    if any(leads.is_relative_to(place) for place in _RESERVED):
        return None, f"would lead to the container's own {leads}"
    return str(leads), ""


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """Everything about one container.

    Attributes:
        spec: of the server; its ports, on the engine's machine, are settled.
        image: its reference.
        server: unique name of this start.
        mounts: binds: the repository first, then what its links lead to, read-only both; a folder
            for engines that are built when models load.
        keys: of the server's restricted APIs.
        engine_cpus: of the engine's machine, which refuses a quota beyond them; None if not known.
    """

    spec: ServerSpec
    image: str
    server: str
    mounts: tuple[Mount, ...]
    keys: ApiKeys
    engine_cpus: int | None = None

    @property
    def name(self) -> str:
        """Of the container."""
        return f"tritongen-{self.spec.label}-{self.server[:6]}"

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """Replaces the image's own; empty keeps it: with GPUs the official one prepares CUDA."""
        return () if self.spec.gpus else ("tritonserver",)

    @property
    def flags(self) -> tuple[str, ...]:
        """What follows ``tritonserver``."""
        return tuple(server_arguments(self.spec, [("model-repository", str(MODELS))], self.keys))

    @property
    def command(self) -> tuple[str, ...]:
        """What follows the entry point."""
        return self.flags if self.entrypoint else ("tritonserver", *self.flags)

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """(variable, value); nothing of the caller's."""
        own = {
            "HOME": _TMP,  # the one place that the container may write to
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return tuple({**own, **dict(self.spec.environment)}.items())

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """(label, value)."""
        project = str(self.spec.project.resolve())
        return ((SERVER, self.server), (LABEL, self.spec.label), (PROJECT, project))

    @property
    def ports(self) -> tuple[tuple[int, int], ...]:
        """(port on the engine's machine, port inside)."""
        ports = self.spec.ports
        return (
            (ports.http, _HTTP_PORT), (ports.grpc, _GRPC_PORT), (ports.metrics, _METRICS_PORT),
        )  # fmt: skip

    @property
    def cpus(self) -> int | None:
        """Quota in CPUs, None for none."""
        cores = self.spec.cores
        return cores if cores is None else min(cores, self.engine_cpus or cores)

    @property
    def shared_memory_bytes(self) -> int:
        """Size of /dev/shm."""
        return shared_memory(self.spec)

    @property
    def tmp_bytes(self) -> int:
        """Size of /tmp."""
        return _TMP_WITH_CODE_BYTES if self._runs_code else _TMP_BYTES

    @property
    def read_only(self) -> bool:
        """Whether the root file system is; the official entry point writes to it with GPUs."""
        wanted = self.spec.read_only
        return not self.spec.gpus if wanted is None else wanted

    @property
    def ulimits(self) -> tuple[tuple[str, int], ...]:
        """(name, soft and hard limit)."""
        return (*_ULIMITS, *(_GPU_ULIMITS if self.spec.gpus else ()))

    @property
    def _runs_code(self) -> bool:
        backends = set(self.spec.backends)
        return bool(backends - _NO_CODE) or not backends

    @property
    def _tmp_options(self) -> str:
        if self._runs_code:
            return f"rw,exec,nosuid,nodev,size={self.tmp_bytes >> 30}g"
        return f"rw,noexec,nosuid,nodev,size={self.tmp_bytes >> 20}m"

    @property
    def _cpuset(self) -> str:
        return ",".join(map(str, self.spec.cpuset))

    def body(self) -> dict[str, Any]:
        """What the engine is asked for, as its API has it (``POST /containers/create``)."""
        return {
            "Image": self.image,
            "Cmd": list(self.command),
            "Env": [
                f"{name}={value}"
                for name, value in (*self.spec.passed_values.items(), *self.environment)
            ],
            "Labels": dict(self.labels),
            "ExposedPorts": {f"{inside}/tcp": {} for _, inside in self.ports},
            "User": self.spec.user,
            "Healthcheck": {
                "Test": ["CMD-SHELL", shlex.join(HEALTH.command)],
                "Interval": HEALTH.interval_s * _NANO,
                "Timeout": HEALTH.timeout_s * _NANO,
                "StartPeriod": HEALTH.start_s * _NANO,
                "Retries": HEALTH.retries,
            },
            "StopTimeout": HEALTH.stop_grace_s,
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
                f"{inside}/tcp": [{"HostIp": self.spec.host, "HostPort": str(port)}]
                for port, inside in self.ports
            },
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": item.source,
                    "Target": item.target,
                    "ReadOnly": not item.writable,
                }
                for item in self.mounts
            ],
            "Tmpfs": {_TMP: self._tmp_options},
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
        spec = self.spec
        gpus = {"Driver": "", "Count": spec.gpus, "DeviceIDs": [], "Capabilities": [["gpu"]]}
        limits = {
            "NanoCpus": self.cpus * _NANO if self.cpus else None,
            "CpusetCpus": self._cpuset or None,
            "Memory": spec.memory_bytes,
            "MemorySwap": spec.memory_bytes,
            "ShmSize": self.shared_memory_bytes,
            "Ulimits": [{"Name": name, "Soft": size, "Hard": size} for name, size in self.ulimits],
            "DeviceRequests": [{**gpus, "Options": {}}] if spec.gpus else None,
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
        spec = self.spec
        host = f"[{spec.host}]" if ":" in spec.host else spec.host
        options: list[tuple[str, str | None]] = [
            *(("--label", f"{name}={value}") for name, value in self.labels),
            # Without a value it is the caller's, which the printed line does not tell.
            *(("--env", name) for name in self.spec.passed),
            *(("--env", f"{name}={value}") for name, value in self.environment),
            *(("--publish", f"{host}:{port}:{inside}") for port, inside in self.ports),
            *(("--mount", mount.option()) for mount in self.mounts),
            ("--tmpfs", f"{_TMP}:{self._tmp_options}"),
        ]
        if self.entrypoint:
            options.append(("--entrypoint", self.entrypoint[0]))
        if self.cpus:
            options.append(("--cpus", str(self.cpus)))
        if spec.cpuset:
            options.append(("--cpuset-cpus", self._cpuset))
        if spec.memory_bytes:
            memory = str(spec.memory_bytes)
            options += [("--memory", memory), ("--memory-swap", memory)]
        options.append(("--shm-size", str(self.shared_memory_bytes)))
        options += [("--ulimit", f"{name}={size}:{size}") for name, size in self.ulimits]
        if spec.gpus:
            options.append(("--gpus", str(spec.gpus)))
        options.append(("--user", spec.user))
        if self.read_only:
            options.append(("--read-only", None))
        return [*options, *_FIXED_OPTIONS]


_FIXED_OPTIONS: tuple[tuple[str, str | None], ...] = (
    ("--cap-drop", "ALL"),
    ("--security-opt", "no-new-privileges"),
    ("--health-cmd", shlex.join(HEALTH.command)),
    ("--health-interval", f"{HEALTH.interval_s}s"),
    ("--health-timeout", f"{HEALTH.timeout_s}s"),
    ("--health-start-period", f"{HEALTH.start_s}s"),
    ("--health-retries", str(HEALTH.retries)),
    ("--log-opt", f"max-size={_LOG_SIZE}"),
    ("--log-opt", f"max-file={_LOG_FILES}"),
    ("--stop-timeout", str(HEALTH.stop_grace_s)),
)


def shared_memory(spec: ServerSpec) -> int:
    """Size of /dev/shm: what the plan needs, within half of the memory it counts against."""
    wanted = spec.shared_memory_bytes or _SHARED_MEMORY_BYTES
    if _ENGINES & set(spec.backends):
        wanted = max(wanted, _ENGINE_SHARED_MEMORY_BYTES)
    if spec.memory_bytes:
        wanted = min(wanted, spec.memory_bytes // 2)
    return max(wanted, _MIN_SHARED_MEMORY_BYTES)
