"""From a repository and the options of `up` to the spec of a server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import InvalidInputError
from tritongen.model.kept_folders import ENGINE_CACHE, HUB_CACHE
from tritongen.repository.lock_file import CONFIG_FILE, as_built, config_text, read_lock
from tritongen.serving.protocol import (
    CUDA_POOL,
    DEFAULT_USER,
    PINNED_POOL,
    ModelControl,
    Ports,
    ServerSpec,
)
from tritongen.system.gpus import gpu_nodes
from tritongen.triton.server import LOOPBACK, RuntimeName
from tritongen.triton.server_state import StateStore, project_label

if TYPE_CHECKING:
    from tritongen.model.lock import Lock


_VLLM, _TRTLLM = "vllm", "tensorrtllm"
# Of models in Python that run TensorRT-LLM: a parameter of theirs, and the file of its LLM API.
_ENGINE_MARK, _LLM_API_FILES = '"gpt_model_path"', "[0-9]*/model.yaml"
# Backends that serve nothing without a GPU.
_ON_GPUS = frozenset({"tensorrt", _TRTLLM, _VLLM})
# What their models take and give, these say when they load.
_COMPLETING = frozenset({"dali", _VLLM})


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
        image: of the container; the official one that fits the plan when empty.
        user: ``uid:gid`` in the container; the image's triton-server when empty.
        read_only: keep the container's root read-only; None where that is known to work.
        pinned_pool_bytes: of the machine's memory, for copies to and from GPUs; Triton's usual
            256 MiB when 0.
        cuda_pool_bytes: of each GPU's memory, likewise; Triton's usual 64 MiB when 0.
        flags: of tritonserver, (without dashes, value).
        model_control: whether models can be loaded and unloaded.
        passed: variables of the caller's that the server gets.

    Raises:
        InvalidInputError: TG304, the image's name is none; TG009, a variable is not set.
    """

    runtime: RuntimeName | None = RuntimeName.EMBEDDED
    ports: Ports = field(default_factory=Ports)
    host: str = LOOPBACK
    timeout_s: float = 300.0
    keep_going: bool = False
    wheel: Path | None = None
    image: str = ""
    user: str = ""
    read_only: bool | None = None
    pinned_pool_bytes: int = 0
    cuda_pool_bytes: int = 0
    flags: tuple[tuple[str, str], ...] = ()
    model_control: ModelControl = ModelControl.NONE
    passed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.image:
            from tritongen.serving.docker.images import checked

            checked(self.image)
        for name in self.passed:
            if name not in os.environ:
                raise InvalidInputError(
                    "TG009",
                    "is not set here, and the server is to get it",
                    where=name,
                    fix=f"Set it first (`export {name}=…`), or leave --env out.",
                )


@dataclass(frozen=True)
class ServedRepository:
    """A repository that can be served.

    Attributes:
        folder: of models.
        lock: its lock, None for a hand-written one.
    """

    folder: Path
    lock: "Lock | None"

    @classmethod
    def read(cls, folder: Path) -> "ServedRepository":
        """A repository, after checks that nothing stands in the way of serving it.

        Raises:
            InvalidInputError: TG708 no such folder, TG705 weights are missing, TG003 not readable,
                TG704 its lock cannot be read.
        """
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "there is no such folder"
            raise InvalidInputError("TG708", what, where=str(folder))
        from tritongen.repository.write_repository import settle

        settle(folder)
        lock = read_lock(folder)
        if lock is not None:
            _refuse_absent(folder, lock)
        return cls(folder, lock)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Their names.

        Raises:
            InvalidInputError: TG708 there are none; TG003, a folder cannot be read.
        """
        names = model_names(self.folder)
        if not names:
            raise InvalidInputError("TG708", "it holds no models", where=str(self.folder))
        return names

    @cached_property
    def as_built(self) -> bool:
        """Whether every text is, byte for byte, what this version of the tool wrote and linted."""
        return as_built(self.folder, self.lock, self.models)

    @cached_property
    def backends(self) -> tuple[str, ...]:
        """Triton backends that the models need; TensorRT-LLM's libraries have their own image."""
        planned = self.lock.models if self.lock is not None else {}
        found = {
            name: planned[name].backend
            if name in planned
            else _configured_backend(self.folder / name)
            for name in self.models
        }
        needed = {
            _TRTLLM if backend == "python" and _runs_trtllm(self.folder / name) else backend
            for name, backend in found.items()
        }
        return tuple(sorted(needed - {""}))

    @property
    def complete(self) -> bool:
        """Whether `build` wrote every model's configuration, which Triton need not complete."""
        written = self.lock.written if self.lock is not None else {}
        backends = set(self.backends)
        if _COMPLETING & backends:
            return False
        if _TRTLLM in backends and any(_is_llm_api(self.folder / name) for name in self.models):
            return False  # what its model.yaml says of batches and streams is read by completing
        return set(self.models) == {path.partition("/")[0] for path in written}

    @property
    def builds_engines(self) -> bool:
        """Whether a model builds an engine when it loads, and keeps it for the next time."""
        return any(
            ENGINE_CACHE in config_text(self.folder / name / CONFIG_FILE)
            for name in self.models
            if (self.folder / name / CONFIG_FILE).is_file()
        )

    @property
    def shared_memory_bytes(self) -> int:
        """Room that its tensors take between Triton and Python-based backends."""
        if self.as_built and self.lock is not None:
            known = self.lock.server.shared_memory_bytes
            if known is not None:
                return known
        # What reads configurations takes longer to load than the rest of `up`.
        from tritongen.repository.shared_memory_size import shared_memory_bytes

        return shared_memory_bytes(self.folder, self.lock)


