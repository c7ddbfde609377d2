"""The signature of `forward` in a TorchScript module's source, found without running it."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.model.facts import TorchArgument

# Chosen: the arguments of `forward`, written out, have a few hundred.
_MAX_SIGNATURE_CHARACTERS = 64 << 10


@dataclass(frozen=True, slots=True)
class ForwardSignature:
    """What `forward` takes and gives; types as written, shortened to their last name."""

    arguments: tuple[TorchArgument, ...]
    returns: str


def forward_of(source: str, name: str) -> ForwardSignature | None:
    """The signature of one class's `forward`, None when there is none that can be read.

    Args:
        source: of the module that defines the class.
        name: of the class.
    """
    start = re.search(rf"^class {re.escape(name)}\(\w+\):", source, re.MULTILINE)
    if start is None:
        return None
    end = re.compile(r"^class ", re.MULTILINE).search(source, start.end())
    body = source[start.end() : end.start() if end else len(source)]
    found = re.search(r"^  def forward\(", body, re.MULTILINE)
    if found is None:
        return None
    text = _header(body[found.start() : found.start() + _MAX_SIGNATURE_CHARACTERS].lstrip())
    return _parsed(text) if text else None


def _header(text: str) -> str:
    """The text up to the colon that ends the signature."""
    depth = 0
    for position, char in enumerate(text):
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == ":" and not depth:
            return text[:position]
    return ""


def _parsed(header: str) -> ForwardSignature | None:
    try:
        tree = ast.parse(f"{header}: pass")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = tree.body[0] if tree.body else None
    if not isinstance(function, ast.FunctionDef):
        return None
    arguments = [*function.args.posonlyargs, *function.args.args]
    return ForwardSignature(
        tuple(TorchArgument(item.arg, _text(item.annotation)) for item in arguments[1:]),
        _text(function.returns),
    )


def _text(annotation: ast.expr | None) -> str:
    return "Tensor" if annotation is None else ast.unparse(annotation)


def members(type_: str) -> Sequence[str] | None:
    """The members of a ``Tuple[...]``, None for another type."""
    if not (type_.startswith("Tuple[") and type_.endswith("]")):
        return None
    inner, found, depth, start = type_[6:-1], [], 0, 0
    for position, char in enumerate(inner):
        depth += (char == "[") - (char == "]")
        if char == "," and not depth:
            found.append(inner[start:position].strip())
            start = position + 1
    return [*found, inner[start:].strip()]
