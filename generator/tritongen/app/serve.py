"""`up`, `down`, `status` and `logs`: one server a project folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tritongen.app.project import read_lock
from tritongen.app.render import CONFIG_FILE
from tritongen.domain.findings import Finding, Severity
from tritongen.domain.lock import Lock
from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.serving.embedded.runtime import EmbeddedRuntime
from tritongen.serving.orphans import end_server, find_orphans, find_servers
from tritongen.serving.protocol import (
    Endpoints,
    ModelControl,
    ModelStatus,
    Ports,
    RunningServer,
    Runtime,
    RuntimeName,
    ServerSpec,
)
from tritongen.serving.repository import settle
from tritongen.serving.state import StateStore, project_label

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How to start a server.

    Attributes:
        runtime: where it runs.
        ports: wanted ports.
        host: address to listen on.
        timeout_s: until every model must be decided.
        keep_going: leave the server up although a model failed.
        wheel: local copy of the embedded Triton's wheel.
        model_control: none, or explicit for tuning.
    """

    runtime: RuntimeName = RuntimeName.EMBEDDED
    ports: Ports = field(default_factory=Ports)
    host: str = "127.0.0.1"
    timeout_s: float = 300.0
    keep_going: bool = False
    wheel: Path | None = None
    model_control: ModelControl = ModelControl.NONE


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
    """

    runtime: RuntimeName
    endpoints: Endpoints
    models: tuple[ModelStatus, ...]
    log: Path
    warnings: tuple[Finding, ...]
    server: RunningServer


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
    lock = _readable(repository)
    store = StateStore(project)
    with store.lock("starting or stopping the server"):
        running = _running(store)
        if running is not None:
            raise EnvironmentProblem(
                "TG808",
                f"a server of this project runs already at {running.endpoints.http}",
                where=str(store.path),
            )
        runtime = make_runtime(options.runtime, options.wheel, progress)
        spec = _spec(store, repository, lock, options)
        findings = runtime.preflight(spec)
        _refuse(findings)
        server = runtime.start(spec)
        try:
            # Before it is ready: another shell's `down` must find it even then.
            store.write(server.state)
            models = server.wait_ready(options.timeout_s, progress)
            _refuse_unready(models, server, keep_going=options.keep_going)
            result = UpResult(
                options.runtime,
                server.endpoints,
                models,
                Path(server.state.log),
                tuple(item for item in findings if item.severity is not Severity.ERROR),
                server,
            )
            server.detach()
        except BaseException:
            # Also on Ctrl-C and SIGTERM.
            server.stop()
            store.clear()
            raise
    return result


def make_runtime(
    name: RuntimeName, wheel: Path | None = None, progress: Progress | None = None
) -> Runtime:
    """The runtime of a name."""
    del name
    return EmbeddedRuntime(wheel=wheel, progress=progress)


def down(project: Path, *, everything: bool = False, grace_s: float = 30.0) -> tuple[str, ...]:
    """Stop the project's server, or every server that this tool ever started here.

    Returns:
        The endpoint or name of each server that was stopped; empty when none ran.

    Raises:
        EnvironmentProblem: TG816, one cannot be ended.
    """
    store = StateStore(project)
    stopped = []
    with store.lock("starting or stopping the server"):
        running = _running(store)
        if running is not None:
            running.stop(grace_s)
            stopped.append(running.endpoints.http)
        store.clear()
        label = project_label(project)
        for found in find_servers() if everything else find_orphans():
            # Without --all only leftovers of this project's own folder are ended.
            if everything or found.label == label:
                end_server(found, grace_s)
                stopped.append(found.server)
    return tuple(stopped)


@dataclass(frozen=True, slots=True)
class StatusResult:
    """A running server and its models."""

    runtime: RuntimeName
    endpoints: Endpoints
    version: str
    repository: Path
    log: Path
    models: tuple[ModelStatus, ...]


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
    )


def running_server(project: Path) -> RunningServer:
    """The project's server.

    Raises:
        EnvironmentProblem: TG809, none runs.
    """
    store = StateStore(project)
    server = _running(store)
    if server is None:
        state = store.read()
        details = () if state is None else (f"the last one logged to {state.log}",)
        raise EnvironmentProblem(
            "TG809", "no server of this project is running", where=str(project), details=details
        )
    return server


def last_logs(project: Path, lines: int) -> tuple[str, ...]:
    """The last lines of the project's server log, whether it still runs or not.

    Raises:
        EnvironmentProblem: TG809, there was never a server.
    """
    store = StateStore(project)
    running = _running(store)
    if running is not None:
        return running.logs(lines)
    try:
        text = store.log.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise EnvironmentProblem(
            "TG809", "no server of this project has logged anything", where=str(store.log)
        ) from problem
    return tuple(text.splitlines()[-max(lines, 1) :])


def _running(store: StateStore) -> RunningServer | None:
    state = store.read()
    if state is None:
        return None
    return make_runtime(state.runtime).attach_to(state)


def _readable(repository: Path) -> Lock | None:
    """The repository's lock, after checks that nothing stands in the way of serving it."""
    if not repository.is_dir():
        raise InvalidInputError("TG708", "there is no such folder", where=str(repository))
    settle(repository)
    lock = read_lock(repository)
    absent = [
        f"{name}/{path}"
        for name, model in (lock.models.items() if lock is not None else ())
        for path, _ in model.evidence.files
        if not (repository / name / path).exists()
    ]
    if absent:
        raise InvalidInputError(
            "TG705",
            f"{len(absent)} weight files are missing, {absent[0]} first",
            where=str(repository),
        )
    return lock