@contextmanager
def _readable() -> Iterator[None]:
    """Turns the system's errors on reading a folder into the tool's."""
    try:
        yield
    except OSError as problem:
        raise InvalidInputError(
            "TG003", f"cannot be read: {problem.strerror}", where=str(problem.filename)
        ) from problem


def _refuse_absent(folder: Path, lock: "Lock") -> None:
    """Weights that the lock names must be there."""
    with _readable():
        absent = [
            f"{name}/{path}"
            for name, model in lock.models.items()
            for path, _ in model.evidence.files
            if not (folder / name / path).exists()
        ]
    if absent:
        what = f"{len(absent)} weight files are missing, {absent[0]} first"
        raise InvalidInputError("TG705", what, where=str(folder))


def model_names(repository: Path) -> tuple[str, ...]:
    """Folders that Triton will take for models: every one that holds something.

    Raises:
        InvalidInputError: TG003, one of them cannot be read.
    """
    with _readable():
        folders = [folder for folder in repository.iterdir() if folder.is_dir()]
        named = (folder for folder in folders if not folder.name.startswith("."))
        return tuple(sorted(folder.name for folder in named if _is_model(folder)))


def _is_model(folder: Path) -> bool:
    """Whether it holds a configuration, or a version."""
    if (folder / CONFIG_FILE).is_file():
        return True
    return any(entry.is_dir() and entry.name.isdigit() for entry in folder.iterdir())


def _configured_backend(folder: Path) -> str:
    """The backend that a hand-written configuration names; empty when it leaves it to Triton."""
    try:
        text = config_text(folder / CONFIG_FILE)
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


def _is_llm_api(folder: Path) -> bool:
    """Whether a model is one of TensorRT-LLM's LLM API."""
    return any((path.parent / "model.py").is_file() for path in folder.glob(_LLM_API_FILES))


def _runs_trtllm(folder: Path) -> bool:
    """Whether a model in Python runs an engine of TensorRT-LLM, or its LLM API."""
    if _is_llm_api(folder):
        return True
    try:
        return _ENGINE_MARK in config_text(folder / CONFIG_FILE)
    except OSError:
        return False


def server_spec(store: StateStore, served: ServedRepository, options: UpOptions) -> ServerSpec:
    """What a runtime needs to serve the repository as it was planned.

    Raises:
        InvalidInputError: TG708 it holds no models; what `ServerSpec` refuses.
    """
    lock = served.lock
    bare = bare_spec(store, options)
    if lock is None:
        # The files themselves must say which image serves them, and whether on GPUs.
        on_gpus = bool(_ON_GPUS & set(served.backends))
        planned = replace(bare, gpus=max(1, gpu_nodes()) if on_gpus else 0)
        if not options.image and options.runtime is not RuntimeName.EMBEDDED:
            from tritongen.serving.runtime_requirements import model_needs

            planned = replace(planned, needs=model_needs(served.folder, served.models))
    else:
        planned = replace(
            bare,
            environment=tuple(lock.server.environment.items()),
            flags=lock.server.flags,
            cores=lock.target.cores,
            memory_bytes=lock.target.memory_bytes,
            gpus=lock.target.gpus,
            gpu_bytes=lock.server.gpu_bytes,
            gpu_name=lock.target.gpu.name if lock.target.gpu is not None else "",
            release=lock.target.triton,
        )
    kept = tuple(_kept(store, served, planned.gpus))
    hub = (("HF_HOME", HUB_CACHE),) if any(place == HUB_CACHE for _, place in kept) else ()
    return replace(
        planned,
        environment=(*planned.environment, *hub),
        flags=(*planned.flags, *_pools(options, planned.gpus)),
        kept=kept,
        repository=served.folder.resolve(),
        models=served.models,
        backends=served.backends,
        # Triton would spend a second a model on a guess.
        auto_complete=not served.complete,
        shared_memory_bytes=served.shared_memory_bytes,
    )


def _kept(store: StateStore, served: ServedRepository, gpus: int) -> Iterator[tuple[Path, str]]:
    """Folders for what models fetch or make when they load: of the project, and in a container."""
    if {_VLLM, _TRTLLM} & set(served.backends):
        yield store.folder / "hub", HUB_CACHE
    if gpus and served.builds_engines:
        yield store.folder / "engines", ENGINE_CACHE


def _pools(options: UpOptions, gpus: int) -> Iterator[tuple[str, str]]:
    """Flags of the memory for copies to and from GPUs.

    Raises:
        InvalidInputError: TG009, the plan has no GPU.
    """
    pinned, cuda = options.pinned_pool_bytes, options.cuda_pool_bytes
    if (pinned or cuda) and not gpus:
        raise InvalidInputError(
            "TG009",
            "memory pools are for copies to and from GPUs, and the repository is planned for none",
            fix="Leave --pinned-pool and --cuda-pool out, or set target.gpus.",
        )
    if pinned:
        yield PINNED_POOL, str(pinned)
    if cuda:
        yield from ((CUDA_POOL, f"{gpu}:{cuda}") for gpu in range(gpus))


def bare_spec(store: StateStore, options: UpOptions) -> ServerSpec:
    """What a runtime needs to serve no models, as it is wished for.

    Raises:
        InvalidInputError: what `ServerSpec` refuses.
    """
    return ServerSpec(
        repository=store.project,
        models=(),
        log=store.log,
        project=store.project,
        label=project_label(store.project),
        ports=options.ports,
        host=options.host,
        image=options.image,
        user=options.user or DEFAULT_USER,
        read_only=options.read_only,
        user_flags=options.flags,
        model_control=options.model_control,
        passed=options.passed,
    )
