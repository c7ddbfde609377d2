"""`tritongen report`."""

import argparse
from pathlib import Path

from tritongen.cli.options import existing_folder, writable_file
from tritongen.cli.output import good, say
from tritongen.cli.parser import DEFAULT_REPOSITORY, Subparsers, add_command
from tritongen.errors import ExitCode

_EXAMPLES = """\
  tritongen report                          model_repository/ with its plan, as report.html
  tritongen report ./models -o service.html
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "report", "one HTML page about the service", _EXAMPLES)
    parser.add_known_models()
    parser.add_repository_option("-r", "--repository", purpose="whose lock and plan are shown")
    parser.add_plan()
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE",
        help="page to write (default: %(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from tritongen.fleet.report.service_report import report_page
    from tritongen.repository.project import last_models
    from tritongen.system.files import write_atomic

    root = existing_folder(options.models or last_models(options.repository))
    if options.repository != DEFAULT_REPOSITORY:
        existing_folder(options.repository)  # a page without it is for who has built nothing yet
    writable_file(options.output)
    page = report_page(root, options.repository, options.plan)
    write_atomic(options.output, page.encode())
    say(good(f"written to {options.output}"))
    return int(ExitCode.OK)