def model_names(repository: Path) -> tuple[str, ...]:
    """Folders that Triton will take for models: every one that holds something."""
    return tuple(
        sorted(
            folder.name
            for folder in repository.iterdir()
            if folder.is_dir()
            and not folder.name.startswith(".")
            and ((folder / CONFIG_FILE).is_file() or any(_version_folders(folder)))
        )
    )


def _version_folders(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit()]


def _spec(store: StateStore, repository: Path, lock: Lock | None, options: UpOptions) -> ServerSpec:
    names = model_names(repository)
    if not names:
        raise InvalidInputError("TG708", "it holds no models", where=str(repository))
    backends = {model.backend for model in lock.models.values()} if lock is not None else set()
    return ServerSpec(
        repository=repository.resolve(),
        models=names,
        log=store.log,
        project=store.project,
        label=project_label(store.project),
        backends=tuple(sorted(backends - {""})),
        environment=tuple(lock.server.environment.items()) if lock is not None else (),
        flags=lock.server.flags if lock is not None else (),
        ports=options.ports,
        host=options.host,
        cores=lock.target.cores if lock is not None else None,
        memory_bytes=lock.target.memory_bytes if lock is not None else None,
        gpus=lock.target.gpus if lock is not None else 0,
        model_control=options.model_control,
        # Generated configurations are complete; Triton would spend a second a model on a guess.
        auto_complete=lock is None or set(names) != set(lock.models),
    )


def _refuse(findings: tuple[Finding, ...]) -> None:
    errors = [item for item in findings if item.severity is Severity.ERROR]
    if errors:
        raise EnvironmentProblem(
            errors[0].code,
            errors[0].message,
            fix=errors[0].fix,
            details=[f"{item.message} [{item.code}] → {item.fix}" for item in errors[1:]],
        )


def _refuse_unready(
    models: tuple[ModelStatus, ...], server: RunningServer, *, keep_going: bool
) -> None:
    failed = [model for model in models if not model.ready]
    if not failed or (keep_going and len(failed) < len(models)):
        return
    raise EnvironmentProblem(
        failed[0].code or "TG820",
        f"{failed[0].name} does not serve: {failed[0].reason}",
        where=server.state.log,
        details=[f"{item.name}: {item.reason} [{item.code}]" for item in failed[1:]],
    )
