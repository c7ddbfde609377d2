"""`doctor`: what this machine can run, by the checks of a start, without starting anything."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from itertools import starmap
from pathlib import Path

from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError, TritongenError
from tritongen.model.cores import CpuReading, budget_of
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.progress import Progress, silent
from tritongen.repository.check import check_repository
from tritongen.repository.lock_file import read_lock
from tritongen.serving import gpu_checks
from tritongen.serving.embedded import embedded_preflight, fetch
from tritongen.serving.preflight import port_findings, ports_of, repository_findings
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.serving.reaper import SHARED_MEMORY
from tritongen.serving.runtimes import choose_runtime, find_running
from tritongen.serving.server_spec import ServedRepository, UpOptions, bare_spec, server_spec
from tritongen.system.gpus import GpuReading, read_gpus
from tritongen.system.machine import read_cpus
from tritongen.system.sandbox import sandbox_gaps
from tritongen.system.user_cache import user_cache
from tritongen.triton.server import Endpoints, RuntimeName
from tritongen.triton.server_state import StateStore

_SHOWN = 10
_MIB = 1 << 20
# Logs, state and the like; beyond that a server writes nothing.
_MIN_DISK_BYTES = 64 * _MIB


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


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every check, and the runtime that `up` would take.

    Attributes:
        checks: in the order in which they are shown.
        runtime: that `up` would take with the same options.
        reason: why that one.
    """

    checks: tuple[Check, ...]
    runtime: RuntimeName
    reason: str

    @property
    def exit_code(self) -> ExitCode:
        """3 when the machine stands in the way, 1 when only the repository does, else 0."""
        errors = [item for item in self.checks if item.severity is Severity.ERROR]
        if any(not item.name.startswith("repository") for item in errors):
            return ExitCode.ENVIRONMENT
        return ExitCode.FINDINGS if errors else ExitCode.OK


def diagnose(
    project: Path,
    repository: Path | None,
    options: UpOptions,
    progress: Progress | None = None,
) -> Diagnosis:
    """Run every check of both runtimes.

    Args:
        project: the project's folder.
        repository: to serve; None checks the machine alone.
        options: as for `up`.
        progress: told of what is being checked.

    Raises:
        InvalidInputError: TG304, an option is wrong in itself.
    """
    report = progress or silent
    store = StateStore(project)
    report("checking the repository", 0, 0)
    spec, about_repository = _repository(store, repository, options)
    report("checking the machine", 0, 0)
    own, about_server = _own_server(store)
    gpus = read_gpus()
    machine = [
        about_server,
        _cpu_check(spec),
        *_memory_checks(spec),
        *_disk_checks(store),
        *_port_checks(spec, own),
        *starmap(_failed, gpu_checks.machine_findings(gpus, spec.gpus)),
        _sandbox_check(),
    ]
    report("checking the embedded Triton", 0, 0)
    embedded = list(_embedded_checks(spec, options.wheel, needed=repository is not None))
    report("checking the Docker Engine and the image", 0, 0)
    docker = list(_docker_checks(spec, gpus, with_repository=bool(spec.models)))
    chosen = choose_runtime(spec, options)
    checks = [
        *about_repository,
        *machine,
        *_as_needed(embedded, chosen.name is RuntimeName.EMBEDDED),
        *_as_needed(docker, chosen.name is RuntimeName.DOCKER),
        _passed("runtime", f"{chosen.name.value}: {chosen.reason}"),
    ]
    return Diagnosis(tuple(checks), chosen.name, chosen.reason)


def _as_needed(checks: list[Check], needed: bool) -> Iterator[Check]:
    """What stands in the way of a runtime that is not taken is no more than a warning."""
    for item in checks:
        demoted = item.severity is Severity.ERROR and not needed
        yield replace(item, severity=Severity.WARNING) if demoted else item


def _own_server(store: StateStore) -> tuple[Endpoints | None, Check]:
    """Where the project's own server listens, which may hold the ports; and whether it runs."""
    try:
        running = find_running(store)
    except EnvironmentProblem as problem:
        return None, _problem_check("server", problem)
    if running is None:
        return None, _passed("server", "none of this project runs")
    message = f"this project's own runs at {running.endpoints.http}"
    return running.endpoints, _passed("server", message)


