"""The standard streams as the command line needs them, whatever the caller handed over."""

import os
import sys
from contextlib import suppress


def prepare() -> None:
    """Open what the caller closed, and let no character stop the output.

    A closed descriptor would be given to the next file that is opened, and what is printed would
    end up in it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def width() -> int:
    """Columns of the terminal: the user's wish in COLUMNS, what the terminal says, or 80."""
    wish = os.environ.get("COLUMNS", "")
    if wish.isascii() and wish.isdigit() and int(wish):
        return int(wish)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def abandon() -> None:
    """Send what is still to be printed nowhere: the reader has gone, or the disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
