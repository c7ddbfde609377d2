"""The single checks of `doctor`: each asks the machine one thing and says what it found."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, TritongenError
from tritongen.model.cores import CpuReading, budget_of
from tritongen.model.findings import Finding, Severity, finding
from tritongen.serving.embedded import embedded_preflight, fetch
from tritongen.serving.ports import port_findings, ports_of
from tritongen.serving.preflight import repository_findings
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.serving.reaper import SHARED_MEMORY
from tritongen.system.machine import read_cpus
from tritongen.system.sandbox import sandbox_gaps
from tritongen.triton.server import Endpoints
from tritongen.triton.server_state import StateStore

__all__ = [
    "Check",
    "cpu_check",
    "disk_checks",
    "docker_checks",
    "embedded_checks",
    "failed",
    "gpu_check",
    "memory_checks",
    "passed",
    "port_checks",
    "problem_check",
    "sandbox_check",
]

_MIB = 1 << 20
# Logs, state and the like; beyond that a server writes nothing.
_MIN_DISK_BYTES = 64 * _MIB
_GPU_DEVICES = "nvidia[0-9]*"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the check, stable for programs: ``docker.image``.
        severity: error forbids a start, warning costs, info is fine.
        message: what was found.
        fix: what to do, empty when it is fine.
        code: a key of `tritongen.errors.CODES`, empty when it is fine.
    """

    name: str
    severity: Severity
    message: str
    fix: str = ""
    code: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.severity is Severity.INFO


def passed(name: str, message: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Severity.INFO, message)


def failed(name: str, item: Finding, about: str = "") -> Check:
    """A finding as a check; one that only informs has no cure to offer."""
    message = f"{about}: {item.message}" if about else item.message
    if item.severity is Severity.INFO:
        return passed(name, message)
    return Check(name, item.severity, message, item.fix, item.code)


def problem_check(name: str, problem: TritongenError) -> Check:
    """An error as a check."""
    return Check(name, Severity.ERROR, str(problem), problem.fix, problem.code)


def cpu_check(spec: ServerSpec) -> Check:
    """The cores that this machine or container really gives, against those planned for."""
    reading = read_cpus()
    cores = budget_of(reading).value
    here = f"{cores} cores can be used ({_cpu_words(reading)})"
    if spec.cores is None or spec.cores <= cores:
        planned = "" if spec.cores is None else f", {spec.cores} are planned for"
        return passed("cpus", here + planned)
    message = f"{here}, and the repository is planned for {spec.cores}"
    return failed("cpus", finding("TG316", Severity.WARNING, message))


def _cpu_words(reading: CpuReading) -> str:
    parts = [f"affinity {reading.affinity}"]
    if reading.physical is not None:
        parts.append(f"physical {reading.physical}")
    if reading.cpuset is not None:
        parts.append(f"cpuset {reading.cpuset}")
    parts.append("no quota" if reading.quota is None else f"quota {reading.quota:g}")
    return ", ".join(parts)


def memory_checks(spec: ServerSpec) -> Iterator[Check]:
    """Memory and shared memory."""
    short = [item for item in embedded_preflight.resource_findings(spec) if item.code == "TG311"]
    available = embedded_preflight.available_memory()
    here = f"{available // _MIB} MiB are available" if available else "not known"
    planned = f", {spec.memory_bytes // _MIB} MiB are planned for" if spec.memory_bytes else ""
    yield failed("memory", short[0]) if short else passed("memory", here + planned)
    shared = [item for item in embedded_preflight.machine_findings() if item.code == "TG818"]
    wanted = spec.shared_memory_bytes or 0
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    if not shared and wanted > free:
        message = f"the models' tensors need {wanted // _MIB} MiB, {free // _MIB} MiB are free"
        shared = [finding("TG818", Severity.WARNING, message)]
    if shared:
        yield failed("shm", shared[0])
    else:
        yield passed("shm", f"{free // _MIB} MiB are free in {SHARED_MEMORY}")


def disk_checks(store: StateStore) -> Iterator[Check]:
    """Room and permission where the tool writes: the project's folder and the user's cache."""
    yield _disk_check("disk.project", store.project, _MIN_DISK_BYTES)
    try:
        cache = fetch.default_cache()
    except EnvironmentProblem as problem:
        yield problem_check("disk.cache", problem)
        return
    needed = _MIN_DISK_BYTES if fetch.installed(cache) else fetch.NEEDED_BYTES
    yield _disk_check("disk.cache", cache, needed)


def _disk_check(name: str, folder: Path, needed: int) -> Check:
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed(name, finding("TG004", Severity.ERROR, f"{existing} cannot be written"))
    free = shutil.disk_usage(existing).free
    if free < needed:
        message = f"{folder} has {free // _MIB} MiB left, {needed // _MIB} MiB are needed"
        return failed(name, finding("TG005", Severity.ERROR, message))
    return passed(name, f"{free // _MIB} MiB are free in {folder}")


