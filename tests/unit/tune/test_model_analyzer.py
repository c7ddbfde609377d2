"""What Model Analyzer's file asks for, as goals."""

import argparse
from pathlib import Path

import pytest

from tritongen.cli.main import build_parser
from tritongen.cli.tune import _wanted
from tritongen.errors import InvalidInputError
from tritongen.tune.model_analyzer import read_goals
from tritongen.tune.search.objective import parse_goal

# The file that docs/from-model-analyzer.md shows.
PAGE = (Path(__file__).parents[3] / "docs/from-model-analyzer.md").read_text()
EXAMPLE = PAGE.partition("```yaml\n")[2].partition("```")[0]


def goals(tmp_path, text):
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    return read_goals(path)


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("objectives: [perf_throughput]", "throughput"),
        ("objectives: {perf_throughput: 10, perf_latency_p99: 5}", "throughput"),
        ("constraints: {perf_latency_p99: {max: 100}}", "p99<100ms"),
        ("constraints: {perf_latency_p95: {max: 7.5}, perf_latency_p90: {max: 5}}", "p95<7.5ms"),
        ("latency_budget: 50", "p99<50ms"),
        ("{latency_budget: 2000000, objectives: [perf_throughput]}", "p99<2000000ms"),
        ("{objectives: [perf_latency_p95], min_throughput: 300}", "p95@300/s"),
        (
            "{objectives: [perf_latency_p99], min_throughput: 300, latency_budget: 50}",
            "p99<50ms@300/s",
        ),
        ("objectives: [perf_latency_p99]", "throughput@1"),
    ],
)
def test_objectives_and_constraints_are_a_goal(tmp_path, text, goal):
    found = goals(tmp_path, text).goal
    assert found == goal
    parse_goal(found)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("constraints: {gpu_used_memory: {max: 200}}", "gpu_used_memory: {max: …} is not heeded"),
        ("constraints: {perf_throughput: {min: 9}}", "perf_throughput: {min: …} is not heeded"),
        ("constraints: {perf_latency_p99: {min: 9}}", "perf_latency_p99: {min: …} is not"),
        ("constraints: {perf_latency_avg: {max: 9}}", "perf_latency_avg: {max: …} is not"),
        ("objectives: {perf_throughput: 2, gpu_utilization: 9}", "gpu_utilization is not heeded"),
        ("objectives: [perf_latency_p99]", "one client"),
    ],
)
def test_what_is_not_heeded_is_told(tmp_path, text, note):
    (told,) = goals(tmp_path, text).notes
    assert note in told


@pytest.mark.parametrize(
    "models", ["[a, b]", "a, b", "[{a: {}}, b]", "{a: {parameters: {batch_sizes: 1}}, b: }"]
)
def test_models_are_named_in_any_of_its_forms(tmp_path, models):
    found = goals(tmp_path, f"profile_models: {models}\nlatency_budget: 5")
    assert (found.models, found.by_model, found.goal) == (("a", "b"), {}, "p99<5ms")


def test_a_model_has_its_own_goal(tmp_path):
    found = goals(tmp_path, EXAMPLE)
    assert found.models == ("ocr", "rank")
    assert found.goal == "p99<100ms"
    assert found.by_model == {"rank": "p99<20ms@300/s"}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "TG301"),
        ("[1]", "TG304"),
        ("profile_models: [a]", "TG304"),
        ("constraints: 3", "TG304"),
        ("constraints: {perf_latency_p99: 3}", "TG304"),
        ("constraints: {perf_latency_p99: {max: x}}", "TG304"),
        ("latency_budget: 0", "TG304"),
        ("objectives: {perf_throughput: true}", "TG304"),
        ("profile_models: [3]", "TG304"),
        ("objectives: [gpu_utilization]", "TG953"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, text, code):
    with pytest.raises(InvalidInputError) as caught:
        goals(tmp_path, text)
    assert caught.value.code == code
    assert str(tmp_path) in caught.value.where


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        read_goals(tmp_path)
    assert caught.value.code == "TG003"


def wanted(*words) -> argparse.Namespace:
    return _wanted(build_parser("tune", alone=True).parse_args(["tune", "models", *words]))


def test_the_command_line_takes_models_and_goals_of_the_file(tmp_path, capsys):
    path = tmp_path / "profile.yaml"
    path.write_text(EXAMPLE)
    found = wanted("--model-analyzer-config", str(path))
    assert found.models == ("ocr", "rank")
    assert [found.goal_of(name) for name in found.models] == ["p99<100ms", "p99<20ms@300/s"]
    assert "goal of rank: p99<20ms@300/s" in capsys.readouterr().err
    assert wanted("--model-analyzer-config", str(path), "-m", "x").models == ("x",)
    with pytest.raises(InvalidInputError, match="names the goals"):
        wanted("--model-analyzer-config", str(path), "--goal", "throughput")
