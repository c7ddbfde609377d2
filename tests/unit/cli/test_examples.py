"""The examples in `--help` and docs/commands.md are command lines that the tool takes."""

import argparse
import shlex

import pytest

from tritongen.cli.main import COMMANDS, build_parser


def examples(name: str) -> list[str]:
    """The command lines below a command's help, without what a shell does with them."""
    (action,) = [
        action
        for action in build_parser(name, alone=True)._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    lines = (action.choices[name].epilog or "").splitlines()
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
