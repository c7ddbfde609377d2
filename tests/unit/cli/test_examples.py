"""Of every command: its examples are command lines that it takes, its JSON is in docs/json.md."""

import argparse
import shlex

import pytest

from support.result_schemas import DOCUMENTS
from tritongen.cli.main import COMMANDS, build_parser


def parser_of(name: str) -> argparse.ArgumentParser:
    (action,) = [
        action
        for action in build_parser(name, alone=True)._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return action.choices[name]


def examples(name: str) -> list[str]:
    """The command lines below a command's help, without what a shell does with them."""
    lines = (parser_of(name).epilog or "").splitlines()
    found = [line.strip() for line in lines if line.strip().startswith("tritongen ")]
    return [line.partition("  ")[0].partition(" > ")[0] for line in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line(name):
    lines = examples(name)
    assert lines
    for line in lines:
        program, *words = shlex.split(line)
        assert (program, words[0]) == ("tritongen", name)
        build_parser(name).parse_args(words)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_as_json_has_a_schema_in_the_docs(name):
    formats = [
        action.choices for action in parser_of(name)._actions if "--format" in action.option_strings
    ]
    assert (name in DOCUMENTS) is (name == "client" or any("json" in one for one in formats))