def port_checks(spec: ServerSpec, own: Endpoints | None) -> Iterator[Check]:
    """The ports of a start; those that the project's own server holds are as they should be.

    Args:
        spec: of the server.
        own: of the project's server when it runs.
    """
    wanted = spec.ports
    mine = set(astuple(ports_of(own))) if own is not None else set()
    unlike_own = Ports(*(0 if port in mine else port for port in astuple(wanted)))
    try:
        others = port_findings(spec.host, unlike_own)
    except EnvironmentProblem as problem:
        yield problem_check("ports", problem)
        return
    for item in others:
        yield failed("ports", item)
    if others:
        return
    if unlike_own != wanted:
        yield passed("ports", "held by this project's own server")
        return
    words = ", ".join("any" if number == 0 else str(number) for number in astuple(wanted))
    yield passed("ports", f"{words} are free on {spec.host}")


def gpu_check(spec: ServerSpec) -> Check:
    """GPUs that are asked for against those of this machine."""
    here = len(list(Path("/dev").glob(_GPU_DEVICES)))
    if here >= spec.gpus:
        asked = f"{spec.gpus} asked for" if spec.gpus else "none is asked for"
        return passed("gpus", f"{here} here, {asked}")
    message = f"{spec.gpus} GPUs are asked for, {here} are here"
    return failed("gpus", finding("TG826", Severity.ERROR, message))


def embedded_checks(spec: ServerSpec, wheel: Path | None, *, needed: bool) -> Iterator[Check]:
    """Whether this machine runs the embedded Triton, with the packages of each backend.

    Args:
        spec: of the server.
        wheel: local copy of the wheel, None for the user's setting or pip's download.
        needed: whether the spec's backends are those of a repository; every backend is looked at
            otherwise, and a missing package only told.
    """
    faults = [item for item in embedded_preflight.machine_findings() if item.code != "TG818"]
    yield from (failed("embedded.machine", item) for item in faults)
    if not faults:
        yield passed("embedded.machine", f"Python 3.{sys.version_info.minor}, x86-64, glibc")
    try:
        yield passed("embedded.triton", fetch.availability(wheel=wheel))
    except EnvironmentProblem as problem:
        yield problem_check("embedded.triton", problem)
    if spec.gpus:
        message = "the embedded runtime serves on CPUs only"
        yield failed("embedded.gpus", finding("TG806", Severity.ERROR, message))
    backends = spec.backends if needed else tuple(embedded_preflight.PACKAGES)
    for backend in sorted(set(backends) - {"", "ensemble"}):
        yield _backend_check(spec, backend, needed=needed)


def _backend_check(spec: ServerSpec, backend: str, *, needed: bool) -> Check:
    name = f"embedded.backend.{backend}"
    packages, extra = embedded_preflight.PACKAGES.get(backend, ((), ""))
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    if needed:
        alone = replace(spec, backends=(backend,), gpus=0)
        if fault := next(embedded_preflight.backend_findings(alone), None):
            return failed(name, fault)
    if absent:
        how = f"; pip install 'tritongen[{extra}]' brings it" if extra else ""
        return passed(name, f"not installed: {', '.join(absent)}{how}")
    return passed(name, ", ".join(f"{package} {_version(package)}" for package in packages))


def _version(package: str) -> str:
    names = importlib.metadata.packages_distributions().get(package, [package])
    try:
        return importlib.metadata.version(names[0])
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def docker_checks(spec: ServerSpec, *, with_repository: bool) -> Iterator[Check]:
    """Whether the Docker Engine runs a container of the spec.

    Args:
        spec: of the server.
        with_repository: whether the spec has a real repository to be mounted.
    """
    from tritongen.serving.docker import docker_preflight as container
    from tritongen.serving.docker.docker_engine import DockerEngine

    if with_repository and not list(repository_findings(spec)):
        faults = list(container.mount_findings(spec))
        yield from (failed("docker.mount", item) for item in faults)
        if not faults:
            yield passed("docker.mount", f"user {spec.user} can read the repository")
    engine = DockerEngine()
    try:
        facts = engine.facts()
    except EnvironmentProblem as problem:
        yield problem_check("docker.engine", problem)
        return
    memory = facts.memory_bytes // _MIB
    yield passed("docker.engine", f"{facts.version}: {facts.cpus} CPUs, {memory} MiB")
    limits = [*container.engine_findings(facts), *container.resource_findings(spec, facts)]
    yield from (failed("docker.limits", item) for item in limits)
    try:
        for item in container.image_findings(spec, engine):
            yield failed("docker.image", item)
    except EnvironmentProblem as problem:
        yield problem_check("docker.image", problem)


def sandbox_check() -> Check:
    """What keeps code that was handed over, where the tool runs it, from the rest."""
    gaps = sandbox_gaps()
    if not gaps:
        return passed("sandbox", "code of models runs without network, with files of its own only")
    message = f"when code of models runs here, {'; '.join(gaps)}"
    return failed("sandbox", finding("TG012", Severity.WARNING, message))
