import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from support.probe import SECOND, one_server, uniform, virtual_level, virtual_run
from support.result_schemas import DOCUMENTS
from tritongen.errors import InvalidInputError
from tritongen.probe.level import Conditions, ServerReading
from tritongen.probe.questions.merging import merge_files
from tritongen.probe.recorder_state import recorder_of
from tritongen.probe.report.json_document import Environment, document
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.probe.workload import Load
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.statistics import ModelStatistics, ServedConfig

ENVIRONMENT = Environment(
    "2026-01-01T00:00:00Z", "tritongen 1", "triton 2.60", "http host:8000",
    {"cores": 2}, configurations={"m": "f00"},
)  # fmt: skip
BEGIN = 1_800_000_000 * SECOND
LOAD = OpenLoop(60.0)
BUDGET_S = 20.0


def probed(load: Load = LOAD, seed: int = 0, at_ns: int = BEGIN, **options: Any) -> LevelResult:
    """A level that begins when it was told to, and whose window begins `at_ns`."""
    conditions = Conditions(budget_s=BUDGET_S, seed=seed, begin_at=time.time() + 0.01)
    service = options.pop("service", uniform(0.01, 0.03, seed))
    level = virtual_level(service, load, conditions, **options)
    kept = level.recording
    assert kept is not None
    moved = replace(kept, begin_ns=at_ns, end_ns=at_ns + kept.length_ns)
    return replace(level, recording=moved)


def saved(path: Path, *levels: LevelResult, **environment: Any) -> Path:
    """A result as `--format json` writes it."""
    path.write_text(printed(document(replace(ENVIRONMENT, **environment), levels)))
    return path


def printed(content: dict[str, Any]) -> str:
    """A result as text, once it has the documented form."""
    text = json.dumps({"schema_version": 1, **content})
    jsonschema.validate(json.loads(text), DOCUMENTS["probe"])
    return text


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """Two probes of one load."""
    names = ("a", "b")
    return [
        saved(tmp_path / f"{name}.json", probed(seed=seed), seed=seed)
        for seed, name in enumerate(names)
    ]


