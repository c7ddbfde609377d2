"""Entry point: picks the command, and turns every outcome into an exit code.

Only the module of the command that was named is imported, so that `--help` stays instant.
"""

import errno
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import FrameType, MappingProxyType

from tritongen import __version__
from tritongen.cli.output import report_error
from tritongen.cli.parser import CommandParser, add_command
from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError, TritongenError

_EXAMPLES = """\
examples:
  tritongen inspect ./models            what is in the folder, and can Triton serve it?
  tritongen build ./models              write model_repository/ with a reason beside every value
  tritongen up && tritongen verify      serve it with a real Triton and compare every output
  tritongen probe --concurrency 8       measure it
  tritongen down
"""
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Every command and what it does; its module here has EXAMPLES, `register(parser)`, `run(options)`.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "init": "draft tritongen.yaml from what is found",
        "inspect": "facts and findings for every model",
        "build": "write the model repository",
        "check": "lint any model repository",
        "explain": "why a value is what it is",
        "up": "serve a repository with a real Triton",
        "down": "stop what `up` started",
        "restart": "end the server and start it again",
        "status": "is the server up, are its models ready?",
        "logs": "the last lines of the server's log",
        "client": "how to call a model: curl, Python, OpenAPI",
        "verify": "compare Triton's outputs with a local run",
        "probe": "load with honest numbers",
        "tune": "find the best configuration by measuring it",
        "optimize": "make models servable, batchable and cheaper, each step proven",
        "doctor": "what this machine can run, and how to mend what it can't",
        "plan": "which machines, how many, at what cost",
        "export": "deployment files that agree with the plan",
        "observe": "what a live server does, and what to change",
        "report": "one HTML page about the service",
        "completion": "completion script for your shell",
    }
)


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command as Ctrl-C does: what it started is stopped on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def build_parser(wanted: str | None, *, alone: bool = False) -> CommandParser:
    """The parser with one command complete; every command when `wanted` is None.

    Args:
        wanted: name of the command whose options are needed.
        alone: leave the other commands out, as nobody will be told of them.
    """
    parser = CommandParser(
        prog="tritongen",
        description="Configuration generator, checker, runner and load probe for Triton "
        "Inference Server.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"tritongen {__version__}")
    commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        title="commands",
        prog=parser.prog,
        parser_class=CommandParser,
    )
    for name, summary in COMMANDS.items():
        if wanted in {None, name}:
            module = importlib.import_module(f"tritongen.cli.{name}")
            module.register(add_command(commands, name, summary, module.EXAMPLES))
        elif not alone:
            commands.add_parser(name, help=summary, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process when None.

    Returns:
        An exit code of `tritongen.errors.ExitCode`; 128 and the signal's number when a signal or a
        closed pipe ended it, as shells have it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    # gRPC's library writes on its own to standard error, words of the server among it as they came.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    as_json = _wants_json(arguments)
    try:
        _answer_signals()
        return _run(arguments)
    except TritongenError as problem:
        return _report(problem, as_json)
    except KeyboardInterrupt as signalled:
        number = signalled.number if isinstance(signalled, Interrupted) else signal.SIGINT
        _report(EnvironmentProblem("TG007", f"interrupted by {_name(number)}"), as_json)
        return 128 + number
    except BrokenPipeError:
        # The reader of our output has gone; what it has not read it does not want.
        _abandon_output()
        return 128 + signal.SIGPIPE
    except MemoryError as problem:
        return _report(EnvironmentProblem("TG010", f"out of memory: {problem}"), as_json)
    except Exception as problem:  # a bug of ours: told in a line, shown on wish
        full = isinstance(problem, OSError) and problem.errno in _NO_SPACE
        if os.environ.get("TRITONGEN_DEBUG") and not full:
            raise
        return _unexpected(problem, as_json)


def _unexpected(problem: Exception, as_json: bool) -> int:
    """Tells of what nobody foresaw; the system's own refusals may come from any path."""
    if isinstance(problem, OSError) and problem.errno in _NO_SPACE:
        _abandon_output()
        what = f"the output cannot be written: {problem.strerror}"
        return _report(EnvironmentProblem("TG005", what), as_json=False)
    if isinstance(problem, PermissionError) and isinstance(problem.filename, str):
        # A folder on the way that must not be entered.
        what = f"cannot be reached: {(problem.strerror or str(problem)).lower()}"
        return _report(InvalidInputError("TG003", what, where=problem.filename), as_json)
    what = f"{type(problem).__name__}: {problem}"
    fix = "Run it again with TRITONGEN_DEBUG=1 and report what it prints."
    return _report(EnvironmentProblem("TG001", f"internal error: {what}", fix=fix), as_json)


def _report(problem: TritongenError, as_json: bool) -> int:
    try:
        report_error(problem, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        _abandon_output()  # nobody is left to tell
    return int(problem.exit_code)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether faults of the arguments themselves must be told as JSON, too."""
    return "--format=json" in arguments or ("--format", "json") in pairwise(arguments)


def _run(arguments: list[str]) -> int:
    wanted = next((item for item in arguments if item in COMMANDS), "")
    parser = build_parser(wanted, alone=bool(wanted) and arguments[0] == wanted)
    options = parser.parse_args(arguments)
    if not options.command:
        parser.print_help()
        return int(ExitCode.OK)
    try:
        Path.cwd()
    except OSError as problem:
        raise InvalidInputError("TG002", "the current folder no longer exists") from problem
    from tritongen.cli.activity import logged

    with logged(options):
        code = int(importlib.import_module(f"tritongen.cli.{options.command}").run(options))
        sys.stdout.flush()
    return code


def _answer_signals() -> None:
    """Turn the signals that end a process into exceptions; called where these are caught."""
    answers = (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, _interrupt),
        (signal.SIGHUP, _interrupt),
    )
    for ending, answer in answers:
        if signal.getsignal(ending) is signal.SIG_DFL:  # `nohup` has it ignored
            signal.signal(ending, answer)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _prepare_streams() -> None:
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


def _abandon_output() -> None:
    """Send what is still to be printed nowhere: the reader has gone, or the disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
