"""The log of a server: its end, and how it grows, line by line."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from tritongen.system.own_files import open_own

_MAX_BYTES = 4 << 20  # of a log's end that is looked at
_PAUSE_S = 0.1
_CHUNK = 1 << 16
_MAX_LINE_BYTES = 1 << 16  # of what is held back until its end comes; chosen: libraries write less


def new_log(path: Path) -> IO[bytes]:
    """A log that begins anew, unbuffered.

    Raises:
        EnvironmentProblem: TG011, what stands there is no plain file of this user.
        OSError: it cannot be written.
    """
    descriptor = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    return os.fdopen(descriptor, "wb", buffering=0)


def last_text(path: Path) -> str:
    """The end of a log.

    Raises:
        EnvironmentProblem: TG011, it is no plain file of this user.
        OSError: there is none, or it cannot be read.
    """
    with _at_end(path) as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace")


def _at_end(path: Path) -> IO[bytes]:
    file = os.fdopen(open_own(path, os.O_RDONLY), "rb")
    file.seek(max(0, os.fstat(file.fileno()).st_size - _MAX_BYTES))
    return file


def follow_file(path: Path, lines: int, alive: Callable[[], bool]) -> Iterator[str]:
    """The last lines of a file, then every one that is written to it while its writer lives.

    Args:
        path: of the file; one that is not there has no lines.
        lines: of what is there already, within its last 4 MiB.
        alive: whether there may be more.

    Raises:
        EnvironmentProblem: TG011, it is no plain file of this user.
    """
    try:
        file = _at_end(path)
    except OSError:
        return
    with file:
        text = file.read(_MAX_BYTES)
        seen = text.decode("utf-8", "replace").splitlines()
        yield from seen[-lines:] if lines else ()

        def chunks() -> Iterator[bytes]:
            last = False
            while True:
                if data := file.read(_CHUNK):
                    yield data
                elif last:
                    return
                else:
                    # What was written between the last look and the end is read once more.
                    last = not alive()
                    time.sleep(0.0 if last else _PAUSE_S)

        yield from lines_of(chunks())


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines from pieces that are cut anywhere; the last and a very long one lack an end."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if len(rest) > _MAX_LINE_BYTES:
            yield rest.decode("utf-8", "replace")
            rest = b""
    if rest:
        yield rest.decode("utf-8", "replace")
