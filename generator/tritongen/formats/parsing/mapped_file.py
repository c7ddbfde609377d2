"""A file's bytes in place, without reading them into memory."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritongen.formats.parsing.wire import DamagedError
from tritongen.system.paths import open_regular


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The bytes of a regular file.

    Raises:
        DamagedError: TG102, it is empty.
        OSError: it cannot be opened or mapped, or is no regular file.
    """
    descriptor = open_regular(path)
    try:
        if not os.fstat(descriptor).st_size:
            raise DamagedError(f"{path.name} is empty")
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            yield data
    finally:
        os.close(descriptor)
