"""`tritongen explain`."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli.output import bold, dim, present, print_findings, say, terminal_width
from tritongen.cli.parser import CommandParser

if TYPE_CHECKING:
    from tritongen.api import ExplainedCode, ExplainedModel

EXAMPLES = """\
  tritongen explain magika                      every value of magika's configuration
  tritongen explain magika max_batch_size       one of them
  tritongen explain TG510                       what a code stands for, and what to do
"""
_CODE = re.compile(r"TG\d+", re.IGNORECASE)


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("model", metavar="MODEL", help="a model's name, or a code such as TG510")
    parser.add_argument("field", nargs="?", default="", metavar="FIELD", help="part of its path")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="models folder (default: the last one built)"
    )
    parser.add_repository_option("-r", "--repository", purpose="with the evidence")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Print every reason, or what a code stands for."""
    from tritongen import api

    if _CODE.fullmatch(options.model):
        code = api.explain_code(options.model)
        present(options.format, code.to_dict, lambda: _print_code(code))
        return int(code.exit_code)
    found = api.explain(
        options.model, options.field, models=options.models, repository=options.repository
    )
    present(options.format, found.to_dict, lambda: _print(found))
    return int(found.exit_code)


def _print_code(found: "ExplainedCode") -> None:
    say(f"{bold(found.code.id)} {found.code.title}")
    for paragraph in found.page.meaning.split("\n\n"):
        for line in _wrapped(paragraph):
            say(f"  {line}")
    say(f"  → {found.code.fix}")
    for example in found.page.examples:
        say()
        say(f"  {dim('for example')}")
        for line in example.splitlines():
            say(f"    {line}", wrap=False)


def _wrapped(paragraph: str) -> list[str]:
    import textwrap

    return textwrap.wrap(" ".join(paragraph.split()), (terminal_width(sys.stdout) or 100) - 2)


def _print(result: "ExplainedModel") -> None:
    from tritongen.planner.context import show_number

    for item in result.values:
        say(f"{bold(item.field)} = {item.value}" if item.value else bold(f"no {item.field}"))
        say(f"  {item.reason.sentence} {dim(f'[{item.reason.source.value}]')}")
        if item.reason.numbers:
            figures = (show_number(name, value) for name, value in item.reason.numbers)
            say(f"  {dim(', '.join(figures))}")
    print_findings(result.findings)
