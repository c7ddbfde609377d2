"""Where hand edits go that are overwritten or whose model is gone."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain, count
from pathlib import Path

from tritongen.repository.write_repository import TextFile

_KEPT = re.compile(r"\.orig(\.[0-9]+)?\Z")


def kept_names(folder: Path, edits: Iterable[str], gone: Set[str] = frozenset()) -> dict[str, str]:
    """The name under which each edited file is kept, beside those that were kept before.

    It stays in its folder, or goes to the root where its model is gone: Triton takes a folder
    without a configuration for a model, and does not start because it cannot load it.

    Args:
        folder: of the repository or of exported files.
        edits: paths relative to it; those of files that were kept before, too.
        gone: names of models that are served no more.

    Returns:
        Names by path, both relative to the folder; none is taken yet.
    """
    found: dict[str, str] = {}
    for path in edits:
        base = path if path.partition("/")[0] not in gone else path.replace("/", ".")
        base = base if _KEPT.search(base) else f"{base}.orig"
        names = chain((base,), (f"{base}.{number}" for number in count(1)))
        taken = set(found.values())
        found[path] = next(n for n in names if n not in taken and not (folder / n).exists())
    return found


def kept_texts(folder: Path, names: Mapping[str, str]) -> Iterator[TextFile]:
    """The files under their new names, read one after the other."""
    for path, name in names.items():
        yield TextFile(name, (folder / path).read_bytes())


def kept_before(folder: Path, written: Iterable[str], gone: Set[str]) -> list[str]:
    """Edits that earlier builds have kept in the folders of models that are gone.

    Args:
        folder: of the repository.
        written: paths of the texts that the tool wrote.
        gone: names of models that are served no more.
    """
    found = []
    for path in sorted(written):
        if path.partition("/")[0] not in gone:
            continue
        place = folder / path
        siblings = sorted(place.parent.iterdir()) if place.parent.is_dir() else []
        for other in siblings:
            rest = other.name.removeprefix(place.name)
            if other.name != rest and _KEPT.fullmatch(rest) and other.is_file():
                found.append(other.relative_to(folder).as_posix())
    return found
