"""`tritongen report`."""

import argparse
from pathlib import Path

from tritongen.cli.output import good, say
from tritongen.cli.parser import (
    DEFAULT_REPOSITORY,
    CommandParser,
    existing_folder,
    models_folder,
    writable_file,
)
from tritongen.errors import ExitCode

EXAMPLES = """\
  tritongen report                          model_repository/ with its plan, as report.html
  tritongen report ./models -o service.html
  tritongen report --observed seen.json    beside what `tritongen observe --format json` saw
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models()
    parser.add_repository_option("-r", "--repository", purpose="whose lock and plan are shown")
    parser.add_plan()
    parser.add_argument(
        "--observed", type=Path, metavar="FILE",
        help="what `tritongen observe --format json` printed, to be held against the plan",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE",
        help="page to write (default: %(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from tritongen.fleet.report.service_report import report_page
    from tritongen.system.files import write_atomic

    root = models_folder(options)
    if options.repository != DEFAULT_REPOSITORY:
        existing_folder(options.repository)  # a page without it is for who has built nothing yet
    writable_file(options.output)
    page = report_page(root, options.repository, options.plan, options.observed)
    write_atomic(options.output, page.encode())
    say(good(f"written to {options.output}"))
    return int(ExitCode.OK)
