import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from support.probe import a_level, constant, one_server, virtual_level
from tritongen.pages import linear_axis, log_axis
from tritongen.probe.level import Conditions, Update
from tritongen.probe.report.html_page import charts_of, html_page
from tritongen.probe.report.json_document import Environment, document
from tritongen.probe.report.tables import (
    HEADERS,
    csv_text,
    details,
    duration_text,
    latency_text,
    live_line,
    rate_text,
    row,
    share_text,
)
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import LevelVerdict
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.statistics import GpuUse

ENVIRONMENT = Environment(
    "2026-01-01T00:00:00Z",
    "tritongen 1",
    "triton 2",
    "http host:8000",
    {"cores": 2},
    command="tritongen probe -m '<script>'",
)

_INTERVAL = {
    "type": ["object", "null"],
    "required": ["value", "low", "high"],
    "properties": {key: {"type": "number"} for key in ("value", "low", "high")},
}
_KEYS = ("p50", "p90", "p95", "p99", "p999", "mean")
SCHEMA = {
    "type": "object",
    "required": ["levels"],
    "properties": {
        "levels": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "model",
                    "load",
                    "verdict",
                    "throughput_per_s",
                    "latency_us",
                    "requests",
                    "client",
                    "server",
                    "duration_s",
                ],
                "properties": {
                    "load": {
                        "required": ["kind", "value"],
                        "properties": {"kind": {"enum": ["concurrency", "rate", "schedule"]}},
                    },
                    "verdict": {"enum": [str(verdict) for verdict in LevelVerdict]},
                    "throughput_per_s": _INTERVAL,
                    "latency_us": {
                        "required": list(_KEYS),
                        "properties": dict.fromkeys(_KEYS, _INTERVAL),
                    },
                    "requests": {"required": ["sent", "ok", "failed", "failures_by_code"]},
                    "client": {
                        "required": ["cpu_us_per_request", "lateness_us"],
                        "properties": {"lateness_us": {"required": ["p50", "p99"]}},
                    },
                    "server": {
                        "required": [
                            "queue_us",
                            "compute_input_us",
                            "compute_infer_us",
                            "compute_output_us",
                            "average_batch",
                        ]
                    },
                },
            },
        }
    },
}

OPEN = a_level(load=OpenLoop(50.0))


def test_the_json_has_the_form_that_programs_rely_on():
    found = json.loads(json.dumps(document(ENVIRONMENT, [a_level(), OPEN])))
    jsonschema.validate(found, SCHEMA)
    level = found["levels"][0]
    assert level["load"] == {"kind": "concurrency", "value": 8, "loop": "closed", "share": 1.0}
    assert level["latency_us"]["p999"] is None
    assert level["client"]["lateness_us"] == {"p50": 0.0, "p99": 0.0}
    assert found["levels"][1]["client"]["lateness_us"]["p99"] == pytest.approx(1_989.0, rel=0.01)
    assert sum(level["attribution"]["parts_us"].values()) == pytest.approx(1_500.0, abs=0.01)
    assert found["environment"]["seed"] == 0


def test_a_level_with_nothing_is_still_a_document():
    empty = a_level(latencies_us=(), failed=5, verdict=LevelVerdict.TOO_FEW)
    found = document(ENVIRONMENT, [empty])["levels"][0]
    assert found["latency_us"]["p50"] is None
    assert found["requests"] == {
        "sent": 5,
        "ok": 0,
        "failed": 5,
        "failures_by_code": {"HTTP 503": 5},
        "examples": {},
        "unfinished": 0,
        "unsent": 0,
    }


def test_csv_begins_with_perf_analyzers_columns():
    rows = list(csv.reader(io.StringIO(csv_text([a_level()]))))
    assert rows[0][:13] == [
        "Concurrency",
        "Inferences/Second",
        "Client Send",
        "Network+Server Send/Recv",
        "Server Queue",
        "Server Compute Input",
        "Server Compute Infer",
        "Server Compute Output",
        "Client Recv",
        "p50 latency",
        "p90 latency",
        "p95 latency",
        "p99 latency",
    ]
    assert rows[1][:2] == ["8", "100.000"]
    assert sum(map(float, rows[1][2:9])) == pytest.approx(1_500, abs=5)
    assert float(rows[1][12]) == pytest.approx(1_989, abs=10)
    assert csv_text([OPEN]).startswith("Request Rate,")


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0.5, "0.50 µs"),
        (12.34, "12.3 µs"),
        (812.4, "812 µs"),
        (999.9, "1.00 ms"),
        (3_910.0, "3.91 ms"),
        (1_200_000.0, "1.20 s"),
        (123_000_000.0, "123 s"),
    ],
)
def test_durations_have_three_figures(microseconds, text):
    assert duration_text(microseconds) == text


