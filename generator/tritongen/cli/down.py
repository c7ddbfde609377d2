"""`tritongen down`."""

import argparse
from pathlib import Path

from tritongen.cli.options import Subparsers, add_command, add_format, positive_float
from tritongen.cli.output import emit_json, good, say
from tritongen.errors import ExitCode

_EXAMPLES = """\
  tritongen down            stop this project's server and its leftovers
  tritongen down --all      stop every server that tritongen started on this machine
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "down", "stop what `up` started", _EXAMPLES)
    parser.add_argument("--all", action="store_true", help="every project's servers and orphans")
    parser.add_argument(
        "--grace", type=positive_float, default=30.0, metavar="SECONDS",
        help="before it is killed (default: %(default)s)",
    )  # fmt: skip
    add_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Stop; it is no fault when nothing runs."""
    from tritongen.serving.lifecycle import down

    stopped = down(Path.cwd(), everything=options.all, grace_s=options.grace)
    if options.format == "json":
        emit_json({"stopped": list(stopped)})
    elif stopped:
        say(good(f"stopped {', '.join(stopped)}"))
    else:
        say("nothing was running")
    return int(ExitCode.OK)
