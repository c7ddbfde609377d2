"""The packed environment of a `model.py`: an archive as conda-pack and venv-pack write it."""

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from tritongen.formats.reading import ModelSource
from tritongen.model.facts import FileRef
from tritongen.system.paths import open_regular

SUFFIX = ".tar.gz"
# Chosen: the first small packages, each with its record, lie within; a bomb ends here, too.
_MAX_READ_BYTES = 16 << 20
_MEMBER = re.compile(r"(\./)?(conda-meta/|bin/(python|activate)|lib/python3\.\d)")


def packed_environments(source: ModelSource, own: Iterable[FileRef]) -> tuple[FileRef, ...]:
    """The environments beside a `model.py` and beside its version folder, as the server finds them.

    Args:
        source: the model's file.
        own: the files in the file's own folder.

    Returns:
        References whose `target` is relative to the model's folder in the repository.
    """
    version = source.file.parent
    places = [(f"{source.version}/{ref.target}", source.root / ref.source) for ref in own]
    if version.name.isdecimal() and version.parent != source.root:
        places += [(path.name, path) for path in version.parent.glob(f"*{SUFFIX}")]
    return tuple(
        FileRef(path.relative_to(source.root).as_posix(), target, path.stat().st_size)
        for target, path in sorted(places)
        if target.endswith(SUFFIX) and source.holds(path) and _is_environment(path)
    )


def _is_environment(path: Path) -> bool:
    """Whether one of an archive's first members is one of an environment."""
    try:
        with os.fdopen(open_regular(path), "rb") as file, gzip.open(file) as packed:
            head = BytesIO(packed.read(_MAX_READ_BYTES))
        with tarfile.open(fileobj=head, mode="r:") as archive:
            return any(_MEMBER.match(member.name) for member in archive)
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        return False
