"""Tables as a terminal of 80 and of 140 columns shows them, reviewed as text."""

from pathlib import Path

import pytest

from tritongen.cli.output import good, print_table, severe
from tritongen.cli.table import cells_of
from tritongen.model.findings import Severity
from tritongen.probe.report.tables import HEADERS

TABLES = Path(__file__).parent / "tables"


def probe() -> None:
    rows = [
        ("c = 2", "UNSTABLE", "3,168 ±9 %", "524 µs ±26 %", "794 µs ±160 %", "1.05 ms ±89 %",
         "3.63 ms ±253 %", "7.55 ms ±103 %", "0"),
        ("c = 16", "OK", "12,100 ±2 %", "1.24 ms ±3 %", "1.91 ms ±4 %", "2.21 ms ±4 %",
         "3.02 ms ±8 %", "too few", "12 (0.1%)"),
    ]  # fmt: skip
    print_table(HEADERS, rows, drop=("p90", "p99.9", "p95"))


def build() -> None:
    why = (
        "off: the first axes are dynamic, but no batch axis is proven (the trial failed), so the "
        "full shape is served"
    )
    rows = [("tfidf", "0", "1 × 1", why), ("文書分類", "16", "2 × 1", "on")]
    print_table(("model", "batch", "instances × threads", "dynamic batching"), rows)


def tune() -> None:
    headers = ("", "candidate", "load", "predicted/s", "measured/s", "p99 ms", "times", "why not")
    rows = [
        ("→", "1x1 b16 d0", "32 clients", "5,810", "9,770 (7,950–12,000)", "9.00 (7.33–11.1)", "4",
         ""),
        ("", "1x1 b8 d100", "16 clients", "5,880", "6,820 (5,550–8,380)", "9.08 (7.39–11.2)", "1",
         "not separated when the time was up"),
    ]  # fmt: skip
    print_table(headers, rows, drop=("predicted/s", "times", "load"))


def plan() -> None:
    headers = (
        "machine", "region", "replicas", "USD/month", "USD/million", "p99 ms", "busy", "feasible",
    )  # fmt: skip
    rows = [
        ("c7a.xlarge", "aws eu-central-1", "2 to 11", "1,230.44", "0.12", "12.1 (8.2–19)",
         "45%, 87% at peak", "yes"),
        ("c7a.medium", "aws eu-central-1", "9", "≈ 260.10", "≈ 0.02", "88.2 (61–overload)",
         "97%, 99% at peak", "p99 of ocr is 88 ms at peak, and its goal is 50 ms"),
    ]  # fmt: skip
    print_table(headers, rows, drop=("USD/million", "region", "busy"))


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("table", [probe, build, tune, plan], ids=lambda found: found.__name__)
def test_table(table, width, monkeypatch, capsys, update_golden) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table()
    text = capsys.readouterr().out
    assert max(map(cells_of, text.splitlines())) <= width
    expected = TABLES / f"{table.__name__}-{width}.txt"
    if update_golden:
        expected.write_text(text)
    assert text == expected.read_text()


def test_styles_take_no_cells_and_a_wrapped_cell_keeps_its_own(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "24")
    long = severe("one two three four five six seven", Severity.ERROR)
    print_table(("a", "state", "b"), [("x", good("ready"), "y"), ("z", long, "w")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "x  \033[32mready\033[0m               y"
    assert lines[2:] == [
        "z  \033[31mone two three four\033[0m  w",
        "   \033[31mfive six seven\033[0m",
    ]
