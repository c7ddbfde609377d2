"""`tritongen explain`."""

import argparse
from pathlib import Path

from tritongen.cli.options import existing_folder
from tritongen.cli.output import bold, dim, emit_json, findings_json, print_findings, say
from tritongen.cli.parser import Subparsers, add_command
from tritongen.errors import ExitCode
from tritongen.model.codec import view

_EXAMPLES = """\
  tritongen explain magika                      every value of magika's configuration
  tritongen explain magika max_batch_size       one of them
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "explain", "why a value is what it is", _EXAMPLES)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("field", nargs="?", default="", metavar="FIELD", help="part of its path")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="models folder (default: the last one built)"
    )
    parser.add_repository_option("-r", "--repository", purpose="with the evidence")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Print every reason."""
    from tritongen.planner.context import show_number
    from tritongen.repository.explain import explain
    from tritongen.repository.project import last_models

    root = existing_folder(options.models or last_models(options.repository))
    result = explain(root, options.repository, options.model, options.field)
    if options.format == "json":
        emit_json(
            {
                "model": result.model,
                "values": [
                    {
                        **view(item, "field", "value"),
                        "source": item.reason.source,
                        "reason": item.reason.sentence,
                        "numbers": dict(item.reason.numbers),
                    }
                    for item in result.values
                ],
                "findings": findings_json(result.findings),
            }
        )
        return int(ExitCode.OK)
    for item in result.values:
        say(f"{bold(item.field)} = {item.value}" if item.value else bold(f"no {item.field}"))
        say(f"  {item.reason.sentence} {dim(f'[{item.reason.source.value}]')}")
        if item.reason.numbers:
            figures = (show_number(name, value) for name, value in item.reason.numbers)
            say(f"  {dim(', '.join(figures))}")
    print_findings(result.findings)
    return int(ExitCode.OK)
