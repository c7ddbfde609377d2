"""`tritongen restart`."""

import argparse
from pathlib import Path

from tritongen.cli.options import Subparsers, add_command, add_format, positive_float
from tritongen.cli.output import ProgressBar
from tritongen.errors import ExitCode

_EXAMPLES = """\
  tritongen restart        the project's server again, with the repository as it is now
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "restart", "end the server and start it again", _EXAMPLES)
    parser.add_argument(
        "--grace", type=positive_float, default=30.0, metavar="SECONDS",
        help="before the old one is killed (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=positive_float, default=300.0, metavar="SECONDS",
        help="until every model is ready (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-going", action="store_true", help="leave the server up although a model failed"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restart; exit 1 when a model is not ready."""
    from tritongen.cli.up import show
    from tritongen.serving.restart import RestartOptions, restart

    wanted = RestartOptions(options.grace, options.timeout, options.keep_going)
    with ProgressBar() as bar:
        result = restart(Path.cwd(), wanted, bar)
    show(result, options.format, "as before")
    ready = all(model.ready for model in result.models)
    return int(ExitCode.OK if ready else ExitCode.FINDINGS)
