"""`doctor`: what this machine can run, by the checks of a start, without starting anything."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError
from tritongen.model.findings import Severity
from tritongen.model.progress import Progress, silent
from tritongen.repository.check import check_repository
from tritongen.repository.lock_file import read_lock
from tritongen.serving.doctor_checks import (
    Check,
    cpu_check,
    disk_checks,
    docker_checks,
    embedded_checks,
    failed,
    gpu_check,
    memory_checks,
    passed,
    port_checks,
    problem_check,
    sandbox_check,
)
from tritongen.serving.protocol import ServerSpec
from tritongen.serving.runtimes import choose_runtime, find_running
from tritongen.serving.server_spec import ServedRepository, UpOptions, bare_spec, server_spec
from tritongen.triton.server import Endpoints, RuntimeName
from tritongen.triton.server_state import StateStore

__all__ = ["Check", "Diagnosis", "diagnose"]

_SHOWN = 10


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
    machine = [
        about_server,
        cpu_check(spec),
        *memory_checks(spec),
        *disk_checks(store),
        *port_checks(spec, own),
        gpu_check(spec),
        sandbox_check(),
    ]
    report("checking the embedded Triton", 0, 0)
    embedded = list(embedded_checks(spec, options.wheel, needed=repository is not None))
    report("checking the Docker Engine and the image", 0, 0)
    docker = list(docker_checks(spec, with_repository=bool(spec.models)))
    chosen = choose_runtime(spec, options)
    checks = [
        *about_repository,
        *machine,
        *_as_needed(embedded, chosen.name is RuntimeName.EMBEDDED),
        *_as_needed(docker, chosen.name is RuntimeName.DOCKER),
        passed("runtime", f"{chosen.name.value}: {chosen.reason}"),
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
        return None, problem_check("server", problem)
    if running is None:
        return None, passed("server", "none of this project runs")
    message = f"this project's own runs at {running.endpoints.http}"
    return running.endpoints, passed("server", message)


def _repository(
    store: StateStore, repository: Path | None, options: UpOptions
) -> tuple[ServerSpec, list[Check]]:
    """The spec of a server for it, and what there is to say of it."""
    if repository is None:
        message = "there is none here yet; `tritongen build MODELS` writes one"
        return bare_spec(store, options), [passed("repository", message)]
    checks: list[Check] = []
    served: ServedRepository | None = None
    try:
        served = ServedRepository.read(repository)
    except InvalidInputError as problem:
        checks.append(problem_check("repository.files", problem))
    try:
        if served is None:
            lock = read_lock(repository) if repository.is_dir() else None
            served = ServedRepository(repository, lock)
        checks += _lint_checks(repository)
        return server_spec(store, served, options), checks
    except InvalidInputError as problem:
        if all(item.code != problem.code for item in checks):
            checks.append(problem_check("repository", problem))
        return bare_spec(store, options), checks


def _lint_checks(repository: Path) -> Iterator[Check]:
    found = check_repository(repository, hashes=False)
    errors = [item for item in found if item.severity is Severity.ERROR]
    for item in errors[:_SHOWN]:
        yield failed("repository.check", item, about=item.model or item.location.path)
    if len(errors) > _SHOWN:
        message = f"{len(errors) - _SHOWN} more errors; `tritongen check` names them"
        yield replace(failed("repository.check", errors[_SHOWN]), message=message)
    if not errors:
        warnings = sum(item.severity is Severity.WARNING for item in found)
        also = f" with {warnings} warnings, see `tritongen check`" if warnings else ""
        yield passed("repository.check", f"{repository} passes{also}")