def changed(path: Path, change: Callable[[Any], object]) -> None:
    """Another content of a saved result."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def problem(paths: list[Path]) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        merge_files(paths)
    assert caught.value.fix
    return caught.value


def test_rates_add_and_latencies_are_those_of_all_requests(pair):
    levels = [json.loads(path.read_text())["levels"][0] for path in pair]
    (merged,) = merge_files(pair).levels
    assert merged.load == OpenLoop(120.0)
    rates = [level["throughput_per_s"]["value"] for level in levels]
    assert merged.throughput.value == pytest.approx(sum(rates), abs=2e-3)
    assert merged.requests.ok == sum(level["requests"]["ok"] for level in levels)
    assert merged.requests.sent == sum(level["requests"]["sent"] for level in levels)
    buckets: dict[int, int] = {}
    for level in levels:
        for bucket, count in level["histograms"]["latency_ns"]["buckets"]:
            buckets[bucket] = buckets.get(bucket, 0) + count
    assert dict(merged.latency.histogram.counts) == buckets
    ends = [level["histograms"]["latency_ns"] for level in levels]
    assert merged.latency.histogram.min_ns == min(one["min_ns"] for one in ends)
    assert merged.latency.histogram.max_ns == max(one["max_ns"] for one in ends)
    assert merged.processes == 2
    assert merged.duration_s == pytest.approx(BUDGET_S, rel=0.01)


def test_two_probes_agree_with_one_of_the_whole_load(pair):
    (merged,) = merge_files(pair).levels
    whole = probed(OpenLoop(120.0), seed=7)
    assert merged.verdict == whole.verdict
    for one, other in (
        (merged.throughput, whole.throughput),
        (merged.percentile(50.0), whole.percentile(50.0)),
        (merged.percentile(99.0), whole.percentile(99.0)),
        (merged.latency.mean, whole.latency.mean),
    ):
        assert one.low <= other.high
        assert other.low <= one.high
        # As wide as those of one probe, not as those of half a load.
        assert one.relative_width < 1.5 * other.relative_width


def test_the_server_is_counted_once(tmp_path):
    def reading() -> ServerReading:
        count = next(numbers)
        read = ModelStatistics(requests=100 * count, executions=50 * count, inferences=100 * count)
        return ServerReading({"m": read}, {"m": ServedConfig("m", instances=1)}, float(count))

    paths = []
    for seed in range(2):
        numbers = iter(range(1, 9))
        level = probed(seed=seed, read=reading)
        paths.append(saved(tmp_path / f"{seed}.json", level, seed=seed))
    (merged,) = merge_files(paths).levels
    assert merged.attribution.own.executions == level.attribution.own.executions == 50
    assert merged.attribution.own.average_batch == 2.0
    assert merged.attribution.use.cpu_cores == pytest.approx(0.05, rel=0.01)
    assert merged.attribution.total_us == pytest.approx(merged.latency.mean.value, rel=0.02)


def test_failures_and_what_was_never_sent_are_told(tmp_path):
    def fails(number: int) -> str:
        return "HTTP 503" if number % 10 == 0 else ""

    levels = [probed(ClosedLoop(2), seed, fails=fails) for seed in range(2)]
    paths = [saved(tmp_path / f"{n}.json", level) for n, level in enumerate(levels)]
    (merged,) = merge_files(paths).levels
    assert merged.load == ClosedLoop(4)
    assert merged.requests.failures_by_code == {
        "HTTP 503": sum(level.requests.failed for level in levels)
    }
    assert merged.requests.examples == {"HTTP 503": "HTTP 503 on purpose"}
    assert "HTTP 503" in merged.advice[0].sentence
    assert merged.latency_all.histogram.total == merged.requests.sent


def test_an_overloaded_server_saturates_the_merged_load_too(tmp_path):
    paths = []
    for seed in range(2):
        level = probed(OpenLoop(300.0), seed, service=one_server(0.01, seed))
        paths.append(saved(tmp_path / f"{seed}.json", level, seed=seed))
    (merged,) = merge_files(paths).levels
    assert str(merged.verdict) == "SATURATED"


def test_what_is_kept_is_what_was_recorded():
    conditions = Conditions(budget_s=BUDGET_S, begin_at=time.time() + 0.01)
    run, (level,) = virtual_run(uniform(0.01, 0.2), ClosedLoop(3), conditions)
    (recorder,) = run.records.main
    histograms = {
        "latency_ns": level.latency.histogram,
        "all_ns": level.latency_all.histogram,
        "service_ns": level.service.histogram,
        "lateness_ns": level.client.lateness.histogram,
    }
    again = recorder_of(level.recording, level.requests, histograms)
    assert (again.latencies == recorder.latencies).all()
    assert (again.completed == recorder.completed).all()
    length = level.recording.length_ns
    assert again.stretch(0, length).summary() == recorder.stretch(0, run.end_ns).summary()


def test_a_level_that_begins_at_a_time_takes_all_its_time():
    begin_at = time.time() + 0.01
    level = probed(service=uniform(0.01, 0.011))
    assert level.duration_s == pytest.approx(BUDGET_S, rel=0.01)
    conditions = Conditions(budget_s=BUDGET_S, begin_at=begin_at)
    assert conditions.period_s > BUDGET_S * 1.25 + conditions.drain_s
    # Without it, so steady a server is known much sooner, and nothing is kept.
    usual = virtual_level(uniform(0.01, 0.011), ClosedLoop(8), Conditions(budget_s=BUDGET_S))
    assert usual.duration_s < BUDGET_S / 2
    assert usual.recording is None


def test_a_begin_that_has_passed_is_refused():
    with pytest.raises(InvalidInputError) as caught:
        virtual_level(uniform(0.01, 0.02), LOAD, Conditions(begin_at=time.time() - 5.0))
    assert caught.value.code == "TG922"


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        ({}, {"endpoint": "http other:8000"}, "target: http host:8000 and http other:8000"),
        ({}, {"server": "triton 2.61"}, "release of the server: triton 2.60 and triton 2.61"),
        ({}, {"tool": "tritongen 2"}, "release of the tool"),
        ({}, {"configurations": {"m": "ba4"}}, "configuration of the models"),
        ({}, {"seed": 0}, "seed 0"),
        ({"load": OpenLoop(61.0)}, {}, "60/s poisson over http, batch 1 and m at 61/s poisson"),
        ({"load": OpenLoop(60.0, 0.0)}, {}, "60/s constant"),
        ({"load": ClosedLoop(8)}, {}, "concurrency 8"),
    ],
)
def test_probes_of_different_things_are_refused(pair, options, environment, words):
    saved(pair[1], probed(seed=1, **options), **{"seed": 1, **environment})
    refused = problem(pair)
    assert refused.code == "TG923"
    assert words in str(refused)
    assert refused.where == f"{pair[0]}, {pair[1]}"


def test_other_models_are_refused(pair):
    changed(pair[1], lambda content: content["levels"][0].update(model="n"))
    assert problem(pair).code == "TG923"


def test_more_levels_are_refused(pair):
    level = probed(seed=1)
    saved(pair[1], level, level, seed=1)
    assert problem(pair).code == "TG923"


def test_one_result_twice_is_refused(tmp_path):
    level = probed(ClosedLoop(2))
    paths = [saved(tmp_path / f"{name}.json", level) for name in "ab"]
    refused = problem(paths)
    assert refused.code == "TG923"
    assert "one probe's" in str(refused)


@pytest.mark.parametrize(("late_s", "code"), [(1.9, ""), (2.1, "TG924"), (3600.0, "TG924")])
def test_windows_must_have_nine_tenths_in_common(pair, late_s, code):
    level = probed(seed=1, at_ns=BEGIN + round(late_s * SECOND))
    saved(pair[1], level, seed=1)
    if not code:
        assert len(merge_files(pair).levels) == 1
        return
    refused = problem(pair)
    assert refused.code == code
    assert "in common of 20.0 s" in str(refused)
    assert "2027-01-15T08:00:2" in str(refused)


@pytest.mark.parametrize(
    "damage",
    [
        lambda level: level.pop("recording"),
        lambda level: level["recording"].pop("slots"),
        lambda level: level["recording"].update(slot_ns=30_000_000),
        lambda level: level["recording"].update(end_ns=0),
        lambda level: level["recording"].update(left_out=-1),
        lambda level: level["recording"].update(slots=level["recording"]["slots"] * 9),
        lambda level: level["recording"]["slots"][0].update(latencies="3840:1"),
        lambda level: level["recording"]["slots"][0].update(latencies="1:9999999999"),
        lambda level: level["recording"]["slots"][0].update(latencies="one"),
        lambda level: level["recording"]["slots"][0].update(sum_ns=1 << 80),
        lambda level: level["requests"].update(ok=1),
        lambda level: level["histograms"].pop("all_ns"),
        lambda level: level["load"].update(kind="schedule"),
        lambda level: level["load"].update(value=float("inf")),
    ],
)  # fmt: skip
def test_what_is_no_such_result_is_refused(pair, damage):
    changed(pair[1], lambda content: damage(content["levels"][0]))
    refused = problem(pair)
    assert refused.code == "TG912"
    assert refused.where == str(pair[1])


def test_one_result_alone_is_refused(pair):
    assert problem(pair[:1]).code == "TG905"


def test_a_merged_result_says_of_what(pair):
    merged = merge_files(pair)
    environment = merged.environment
    assert "recording" not in printed(document(environment, merged.levels))
    assert environment.command == f"tritongen probe --merge {pair[0]} {pair[1]}"
    assert environment.machine == {"cores": 2, "probes": 2}
