"""`tritongen probe` against a synthetic server: numbers, kinds of load, questions, formats."""

import json
import os
import pty
import statistics
import subprocess
import time

import pytest

from support.cli import TRITONGEN, Project
from support.probe_cli import level, serving, wait_for


@pytest.fixture
def folder(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.mark.measures
def test_latency_agrees_with_what_the_server_measured(folder, tmp_path):
    with serving(tmp_path, latency_s=0.020, spread_s=0.020) as server:
        found, _ = level(folder, server, "--concurrency", "8", "--duration", "3")
        inside = sorted(server.log())
    assert found["requests"]["failed"] == 0
    for key, fraction in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
        truth = inside[int(fraction * len(inside))] * 1e6
        # The way there and back comes on top, and on a busy machine the wait for a core.
        assert 0.95 * truth < found["latency_us"][key]["value"] < 1.15 * truth + 10_000
    parts = found["attribution"]["parts_us"]
    assert sum(parts.values()) == pytest.approx(found["attribution"]["total_us"], abs=0.1)
    assert parts["compute_infer"] == pytest.approx(statistics.mean(inside) * 1e6, rel=0.1)


@pytest.mark.measures
def test_a_stall_is_seen_from_the_schedule(folder, tmp_path):
    """500 ms in every 2 s at a steady rate: a quarter of the requests waits, up to 500 ms."""
    with serving(tmp_path, latency_s=0.001, stall_every_s=2.0, stall_s=0.5) as server:
        found, _ = level(
            folder, server, "--rate", "100", "--arrivals", "constant", "--duration", "6"
        )
    assert found["latency_us"]["p50"]["value"] < 50_000
    # One in ten requests waits longer than 300 ms, one in twenty longer than 400 ms.
    assert found["latency_us"]["p90"]["value"] == pytest.approx(300_000, rel=0.15)
    assert found["latency_us"]["p95"]["value"] == pytest.approx(400_000, rel=0.15)


@pytest.mark.measures
def test_several_processes_make_one_load(folder, tmp_path):
    with serving(tmp_path, latency_s=0.005) as server:
        found, _ = level(folder, server, "--concurrency", "6", "--processes", "3")
        inside = server.log()
    assert found["client"]["processes"] == 3
    assert found["requests"]["failed"] == 0
    # Little's law, with what the processes waited for a core on top of the server's own time.
    rate, mean = found["throughput_per_s"]["value"], found["latency_us"]["mean"]["value"] / 1e6
    assert rate * mean == pytest.approx(6, rel=0.15)
    assert rate < 1.1 * 6 / statistics.mean(inside)


def test_several_processes_follow_one_schedule(folder, tmp_path):
    with serving(tmp_path, latency_s=0.002) as server:
        found, _ = level(folder, server, "--rate", "300", "--processes", "2", "--duration", "2")
    assert found["requests"]["sent"] == pytest.approx(600, rel=0.15)
    assert found["requests"]["failed"] == 0


def test_load_processes_go_with_the_one_that_started_them(folder, tmp_path):
    with serving(tmp_path, latency_s=0.005) as server:
        words = ("probe", "-u", server.address, "-m", "echo", "--processes", "2")
        process = folder.start(*words, "--concurrency", "2", "--duration", "60")
        wait_for(server, 100)
        process.kill()
        process.communicate()
        time.sleep(1.5)
        before = len(server.log())
        time.sleep(0.5)
        assert len(server.log()) == before


def test_no_server_for_several_processes_is_one_error(folder, tmp_path):
    with serving(tmp_path, latency_s=0.001, exit_after=2) as server:
        words = ("-m", "echo", "--processes", "2", "--duration", "1")
        error = folder.error("probe", "-u", server.address, *words, expect=3)
    assert error["code"] in {"TG901", "TG908", "TG917"}


def test_real_tensors_and_their_outputs_are_checked(folder, tmp_path):
    good = {"data": [{"IN": [1, 2, 3, 4]}], "validation_data": [{"OUT": [1, 2, 3, 4]}]}
    bad = {"data": [{"IN": [1, 2, 3, 4]}], "validation_data": [{"OUT": [1, 2, 3, 5]}]}
    with serving(tmp_path, latency_s=0.002) as server:
        path = folder.write("good.json", json.dumps(good))
        found, _ = level(folder, server, "--data", str(path))
        assert found["requests"]["failed"] == 0
        path = folder.write("bad.json", json.dumps(bad))
        error = folder.error("probe", "-u", server.address, "--data", str(path), expect=3)
    assert error["code"] == "TG915"
    assert "differs from the reference" in error["message"]


def test_results_are_written_in_every_format(folder, tmp_path):
    with serving(tmp_path, latency_s=0.002) as server:
        for kind in ("json", "csv", "html"):
            words = ("probe", "-u", server.address, "--duration", "0.5")
            ran = folder.run(*words, "-o", f"out.{kind}")
            assert ran.out == ""
        text = folder.run("probe", "-u", server.address, "--duration", "0.5").out
    assert json.loads((folder.folder / "out.json").read_text())["kind"] == "tritongen.probe"
    assert (folder.folder / "out.csv").read_text().startswith("Concurrency,Inferences/Second,")
    assert "<svg" in (folder.folder / "out.html").read_text()
    assert "c = 8" in text
    assert "echo" in text


def test_the_live_line_makes_room_for_the_table(folder, tmp_path):
    ours, theirs = pty.openpty()
    with serving(tmp_path, latency_s=0.002) as server:
        words = (TRITONGEN, "probe", "-u", server.address, "--duration", "1.5")
        done = subprocess.run(words, stdout=theirs, stderr=theirs, timeout=60, check=True)
    seen = os.read(ours, 1 << 20).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    live, table = seen.rsplit("\r\x1b[K", 1)
    assert "echo, concurrency 8: measuring" in live
    assert "concurrency 8: measuring" not in table
    assert "echo" in table
    assert "c = 8" in table


def test_a_schedule_is_replayed(folder, tmp_path):
    path = folder.write("day.txt", "10s 20\n5s 200\n10s 20\n")
    with serving(tmp_path, latency_s=0.002) as server:
        words = ("--schedule", str(path), "--speedup", "10", "--arrivals", "constant")
        found, _ = level(folder, server, *words, "--duration", "10")
        assert found["load"]["kind"] == "schedule"
        assert found["requests"]["sent"] == 140
        found, _ = level(folder, server, "--schedule", "bursts", "--rate", "50", "--duration", "2")
        assert found["requests"]["sent"] == pytest.approx(100, rel=0.4)
        folder.write("trace.txt", "0\n0.1\n0.2\n0.9\n")
        found, _ = level(folder, server, "--schedule", str(folder.folder / "trace.txt"))
        assert found["requests"]["sent"] == 4
        assert found["verdict"] == "TOO FEW"


def test_the_goal_is_searched_for(folder, tmp_path):
    with serving(tmp_path, latency_s=0.004, workers=1) as server:
        words = ("probe", "-u", server.address, "--time-budget", "0.7")
        found = folder.json(*words, "--goal", "p90<200ms")
        (answer,) = found["answers"]
        assert answer["question"] == "goal"
        assert 20 < answer["value"] < 300
        assert answer["beyond"] > answer["value"]
        missed = folder.json(*words, "--goal", "p90<1ms", expect=4)
        assert missed["error"]["code"] == "TG910"
        assert missed["levels"]
        found = folder.json(*words, "--goal", "p90<100ms", "--concurrency", "1:64")
        assert 4 <= found["answers"][0]["value"] <= 40


def test_a_goal_is_not_held_on_a_handful_of_requests(folder, tmp_path):
    with serving(tmp_path, latency_s=0.001) as server:
        words = ("probe", "-u", server.address, "--time-budget", "500ms", "--rate", "2")
        found = folder.json(*words, "--goal", "p99<5s", expect=4)
    (answer,) = found["answers"]
    assert answer["value"] is None
    assert "the goal needs 368 answers" in answer["undecided"]
    assert "is not known" in found["error"]["message"]


def test_the_knee_is_found(folder, tmp_path):
    with serving(tmp_path, latency_s=0.01, workers=4) as server:
        found = folder.json("probe", "-u", server.address, "--time-budget", "0.6", "--find", "knee")
    (answer,) = found["answers"]
    assert 2 <= answer["value"] <= 8
    assert answer["throughput_per_s"]["value"] <= answer["capacity_per_s"] * 1.0001


def test_two_results_are_compared(folder, tmp_path):
    for name, latency in (("slow", 0.012), ("fast", 0.004)):
        with serving(tmp_path, latency_s=latency) as server:
            words = ("probe", "-u", server.address, "--duration", "2", "--format", "json")
            folder.run(*words, "-o", f"{name}.json")
    same = folder.json("probe", "--compare", "slow.json", "slow.json")
    assert {item["change"] for item in same["comparisons"]} == {"no measurable difference"}
    better = folder.json("probe", "--compare", "slow.json", "fast.json")
    changes = {item["metric"]: item["change"] for item in better["comparisons"]}
    assert changes["throughput"] == changes["p50"] == "better"
    worse = folder.json("probe", "--compare", "fast.json", "slow.json", expect=4)
    assert worse["error"]["code"] == "TG911"
    text = folder.run("probe", "--compare", "fast.json", "slow.json", expect=4).out
    assert "worse" in text


# For both to start and to describe the model on a machine at work.
LEAD_S = 12.0


@pytest.mark.parametrize("load", [("--rate", "60", "--processes", "2"), ("--concurrency", "2")])
def test_probes_that_begin_together_are_merged(folder, tmp_path, load):
    with serving(tmp_path, latency_s=0.005) as server:
        begin = time.time() + LEAD_S
        words = ("probe", "-u", server.address, "-m", "echo", "--duration", "5", *load)
        together = (*words, "--start-at", f"{begin:.3f}", "--format", "json")
        pair = [folder.start(*together, "--seed", str(seed), "-o", f"{seed}.json") for seed in "12"]
        for process in pair:
            _, told = process.communicate(timeout=60)
            assert process.returncode == 0, told
        error = folder.error(*words, "--start-at", f"{begin:.3f}", expect=2)
    halves = [
        json.loads((folder.folder / f"{seed}.json").read_text())["levels"][0] for seed in "12"
    ]
    (merged,) = folder.json("probe", "--merge", "1.json", "2.json")["levels"]
    assert merged["requests"]["failed"] == 0
    assert merged["requests"]["ok"] == sum(one["requests"]["ok"] for one in halves)
    assert merged["load"]["value"] == 2 * float(load[1])
    assert merged["client"]["processes"] == sum(one["client"]["processes"] for one in halves)
    assert "p50" in folder.run("probe", "--merge", "1.json", "2.json").out
    # Warm-up and window take all their time: they are the same in both.
    for one in halves:
        window = one["recording"]
        assert window["begin_ns"] / 1e9 == pytest.approx(begin + 1.25, abs=0.5)
        assert (window["end_ns"] - window["begin_ns"]) / 1e9 == pytest.approx(5.0, abs=0.5)
    assert error["code"] == "TG922"
