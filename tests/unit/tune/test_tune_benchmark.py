"""The benchmark's tables from results on disk, and its estimate: nothing is measured here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "benchmarks/tune.py"
SIMPLE = {"instances": 1, "threads": 1, "max_batch_size": 8, "queue_delay_us": None, "inter_op": 1}
MERGED = {**SIMPLE, "max_batch_size": 16, "queue_delay_us": 0, "arena": True}
ROW = {
    "stamp": {"date": "1 May 2026", "cpu": "a processor"},
    "grid": [
        {"candidate": point, "throughput": rate, "p99_ms": 2.0, "predicted": 900.0,
         "predicted_p99_ms": 2.1, "clients": 8, "error": ""}
        for point, rate in ((SIMPLE, 700.0), (MERGED, 1000.0))
    ],
    "tune": {
        str(seed): {"best": MERGED, "wall_s": 31.0 + seed, "budget_s": 30.0,
                    "notes": ["noisy: others took 20% of this machine's CPUs"], "verdict": "budget"}
        for seed in range(2)
    },
    "final": {
        "throughput": {"1x1 b8": 720.0, "1x1 b16 d0": 990.0, "default": 500.0},
        "p99_ms": {"1x1 b8": 2.0, "1x1 b16 d0": 3.0, "default": 4.0},
        "grid": ["1x1 b16 d0", "1x1 b8"],
        "rounds": 3,
    },
    "analyzer": {"finished": False, "wall_s": 362.0, "minutes": 6.0, "measured": 31,
                 "best": {"throughput": 880.0, "clients": "16", "config": "digits_config_2"}},
}  # fmt: skip


def ran(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "state.json"
    path.write_text(json.dumps({"schema": 2, "rows": {"digits/1": ROW}}))
    return path


def test_the_tables_hold_the_choice_against_the_grid_tritons_own_and_the_peer(state):
    page = ran("--bounded", "--tables", "--state", state).stdout
    assert "| digits/1 | 1x1 b16 d0: 990/s | 1x1 b16 d0 | 1.00 | 2 | 0.0% | 32 s | yes" in page
    assert "× 1.98" in page
    assert "unfinished after 6.0 min, 31 measurements" in page
    assert "880/s, 16 clients, digits_config_2" in page
    assert "11.3 at least" in page


def test_they_say_what_was_cut(state):
    page = ran("--bounded", "--tables", "--state", state).stdout
    for text in (
        "queue delay 0 only: digits/1 2 points",
        "a budget of 30 s instead of 120 s; seeds: digits/1 2",
        "Model Analyzer was given at most: digits/1 6 min; the other rows were left out",
        "not measured: magika/2, orientation/1, digits/2",
        "other processes disturbed the tuning of digits/1",
        "measured 1 May 2026, a processor",
    ):
        assert text in page


def test_the_estimate_lists_what_is_left_the_best_first(state):
    lines = ran("--bounded", "--estimate", "--state", state).stderr.splitlines()
    parts = [line.split() for line in lines[1:]]
    assert [part[0] for part in parts[:3]] == ["digits/1"] * 3
    assert [part[1] for part in parts[:3]] == ["tune"] * 3
    assert not any(part[0] == "digits/1" for part in parts[3:])
    # The whole of it keeps to its promise.
    fresh = ran("--bounded", "--estimate", "--fresh", "--state", state).stderr.splitlines()
    assert float(fresh[-1].split()[-2]) < 45.0
    assert json.loads(state.read_text())["rows"]["digits/1"] == ROW


def test_what_was_measured_otherwise_is_forgotten(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"rows": {"digits/1": ROW}}))
    assert "| digits/1 |" not in ran("--bounded", "--tables", "--state", path).stdout


def test_an_unknown_part_is_told():
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--parts", "grids"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "grids" in done.stderr
