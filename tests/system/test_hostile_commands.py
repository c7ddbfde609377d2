"""Whole commands against the 500 servers made from seeds: they end in time, in memory, in words."""

import argparse
import itertools
import re
import signal
from collections.abc import Callable

import pytest

from support.cli import Project
from support.hostile_names import assert_harmless
from support.hostile_scripts import Script, http2_steps, http_steps, scripted
from support.watched import Watched, rooms, watched
from tritongen.cli.main import build_parser

LIMIT_S = 3.0
LATE_S = 2.0
MAX_BYTES = 256 << 20
BLOCK = 50
AT_ONCE = 4
# As gRPC's library begins the lines of its log.
LOGGED = re.compile(r"(?m)^[DIWEF]\d{4} \d\d:")
Command = Callable[[str, Project], list[str]]

_LIMIT = ("--timeout", f"{LIMIT_S:g}")
# A probe of half a second, and what it asks before and after it.
_SHORT = ("--duration", "500ms", "--concurrency", "2", *_LIMIT)
OVER_HTTP: tuple[Command, ...] = (
    lambda address, _: ["status", "-u", address, *_LIMIT],
    lambda address, project: ["verify", str(project.repository), "-u", address, *_LIMIT],
    lambda address, _: ["observe", "-u", address, "--for", "1s", "--timeout", f"{LIMIT_S - 1:g}"],
    lambda address, _: ["probe", "-u", address, *_SHORT],
    lambda address, _: ["probe", "-u", address, "--client", "tritonclient", *_SHORT],
    lambda address, project: [
        "status", str(project.repository), "-u", address, "--format", "json", *_LIMIT,
    ],
)  # fmt: skip
OVER_GRPC: tuple[Command, ...] = (
    lambda address, _: ["status", "-u", f"grpc://{address}", *_LIMIT],
    lambda address, _: ["probe", "-u", address, "--protocol", "grpc", "-m", "echo", *_SHORT],
    lambda address, _: [
        "probe",
        "-u",
        address,
        "--protocol",
        "grpc",
        "-m",
        "echo",
        "--client",
        "tritonclient",
        *_SHORT,
    ],
)
PROMETHEUS: tuple[Command, ...] = (
    lambda address, _: ["observe", "--prometheus", f"http://{address}", *_LIMIT],
)


def hold(end: Watched, what: str, signals: set[int]) -> None:
    """Hold a command to what it may take, and to what it may say."""
    told = f"{what}: {end}"
    if -end.code in signals:
        return
    assert end.code in {0, 1, 2, 3, 128 + signal.SIGALRM}, told
    assert "TG001" not in end.printed, told
    assert "Traceback" not in end.printed, told
    assert not LOGGED.search(end.printed), told
    assert_harmless(end.printed)
    assert end.peak < MAX_BYTES, told
    assert end.limited_seconds < LIMIT_S + LATE_S, told


def each_ends(
    steps: Script,
    seeds: range,
    commands: tuple[Command, ...],
    built: Project,
    signals: frozenset[int] = frozenset(),
) -> None:
    """Ask every server of the seeds with one command, the commands in turn."""
    with scripted(steps, seeds) as servers:
        asked = zip(itertools.cycle(commands), servers.values(), strict=False)
        jobs = rooms(built.folder, [command(address, built) for command, address in asked])
        for seed, job, end in zip(seeds, jobs, watched(jobs, AT_ONCE), strict=True):
            hold(end, f"seed {seed}, {job[1]}", set(signals))


def blocks(first: int, last: int, smoke: int = 0) -> pytest.MarkDecorator:
    """Seeds from the first to before the last, a block to a test, and a few to begin with."""
    ranges = [
        pytest.param(
            range(begin, begin + BLOCK), marks=pytest.mark.xdist_group(f"hostile commands {begin}")
        )
        for begin in range(first, last, BLOCK)
    ]
    some = [pytest.param(range(first, first + smoke), marks=pytest.mark.smoke)] if smoke else []
    return pytest.mark.parametrize(
        "seeds", [*some, *ranges], ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}"
    )


@blocks(0, 200, smoke=6)
def test_over_http(seeds: range, built: Project) -> None:
    each_ends(http_steps, seeds, OVER_HTTP, built)


@blocks(200, 400)
def test_over_grpc(seeds: range, built: Project) -> None:
    """With error codes that it does not know gRPC's library ends the process; see docs/trust.md."""
    each_ends(http2_steps, seeds, OVER_GRPC, built, frozenset({signal.SIGABRT}))


@blocks(400, 500)
def test_prometheus(seeds: range, built: Project) -> None:
    each_ends(http_steps, seeds, PROMETHEUS, built)


def test_every_command_that_asks_a_given_server_is_among_them() -> None:
    """And each has a time limit."""
    commands = next(
        action for action in build_parser(None)._actions
        if isinstance(action, argparse._SubParsersAction)
    )  # fmt: skip
    asking = {
        name: parser._option_string_actions
        for name, parser in commands.choices.items()
        if {"--url", "--prometheus"} & set(parser._option_string_actions)
        and name != "client"  # it prints the address, and asks nobody
    }
    assert set(asking) == {"status", "verify", "observe", "probe"}
    assert all("--timeout" in options for options in asking.values())
