"""`tritongen check`."""

import argparse
from pathlib import Path

from tritongen import __version__
from tritongen.cli.output import emit, emit_json, good, print_findings, say
from tritongen.cli.parser import CommandParser, existing_folder, positive_float, whole
from tritongen.errors import ExitCode
from tritongen.model.findings import Finding, Severity

EXAMPLES = """\
  tritongen check                              lint model_repository/
  tritongen check ./repo --cpus 4              hold threads × instances against four cores
  tritongen check --format sarif > check.sarif
  tritongen check --format github              annotations in GitHub Actions
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_repository()
    parser.add_argument("--cpus", type=positive_float, metavar="N", help="cores of the container")
    parser.add_argument("--gpus", type=whole, metavar="N", help="number of GPUs")
    parser.add_argument("--triton", default="", metavar="YY.MM", help="release that will serve it")
    parser.add_flags(
        no_auto_complete="the server runs with --disable-auto-complete-config",
        strict="warnings count as errors for the exit code",
    )
    parser.add_argument(
        "--format", choices=("text", "json", "sarif", "github"), default="text",
        help="(default: %(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Lint and print; exit 1 when there is an error."""
    from tritongen.repository.check import check_repository

    findings = check_repository(
        existing_folder(options.repository),
        release=options.triton,
        cores=options.cpus,
        gpus=options.gpus,
        autocomplete=not options.no_auto_complete,
    )
    _print(findings, options.format, options.repository)
    bad = {Severity.ERROR, Severity.WARNING} if options.strict else {Severity.ERROR}
    failed = any(item.severity in bad for item in findings)
    return int(ExitCode.FINDINGS if failed else ExitCode.OK)


def _print(findings: tuple[Finding, ...], form: str, repository: Path) -> None:
    from tritongen.config.lint import as_document, as_github, as_sarif

    prefix = repository.as_posix()
    if form == "json":
        emit_json(as_document(findings, prefix))
    elif form == "sarif":
        emit(as_sarif(findings, __version__, prefix))
    elif form == "github":
        emit(as_github(findings, prefix))
    else:
        print_findings(findings)
        counts = [sum(item.severity is severity for item in findings) for severity in Severity]
        words = f"{counts[0]} errors, {counts[1]} warnings, {counts[2]} remarks"
        say(good("nothing to report") if not findings else words)
