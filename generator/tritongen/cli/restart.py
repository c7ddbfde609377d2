"""`tritongen restart`."""

import argparse
from pathlib import Path

from tritongen.cli.output import ProgressBar
from tritongen.cli.parser import CommandParser

EXAMPLES = """\
  tritongen restart        the project's server again, with the repository as it is now
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_grace("the old one")
    parser.add_readiness()
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Restart; exit 1 when a model is not ready."""
    from tritongen.cli.up import show
    from tritongen.serving.up import restart

    with ProgressBar() as bar:
        result = restart(
            Path.cwd(),
            grace_s=options.grace,
            timeout_s=options.timeout,
            keep_going=options.keep_going,
            progress=bar,
        )
    return show(result, options.format)
