"""Values of options: their forms, and folders and files that they name."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from tritongen.errors import EnvironmentProblem, InvalidInputError

T = TypeVar("T")

_UNIT_S = {
    "": 1.0, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0,
    "d": 86_400.0, "w": 604_800.0,
}  # fmt: skip


def add_declared_options(
    parser: argparse.ArgumentParser, options: type, types: Mapping[str, Callable[[str], object]]
) -> None:
    """A flag for each field of an options dataclass that declares one.

    Args:
        parser: of the command.
        options: its dataclass; a field's metadata hold flags, argparse's settings and `made`.
        types: what reads the flag's text, by field; others are taken as they are.
    """
    for item in fields(options):
        settings: dict[str, Any] = dict(item.metadata.get("settings", {}))
        if item.name in types:
            settings["type"] = types[item.name]
        if item.metadata:
            default = [] if settings.get("action") == "append" else item.default
            parser.add_argument(
                *item.metadata["flags"], dest=_dest(options, item.name), default=default, **settings
            )


def declared_options(options: type[T], arguments: argparse.Namespace) -> T:
    """The options that a command line holds; fields without a flag keep their defaults."""
    found = {}
    for item in fields(options):  # type: ignore[arg-type]  # a dataclass
        if item.metadata:
            value, made = getattr(arguments, _dest(options, item.name)), item.metadata["made"]
            found[item.name] = value if made is None or value is None else made(value)
    return options(**found)


def _dest(options: type, name: str) -> str:
    """Where argparse keeps a field, apart from the command's own arguments."""
    return f"{options.__name__}.{name}"


def positive_float(text: str) -> float:
    """A number above 0, for `type=`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def seconds(
    text: str,
    *,
    least: float = 0.0,
    most: float = sys.float_info.max,
    what: str = "a time above 0 such as 30, 500ms, 120s or 2m",
) -> float:
    """Seconds above 0 from a plain number or one with a unit (``500ms``, ``90s``, ``2m``, ``14d``).

    For `type=`, or with `partial` where the time is bounded.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text)
    value = float(match[1]) * _UNIT_S.get(match[2], 0.0) if match else 0.0
    if not 0.0 < value <= most or value < least:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}")
    return value


def gibibytes(text: str) -> int:
    """Bytes of a number of GiB above 0, for `type=`."""
    return int(positive_float(text) * 2**30)


def whole(text: str) -> int:
    """A whole number, 0 included, for `type=`."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def positive_int(text: str) -> int:
    """A whole number above 0, for `type=`."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


def port(text: str) -> int:
    """A port, or 0 for a free one, for `type=`."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, got {text!r}")
    return int(text)


def address(text: str) -> str:
    """``HOST:PORT``, for `type=`."""
    host, _, number = text.rpartition(":")
    if not host or "/" in text or not number.isdigit() or not 0 < int(number) <= 65535:
        from tritongen.triton.address import shown_address

        raise argparse.ArgumentTypeError(f"must be HOST:PORT, got {shown_address(text)!r}")
    return text


def known_models(options: argparse.Namespace, *, required: bool = False) -> Path | None:
    """The models folder that is named, or that the repository was built from.

    Args:
        options: with ``models`` and ``repository``.
        required: None is not enough.

    Raises:
        InvalidInputError: TG002, the named one is not a folder, or none is known and one is needed.
    """
    from tritongen.repository.project import last_models

    if options.models is not None:
        return existing_folder(options.models)
    try:
        return last_models(options.repository)
    except InvalidInputError:
        if required:
            raise
        return None


def existing_folder(path: Path) -> Path:
    """The path when it is a folder.

    Raises:
        InvalidInputError: TG002, it is not.
    """
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise InvalidInputError("TG002", what, where=str(path))
    return path


def writable_file(path: Path) -> Path:
    """The path when a file can be written there: told before the work, not after it.

    Raises:
        EnvironmentProblem: TG004, it is a folder, or its own folder is missing or closed.
    """
    what = ""
    if path.is_dir():
        what = "is a folder"
    elif not path.parent.is_dir():
        what = "its folder is a file" if path.parent.exists() else "there is no such folder"
    elif not path.exists() and not os.access(path.parent, os.W_OK | os.X_OK):
        what = "permission denied"
    if what:
        raise EnvironmentProblem("TG004", f"cannot be written: {what}", where=str(path))
    return path
