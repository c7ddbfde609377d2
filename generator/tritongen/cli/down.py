"""`tritongen down`."""

import argparse
from pathlib import Path

from tritongen.cli.output import emit_json, good, say
from tritongen.cli.parser import CommandParser
from tritongen.errors import ExitCode

EXAMPLES = """\
  tritongen down            stop this project's server and its leftovers
  tritongen down --all      stop every server that tritongen started on this machine
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_flags(all="every project's servers and orphans")
    parser.add_grace("it")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Stop; it is no fault when nothing runs."""
    from tritongen.serving.lifecycle import down

    stopped = down(Path.cwd(), everything=options.all, grace_s=options.grace)
    if options.format == "json":
        emit_json({"stopped": stopped})
    elif stopped:
        say(good(f"stopped {', '.join(stopped)}"))
    else:
        say("nothing was running")
    return int(ExitCode.OK)