def _repository(
    store: StateStore, repository: Path | None, options: UpOptions
) -> tuple[ServerSpec, list[Check]]:
    """The spec of a server for it, and what there is to say of it."""
    if repository is None:
        message = "there is none here yet; `tritongen build MODELS` writes one"
        return bare_spec(store, options), [_passed("repository", message)]
    checks: list[Check] = []
    served: ServedRepository | None = None
    try:
        served = ServedRepository.read(repository)
    except InvalidInputError as problem:
        checks.append(_problem_check("repository.files", problem))
    try:
        if served is None:
            lock = read_lock(repository) if repository.is_dir() else None
            served = ServedRepository(repository, lock)
        checks += _lint_checks(repository)
        return server_spec(store, served, options), checks
    except InvalidInputError as problem:
        if all(item.code != problem.code for item in checks):
            checks.append(_problem_check("repository", problem))
        return bare_spec(store, options), checks


def _lint_checks(repository: Path) -> Iterator[Check]:
    found = check_repository(repository, hashes=False).findings
    errors = [item for item in found if item.severity is Severity.ERROR]
    for item in errors[:_SHOWN]:
        yield _failed("repository.check", item, about=item.model or item.location.path)
    if len(errors) > _SHOWN:
        message = f"{len(errors) - _SHOWN} more errors; `tritongen check` names them"
        yield replace(_failed("repository.check", errors[_SHOWN]), message=message)
    if not errors:
        warnings = sum(item.severity is Severity.WARNING for item in found)
        also = f" with {warnings} warnings, see `tritongen check`" if warnings else ""
        yield _passed("repository.check", f"{repository} passes{also}")


def _passed(name: str, message: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Severity.INFO, message)


def _failed(name: str, item: Finding, about: str = "") -> Check:
    """A finding as a check; one that only informs has no fix to offer."""
    message = f"{about}: {item.message}" if about else item.message
    if item.severity is Severity.INFO:
        return _passed(name, message)
    return Check(name, item.severity, message, item.fix, item.code)


def _problem_check(name: str, problem: TritongenError) -> Check:
    """An error as a check."""
    return Check(name, Severity.ERROR, str(problem), problem.fix, problem.code)


def _cpu_check(spec: ServerSpec) -> Check:
    """The cores that this machine or container really gives, against those planned for."""
    reading = read_cpus()
    cores = budget_of(reading).value
    here = f"{cores} cores can be used ({_cpu_words(reading)})"
    if spec.cores is None or spec.cores <= cores:
        planned = "" if spec.cores is None else f", {spec.cores} are planned for"
        return _passed("cpus", here + planned)
    message = f"{here}, and the repository is planned for {spec.cores}"
    return _failed("cpus", finding("TG316", Severity.WARNING, message))


def _cpu_words(reading: CpuReading) -> str:
    parts = [f"affinity {reading.affinity}"]
    if reading.physical is not None:
        parts.append(f"physical {reading.physical}")
    if reading.cpuset is not None:
        parts.append(f"cpuset {reading.cpuset}")
    parts.append("no quota" if reading.quota is None else f"quota {reading.quota:g}")
    return ", ".join(parts)


def _memory_checks(spec: ServerSpec) -> Iterator[Check]:
    """Memory and shared memory."""
    short = [item for item in embedded_preflight.resource_findings(spec) if item.code == "TG311"]
    available = embedded_preflight.available_memory()
    here = f"{available // _MIB} MiB are available" if available else "not known"
    planned = f", {spec.memory_bytes // _MIB} MiB are planned for" if spec.memory_bytes else ""
    yield _failed("memory", short[0]) if short else _passed("memory", here + planned)
    shared = [item for item in embedded_preflight.machine_findings() if item.code == "TG818"]
    wanted = spec.shared_memory_bytes or 0
    free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    if not shared and wanted > free:
        message = f"the models' tensors need {wanted // _MIB} MiB, {free // _MIB} MiB are free"
        shared = [finding("TG818", Severity.WARNING, message)]
    if shared:
        yield _failed("shm", shared[0])
    else:
        yield _passed("shm", f"{free // _MIB} MiB are free in {SHARED_MEMORY}")


def _disk_checks(store: StateStore) -> Iterator[Check]:
    """Room and permission where the tool writes: the project's folder and the user's cache."""
    yield _disk_check("disk.project", store.project, _MIN_DISK_BYTES)
    try:
        cache = user_cache()
    except EnvironmentProblem as problem:
        yield _problem_check("disk.cache", problem)
        return
    needed = _MIN_DISK_BYTES if fetch.installed(cache) else fetch.NEEDED_BYTES
    yield _disk_check("disk.cache", cache, needed)


