"""`up`, `down`, `status` and `logs`: one server a project folder."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem, InvalidInputError, TritongenError
from tritongen.model.findings import Finding, Severity
from tritongen.repository.lock_file import as_built, read_lock
from tritongen.serving.growing_log import last_text
from tritongen.serving.protocol import Ports, RunningServer, ServerSpec
from tritongen.serving.quick_start import quick_spec
from tritongen.serving.runtimes import (
    choose_runtime,
    docker_runtime,
    end_leftovers,
    find_running,
    make_room,
    make_runtime,
    post_mortem,
)
from tritongen.serving.server_spec import UpOptions, model_names, readable_lock, server_spec
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState
from tritongen.triton.server_state import StateStore, project_label

if TYPE_CHECKING:
    from tritongen.serving.docker.docker_runtime import DockerRuntime

__all__ = [
    "StatusResult",
    "UpOptions",
    "UpResult",
    "down",
    "dry_run",
    "last_logs",
    "lint_repository",
    "make_runtime",
    "model_names",
    "running_server",
    "status",
    "up",
]

Progress = Callable[[str, int, int], None]

_log = logging.getLogger(__name__)
# What serves the others, where some models are at fault.
_WAYS_ON = (
    "To serve the others: add --keep-going; or leave a model out, with `skip: true` under its name "
    "in tritongen.yaml and `tritongen build`, or by moving its folder out of the repository."
)
# For a server that is given up before it was ready.
_ABANDON_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class UpResult:
    """A server that is up.

    Attributes:
        runtime: where it runs.
        endpoints: where it listens.
        models: every expected model.
        log: its log file.
        warnings: of the preflight.
        server: handle on it.
        command: the ``docker run`` line that starts the same container, empty for another runtime.
    """

    runtime: RuntimeName
    endpoints: Endpoints
    models: tuple[ModelStatus, ...]
    log: Path
    warnings: tuple[Finding, ...]
    server: RunningServer
    command: str = ""


def up(
    project: Path, repository: Path, options: UpOptions, progress: Progress | None = None
) -> UpResult:
    """Start a server for a repository and wait until every model is decided.

    Args:
        project: the project's folder, whose state file will name the server.
        repository: to serve.
        options: how.
        progress: told of downloads and of models that are decided.

    Raises:
        InvalidInputError: the repository cannot be served as it is.
        EnvironmentProblem: TG808 one runs already, a preflight error, or a model that failed;
            nothing is left running.
    """
    store = StateStore(project)
    spec = quick_spec(store, repository, options)
    quick = spec is not None
    if spec is None:
        spec = server_spec(store, repository, readable_lock(repository), options)
    with store.lock("starting or stopping the server"):
        _refuse_running(store)
        name = choose_runtime(spec, options)
        docker = docker_runtime(options, progress) if name is RuntimeName.DOCKER else None
        runtime = docker or make_runtime(name, options, progress)
        linted = () if quick else lint_repository(repository, keep_going=options.keep_going)
        findings = (*linted, *runtime.preflight(spec))
        _refuse(findings, EnvironmentProblem)
        if docker is not None:
            make_room(spec.label, docker)
        _log.info("%s is served with %s", repository, name)
        server = runtime.start(spec)
        models = _until_ready(server, store, options, progress)
        _log.info("%d of %d models are ready", sum(one.ready for one in models), len(models))
        return UpResult(
            name,
            server.endpoints,
            models,
            Path(server.state.log),
            tuple(item for item in findings if item.severity is not Severity.ERROR),
            server,
            _command(server.state, spec, docker),
        )


def _refuse_running(store: StateStore) -> None:
    running = find_running(store)
    if running is not None:
        raise EnvironmentProblem(
            "TG808",
            f"a server of this project runs already at {running.endpoints.http}",
            where=str(store.path),
        )


def _until_ready(
    server: RunningServer, store: StateStore, options: UpOptions, progress: Progress | None
) -> tuple[ModelStatus, ...]:
    """Every model of a server that outlives this process from now on.

    Raises:
        EnvironmentProblem: as `up`; the server is stopped.
    """
    try:
        # Before it is ready: another shell's `down` must find it even then.
        store.write(server.state)
        models = server.wait_ready(options.timeout_s, progress)
        _refuse_unready(models, server, keep_going=options.keep_going)
        server.detach()
    except BaseException:
        # Also on Ctrl-C and SIGTERM. It has served nobody yet.
        server.stop(_ABANDON_GRACE_S)
        store.clear()
        raise
    return models


def down(project: Path, *, everything: bool = False, grace_s: float = 30.0) -> tuple[str, ...]:
    """Stop the project's server, or every server that this tool ever started here.

    Returns:
        The endpoint or name of each server that was stopped; empty when none ran.

    Raises:
        EnvironmentProblem: TG816, one cannot be ended; TG817 or TG004, all are ended and the state
            file cannot be removed.
    """
    store = StateStore(project)
    stopped = []
    # Where nothing was ever started there is nothing to keep apart, and nothing is made.
    used = store.folder.is_dir()
    with store.lock("starting or stopping the server") if used else nullcontext():
        running = find_running(store, damaged_names_none=True)
        if running is not None:
            running.stop(grace_s)
            stopped.append(running.endpoints.http)
        try:
            store.clear()
        finally:  # a state that cannot be forgotten keeps no server alive
            # Without --all only leftovers of this project's own folder are ended.
            label = project_label(project)
            stopped += end_leftovers(label, everything=everything, grace_s=grace_s)
    return tuple(stopped)


@dataclass(frozen=True, slots=True)
class StatusResult:
    """A running server and its models, with what opens its restricted APIs to this tool."""

    runtime: RuntimeName
    endpoints: Endpoints
    version: str
    repository: Path
    log: Path
    models: tuple[ModelStatus, ...]
    headers: Mapping[str, str] = field(repr=False)


def status(project: Path) -> StatusResult:
    """The project's server as it is now.

    Raises:
        EnvironmentProblem: TG809 none runs; TG812 it ended; TG814 it does not answer.
    """
    server = running_server(project)
    state = server.state
    return StatusResult(
        runtime=state.runtime,
        endpoints=server.endpoints,
        version=state.version,
        repository=Path(state.repository),
        log=Path(state.log),
        models=server.statuses(),
        headers=state.headers(),
    )


def running_server(project: Path) -> RunningServer:
    """The project's server.

    Raises:
        EnvironmentProblem: TG809, none runs; TG812 or TG813, its container has ended.
    """
    store = StateStore(project)
    server = find_running(store)
    if server is None:
        problem = post_mortem(store)
        if problem is not None:
            raise problem
        state = store.read()
        details = () if state is None else (f"the last one logged to {state.log}",)
        raise EnvironmentProblem(
            "TG809", "no server of this project is running", where=str(project), details=details
        )
    return server


def last_logs(project: Path, lines: int) -> tuple[str, ...]:
    """The last lines of the project's server log, whether it still runs or not.

    Raises:
        EnvironmentProblem: TG809, there was never a server; TG011, the log is not the tool's own.
    """
    store = StateStore(project)
    running = find_running(store)
    if running is not None:
        return running.logs(lines)
    try:
        text = last_text(store.log)
    except OSError as problem:
        raise EnvironmentProblem(
            "TG809", "no server of this project has logged anything", where=str(store.log)
        ) from problem
    return tuple(text.splitlines()[-max(lines, 1) :])


def dry_run(project: Path, repository: Path, options: UpOptions) -> str:
    """The ``docker run`` line that `up` would start a container by; nothing is started.

    Raises:
        InvalidInputError: the repository cannot be served, or the runtime is not Docker.
        EnvironmentProblem: TG846, TG852.
    """
    spec = server_spec(StateStore(project), repository, readable_lock(repository), options)
    if choose_runtime(spec, options) is not RuntimeName.DOCKER:
        raise InvalidInputError(
            "TG305", "only a container has a command to show", fix="Add --runtime docker."
        )
    return docker_runtime(options).run_line(spec)


def _command(state: ServerState, spec: ServerSpec, docker: "DockerRuntime | None") -> str:
    """The line for the container that runs; the key of its closed APIs is another one."""
    if docker is None:
        return ""
    numbers = (
        int(address.rpartition(":")[2])
        for address in (state.endpoints.http, state.endpoints.grpc, state.endpoints.metrics)
    )
    return docker.run_line(replace(spec, ports=Ports(*numbers)))


def lint_repository(repository: Path, *, keep_going: bool) -> tuple[Finding, ...]:
    """The errors of `check`, as warnings when the server is to start all the same.

    What `build` wrote it has linted, and is not linted once more.

    Raises:
        InvalidInputError: the first error, unless `keep_going`.
    """
    if as_built(repository, read_lock(repository), model_names(repository)):
        return ()
    from tritongen.repository.check import check_repository

    errors = tuple(
        item
        for item in check_repository(repository, hashes=False)
        if item.severity is Severity.ERROR
    )
    if not keep_going:
        _refuse(errors, InvalidInputError, _WAYS_ON)
    return tuple(replace(item, severity=Severity.WARNING) for item in errors)


def _refuse(findings: tuple[Finding, ...], kind: type[TritongenError], ways_on: str = "") -> None:
    errors = [item for item in findings if item.severity is Severity.ERROR]
    if errors:
        others = (
            f"{_place(item)}: {item.message} [{item.code}] → {item.fix}" for item in errors[1:]
        )
        raise kind(
            errors[0].code,
            errors[0].message,
            where=_place(errors[0]),
            fix=errors[0].fix,
            details=[*others, ways_on] if ways_on else list(others),
        )


def _place(item: Finding) -> str:
    """The model with the file and the line, as far as they are known."""
    file = ":".join(str(part) for part in (item.location.path, item.location.line) if part)
    return file if file.startswith(f"{item.model}/") else " ".join(filter(None, (item.model, file)))


def _refuse_unready(
    models: tuple[ModelStatus, ...], server: RunningServer, *, keep_going: bool
) -> None:
    failed = [model for model in models if not model.ready]
    if not failed or (keep_going and len(failed) < len(models)):
        return
    others = (f"{item.name}: {item.reason} [{item.code}]" for item in failed[1:])
    raise EnvironmentProblem(
        failed[0].code or "TG820",
        f"{failed[0].name} does not serve: {failed[0].reason}",
        where=server.state.log,
        details=[*others, _WAYS_ON] if len(failed) < len(models) else list(others),
    )
