"""What `up` needs of a repository that `build` wrote and nobody has touched since: little, at once.

Reading all evidence of a lock takes longer than starting the process of a server, and none of it
concerns a server. So only the few values that do are read, and every text is compared with the hash
that the lock has of it. In any doubt there is no quick way, and the careful one says what is wrong.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.allowed_settings import refused_settings
from tritongen.repository.lock_file import TOOL, lock_text, unchanged
from tritongen.serving.protocol import ServerSpec
from tritongen.serving.server_spec import UpOptions, model_names
from tritongen.triton.server_state import StateStore, project_label

__all__ = ["quick_spec"]

_SCHEMA = 1
# What a build that was killed left to be finished; see `tritongen.repository.write_repository`.
_JOURNAL = ".tritongen.journal"
_KEYS = frozenset({"models", "refused", "schema_version", "server", "target", "tool", "written"})
_TARGET_KEYS = frozenset({"cores", "gpus", "machine", "memory_bytes", "triton"})
_SERVER_KEYS = frozenset({"environment", "flags", "shared_memory_bytes"})


@dataclass(frozen=True, slots=True)
class _Head:
    """The values of a lock by which a server is started."""

    backends: Mapping[str, str]
    weights: tuple[str, ...]
    written: Mapping[str, str]
    environment: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, str], ...]
    cores: int
    memory_bytes: int | None
    gpus: int
    triton: str
    shared_memory_bytes: int


def quick_spec(store: StateStore, repository: Path, options: UpOptions) -> ServerSpec | None:
    """The spec of a server for an untouched repository; None where there is any doubt.

    It is what `server_spec` gives.
    """
    try:
        names = model_names(repository)
        head = None if (repository / _JOURNAL).exists() else _head(repository)
        if head is None or set(head.backends) != set(names):
            return None
        if not unchanged(repository, head.written, names):
            return None
        if not all((repository / path).exists() for path in head.weights):
            return None
        return _spec(store, repository, options, names, head)
    except (InvalidInputError, OSError):
        return None


def _spec(
    store: StateStore, repository: Path, options: UpOptions, names: tuple[str, ...], head: _Head
) -> ServerSpec:
    return ServerSpec(
        repository=repository.resolve(),
        models=names,
        log=store.log,
        project=store.project,
        label=project_label(store.project),
        backends=tuple(sorted(set(head.backends.values()) - {""})),
        environment=head.environment,
        flags=head.flags,
        ports=options.ports,
        host=options.host,
        cores=head.cores,
        memory_bytes=head.memory_bytes,
        gpus=head.gpus,
        model_control=options.model_control,
        auto_complete=False,
        release=head.triton,
        shared_memory_bytes=head.shared_memory_bytes,
    )


def _head(repository: Path) -> _Head | None:
    """The lock's head; None when this version did not write it, or it is not as it would be."""
    text = lock_text(repository)
    try:
        document = json.loads(text or "")
        if document["schema_version"] != _SCHEMA or document["tool"] != TOOL:
            return None
        target, server = document["target"], document.get("server", {})
        if set(document) - _KEYS or set(target) - _TARGET_KEYS or set(server) - _SERVER_KEYS:
            return None
        environment, flags = server.get("environment", {}), server.get("flags", ())
        if any(refused_settings(environment, flags)):
            return None
        memory = target.get("memory_bytes")
        return _Head(
            backends={_text(name): _text(model["backend"]) for name, model in _models(document)},
            weights=tuple(_weights(document)),
            written={_inside(path): _text(sha) for path, sha in document["written"].items()},
            environment=tuple(environment.items()),
            flags=tuple((flag, value) for flag, value in flags),
            cores=_whole(target["cores"]),
            memory_bytes=None if memory is None else _whole(memory),
            gpus=_whole(target.get("gpus", 0)),
            triton=_text(target["triton"]),
            shared_memory_bytes=_whole(server["shared_memory_bytes"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _models(document: Any) -> Any:  # noqa: ANN401  (a JSON document)
    return document["models"].items()


def _weights(document: Any) -> Iterator[str]:  # noqa: ANN401  (a JSON document)
    for name, model in _models(document):
        yield from (_inside(f"{name}/{path}") for path, _ in model["evidence"]["files"])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _inside(path: str) -> str:
    """The path when it stays in the repository: a lock may be a stranger's."""
    if "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise ValueError(path)
    return path
