"""What a command says beside its results: on stderr as much as is wished, all in the log."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tritongen import __version__
from tritongen.cli import output
from tritongen.errors import TritongenError
from tritongen.system.activity_log import LOG_FILE, ActivityLog
from tritongen.triton.address import shown_address, shown_header

_log = logging.getLogger(__name__)
_STATE_FOLDER = ".tritongen"


class _Told(logging.Handler):
    """Shows records on stderr; errors are told by the command line itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message alone: a person reads along."""
        if record.levelno < logging.ERROR:
            output.say_error(output.dim(f"{record.levelname.lower()}: {record.getMessage()}"))


@contextmanager
def logged(options: argparse.Namespace) -> Iterator[None]:
    """Log what happens in a command, from its options to its end."""
    output.keep_quiet(wanted=options.quiet)
    root = logging.getLogger("tritongen")
    root.setLevel(logging.DEBUG)
    root.propagate = False  # libraries set up the root logger as they like
    file = ActivityLog(Path(_STATE_FOLDER).absolute())
    handlers: list[logging.Handler] = [file]
    if options.verbose:
        handlers.append(_Told(logging.INFO if options.verbose == 1 else logging.DEBUG))
    for handler in handlers:
        root.addHandler(handler)
    try:
        with _from_begin_to_end(options):
            yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        if file.problem is not None:
            output.remark(f"{_STATE_FOLDER}/{LOG_FILE} is not written: {file.problem}")


@contextmanager
def _from_begin_to_end(options: argparse.Namespace) -> Iterator[None]:
    begun = time.monotonic()
    _log.info("%s: %s", options.command, " ".join(shown_options(options)))
    python, system = sys.version.partition(" ")[0], os.uname()
    machine = f"{system.sysname} {system.release}, {system.machine}"
    _log.debug("tritongen %s, Python %s, %s, in %s", __version__, python, machine, Path.cwd())
    how = ""
    try:
        yield
    except TritongenError as problem:
        _log.error("%s %s", problem.code, "\n".join((str(problem), *problem.details)))
        how = f" with {problem.code}"
        raise
    except Exception as problem:  # whatever ended the command: noted, and raised again
        _log.exception("not foreseen")
        how = f" with {type(problem).__name__}"
        raise
    except BaseException:
        how = ", interrupted"
        raise
    finally:
        _log.info("%s ended after %.3f s%s", options.command, time.monotonic() - begun, how)


def shown_options(options: argparse.Namespace) -> Sequence[str]:
    """Every option that has a value, as it may be stored: without passwords and keys."""
    given = {
        name: value
        for name, value in sorted(vars(options).items())
        if name != "command" and value not in (None, False, "", [], 0)
    }
    return [f"{name}={_shown(name, value)}" for name, value in given.items()]


def _shown(name: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(name, item) for item in value)}]"
    text = str(value)
    if name == "header":
        return shown_header(text)
    return shown_address(text) if "@" in text else text
