"""Whole commands against servers that attack them: they end with a code, in time and in memory."""

from collections.abc import Callable, Iterable
from typing import Any

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


STATISTICS: dict[str, object] = {
    "no objects": [{"name": "dense", "inference_stats": 5}],
    "a list for an object": [{"name": "dense", "inference_stats": [1]}],
    "a text for a number": [{"name": "dense", "inference_count": "x"}],
    "a number beyond a float": [
        {"name": "dense", "inference_count": 10**400, "inference_stats": {"queue": {"ns": 10**400}}}
    ],
    "numbers whose sum is none": [
        {"name": "dense", "inference_stats": {"success": {"count": 10**308, "ns": 10**308}}},
    ]
    * 20,
    "nothing": None,
}


@pytest.mark.parametrize("odd", STATISTICS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_statistics_that_turn_odd(built: Project, odd: str, form: str) -> None:
    """A server that was one when it was looked at first."""
    told = iter([[{"name": "dense", "inference_count": 3}]])
    answers = {"stats": lambda: {"model_stats": next(told, STATISTICS[odd])}}
    with impostor(("dense",), answers) as address:
        words = ["observe", "-u", address, "--for", "2s", "--interval", "500ms", "--format", form]
        (end,) = watched([(built.folder, words)])
    assert end.code in {0, 1, 3}, end.printed
    assert "TG001" not in end.printed


def rising(instance: object, *values: Iterable[object]) -> dict[str, Any]:
    labels: dict[str, object] = {
        "__name__": "nv_inference_request_success",
        "model": "dense",
        "instance": instance,
    }
    return {"metric": labels, "values": [list(pair) for pair in values]}


SERIES: dict[str, list[object]] = {
    "numbers whose sum is none": [rising(n, (1e9, "0"), (2e9, "1e308")) for n in range(3)],
    "a number beyond a float": [rising(1, (1, 10**400), (10**400, 1), (1, 2), (2, 3))],
    "times beyond a calendar": [rising(1, (1e300, "1"), (1e305, "2"), (-1e300, 1))],
    "labels that are none": [{"metric": 5, "values": [[1, "1"]]}, {"metric": [1], "values": 5}],
    "as many points as an answer has": [rising(1, *((n, "1") for n in range(300_000)))],
    "as many series as an answer has": [
        rising(n, *((n, "1") for n in range(9_000))) for n in range(33)
    ],
    "as many models": [
        {"metric": {**rising(1)["metric"], "model": n}, "values": [[1, "1"], [2, "2"]]}
        for n in range(80_000)
    ],
    "values that are none": [
        {"metric": rising(1)["metric"], "values": {"a": 1}},
        rising(1, (), (1,)),
    ],
    "names that are none": [rising({}, (1, "1"), (2, "2")), rising(None, (1, "1"), (2, "2"))],
}


@pytest.mark.parametrize("odd", SERIES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_history_that_is_odd(built: Project, odd: str, form: str) -> None:
    document = {"status": "success", "data": {"resultType": "matrix", "result": SERIES[odd]}}
    with impostor((), {"metadata": document}) as address:
        words = ["observe", "--prometheus", f"http://{address}", "--csv", "t.csv", "--format", form]
        (end,) = watched([(built.folder, words)])
    assert end.code in {0, 1, 2, 3}, end.printed[-2000:]
    assert "TG001" not in end.printed
    assert end.peak < MAX_BYTES


@pytest.mark.parametrize("odd", ODD)
def test_odd_answers_of_what_seems_a_triton(built: Project, odd: str) -> None:
    with impostor(("dense", "fixed"), ODD[odd]) as address:
        for command, asked in COMMANDS.items():
            if command != "observe --prometheus":
                (end,) = watched([(built.folder, asked(address))])
                assert end.code in {0, 1, 2, 3}, end.printed
                assert "TG001" not in end.printed
                assert "Traceback" not in end.printed
