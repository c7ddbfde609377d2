"""Python files, looked at as text and never run."""

import ast
import re
import warnings
from pathlib import Path

from tritongen.system.paths import read_head

CLASS_NAME = "TritonPythonModel"

# Chosen: far more than a module written by a person; the class stands in it, not behind it.
_MAX_SOURCE_BYTES = 1 << 20
_CLASS = re.compile(rb"^\s*class\s+TritonPythonModel\b", re.MULTILINE)


def defines_triton_model(path: Path) -> bool:
    """Whether the file defines the class that Triton's python backend looks for.

    A file that does not parse counts when the class's line stands in it: it is meant to be one.

    Raises:
        OSError: it cannot be read.
    """
    text = read_head(path, _MAX_SOURCE_BYTES)
    if not _CLASS.search(text):
        return False
    try:
        with warnings.catch_warnings():
            # A doubtful escape in the user's file is no business of this tool.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(
        isinstance(node, ast.ClassDef) and node.name == CLASS_NAME for node in ast.walk(tree)
    )