def test_intervals_are_shown_as_shares():
    assert latency_text(Interval(1_000.0, 960.0, 1_040.0)) == "1.00 ms ±4 %"
    assert latency_text(Interval(1_000.0, 1_000.0, 1_000.0)) == "1.00 ms"
    assert latency_text(None) == "too few"
    assert rate_text(Interval(12_345.6, 12_222.0, 12_468.0)) == "12,346 ±1.0 %"
    assert rate_text(None) == "none"


def test_a_row_for_every_level():
    cells = dict(zip(HEADERS, row(a_level(failed=10)), strict=True))
    assert cells["load"] == "c = 8"
    assert cells["p99.9"] == "too few"
    assert cells["failed"] == "10 (1.0%)"
    assert dict(zip(HEADERS, row(OPEN), strict=True))["load"] == "50/s poisson"


def test_details_tell_reason_parts_and_client():
    text = "\n".join(details(OPEN))
    assert "VALID: for a test." in text
    assert "queue 100 µs" in text
    assert "12.5 µs of CPU a request" in text
    assert "late by" in text


def on_gpus(gpus):
    """A level of a server with GPUs."""
    level = a_level()
    assert level.attribution is not None
    use = replace(level.attribution.use, gpus=gpus)
    return replace(level, attribution=replace(level.attribution, use=use))


def test_gpus_of_the_server_are_told():
    both = on_gpus(GpuUse(0.834, 21 << 30, 46 << 30))
    assert "GPU 83%, 21,504 of 47,104 MiB of GPU memory" in "\n".join(details(both))
    server = document(ENVIRONMENT, [both])["levels"][0]["server"]
    assert server["gpu_utilization"] == 0.834
    assert server["gpu_memory_bytes"] == 21 << 30
    assert server["gpu_memory_total_bytes"] == 46 << 30
    alone = document(ENVIRONMENT, [a_level()])["levels"][0]["server"]
    assert not any(key.startswith("gpu") for key in alone)


def test_the_live_line():
    update = Update("measuring", 3.0, 10.0, 1_234, 8, 411.0, 99.0, 2_500.0)
    assert live_line("ocr", ClosedLoop(8), update) == (
        "ocr, concurrency 8: measuring 3 of at most 10 s, 1,234 requests, 411/s, p99 2.50 ms"
    )


def test_axes_begin_and_end_at_round_numbers():
    axis = linear_axis(12_641.0, 0.0, 600.0, str)
    assert axis.high == 15_000.0
    assert axis.at(7_500.0) == 300.0
    logarithmic = log_axis(93.0, 18_400.0, 300.0, 0.0, str)
    assert (logarithmic.low, logarithmic.high) == (50.0, 20_000.0)
    assert logarithmic.at(50.0) == 300.0
    assert logarithmic.at(1.0) == 300.0


@pytest.fixture(scope="module")
def levels():
    fixed = Conditions(budget_s=20.0, fixed=True)
    return [
        virtual_level(constant(0.01), ClosedLoop(1), fixed),
        virtual_level(constant(0.02), ClosedLoop(8), fixed),
        virtual_level(one_server(0.005), OpenLoop(100.0), fixed),
        a_level(),
        a_level(latencies_us=(), failed=3),
    ]


def test_every_plot_is_well_formed_and_within_its_frame(levels):
    charts = charts_of(levels)
    titles = [chart.title for chart in charts]
    assert titles[:3] == [
        "Latency against throughput",
        "Percentile spectrum",
        "Where the time goes",
    ]
    assert titles[-1] == "Lateness of the generator"
    assert sum(title.startswith("Timeline") for title in titles) == 3
    for chart in charts:
        root = ET.fromstring(chart.svg)  # noqa: S314  (our own output)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for line in root.iter("polyline"):
            points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
            assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
        for circle in root.iter("circle"):
            assert 0 <= float(circle.attrib["cx"]) <= width


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for key, value in attrs if key in {"src", "href"}]
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002  (the base class's signature)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(levels):
    page = html_page(ENVIRONMENT, levels, [("m", "m: the knee is at <8>")])
    parser = _Page()
    parser.feed(page)
    assert parser.open == []
    assert parser.links == []
    assert "script" not in parser.seen
    assert "url(" not in page
    assert not re.search(r"https?://", page)
    assert parser.seen.count("svg") == len(charts_of(levels))
    assert "&lt;script&gt;" in page
    assert "&lt;8&gt;" in page


def test_a_page_without_any_success():
    page = html_page(ENVIRONMENT, [a_level(latencies_us=(), failed=3)])
    assert "<svg" not in page
    assert "100.0%" in page


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(100.0, 99.0, 101.0), "±1.0 %"),
        (Interval(100.0, 60.0, 140.0), "±40 %"),
        (Interval(1.0, 0.5, 80.0), ">±999 %"),
        (Interval(0.0, 0.0, 1.0), ">±999 %"),
    ],
)
def test_an_interval_as_a_share(interval: Interval, text: str) -> None:
    assert share_text(interval) == text
