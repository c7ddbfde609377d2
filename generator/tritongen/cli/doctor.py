"""`tritongen doctor`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli.output import ProgressBar, good, present, print_table, say, severe
from tritongen.cli.parser import DEFAULT_REPOSITORY, CommandParser, known_repository
from tritongen.cli.up import add_server_options, wanted_server
from tritongen.errors import InvalidInputError
from tritongen.model.codec import view

if TYPE_CHECKING:
    from tritongen.serving.doctor import Check

EXAMPLES = """\
  tritongen doctor                      can this machine serve model_repository/?
  tritongen doctor --runtime docker     in a container of the official image
  tritongen doctor --image NAME         in a container of that image
  tritongen doctor --format json
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "repository", type=Path, nargs="?", metavar="REPO",
        help=f"model repository (default: {DEFAULT_REPOSITORY}, where there is one)",
    )  # fmt: skip
    add_server_options(parser)
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Print every check; exit 3 when the machine, 1 when only the repository stands in the way."""
    from tritongen.serving.doctor import diagnose

    repository = known_repository(options)
    if repository is not None and not repository.is_dir():
        raise InvalidInputError("TG708", "there is no such folder", where=str(repository))
    with ProgressBar() as bar:
        diagnosis = diagnose(Path.cwd(), repository, wanted_server(options), bar)
    names = ("name", "ok", "severity", "message", "fix", "code")
    checks = [view(item, *names) for item in diagnosis.checks]
    present(
        options.format,
        lambda: {**view(diagnosis, "runtime", "reason"), "checks": checks},
        lambda: _print(diagnosis.checks),
    )
    return int(diagnosis.exit_code)


def _print(checks: "tuple[Check, ...]") -> None:
    print_table(
        ("check", "state", "found"),
        [(item.name, "ok" if item.ok else item.severity.value, item.message) for item in checks],
    )
    for item in checks:
        if not item.ok:
            head = severe(f"{item.severity.value} {item.code}", item.severity)
            say()
            say(f"{head} {item.name}")
            say(f"  → {item.fix}")
    if all(item.ok for item in checks):
        say(good("nothing stands in the way"))
