"""Writes docs/commands.md and docs/codes.md from the code; `--check` compares instead."""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tritongen.cli.main import COMMANDS, build_parser
from tritongen.errors import CODES, Code, ExitCode
from tritongen.errors.explanations import explanations

DOCS = Path(__file__).parent.parent / "docs"
RANGES = {
    0: "The tool and its files", 1: "Model files, their inputs and outputs",
    2: "Trials, rewriting and quantising", 3: "tritongen.yaml, plans, traffic and prices",
    4: "Rules of Triton's core", 5: "Rules of backends",
    6: "Mistakes that Triton accepts in silence, and advice", 7: "Repository, lock, exports",
    8: "Serving", 9: "Probing, tuning, observing",
}  # fmt: skip
COMMANDS_INTRO = """\
# Commands

Generated from the command line's own declarations by `python scripts/reference_pages.py`.

`tritongen COMMAND --help` prints the same. Every command has `-v`, `-vv` and `-q`, too
([the log](log.md))."""
EXIT_CODES = {
    ExitCode.OK: "fine",
    ExitCode.FINDINGS: "drift or findings; a model that `build` leaves out",
    ExitCode.INVALID_INPUT: "what was given: a flag, a file, a model",
    ExitCode.ENVIRONMENT: "the machine, a server or the network",
    ExitCode.GOAL_NOT_MET: "a goal is not met, or something became worse",
}
CODES_INTRO = """\
# Codes

Generated from the table of codes and their explanations by `python scripts/reference_pages.py`.
`tritongen explain TG510` prints one of them; a message says more than its code: which model, which
field, and often the very text to write. Codes with a link are explained below their table; to leave
a finding of `check` out, see [Lint a repository](check.md)."""


def commands_page() -> str:
    """Every command with its options, in the order of `tritongen --help`."""
    lines = [COMMANDS_INTRO, "", "## Exit codes", "", "| code | means |", "|---|---|"]
    lines += [f"| {int(code)} | {EXIT_CODES[code]} |" for code in ExitCode]
    lines.append("| 130, 142, 143 | ended by Ctrl-C, by `--timeout`, by SIGTERM |")
    for name, summary in COMMANDS.items():
        parser = build_parser(name, alone=True)
        own = _subparser(parser, name)
        lines += ["", f"## {name}", "", f"{summary[0].upper()}{summary[1:]}.", ""]
        examples = (own.epilog or "").strip("\n").splitlines()
        lines += [
            "```console",
            *(line.strip() for line in examples if line.strip().startswith("tritongen")),
            "```",
            "",
        ]
        lines += ["| option | |", "|---|---|", *_options(own)]
    return "\n".join(lines) + "\n"


def _subparser(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    for action in parser._actions:  # noqa: SLF001  (argparse has no other list of them)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found: argparse.ArgumentParser = action.choices[name]
            return found
    raise LookupError(name)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    everywhere = {"--help", "--verbose", "--quiet"}
    for action in parser._actions:  # noqa: SLF001  (as above)
        if everywhere & set(action.option_strings) or action.help == argparse.SUPPRESS:
            continue
        flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
        value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
        if action.choices is not None:
            value = " \\| ".join(str(item) for item in action.choices)
        what = (action.help or "") % {"default": action.default, "prog": parser.prog}
        name = f"{flags} {value}".strip() if flags else f"`{value}`"
        yield f"| {name} | {what.replace('|', chr(92) + '|')} |"


def codes_page() -> str:
    """Every code with its title and its general fix."""
    lines = [CODES_INTRO]
    for hundred, codes in groupby(CODES.values(), lambda code: int(code.id[2])):
        listed = list(codes)
        lines += ["", f"## {RANGES[hundred]}", "", "| code | what | what to do |", "|---|---|---|"]
        lines += [
            f"| {_linked(code)} | {_cell(code.title)} | {_cell(code.fix)} |" for code in listed
        ]
        for code in listed:
            lines += _section(code)
    return "\n".join(lines) + "\n"


def _linked(code: Code) -> str:
    return f"[{code.id}](#{code.id.lower()})" if code.id in explanations() else code.id


def _section(code: Code) -> Iterator[str]:
    """What a code means, why it matters, what to do, and a text that raises it."""
    if (known := explanations().get(code.id)) is None:
        return
    yield from ("", f"### {code.id}", "", f"*{_cell(code.title)}*", "", known.meaning, "")
    yield f"→ {_cell(code.fix)}"
    for example in known.examples:
        yield from ("", "```text", example.rstrip("\n"), "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the pages, or tell whether they are up to date."""
    stale = 0
    for name, text in (("commands.md", commands_page()), ("codes.md", codes_page())):
        page = DOCS / name
        if "--check" not in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            stale = 1
            sys.stderr.write(f"docs/{name} is not up to date: python scripts/reference_pages.py\n")
    return stale


if __name__ == "__main__":
    sys.exit(main())
