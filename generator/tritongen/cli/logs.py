"""`tritongen logs`."""

import argparse
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tritongen.cli.output import present, say
from tritongen.cli.parser import CommandParser, positive_int
from tritongen.errors import ExitCode, InvalidInputError

EXAMPLES = """\
  tritongen logs               the last 50 lines
  tritongen logs -n 500
  tritongen logs --follow      and every further one until the server ends or Ctrl-C
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "-n", "--lines", type=positive_int, default=50, help="(default: %(default)s)"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="stay until the server ends, or Ctrl-C"
    )
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Print the log's end, also of a server that has ended."""
    from tritongen.serving.lifecycle import last_logs

    if options.follow:
        return _follow(options)
    lines = last_logs(Path.cwd(), options.lines)
    present(options.format, lambda: {"lines": lines}, lambda: _print(lines))
    return int(ExitCode.OK)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        say(line.removesuffix("\r").expandtabs(), flush=True, wrap=False)


def _follow(options: argparse.Namespace) -> int:
    """Print the log as it grows.

    Raises:
        InvalidInputError: TG009, JSON is asked for: one document cannot grow.
    """
    from tritongen.serving.lifecycle import running_server

    if options.format == "json":
        raise InvalidInputError("TG009", "--follow has no JSON form")
    with suppress(KeyboardInterrupt):  # the asked-for end
        _print(running_server(Path.cwd()).follow(options.lines))
    return int(ExitCode.OK)
