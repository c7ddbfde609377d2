"""From a repository and the wishes of `up` to the spec of a server."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import InvalidInputError
from tritongen.repository.lock_file import CONFIG_FILE, read_lock
from tritongen.serving.protocol import ModelControl, Ports, ServerSpec
from tritongen.triton.server import RuntimeName
from tritongen.triton.server_state import StateStore, project_label

if TYPE_CHECKING:
    from tritongen.model.lock import Lock

__all__ = ["UpOptions", "model_names", "readable_lock", "server_spec"]


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How to start a server.

    Attributes:
        runtime: where it runs; None takes the embedded one where that serves the repository, and
            Docker elsewhere.
        ports: wanted ports.
        host: address to listen on.
        timeout_s: until every model must be decided.
        keep_going: leave the server up although a model failed.
        wheel: local copy of the embedded Triton's wheel.
        model_control: none, or explicit for tuning.
        image: of the container; the official one that fits the plan when empty.
        user: ``uid:gid`` in the container; the image's triton-server when empty.
        read_only: keep the container's root read-only; None where that is known to work.
    """

    runtime: RuntimeName | None = RuntimeName.EMBEDDED
    ports: Ports = field(default_factory=Ports)
    host: str = "127.0.0.1"
    timeout_s: float = 300.0
    keep_going: bool = False
    wheel: Path | None = None
    model_control: ModelControl = ModelControl.NONE
    image: str = ""
    user: str = ""
    read_only: bool | None = None


def readable_lock(repository: Path) -> "Lock | None":
    """The repository's lock, after checks that nothing stands in the way of serving it.

    Raises:
        InvalidInputError: TG708 no such folder, TG705 weights are missing, TG003 not readable.
    """
    if not repository.is_dir():
        what = "is a file, not a folder" if repository.exists() else "there is no such folder"
        raise InvalidInputError("TG708", what, where=str(repository))
    from tritongen.repository.write_repository import settle

    settle(repository)
    lock = read_lock(repository)
    try:
        absent = [
            f"{name}/{path}"
            for name, model in (lock.models.items() if lock is not None else ())
            for path, _ in model.evidence.files
            if not (repository / name / path).exists()
        ]
    except OSError as problem:
        raise InvalidInputError(
            "TG003", f"cannot be read: {problem.strerror}", where=str(problem.filename)
        ) from problem
    if absent:
        raise InvalidInputError(
            "TG705",
            f"{len(absent)} weight files are missing, {absent[0]} first",
            where=str(repository),
        )
    return lock


def model_names(repository: Path) -> tuple[str, ...]:
    """Folders that Triton will take for models: every one that holds something.

    Raises:
        InvalidInputError: TG003, one of them cannot be read.
    """
    try:
        return tuple(
            sorted(
                folder.name
                for folder in repository.iterdir()
                if folder.is_dir()
                and not folder.name.startswith(".")
                and ((folder / CONFIG_FILE).is_file() or any(_version_folders(folder)))
            )
        )
    except OSError as problem:
        raise InvalidInputError(
            "TG003", f"cannot be read: {problem.strerror}", where=str(problem.filename)
        ) from problem


def _version_folders(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit()]


def _configured_backend(folder: Path) -> str:
    """The backend that a hand-written configuration names; empty when it leaves it to Triton."""
    try:
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # none, or one that the preflight tells of
    from tritongen.config.pbtxt import parse_config
    from tritongen.model.backends import BACKENDS

    config = parse_config(text, str(folder / CONFIG_FILE)).message
    if config.backend or not config.platform:
        return str(config.backend)
    platform = str(config.platform)
    known = (name for name, rules in BACKENDS.items() if platform in rules.platforms)
    return next(known, "ensemble" if platform == "ensemble" else "")


def server_spec(
    store: StateStore, repository: Path, lock: "Lock | None", options: UpOptions
) -> ServerSpec:
    """What a runtime needs to serve the repository as it was planned.

    Raises:
        InvalidInputError: TG708 it holds no models; what `ServerSpec` refuses.
    """
    from tritongen.repository.shared_memory_size import shared_memory_bytes
    from tritongen.serving.hand_written_requirements import model_needs

    names = model_names(repository)
    if not names:
        raise InvalidInputError("TG708", "it holds no models", where=str(repository))
    backends = {
        lock.models[name].backend
        if lock is not None and name in lock.models
        else _configured_backend(repository / name)
        for name in names
    }
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
        auto_complete=lock is None
        or set(names) != {path.partition("/")[0] for path in lock.written},
        release=lock.target.triton if lock is not None else "",
        shared_memory_bytes=shared_memory_bytes(repository, lock),
        needs=model_needs(repository, names) if _chooses_image(lock, options) else (),
    )


def _chooses_image(lock: "Lock | None", options: UpOptions) -> bool:
    """Whether the files themselves must say which image serves them."""
    return lock is None and not options.image and options.runtime is not RuntimeName.EMBEDDED
