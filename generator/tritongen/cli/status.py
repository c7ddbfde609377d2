"""`tritongen status`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.api.documents import findings_json
from tritongen.cli import output
from tritongen.cli.output import say
from tritongen.cli.parser import (
    DEFAULT_REPOSITORY,
    CommandParser,
    existing_folder,
    known_repository,
)
from tritongen.cli.server_options import add_server_options, server_access
from tritongen.cli.time_limit import time_limit
from tritongen.errors import ExitCode
from tritongen.model.codec import view

if TYPE_CHECKING:
    from tritongen.serving.attached import ServerStatus
    from tritongen.triton.access import Access

EXAMPLES = """\
  tritongen status                      this project's server; exit 0 when every model is ready
  tritongen status -u HOST:8000         any Triton, compared with model_repository/ where there is one
  tritongen status -u grpcs://HOST:8001 --ca ca.pem --header-file admin.txt
  tritongen status --format json
"""  # noqa: E501  (shown as it stands)


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "repository", type=Path, nargs="?", metavar="REPO",
        help="to compare the server with (default: the one it was started on; with -u "
        f"{DEFAULT_REPOSITORY}, where there is one)",
    )  # fmt: skip
    add_server_options(parser)
    parser.add_time_limit(60.0, "of the whole command")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Print the server and each model.

    Exit 1 when a model is not ready or differs from the disk, 3 when no server runs.
    """
    access = server_access(options)
    with time_limit(options.timeout):
        result = _elsewhere(options, access) if options.url else _own(options)
    output.present(options.format, lambda: _json(result), lambda: _print(result))
    return int(ExitCode.FINDINGS if result.drift else output.readiness(result.models))


def _own(options: argparse.Namespace) -> "ServerStatus":
    from tritongen.serving.lifecycle import status

    return status(Path.cwd(), existing_folder(options.repository) if options.repository else None)


def _elsewhere(options: argparse.Namespace, access: "Access") -> "ServerStatus":
    from tritongen.serving.attached import attached_status

    endpoint, repository = access.endpoint(options.url), known_repository(options)
    return attached_status(endpoint, existing_folder(repository) if repository else None)


def _json(result: "ServerStatus") -> dict[str, object]:
    return {
        **view(result, "runtime", "version", "repository", "log", "endpoints"),
        "models": output.states_json(result.models),
        "drift": findings_json(result.drift),
    }


def _print(result: "ServerStatus") -> None:
    own = bool(result.log)
    link = " serves " if own else ", compared with "
    about = f"{link}{result.repository}" if result.repository else ""
    say(f"Triton {result.version} ({result.runtime.value}){about}")
    listed = view(result.endpoints, "http", "grpc", "metrics").items()
    say("  ".join(f"{name} {where}" for name, where in listed if where))
    output.print_states(result.models)
    output.print_findings(result.drift)
