"""Python files as syntax trees; nothing in them is run."""

import ast
import warnings
from collections.abc import Iterator

from tritongen.formats.parsing.wire import DamagedError


def parse_python(text: bytes, max_bytes: int) -> ast.Module:
    """The tree of a file.

    Raises:
        DamagedError: it is longer, or no Python that this interpreter can parse.
    """
    if len(text) > max_bytes:
        raise DamagedError(f"the file has more than {max_bytes >> 20} MiB of source")
    try:
        with warnings.catch_warnings():
            # A doubtful escape in the user's file is no business of this tool.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        what = f"line {error.lineno}: {error.msg}"
        raise DamagedError(what, "Correct the Python code at that line.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(f"the file cannot be parsed: {error}") from error


def last_name(node: ast.expr) -> str:
    """The last part of a name, of what is called where it is a call; empty for other nodes."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def calls_of(node: ast.AST | None, name: str) -> Iterator[ast.Call]:
    """Every call of what has that name below a node; none below None."""
    for child in ast.walk(node) if node is not None else ():
        if isinstance(child, ast.Call) and last_name(child) == name:
            yield child
