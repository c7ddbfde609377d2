"""Commands and loads against servers that attack them: they end with a code, in time and memory."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from support.cli import Project
from support.hostile_http import CONTENT, TIME, hostile
from support.impostor import impostor
from support.probe_engines import job_of_rows, run_level, waited_s
from support.watched import Watched, rooms, watched
from tritongen.probe.load_engine import EngineOptions, LoadClient
from tritongen.probe.load_job import make_plan
from tritongen.probe.prober import make_engine
from tritongen.system.process_usage import peak_bytes, reset_peak
from tritongen.triton.address import Endpoint

MAX_BYTES = 256 * 2**20
# A time limit that a command is given, and how far beyond it the command may end.
LIMIT_S, LATE_S = 3.0, 2.0
# How long load is sent.
LEVEL_S = 0.6
Command = Callable[[str, Project], list[str]]
COMMANDS: dict[str, Command] = {
    "status": lambda address, _: ["status", "-u", address],
    "verify": lambda address, project: ["verify", str(project.repository), "-u", address],
    "observe": lambda address, _: ["observe", "-u", address, "--for", "1s"],
    "observe --prometheus": lambda address, _: ["observe", "--prometheus", f"http://{address}"],
    "probe": lambda address, _: ["probe", "-u", address],
}


def grouped(names: Iterable[str]) -> list[Any]:
    """Attacks that may last, so that they are spread."""
    return [
        pytest.param(name, marks=pytest.mark.xdist_group(f"hostile server: {name}"))
        for name in names
    ]


def all_asked(address: str, project: Project, *more: str) -> list[tuple[str, Watched]]:
    """The ends of all commands, which ask the server at once, with `more` arguments."""
    words = [[*command(address, project), *more] for command in COMMANDS.values()]
    ends = watched(rooms(project.folder, words), len(words))
    return list(zip(COMMANDS, ends, strict=True))


def hold(command: str, end: Watched, codes: set[int]) -> None:
    """Hold a command to its code, its words and its memory."""
    told = f"{command}: {end}"
    assert end.code in codes, told
    assert "TG001" not in end.printed, told
    assert "Traceback" not in end.printed, told
    assert end.peak < MAX_BYTES, told


@pytest.mark.parametrize("live", [False, True], ids=["all", "but health"])
@pytest.mark.parametrize("attack", grouped(CONTENT))
def test_no_content_holds_a_command(built: Project, attack: str, *, live: bool) -> None:
    """Every command ends by itself, long before its time limit."""
    with hostile(CONTENT[attack], live=live) as server:
        ends = all_asked(server.address, built)
    for command, end in ends:
        hold(command, end, {1, 2, 3})
        assert "TG" in end.printed or "differs" in end.printed, end
        assert "TG013" not in end.printed, end
    assert server.stayed == []


@pytest.mark.parametrize("live", [False, True], ids=["all", "but health"])
@pytest.mark.parametrize("attack", grouped(TIME))
def test_no_server_that_trickles_holds_a_command(
    built: Project, attack: str, *, live: bool
) -> None:
    """Every command ends within its time limit, whatever the server goes on to send."""
    with hostile(TIME[attack], live=live) as server:
        ends = all_asked(server.address, built, "--timeout", f"{LIMIT_S:g}")
    for command, end in ends:
        hold(command, end, {1, 2, 3})
        assert "TG" in end.printed or "differs" in end.printed, end
        # What `observe` asks for is beyond its limit.
        longest = LIMIT_S + LATE_S + (command == "observe")
        assert end.limited_seconds < longest, f"{command}: {end}"
    assert server.stayed == []


@pytest.mark.parametrize("by", [LoadClient.FAST, LoadClient.TRITONCLIENT])
@pytest.mark.parametrize("attack", grouped([*CONTENT, *TIME]))
def test_no_server_holds_a_load(attack: str, by: LoadClient) -> None:
    """Not even one that was honest about its models, and attacks who sends requests."""
    with hostile({**CONTENT, **TIME}[attack]) as server:
        endpoint = Endpoint.parse(server.address)
        plan = make_plan(job_of_rows(), endpoint, client=by)
        engine = make_engine(endpoint, [plan], EngineOptions(timeout_s=LEVEL_S / 2))
        reset_peak()
        before, begin, waited = peak_bytes(), time.monotonic(), waited_s()
        run_level(engine, 4, LEVEL_S)
        engine.close()
        took, grown = time.monotonic() - begin, peak_bytes() - before
        took -= waited_s() - waited
    log = engine.targets[0].log
    assert took < LEVEL_S + LATE_S, log
    assert grown < MAX_BYTES, log
    assert not log.done
    assert log.codes
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
        words = ["observe", "-u", address, "--for", "1s", "--interval", "500ms", "--format", form]
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


# Made when they are asked for: some are large.
SERIES: dict[str, Callable[[], list[object]]] = {
    "numbers whose sum is none": lambda: [rising(n, (1e9, "0"), (2e9, "1e308")) for n in range(3)],
    "a number beyond a float": lambda: [rising(1, (1, 10**400), (10**400, 1), (1, 2), (2, 3))],
    "times beyond a calendar": lambda: [rising(1, (1e300, "1"), (1e305, "2"), (-1e300, 1))],
    "labels that are none": lambda: [
        {"metric": 5, "values": [[1, "1"]]},
        {"metric": [1], "values": 5},
    ],
    "as many points as an answer has": lambda: [rising(1, *((n, "1") for n in range(300_000)))],
    "as many series as an answer has": lambda: [
        rising(n, *((n, "1") for n in range(9_000))) for n in range(33)
    ],
    "as many models": lambda: [
        {"metric": {**rising(1)["metric"], "model": n}, "values": [[1, "1"], [2, "2"]]}
        for n in range(80_000)
    ],
    "values that are none": lambda: [
        {"metric": rising(1)["metric"], "values": {"a": 1}},
        rising(1, (), (1,)),
    ],
    "names that are none": lambda: [
        rising({}, (1, "1"), (2, "2")),
        rising(None, (1, "1"), (2, "2")),
    ],
}


@pytest.mark.parametrize("odd", SERIES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_history_that_is_odd(built: Project, odd: str, form: str) -> None:
    document = {"status": "success", "data": {"resultType": "matrix", "result": SERIES[odd]()}}
    with impostor((), {"metadata": document}) as address:
        words = ["observe", "--prometheus", f"http://{address}", "--csv", "t.csv", "--format", form]
        (end,) = watched([(built.folder, words)])
    assert end.code in {0, 1, 2, 3}, end.printed[-2000:]
    assert ("more than 10,000 models" in end.printed) == (odd == "as many models")
    assert "TG001" not in end.printed
    assert end.peak < MAX_BYTES


@pytest.mark.parametrize("odd", ODD)
def test_odd_answers_of_what_seems_a_triton(built: Project, odd: str) -> None:
    with impostor(("dense", "fixed"), ODD[odd]) as address:
        for command, end in all_asked(address, built):
            hold(command, end, {0, 1, 2, 3})
