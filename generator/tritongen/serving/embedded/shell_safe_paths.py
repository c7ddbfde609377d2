"""Paths that a shell reads as one word.

Triton's Python backend starts its processes by a shell's command line into which it writes the
paths of the model and of the backend as they are: a blank cuts them in two, and a quote or a
dollar sign does worse.
"""

import hashlib
import os
import re
from pathlib import Path

from tritongen.system.files import translated
from tritongen.system.user_cache import cache_folder, private_folder

__all__ = ["plain_path"]

_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")


def plain_path(path: Path) -> Path:
    """The path itself when it is plain, else a link to it: the same one at every call.

    Args:
        path: absolute.

    Raises:
        EnvironmentProblem: TG004, the link cannot be made.
    """
    if _PLAIN.fullmatch(str(path)):
        return path
    folder = cache_folder("links", private_folder())
    link = folder / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    with translated(folder):
        if not link.is_symlink():
            # Beside and renamed: two starts at once make the same link.
            staged = folder / f"{link.name}.{os.getpid()}"
            staged.unlink(missing_ok=True)
            staged.symlink_to(path)
            staged.replace(link)
    return link
