"""The story of `up`, and of `restart`: from a repository to a server whose models are ready.

::

    what is served ─▶ one spec ─▶ which runtime ─▶ findings ─▶ start ─▶ record ─▶ ready ─▶ told
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem, InvalidInputError, TritongenError
from tritongen.model.findings import Finding, Severity
from tritongen.model.progress import Progress
from tritongen.repository.lock_file import note_linted
from tritongen.serving.lifecycle import down
from tritongen.serving.preflight import ports_of
from tritongen.serving.protocol import ModelControl
from tritongen.serving.runtimes import ChosenRuntime, choose_runtime, find_running
from tritongen.serving.server_spec import ServedRepository, UpOptions, server_spec
from tritongen.triton.server import LOOPBACK, ModelStatus, RuntimeName, ServerState
from tritongen.triton.server_state import StateStore

if TYPE_CHECKING:
    from tritongen.serving.docker.images import ImageChoice
    from tritongen.serving.running_server import RunningServer

_log = logging.getLogger(__name__)
# What serves the others, where some models are at fault.
_WAYS_ON = (
    "To serve the others: add --keep-going; or leave a model out, with `serve: false` under its "
    "name in tritongen.yaml and `tritongen build`, or by moving its folder out of the repository."
)
# Chosen: a server that is given up before it was ready has nobody to serve.
_ABANDON_GRACE_S = 2.0
# Another run or another server stands in the way, wherever this one would have run.
_NOT_THE_RUNTIME = frozenset({"TG008", "TG808"})


@dataclass(frozen=True, slots=True)
class UpResult:
    """A server that is up.

    Attributes:
        server: handle on it.
        reason: why it runs where it does.
        models: every expected model.
        warnings: of the preflight.
    """

    server: "RunningServer"
    reason: str
    models: tuple[ModelStatus, ...]
    warnings: tuple[Finding, ...]


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
    served = ServedRepository.read(repository)
    spec = server_spec(store, served, options)
    chosen = choose_runtime(spec, options, progress)
    _log.info("runtime %s: %s", chosen.name, chosen.reason)
    with _told_of(chosen, options), store.lock("starting or stopping the server"):
        if (running := find_running(store)) is not None:
            what = f"a server of this project runs already at {running.endpoints.http}"
            raise EnvironmentProblem("TG808", what, where=str(store.path))
        linted = lint_findings(served, keep_going=options.keep_going)
        findings = (*linted, *chosen.preflight(spec))
        _refuse(findings, EnvironmentProblem)
        chosen.runtime.make_room(spec.label)
        server = chosen.runtime.start(spec)
        models = _ready(server, store, options, progress)
        _log.info("%d of %d models are ready", sum(one.ready for one in models), len(models))
    warnings = tuple(item for item in findings if item.severity is not Severity.ERROR)
    return UpResult(server, chosen.reason, models, warnings)


@dataclass(frozen=True, slots=True)
class RunCommand:
    """The ``docker run`` line of a container, and its image with the reason for it."""

    line: str
    image: "ImageChoice"


def run_command(project: Path, repository: Path, options: UpOptions) -> RunCommand:
    """The command that `up` would start a container by; nothing is started.

    Raises:
        InvalidInputError: the repository cannot be served, or the runtime is not Docker.
        EnvironmentProblem: TG846, TG852.
    """
    spec = server_spec(StateStore(project), ServedRepository.read(repository), options)
    if choose_runtime(spec, options).name is not RuntimeName.DOCKER:
        raise InvalidInputError(
            "TG305", "only a container has a command to show", fix="Add --runtime docker."
        )
    from tritongen.serving.docker.docker_runtime import DockerRuntime
    from tritongen.serving.docker.images import image_for

    return RunCommand(DockerRuntime().run_line(spec), image_for(spec))


@contextmanager
def _told_of(chosen: ChosenRuntime, options: UpOptions) -> Iterator[None]:
    """Whoever asked for no runtime should learn which one failed, and why it was taken."""
    try:
        yield
    except EnvironmentProblem as problem:
        if options.runtime is None and problem.code not in _NOT_THE_RUNTIME:
            problem.details = (*problem.details, f"runtime {chosen.name}: {chosen.reason}")
        raise


def lint_findings(served: ServedRepository, *, keep_going: bool) -> tuple[Finding, ...]:
    """The errors of `check`, as warnings when the server is to start all the same.

    What `build` wrote it has linted, and is not linted once more.

    Raises:
        InvalidInputError: the first error, unless `keep_going`.
    """
    if served.as_built:
        return ()
    from tritongen.repository.check import check_repository

    errors = tuple(
        item
        for item in check_repository(served.folder, hashes=False).findings
        if item.severity is Severity.ERROR
    )
    if not errors:
        note_linted(served.folder, served.lock, served.models)
    elif not keep_going:
        _refuse(errors, InvalidInputError, _WAYS_ON)
    return tuple(replace(item, severity=Severity.WARNING) for item in errors)


def _refuse(findings: tuple[Finding, ...], kind: type[TritongenError], ways_on: str = "") -> None:
    """Raises the first error among the findings, with the others and the ways on as its details."""
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


def _ready(
    server: "RunningServer", store: StateStore, options: UpOptions, progress: Progress | None
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


def _refuse_unready(
    models: tuple[ModelStatus, ...], server: "RunningServer", *, keep_going: bool
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


def restart(
    project: Path,
    *,
    grace_s: float,
    timeout_s: float,
    keep_going: bool,
    progress: Progress | None = None,
) -> UpResult:
    """End the project's server and start it again: runtime, image, address, flags as before.

    Args:
        project: the project's folder.
        grace_s: before the old server is killed.
        timeout_s: until every model must be decided.
        keep_going: leave the server up although a model failed.
        progress: as for `up`.

    Raises:
        InvalidInputError: the repository cannot be served as it is; the old server still runs.
        EnvironmentProblem: TG809 there was no server; what `down` and `up` raise.
    """
    state = StateStore(project).read()
    if state is None:
        raise EnvironmentProblem(
            "TG809", "there is no server of this project to restart", where=str(project)
        )
    repository = Path(state.repository)
    lint_findings(ServedRepository.read(repository), keep_going=keep_going)
    wanted = replace(_options(state), timeout_s=timeout_s, keep_going=keep_going)
    down(project, grace_s=grace_s)
    return replace(up(project, repository, wanted, progress), reason="as before")


def _options(state: ServerState) -> UpOptions:
    chosen = UpOptions(
        runtime=state.runtime,
        ports=ports_of(state.endpoints),
        host=state.host or LOOPBACK,
        image=state.image,
        flags=state.flags,
        passed=state.passed,
        model_control=ModelControl.EXPLICIT if state.explicit else ModelControl.NONE,
    )
    if state.runtime is not RuntimeName.DOCKER:
        return chosen
    from tritongen.serving.docker.docker_runtime import DockerRuntime

    found = DockerRuntime().user_choices(state)
    if found is None:
        return chosen
    return replace(
        chosen,
        user=found.user,
        read_only=found.read_only,
        pinned_pool_bytes=found.pinned_pool_bytes,
        cuda_pool_bytes=found.cuda_pool_bytes,
    )
