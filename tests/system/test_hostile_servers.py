"""Whole commands against servers that attack them: they end with a code, in time and in memory."""

from collections.abc import Callable

import pytest

from support.cli import Project
from support.hostile_http import CONTENT, TIME, hostile
from support.impostor import impostor
from support.watched import watched

MAX_BYTES = 256 * 2**20
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "status": lambda address: ["status", "-u", address],
    "verify": lambda address: ["verify", "-u", address],
    "observe": lambda address: ["observe", "-u", address, "--for", "1s"],
    "observe --prometheus": lambda address: ["observe", "--prometheus", f"http://{address}"],
    "probe": lambda address: ["probe", "-u", address],
}


# Attacks on a command's time last as long as its limit, so that they are spread.
ATTACKS = [
    pytest.param(name, marks=pytest.mark.xdist_group(f"hostile server: {name}"))
    for name in (*CONTENT, *TIME)
]


@pytest.mark.parametrize("live", [False, True], ids=["all", "but health"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_command_ends_with_a_code(
    built: Project, attack: str, command: str, *, live: bool
) -> None:
    with hostile({**CONTENT, **TIME}[attack], live=live) as server:
        (end,) = watched([(built.folder, COMMANDS[command](server.address))])
    printed = end.printed
    assert end.code in {1, 2, 3}, printed
    assert "TG" in printed or "differs" in printed
    assert "TG001" not in printed
    assert "Traceback" not in printed
    assert end.peak < MAX_BYTES, printed
    assert server.stayed == []


ODD: dict[str, dict[str, object]] = {
    "a number for a list": {"config": {"output": 3}, "metadata": {"name": "m", "inputs": 3}},
    "a list for an object": {"config": {"parameters": [1], "model_transaction_policy": [1]}},
    "nothing for a list": {"config": {"output": None, "input": None}, "metadata": {"name": None}},
    "a text for a number": {"config": {"max_batch_size": "x"}, "stats": {"model_stats": ["x"]}},
    "a number beyond all": {
        "config": {"max_batch_size": 10**400},
        "stats": {"model_stats": [{"name": "dense", "inference_count": 1e300}]},
    },
    "outputs of no type": {
        "metadata": {"name": "m", "versions": ["1"], "inputs": [{"name": "x"}]},
        "infer": {"outputs": [{"name": "y", "datatype": "x", "shape": "x", "data": {}}]},
    },
    "versions of no number": {"metadata": {"name": "m", "versions": ["x"]}},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_answers_of_what_seems_a_triton(built: Project, odd: str) -> None:
    with impostor(("dense", "fixed"), ODD[odd]) as address:
        for command, asked in COMMANDS.items():
            if command != "observe --prometheus":
                (end,) = watched([(built.folder, asked(address))])
                assert end.code in {0, 1, 2, 3}, end.printed
                assert "TG001" not in end.printed
                assert "Traceback" not in end.printed
