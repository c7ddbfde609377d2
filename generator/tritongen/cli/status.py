"""`tritongen status`."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli.options import existing_folder
from tritongen.cli.output import (
    emit_json,
    findings_json,
    print_findings,
    print_states,
    readiness,
    say,
    states_json,
)
from tritongen.cli.parser import DEFAULT_REPOSITORY, Subparsers, add_command
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.codec import view
from tritongen.model.findings import Finding

if TYPE_CHECKING:
    from tritongen.triton.server import Endpoints, ModelStatus

_EXAMPLES = """\
  tritongen status                      this project's server; exit 0 when every model is ready
  tritongen status -u HOST:8000         any Triton, compared with model_repository/ where there is one
  tritongen status -u grpcs://HOST:8001 --ca ca.pem --header-file admin.txt
  tritongen status --format json
"""  # noqa: E501  (shown as it stands)


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "status", "is the server up, are its models ready?", _EXAMPLES)
    parser.add_argument(
        "repository", type=Path, nargs="?", metavar="REPO",
        help="to compare the server with (default: the one it was started on; with -u "
        f"{DEFAULT_REPOSITORY}, where there is one)",
    )  # fmt: skip
    group = parser.add_argument_group("a server that runs elsewhere")
    group.add_argument(
        "-u", "--url", default="", metavar="ADDRESS",
        help="HOST:PORT, or with http://, https://, grpc:// or grpcs:// before it",
    )  # fmt: skip
    group.add_argument("--ca", type=Path, metavar="PEM", help="authorities to trust")
    group.add_argument("--cert", type=Path, metavar="PEM", help="this client's certificate")
    group.add_argument("--key", type=Path, metavar="PEM", help="its private key")
    parser.add_flags(group, insecure="accept any certificate")
    group.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'",
        help="for every request, such as those of restricted APIs; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--header-file", type=Path, metavar="FILE",
        help="the same, one a line: keeps secrets out of the process list",
    )  # fmt: skip
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Print the server and each model.

    Exit 1 when a model is not ready or differs from the disk, 3 when no server runs.
    """
    return _elsewhere(options) if options.url else _own(options)


def _own(options: argparse.Namespace) -> int:
    from tritongen.serving.attached_status import own_drift
    from tritongen.serving.lifecycle import status

    only_elsewhere = ("ca", "cert", "key", "insecure", "header", "header_file")
    for name in only_elsewhere:
        if getattr(options, name):
            flag = name.replace("_", "-")
            raise InvalidInputError("TG009", f"--{flag} is for a server named with --url")
    result = status(Path.cwd())
    repository = existing_folder(options.repository) if options.repository else result.repository
    failed = {model.name for model in result.models if not model.ready}
    # A model that does not serve has said so already, with the server's reason.
    found = own_drift(result.endpoints, repository, result.headers)
    drift = [item for item in found if item.model not in failed]
    head = f"Triton {result.version} ({result.runtime.value}) serves {result.repository}"
    known = {
        **view(result, "runtime", "version", "repository", "log"),
    }
    return _show(options.format, head, known, result.endpoints, result.models, drift)


def _elsewhere(options: argparse.Namespace) -> int:
    from tritongen.serving.attached_status import AttachOptions, attached_status

    connection = AttachOptions(
        options.url,
        options.ca,
        options.cert,
        options.key,
        options.insecure,
        tuple(options.header),
        options.header_file,
    )
    repository = options.repository or (DEFAULT_REPOSITORY if DEFAULT_REPOSITORY.is_dir() else None)
    result = attached_status(connection, existing_folder(repository) if repository else None)
    head = f"Triton {result.version} (attached)"
    if repository:
        head += f", compared with {repository}"
    known = {
        "runtime": "attached",
        "version": result.version,
        "repository": str(repository or ""),
        "log": "",
    }
    return _show(options.format, head, known, result.endpoints, result.models, result.drift)


def _show(
    form: str,
    head: str,
    known: Mapping[str, object],
    ends: "Endpoints",
    models: "Sequence[ModelStatus]",
    drift: Sequence[Finding],
) -> int:
    """Print it, and the exit code."""
    if form == "json":
        emit_json(
            {
                **known,
                "endpoints": ends,
                "models": states_json(models),
                "drift": findings_json(drift),
            }
        )
    else:
        say(head)
        listed = view(ends, "http", "grpc", "metrics").items()
        say("  ".join(f"{name} {where}" for name, where in listed if where))
        print_states(models)
        print_findings(drift)
    return int(ExitCode.FINDINGS if drift else readiness(models))
