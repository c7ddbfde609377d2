"""The report's plot of accuracy against throughput against cost, and the records that it reads."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import onnx
import pytest

from support.cli import dense
from tritongen.errors import InvalidInputError
from tritongen.fleet.catalogue import Machine
from tritongen.fleet.report.tradeoff import Priced, tradeoff
from tritongen.model.intent import Metric
from tritongen.model.variants import Accuracy, Speedup, Variant, Verdict, judge
from tritongen.optimize.accuracy import judge_drop
from tritongen.pages import Chart
from tritongen.repository.project import load_project
from tritongen.repository.stored_variants import (
    find_variant,
    judged_variants,
    note_refused,
    read_variants,
)

MACHINE = Machine(
    "aws", "c6i.large", "us-east-1", 2, 1, 4 << 30, "Ice Lake", "avx512", "", 0, 0.085, "x", "2026"
)


def variant(name: str, drop: float, speed: float, verdict: Verdict, reason: str = "") -> Variant:
    return Variant(
        name=name,
        model="digits",
        path=f".variants/digits/{name}/model.onnx" if verdict is Verdict.ACCEPTED else "",
        verdict=verdict,
        reason=reason or f"{name} was judged",
        accuracy=Accuracy("top1", 0.95, 0.95 - drop, drop, 0.01, drop <= 0.01),
        speedup=Speedup(speed, speed * 0.95, speed * 1.05, 4, 1, 30, 2.0),
    )


VARIANTS = (
    variant("int8_dynamic", 0.004, 2.4, Verdict.ACCEPTED),
    variant("int8_static", 0.03, 2.9, Verdict.REFUSED, "top1 0.95 → 0.92: a loss of 0.03"),
    variant("fp16", 0.0, 0.7, Verdict.SLOWER),
)


def drawn(svg: str) -> dict[str, ET.Element]:
    root = ET.fromstring(svg)  # noqa: S314  (our own drawing)
    found = {}
    for circle in root.iter("circle"):
        tip = circle.find("title")
        assert tip is not None
        assert tip.text is not None
        found[tip.text.partition(",")[0]] = circle
    return found


def test_more_accurate_is_higher_and_faster_is_further_right() -> None:
    chart = tradeoff("digits", VARIANTS, "int8_dynamic", Priced(MACHINE))
    assert chart is not None
    dots = drawn(chart.svg)
    assert set(dots) == {"original", "int8_dynamic", "int8_static", "fp16"}
    place = {
        name: (float(dot.get("cx", "")), float(dot.get("cy", ""))) for name, dot in dots.items()
    }
    assert place["fp16"][0] < place["original"][0] < place["int8_dynamic"][0]
    assert place["int8_dynamic"][0] < place["int8_static"][0]
    assert place["original"][1] < place["int8_dynamic"][1] < place["int8_static"][1]
    styles = {name: dot.get("class") for name, dot in dots.items()}
    assert styles["int8_dynamic"] == "dot best"
    assert styles["int8_static"] == styles["fp16"] == "dot poor"


def test_the_cost_is_that_of_the_plans_machine_and_its_speed() -> None:
    """4 rows in 2 ms are 2,000/s of one core; 0.085 USD an hour make 0.0118 USD a million."""
    chart = tradeoff("digits", VARIANTS, "original", Priced(MACHINE))
    slower = tradeoff("digits", VARIANTS, "original", Priced(MACHINE, slowdown=2.0))
    unpriced = tradeoff("digits", VARIANTS, "original", None)
    assert chart is not None
    assert slower is not None
    assert unpriced is not None
    assert "original · $0.012 a million" in chart.svg
    assert "original · $0.024 a million" in slower.svg
    assert "$" not in unpriced.svg
    assert "tritongen plan" in unpriced.caption


def test_refused_ones_are_below_the_line_and_say_why() -> None:
    chart = tradeoff("digits", VARIANTS, "int8_dynamic", None)
    assert chart is not None
    line = re.search(r'<line class="bound"[^>]* y1="([0-9.]+)"', chart.svg)
    assert line is not None
    level = float(line[1])
    dots = drawn(chart.svg)
    assert (
        float(dots["int8_static"].get("cy", "")) > level > float(dots["int8_dynamic"].get("cy", ""))
    )
    assert chart.notes == ("int8_static refused: top1 0.95 → 0.92: a loss of 0.03",)


def test_words_beside_points_do_not_meet() -> None:
    crowd = [variant(f"same_{number}", 0.001, 1.5, Verdict.ACCEPTED) for number in range(4)]
    chart = tradeoff("digits", crowd, "original", Priced(MACHINE))
    assert chart is not None
    boxes = []
    for text in ET.fromstring(chart.svg).iter("text"):  # noqa: S314  (our own drawing)
        words = text.text or ""
        if words.startswith(("same_", "original", "loses")):
            x, width = float(text.get("x", "")), 6.5 * len(words)
            left = x - width if text.get("text-anchor") == "end" else x
            boxes.append((left, left + width, float(text.get("y", ""))))
    assert len(boxes) == 6
    for number, (left, right, level) in enumerate(boxes):
        assert left >= 0
        assert right <= 640
        for begin, end, other in boxes[number + 1 :]:
            assert abs(level - other) >= 15.9 or right <= begin or end <= left


def at(one: Variant, batch: int, threads: int, original_ms: float) -> Variant:
    """The variant as another run measured it."""
    assert one.speedup is not None
    speed = replace(one.speedup, batch=batch, threads=threads, original_ms=original_ms)
    return replace(one, speedup=speed)


def test_what_was_measured_otherwise_is_told_and_not_drawn() -> None:
    other = at(VARIANTS[2], 32, 2, 9.0)
    chart = tradeoff("digits", (*VARIANTS[:2], other), "int8_dynamic", None)
    assert chart is not None
    assert set(drawn(chart.svg)) == {"original", "int8_dynamic", "int8_static"}
    assert "fp16 is not drawn: measured with 32 rows on 2 threads" in chart.notes
    assert "4 rows on 1 thread" in chart.caption
    # A point that both runs have in common is drawn.
    assert VARIANTS[2].speedup is not None
    known = replace(other, speedups=(VARIANTS[2].speedup,))
    chart = tradeoff("digits", (*VARIANTS[:2], known), "int8_dynamic", None)
    assert chart is not None
    assert "fp16" in drawn(chart.svg)


def test_another_metric_is_told_and_not_drawn() -> None:
    assert VARIANTS[2].accuracy is not None
    other = replace(VARIANTS[2], accuracy=replace(VARIANTS[2].accuracy, metric="cosine"))
    equal = replace(variant("rewritten", 0.0, 1.1, Verdict.ACCEPTED), accuracy=None)
    chart = tradeoff("digits", (other, *VARIANTS[:2], equal), "original", None)
    assert chart is not None
    assert set(drawn(chart.svg)) == {"original", "int8_dynamic", "int8_static", "rewritten"}
    assert "fp16 is not drawn: scored by cosine" in chart.notes


def test_the_originals_bar_is_what_it_did_in_every_run() -> None:
    runs = (VARIANTS[0], at(VARIANTS[1], 4, 1, 4.0))
    chart = tradeoff("digits", runs, "original", None)
    assert chart is not None
    assert "several runs" in chart.caption
    bars = re.findall(r'<line class="whisker soft"[^>]*>', chart.svg)
    ends = re.search(r'x1="([0-9.]+)".* x2="([0-9.]+)"', bars[0])
    assert ends is not None
    middle = float(drawn(chart.svg)["original"].get("cx", ""))
    assert float(ends[1]) < middle < float(ends[2])
    assert "several runs" not in tradeoff_of(VARIANTS).caption


def tradeoff_of(variants: tuple[Variant, ...]) -> Chart:
    chart = tradeoff("digits", variants, "original", None)
    assert chart is not None
    return chart


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_without_bound_in_words_and_in_files(tmp_path: Path, value: float) -> None:
    lost = judge_drop(Metric.MAE, 0.0, value, 0.01)
    verdict, reason = judge(lost, VARIANTS[1].speedup, data=True)
    assert verdict is Verdict.REFUSED
    assert reason == "mae 0 → not a finite number: a loss without bound, more than 0.01"
    note_refused(tmp_path, replace(VARIANTS[1], accuracy=lost, reason=reason))
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    chart = tradeoff_of(judged_variants(tmp_path, "digits"))
    assert "int8_static · loses without bound" in chart.svg
    assert not re.search(r"\b(inf|nan)\b", chart.svg + " ".join(chart.notes))


def test_nothing_measured_is_no_plot() -> None:
    unmeasured = replace(VARIANTS[0], speedup=None)
    assert tradeoff("digits", (), "original", None) is None
    assert tradeoff("digits", (unmeasured,), "original", None) is None


def test_a_refused_variant_is_remembered_and_never_served(tmp_path: Path) -> None:
    note_refused(tmp_path, VARIANTS[1])
    assert read_variants(tmp_path, "digits") == ()
    assert judged_variants(tmp_path, "digits") == (VARIANTS[1],)


def test_whoever_asks_for_a_refused_variant_learns_why(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    onnx.save(dense(), str(tmp_path / "digits/model.onnx"))
    note_refused(tmp_path, VARIANTS[1])
    project = load_project(tmp_path, tmp_path / "repository")
    with pytest.raises(InvalidInputError) as caught:
        find_variant(project, project.models[0], "int8_static")
    assert caught.value.code == "TG240"
    assert "not kept: top1 0.95 → 0.92" in caught.value.what
    with pytest.raises(InvalidInputError, match="no such variant"):
        find_variant(project, project.models[0], "int4")
