"""Tiers, groups and fixtures of the whole suite.

A test's tier is the folder that it lies in, and each tier is a marker of the same name:

- ``unit``: one module of the package, in milliseconds; the folder mirrors the package.
- ``property``: Hypothesis. ``golden``: texts that are reviewed in the diff.
- ``contract``: one suite a protocol, on a synthetic and on the real implementation; the real one is
  marked ``real``.
- ``system``: the real Triton, the real Docker Engine, Swarm, or a whole command of the tool.
- ``statistical``: many seeds, coverage, known optima.
- ``measures``: asserts a ratio of times, so that it wants a quiet machine; runs alone, last.
- ``packaging``: the wheel and the sdist.

``make test`` runs what is not ``slow``: everything below ``system``, and of each real thing the one
whole path that is marked ``smoke``. ``make test-slow`` runs the rest, ``make test-all`` both.

Tests run in parallel, each file in one process (``--dist loadgroup``), because a file's tests
share servers and projects; those of ``statistical`` share nothing and are spread one by one. What
must never run at the same time in different files carries ``pytest.mark.xdist_group``.
"""

import gc
import os
import signal
import sys
from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest

from support import run_folder
from support.signal_stack import take_signals_on_the_usual_stack

# A shell starts what runs in its background with SIGINT ignored, and children inherit that; tests
# that interrupt the command line need it as a terminal delivers it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# OpenBLAS starts a thread for each core when numpy is loaded, which spins for a tenth of a second,
# in each of some thousand processes, few of which compute with it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Workers of pytest-xdist are told a width; what the tool prints there goes to no terminal.
os.environ.pop("COLUMNS", None)

pytest_plugins = ("support.triton", "support.docker", "support.cli", "support.exports")

HERE = Path(__file__).parent
# In the order in which they start: the long ones first, so that none is left over at the end. The
# Makefile tells pytest-xdist to keep it (``--no-loadscope-reorder``).
TIERS = (
    "packaging", "system", "contract", "statistical", "golden", "property", "unit", "measures",
)  # fmt: skip
SLOW_TIERS = {"packaging", "system", "statistical", "measures"}
# Bytes in a test's name; longer contents are named by their length.
SHORT = 24
# Fixtures of tests that use the one Docker Engine, some of which count all of its containers.
CONTAINERS = {"slim_image", "tool_image"}
# The group of these tests, which is the longest one.
DOCKER = "docker"
# They wait more than they compute, beside others that do not: each in one process, and first.
WAITING = (DOCKER, "system/test_hostile_scripts.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite expected texts; review the diff"
    )


def pytest_configure(config: pytest.Config) -> None:
    """A folder for this run; the processes that pytest-xdist starts inherit its name."""
    if not hasattr(config, "workerinput"):
        run_folder.make()


def pytest_unconfigure(config: pytest.Config) -> None:
    """The folder goes with the run."""
    if not hasattr(config, "workerinput"):
        run_folder.remove()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Long contents by their length: an archive's bytes hold the time at which it was made."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > SHORT else None


@cache
def place_in_tests(path: Path) -> Path:
    """Where a file lies; asked for each of its tests, several times."""
    return path.relative_to(HERE)


def tier_of(item: pytest.Item) -> str:
    """The tier of a test: its folder, unless it is marked as one that measures."""
    if item.get_closest_marker("measures"):
        return "measures"
    return place_in_tests(item.path).parts[0]


def group_of(item: pytest.Item) -> str | None:
    """The tests that run in one process with this one, by the name that they share."""
    mark = item.get_closest_marker("xdist_group")
    return mark.args[0] if mark else None


def place_of(group: str | None) -> int:
    """Where a group stands among those that start first; behind them for all others."""
    return WAITING.index(group) if group in WAITING else len(WAITING)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by its tier, by whether it is slow, and by the group that it runs in."""
    tier = tier_of(item)
    item.add_marker(tier)
    slow = tier in SLOW_TIERS or item.get_closest_marker("real") is not None
    if slow and not item.get_closest_marker("smoke"):
        item.add_marker("slow")
    if tier != "statistical" and not item.get_closest_marker("xdist_group"):
        containers = CONTAINERS & set(getattr(item, "fixturenames", ()))
        group = DOCKER if containers else place_in_tests(item.path).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Ten thousand tests are no garbage: to look through them takes a fifth of the suite's time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What waits and long tiers start first; within them the order stays, random or not.

    Tests of ``statistical`` only compute, and much of a ``system`` test's time is waiting: between
    the groups of these, those keep the cores busy.
    """
    system = [group_of(item) for item in items if tier_of(item) == "system"]
    ranks: dict[str | None, float] = {
        group: rank for rank, group in enumerate(dict.fromkeys(system))
    }
    computing = [item for item in items if tier_of(item) == "statistical"]
    between = {
        item: len(ranks) * (number + 0.5) / len(computing) for number, item in enumerate(computing)
    }

    def place(item: pytest.Item) -> tuple[int, int, float]:
        tier, group = tier_of(item), group_of(item)
        if item in between:
            return place_of(group), TIERS.index("system"), between[item]
        return place_of(group), TIERS.index(tier), ranks.get(group, 0.0)

    items.sort(key=place)
    grouped = [item for item in items if item.get_closest_marker("xdist_group")]
    applied = any("@" in item.nodeid for item in grouped)
    if grouped and config.getoption("loadgroup", default=False) and not applied:
        raise pytest.UsageError("pytest-xdist does not apply groups: see pytest in pyproject.toml")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test meets what OpenVINO left in the process of the one before."""
    if "openvino" in sys.modules:
        take_signals_on_the_usual_stack()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected texts are rewritten instead of compared."""
    return bool(request.config.getoption("--update-golden"))
