"""A lock as files: one beside each configuration, so that changes to two models meet in none.

A file that was changed on both sides of a merge always conflicts, since it states the digest of
itself: git never makes one of two measurements. What holds for the server as a whole follows from
all of them and is kept nowhere, but for the target.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tritongen.errors import InvalidInputError
from tritongen.model.codec import decode_text, parse_json, shallow, text_of
from tritongen.model.evidence import ModelEvidence
from tritongen.model.lock import (
    LOCK_FILE,
    Lock,
    LockedModel,
    LockedTarget,
    ServerShare,
    lock_text,
    parse_lock,
    refuse_faults,
    refuse_merge,
    server_of,
)
from tritongen.model.merge_marks import CODE, rebuild

T = TypeVar("T")
SCHEMA_VERSION = 2
_IN_ONE_FILE = re.compile(r'"schema_version":\s*1\b')


@dataclass(frozen=True, slots=True)
class _Root:
    """What is common to all models: who wrote it, and for what target."""

    tool: str
    target: LockedTarget


@dataclass(frozen=True, slots=True)
class _Part:
    """What the lock holds of one model or pipeline.

    Attributes:
        name: its own; a folder that was copied by hand still has the other's.
        model: None for a pipeline.
        refused: evidence of a model that was tried and is not served.
        share: of the server's settings.
        written: digests of the texts in its folder, by path in there.
        digest: of all this.
    """

    name: str
    model: LockedModel | None = None
    refused: ModelEvidence | None = None
    share: ServerShare | None = None
    written: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def part_path(name: str, *, configured: bool) -> str:
    """Where the lock of one model lies, relative to the repository.

    Args:
        name: of the model or pipeline.
        configured: whether it has a configuration. Triton takes a folder without one for a model
            that it cannot load, so that what is known of others lies in the repository's root.
    """
    return f"{name}/{LOCK_FILE}" if configured else f"{name}.{LOCK_FILE}"


def lock_files(lock: Lock) -> Iterator[tuple[str, str]]:
    """Path and text of every file of a lock; the repository's own, which goes last, last."""
    if not lock.in_parts:
        yield LOCK_FILE, lock_text(lock)
        return
    written: dict[str, dict[str, str]] = {}
    for path, sha in lock.written.items():
        name, _, inside = path.partition("/")
        written.setdefault(name, {})[inside] = sha
    for name in sorted(written.keys() | lock.models.keys() | lock.refused.keys()):
        text = _part_text(
            _Part(
                name,
                lock.models.get(name),
                lock.refused.get(name),
                lock.shares.get(name),
                written.get(name, {}),
            )
        )
        yield part_path(name, configured=name in written), text
    root = {"schema_version": SCHEMA_VERSION, **shallow(_Root(lock.tool, lock.target))}
    yield LOCK_FILE, text_of(root, indent=1) + "\n"


def lock_file_text(lock: Lock, path: str) -> str:
    """The text of one of a lock's files, once more."""
    name = path.removesuffix(LOCK_FILE)[:-1]
    if name:
        inside = f"{name}/"
        lock = replace(
            lock,
            models=_only(name, lock.models),
            refused=_only(name, lock.refused),
            shares=_only(name, lock.shares),
            written={key: sha for key, sha in lock.written.items() if key.startswith(inside)},
        )
    return dict(lock_files(lock))[path]


def _only(name: str, items: Mapping[str, T]) -> dict[str, T]:
    return {name: items[name]} if name in items else {}


def _part_text(part: _Part) -> str:
    document = {"schema_version": SCHEMA_VERSION, **shallow(part)}
    whole = replace(part, digest=_digest(text_of(document)))
    return text_of({"schema_version": SCHEMA_VERSION, **shallow(whole)}, indent=1) + "\n"


def _digest(text: str) -> str:
    """Of the values, so that whoever formats JSON anew changes nothing."""
    document = parse_json(text)
    document.pop("digest", None)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def parse_lock_files(texts: Mapping[str, str], repository: Path) -> Lock:
    """Read a lock, in one file or in many.

    Args:
        texts: of its files, by path relative to the repository; the repository's own is among them.
        repository: it is of, for messages.

    Raises:
        InvalidInputError: TG704 for what is no lock, TG710 for one that git could not merge, or
            that was put together of two.
    """
    where = str(repository / LOCK_FILE)
    if is_one_file(texts[LOCK_FILE]):
        return parse_lock(texts[LOCK_FILE], where)
    refuse_merge(texts[LOCK_FILE], where, where)
    try:
        root = decode_text(_Root, texts[LOCK_FILE], "lock", SCHEMA_VERSION)
    except ValueError as problem:
        raise InvalidInputError("TG704", str(problem), where=where) from problem
    parts = [
        part
        for path in sorted(texts)
        if path != LOCK_FILE
        # A folder that was copied by hand is nobody's yet.
        and path in _places(part := _parsed(texts[path], repository / path))
    ]
    models = {part.name: part.model for part in parts if part.model is not None}
    shares = {part.name: part.share for part in parts if part.share is not None}
    lock = Lock(
        tool=root.tool,
        target=root.target,
        server=server_of(root.target.cores, models, shares),
        models=models,
        written={
            f"{part.name}/{path}": sha for part in parts for path, sha in part.written.items()
        },
        refused={part.name: part.refused for part in parts if part.refused is not None},
        shares=shares,
    )
    refuse_faults(lock, where)
    return lock


def is_one_file(text: str) -> bool:
    """Whether a repository's own file is the whole lock, as older tools wrote it."""
    return _IN_ONE_FILE.search(text) is not None


def _places(part: _Part) -> tuple[str, str]:
    return part_path(part.name, configured=True), part_path(part.name, configured=False)


def _parsed(text: str, path: Path) -> _Part:
    """One model's part."""
    # Of a folder one side is taken as a whole: its texts and its lock belong together.
    restored = path.parent if path.name == LOCK_FILE else path
    refuse_merge(text, str(path), restored)
    try:
        part = decode_text(_Part, text, "lock", SCHEMA_VERSION)
    except ValueError as problem:
        raise InvalidInputError("TG704", str(problem), where=str(path)) from problem
    if part.digest != _digest(text):
        what = "it is not as one build wrote it: two were merged in it, or it was edited"
        raise InvalidInputError(CODE, what, where=str(path), fix=rebuild(restored))
    return part
