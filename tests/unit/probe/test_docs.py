import argparse
import re
from pathlib import Path

from tritongen.cli.main import build_parser
from tritongen.probe.statistics.measurement import LevelVerdict

PAGE = (Path(__file__).parents[3] / "docs/probe.md").read_text()
# What speaks for itself in --help, or belongs to the server.
UNTOLD = {
    "--help", "--verbose", "--quiet",
    "--model", "--url", "--output", "--tolerance",
}  # fmt: skip


def flags_of(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", text))


def test_the_page_tells_of_every_flag_and_of_no_other():
    parser = build_parser("probe")
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    # perf_analyzer's names hide in --help, and have a page of their own.
    listed = (a for a in commands.choices["probe"]._actions if a.help != argparse.SUPPRESS)
    known = {flag for a in listed for flag in a.option_strings}
    known = {flag for flag in known if flag.startswith("--")}
    assert flags_of(PAGE) - known == set()
    assert known - flags_of(PAGE) == UNTOLD


def test_the_page_tells_of_every_verdict():
    assert all(f"`{verdict}`" in PAGE for verdict in LevelVerdict)
