"""`tritongen logs`."""

import argparse
from pathlib import Path

from tritongen.cli.options import Subparsers, add_command, add_format, positive_int
from tritongen.cli.output import emit_json
from tritongen.errors import ExitCode

_EXAMPLES = """\
  tritongen logs               the last 50 lines
  tritongen logs -n 500
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "logs", "the last lines of the server's log", _EXAMPLES)
    parser.add_argument(
        "-n", "--lines", type=positive_int, default=50, help="(default: %(default)s)"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the log's end, also of a server that has ended."""
    from tritongen.app.serve import last_logs

    lines = last_logs(Path.cwd(), options.lines)
    if options.format == "json":
        emit_json({"lines": list(lines)})
    else:
        for line in lines:
            print(line)
    return int(ExitCode.OK)
