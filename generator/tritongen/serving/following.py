"""A log that grows, line by line."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

__all__ = ["follow_file", "lines_of"]

_PAUSE_S = 0.1
_CHUNK = 1 << 16


def follow_file(path: Path, lines: int, alive: Callable[[], bool]) -> Iterator[str]:
    """The last lines of a file, then every one that is written to it while its writer lives.

    Args:
        path: of the file; one that is not there has no lines.
        lines: of what is there already.
        alive: whether there may be more.
    """
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        text = file.read()
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
    """Whole lines from pieces that are cut anywhere; the last may lack its end."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if rest:
        yield rest.decode("utf-8", "replace")
