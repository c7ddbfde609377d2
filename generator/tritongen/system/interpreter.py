"""Python programs that this tool starts by a module's name.

``python -m`` puts the current folder first on the path, and that folder may be a stranger's: a
`pip/` or a `numpy.py` in a folder of models would run with everything that the user may do.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["module_command", "module_environment"]


def module_command(module: str, *arguments: str) -> list[str]:
    """This interpreter, with a module as its program and without the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(own: Mapping[str, str], *folders: Path) -> dict[str, str]:
    """Variables for a module's program.

    Args:
        own: variables of this process. Paths of PYTHONPATH are made absolute; an empty one, which
            stands for the current folder and is mostly a slip, is left out.
        folders: to import from, after those.
    """
    given = filter(None, own.get("PYTHONPATH", "").split(os.pathsep))
    paths = [*(str(Path.cwd() / item) for item in given), *map(str, folders)]
    rest = {name: value for name, value in own.items() if name != "PYTHONPATH"}
    return {**rest, "PYTHONPATH": os.pathsep.join(paths)} if paths else rest
