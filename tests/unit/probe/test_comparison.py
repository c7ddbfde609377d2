import json
import random

import pytest

from support.probe import a_level
from tritongen.errors import InvalidInputError
from tritongen.probe.questions.comparison import (
    Change,
    compare_levels,
    judge_ratio,
    paired_ratio,
    ratio_of,
)
from tritongen.probe.report.json_document import Environment, document, read_saved
from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import ClosedLoop

ENVIRONMENT = Environment("2026-01-01T00:00:00Z", "tritongen", "triton 2", "http host:8000")


def saved(tmp_path, name="a.json", **options):
    path = tmp_path / name
    path.write_text(json.dumps(document(ENVIRONMENT, [a_level(**options)])))
    return path


def test_a_saved_result_is_read_back(tmp_path):
    (level,) = read_saved(saved(tmp_path, failed=10))
    assert (level.model, level.load, level.verdict) == ("m", "concurrency 8", "VALID")
    assert level.throughput.value == 100.0
    assert level.percentiles["p999"] is None
    assert level.latency.total == 1_000
    assert level.failure_share == pytest.approx(10 / 1_010)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"kind": "other", "levels": []}',
        '{"kind": "tritongen.probe"}',
        '{"kind": "tritongen.probe", "levels": [{}]}',
        '{"kind": "tritongen.probe", "levels": 5}',
    ],
)
def test_what_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        read_saved(path)
    assert caught.value.code == "TG912"


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        read_saved(tmp_path / "none.json")
    assert caught.value.code == "TG002"


def changes(tmp_path, **after):
    before = read_saved(saved(tmp_path, "a.json"))
    other = read_saved(saved(tmp_path, "b.json", **after))
    return {item.metric: item.change for item in compare_levels(before, other)}


def test_equal_results_do_not_differ(tmp_path):
    assert set(changes(tmp_path).values()) == {Change.SAME}


def test_lower_throughput_and_longer_latency_are_worse(tmp_path):
    found = changes(tmp_path, rate=50.0, latencies_us=range(3_000, 4_000))
    assert set(found.values()) == {Change.WORSE}
    found = changes(tmp_path, rate=200.0, latencies_us=range(300, 400))
    assert found["throughput"] is Change.BETTER
    assert found["p50"] is Change.BETTER


def test_more_failures_are_worse_however_quick_the_rest_is(tmp_path):
    assert changes(tmp_path, failed=300)["failures"] is Change.WORSE
    assert changes(tmp_path, failed=1)["failures"] is Change.SAME
    healthy = read_saved(saved(tmp_path, "a.json"))
    failing = read_saved(saved(tmp_path, "b.json", failed=300))
    last = compare_levels(failing, healthy)[-1]
    assert (last.metric, last.change) == ("failures", Change.BETTER)
    assert last.before == pytest.approx(300 / 1_300)


def test_levels_are_matched_by_model_and_load(tmp_path):
    before = read_saved(saved(tmp_path, "a.json"))
    other = read_saved(saved(tmp_path, "b.json", load=ClosedLoop(4)))
    assert compare_levels(before, other) == ()


def test_a_ratio_has_the_uncertainty_of_both():
    ratio = ratio_of(Interval(100, 90, 111.1), Interval(200, 180, 222.2), 0.95)
    assert ratio.value == pytest.approx(2.0)
    assert ratio.high / ratio.value == pytest.approx(1.111**2**0.5, rel=0.01)
    assert ratio_of(Interval(1, 0, 2), Interval(1, 1, 1), 0.95) is None


def test_a_change_within_the_tolerance_is_none():
    barely = Interval(1.04, 1.03, 1.045)
    assert judge_ratio(barely, 0.05, larger_is_better=True) is Change.SAME
    assert judge_ratio(barely, 0.01, larger_is_better=True) is Change.BETTER
    assert judge_ratio(barely, 0.01, larger_is_better=False) is Change.WORSE
    assert judge_ratio(None, 0.01, larger_is_better=False) is Change.UNKNOWN


def test_the_interval_of_pairs_covers_the_truth():
    draw = random.Random(11)
    covered = 0
    for _ in range(2_000):
        ratios = [1.2 * draw.lognormvariate(0.0, 0.1) for _ in range(6)]
        covered += paired_ratio(ratios).contains(1.2)
    assert 0.93 <= covered / 2_000 <= 0.97


def test_one_pair_tells_nothing():
    assert paired_ratio([1.5]) is None
    assert paired_ratio([1.5, 0.0]) is None
