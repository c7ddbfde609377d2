"""Whole commands against servers that attack them: they end with a code, in time and in memory."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from support.cli import SECONDS, TRITONGEN, Project
from support.hostile_http import CONTENT, TIME, hostile
from support.impostor import impostor

MAX_BYTES = 256 * 2**20
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "status": lambda address: ["status", "-u", address],
    "verify": lambda address: ["verify", "-u", address],
    "observe": lambda address: ["observe", "-u", address, "--for", "1s"],
    "observe --prometheus": lambda address: ["observe", "--prometheus", f"http://{address}"],
    "probe": lambda address: ["probe", "-u", address],
}
# A child starts with the peak of the process that made it, which is small here.
WATCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stderr=subprocess.STDOUT)
print("PEAK", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


def ended(project: Project, *arguments: str) -> tuple[int, int, str]:
    """Exit code of a command, bytes of memory at its peak, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", WATCH, TRITONGEN, *arguments],
        cwd=project.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    printed, _, peak = done.stdout.rpartition("PEAK ")
    return done.returncode, int(peak), printed


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
        code, peak, printed = ended(built, *COMMANDS[command](server.address))
    assert code in {1, 2, 3}, printed
    assert "TG" in printed or "differs" in printed
    assert "TG001" not in printed
    assert "Traceback" not in printed
    assert peak < MAX_BYTES, printed
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
                code, _, printed = ended(built, *asked(address))
                assert code in {0, 1, 2, 3}, printed
                assert "TG001" not in printed
                assert "Traceback" not in printed
