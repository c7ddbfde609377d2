"""`tritongen status`."""

import argparse
from pathlib import Path

from tritongen.cli.options import Subparsers, add_command, add_format
from tritongen.cli.output import emit_json, good, print_table, severe
from tritongen.domain.findings import Severity
from tritongen.errors import ExitCode

_EXAMPLES = """\
  tritongen status                 exit 0 when every model is ready
  tritongen status --format json
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "status", "is the server up, are its models ready?", _EXAMPLES)
    add_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the server and each model; exit 1 when one is not ready, 3 when no server runs."""
    from tritongen.app.serve import status

    result = status(Path.cwd())
    if options.format == "json":
        emit_json(
            {
                "runtime": result.runtime.value,
                "version": result.version,
                "endpoints": {
                    "http": result.endpoints.http,
                    "grpc": result.endpoints.grpc,
                    "metrics": result.endpoints.metrics,
                },
                "repository": str(result.repository),
                "log": str(result.log),
                "models": [
                    {"name": model.name, "ready": model.ready, "reason": model.reason}
                    for model in result.models
                ],
            }
        )
    else:
        ends = result.endpoints
        print(f"Triton {result.version} ({result.runtime.value}) serves {result.repository}")
        print(f"http {ends.http}  grpc {ends.grpc}  metrics {ends.metrics}")
        print_table(
            ("model", "state"),
            [
                (
                    model.name,
                    good("ready") if model.ready else severe(model.reason, Severity.ERROR),
                )
                for model in result.models
            ],
        )
    ready = all(model.ready for model in result.models)
    return int(ExitCode.OK if ready else ExitCode.FINDINGS)