def _disk_check(name: str, folder: Path, needed: int) -> Check:
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return _failed(name, finding("TG004", Severity.ERROR, f"{existing} cannot be written"))
    free = shutil.disk_usage(existing).free
    if free < needed:
        message = f"{folder} has {free // _MIB} MiB left, {needed // _MIB} MiB are needed"
        return _failed(name, finding("TG005", Severity.ERROR, message))
    return _passed(name, f"{free // _MIB} MiB are free in {folder}")


def _port_checks(spec: ServerSpec, own: Endpoints | None) -> Iterator[Check]:
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
        yield _problem_check("ports", problem)
        return
    for item in others:
        yield _failed("ports", item)
    if others:
        return
    if unlike_own != wanted:
        yield _passed("ports", "held by this project's own server")
        return
    words = ", ".join("any" if number == 0 else str(number) for number in astuple(wanted))
    yield _passed("ports", f"{words} are free on {spec.host}")


def _embedded_checks(spec: ServerSpec, wheel: Path | None, *, needed: bool) -> Iterator[Check]:
    """Whether this machine runs the embedded Triton, with the packages of each backend.

    Args:
        spec: of the server.
        wheel: local copy of the wheel, None for the user's setting or pip's download.
        needed: whether the spec's backends are those of a repository; every backend is looked at
            otherwise, and a missing package only told.
    """
    faults = [item for item in embedded_preflight.machine_findings() if item.code != "TG818"]
    yield from (_failed("embedded.machine", item) for item in faults)
    if not faults:
        yield _passed("embedded.machine", f"Python 3.{sys.version_info.minor}, x86-64, glibc")
    try:
        yield _passed("embedded.triton", fetch.availability(wheel))
    except EnvironmentProblem as problem:
        yield _problem_check("embedded.triton", problem)
    if spec.gpus:
        message = "the embedded runtime serves on CPUs only"
        yield _failed("embedded.gpus", finding("TG806", Severity.ERROR, message))
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
            return _failed(name, fault)
    if absent:
        how = f"; pip install 'tritongen[{extra}]' brings it" if extra else ""
        return _passed(name, f"not installed: {', '.join(absent)}{how}")
    return _passed(name, ", ".join(f"{package} {_version(package)}" for package in packages))


def _version(package: str) -> str:
    """The version of a package, whatever its distribution is called (``onnxruntime-gpu``)."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    # Every file of every distribution is read for that, which takes half a second.
    names = importlib.metadata.packages_distributions().get(package, [package])
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(names[0])
    return "of unknown version"


def _docker_checks(spec: ServerSpec, gpus: GpuReading, *, with_repository: bool) -> Iterator[Check]:
    """Whether the Docker Engine runs a container of the spec.

    Args:
        spec: of the server.
        gpus: of this machine.
        with_repository: whether the spec has a real repository to be mounted.
    """
    from tritongen.serving.docker import docker_preflight as container
    from tritongen.serving.docker.docker_engine import DockerEngine
    from tritongen.serving.docker.images import describe, image_for

    if with_repository and not list(repository_findings(spec)):
        faults = list(container.mount_findings(spec))
        yield from (_failed("docker.mount", item) for item in faults)
        if not faults:
            yield _passed("docker.mount", f"user {spec.user} can read the repository")
    engine = DockerEngine()
    try:
        facts = engine.facts()
    except EnvironmentProblem as problem:
        yield _problem_check("docker.engine", problem)
        return
    memory = facts.memory_bytes // _MIB
    yield _passed("docker.engine", f"{facts.version}: {facts.cpus} CPUs, {memory} MiB")
    limits = [*container.engine_findings(facts), *container.resource_findings(spec, facts)]
    yield from (_failed("docker.limits", item) for item in limits)
    if facts.local:
        found = gpu_checks.engine_findings(gpus, spec.gpus, given=facts.gpus)
        yield from starmap(_failed, found)
    try:
        for item in container.image_findings(spec, engine):
            yield _failed("docker.image", item)
        image = describe(engine, image_for(spec).reference)
        if image is not None:
            yield from starmap(_failed, gpu_checks.image_findings(gpus, spec.gpus, image))
    except EnvironmentProblem as problem:
        yield _problem_check("docker.image", problem)


def _sandbox_check() -> Check:
    """What keeps code that was handed over, where the tool runs it, from the rest."""
    gaps = sandbox_gaps()
    if not gaps:
        return _passed("sandbox", "code of models runs without network, with files of its own only")
    message = f"when code of models runs here, {'; '.join(gaps)}"
    return _failed("sandbox", finding("TG012", Severity.WARNING, message))
