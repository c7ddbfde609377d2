"""`tritongen completion`."""

import argparse

from tritongen.cli.output import emit
from tritongen.cli.parser import Subparsers, add_command
from tritongen.errors import ExitCode

_EXAMPLES = """\
  eval "$(tritongen completion bash)"
  tritongen completion zsh > "${fpath[1]}/_tritongen"
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "completion", "completion script for your shell", _EXAMPLES)
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from tritongen.cli.main import build_parser

    emit(shtab.complete(build_parser(None), options.shell))
    return int(ExitCode.OK)
