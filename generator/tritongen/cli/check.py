"""`tritongen check`."""

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen import __version__
from tritongen.cli.output import emit, emit_json, good, print_findings, say
from tritongen.cli.parser import CommandParser, positive_float, whole
from tritongen.model.code_choice import codes_of
from tritongen.model.counting import counted
from tritongen.model.findings import Finding, Severity

if TYPE_CHECKING:
    from tritongen.api import CheckedRepository

EXAMPLES = """\
  tritongen check                              lint model_repository/
  tritongen check ./repo --cpus 4              hold threads × instances against four cores
  tritongen check --format sarif > check.sarif
  tritongen check --format github              annotations in GitHub Actions
  tritongen check --select TG5,TG6             rules of backends, silent mistakes and advice only
  tritongen check --ignore TG643               all but that one
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
        "--select", action="append", default=[], type=_codes, metavar="CODES",
        help="tell of these only: codes or their beginnings, separated by commas; may be repeated "
        "(default: tritongen.yaml, else all)",
    )  # fmt: skip
    parser.add_argument(
        "--ignore", action="append", default=[], type=_codes, metavar="CODES",
        help="tell of none of these, nor of those that tritongen.yaml ignores; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--models", type=Path, metavar="DIR",
        help="folder of the tritongen.yaml whose `check` holds (default: REPO where it has one, "
        "else the folder that it was built from)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("text", "json", "sarif", "github"), default="text",
        help="(default: %(default)s)",
    )  # fmt: skip


def _codes(text: str) -> tuple[str, ...]:
    try:
        return codes_of(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(options: argparse.Namespace) -> int:
    """Lint and print; exit 1 when there is an error."""
    from tritongen import api

    checked = api.check(
        options.repository,
        cpus=options.cpus,
        gpus=options.gpus,
        triton=options.triton,
        auto_complete=not options.no_auto_complete,
        strict=options.strict,
        select=tuple(chain(*options.select)),
        ignore=tuple(chain(*options.ignore)),
        models=options.models,
    )
    _print(checked, options.format)
    return int(checked.exit_code)


def _print(checked: "CheckedRepository", form: str) -> None:
    from tritongen.config.lint import as_github, as_sarif

    prefix, findings = checked.repository.as_posix(), checked.findings
    if form == "json":
        emit_json(checked.to_dict())
    elif form == "sarif":
        emit(as_sarif(findings, __version__, prefix))
    elif form == "github":
        emit(as_github(findings, prefix))
    else:
        print_findings(findings)
        counts = [sum(item.severity is severity for item in findings) for severity in Severity]
        units = ("error", "warning", "remark")
        words = ", ".join(map(counted, counts, units))
        say((words if findings else good("nothing to report")) + _ignored(checked.ignored))


def _ignored(items: Sequence[Finding]) -> str:
    """How many findings are not told, and how many of them stop a model; empty for none."""
    if not items:
        return ""
    errors = sum(item.severity is Severity.ERROR for item in items)
    of_them = f", {errors} of them errors" if errors else ""
    return f"; {len(items)} ignored{of_them}"
