"""`tritongen completion`."""

import argparse

from tritongen.cli.output import emit
from tritongen.cli.parser import CommandParser
from tritongen.errors import ExitCode

EXAMPLES = """\
  eval "$(tritongen completion bash)"
  tritongen completion zsh > "${fpath[1]}/_tritongen"
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from tritongen.cli.main import build_parser

    emit(shtab.complete(build_parser(None), options.shell))
    return int(ExitCode.OK)
