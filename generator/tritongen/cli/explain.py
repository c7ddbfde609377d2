"""`tritongen explain`."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli.output import (
    bold,
    dim,
    findings_json,
    present,
    print_findings,
    say,
    terminal_width,
)
from tritongen.cli.parser import CommandParser, models_folder
from tritongen.errors import CODES, ExitCode, InvalidInputError
from tritongen.errors.explanations import CodePage, explanations
from tritongen.model.code_choice import near_codes
from tritongen.model.codec import view

if TYPE_CHECKING:
    from tritongen.repository.explain import Explained

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
    if _CODE.fullmatch(options.model):
        return _explain_code(options)
    from tritongen.repository.explain import explain

    result = explain(models_folder(options), options.repository, options.model, options.field)
    present(options.format, lambda: _json(result), lambda: _print(result))
    return int(ExitCode.OK)


def _explain_code(options: argparse.Namespace) -> int:
    """One code of the table.

    Raises:
        InvalidInputError: TG009, there is no such code.
    """
    wanted = options.model.upper()
    code = CODES.get(wanted)
    if code is None:
        near = ", ".join(near_codes(wanted))
        raise InvalidInputError("TG009", f"there is no code {wanted}", fix=f"Near it: {near}.")

    known = explanations().get(code.id, CodePage("", ()))

    def show() -> None:
        say(f"{bold(code.id)} {code.title}")
        for paragraph in known.meaning.split("\n\n"):
            for line in _wrapped(paragraph):
                say(f"  {line}")
        say(f"  → {code.fix}")
        for example in known.examples:
            say()
            say(f"  {dim('for example')}")
            for line in example.splitlines():
                say(f"    {line}")

    document = {**view(code, "id", "title", "fix"), **view(known, "meaning", "examples")}
    present(options.format, lambda: document, show)
    return int(ExitCode.OK)


def _wrapped(paragraph: str) -> list[str]:
    import textwrap

    return textwrap.wrap(" ".join(paragraph.split()), (terminal_width(sys.stdout) or 100) - 2)


def _json(result: "Explained") -> dict[str, object]:
    return {
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


def _print(result: "Explained") -> None:
    from tritongen.planner.context import show_number

    for item in result.values:
        say(f"{bold(item.field)} = {item.value}" if item.value else bold(f"no {item.field}"))
        say(f"  {item.reason.sentence} {dim(f'[{item.reason.source.value}]')}")
        if item.reason.numbers:
            figures = (show_number(name, value) for name, value in item.reason.numbers)
            say(f"  {dim(', '.join(figures))}")
    print_findings(result.findings)
