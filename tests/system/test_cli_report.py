"""`report`: one page that holds what plan, lock and journals say, and needs nothing else."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from support.cli import SERVED, Project, sequence

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balance(HTMLParser):
    """Fails on elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def checked(page: str) -> Balance:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "script" not in balance.names
    assert "@import" not in page
    assert "url(" not in page
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(drawing)  # noqa: S314  (our own page)
    return balance


JOURNAL = [
    {"header": 1},
    *(
        {
            "candidate": {
                "instances": instances, "threads": 1, "max_batch_size": 8, "queue_delay_us": 0,
            },
            "purpose": purpose,
            "reading": {
                "throughput_per_s": 100.0 * instances, "latencies_s": [[50.0, 0.01], [99.0, 0.02]],
            },
        }
        for instances, purpose in ((1, "baseline"), (2, "race"), (4, "race"))
    ),
]  # fmt: skip


def test_the_page_shows_plan_models_reasons_and_tuning(built: Project) -> None:
    built.run("plan", "models")
    lines = [json.dumps(line) for line in JOURNAL]
    built.write(".tritongen/tune/dense.jsonl", "\n".join([*lines, '{"cut": ']) + "\n")
    assert "written to" in built.run("report", "models").out
    page = (built.folder / "report.html").read_text()
    checked(page)
    for name in SERVED:
        assert f"<h3>{name}</h3>" in page
    for text in ("Traffic and replicas over the week", "Cost of the options", "USD a month"):
        assert text in page
    assert "max_batch_size" in page  # a reason beside every value
    assert "4 instances × 1 thread, requests merged into batches of up to 8" in page
    assert "TG340" in page
    rows = re.findall(r'<td class="name">(as planned|rate × [23]|one replica less)</td>', page)
    assert rows == ["as planned", "rate × 2", "rate × 3", "one replica less"]
    assert "Plan and reality" not in page
    assert page.count("<svg") == 4


def test_without_a_plan_the_page_says_how_to_get_one(built: Project) -> None:
    built.add("sequence/model.onnx", sequence())
    built.run("report", "models", "-o", "other.html")
    page = (built.folder / "other.html").read_text()
    checked(page)
    assert "No plan yet" in page
    assert "sequence" in page  # refused, with its finding
    assert "TG1" in page


def test_the_page_is_the_same_for_the_same_inputs(built: Project) -> None:
    built.run("plan", "models")
    built.run("report", "models")
    first = (built.folder / "report.html").read_bytes()
    built.run("report", "models")
    assert (built.folder / "report.html").read_bytes() == first


def test_a_plan_of_other_models_is_told(built: Project) -> None:
    built.run("plan", "models")
    plan = built.folder / "model_repository.plan.json"
    stored = json.loads(plan.read_text())
    stored["models"]["dense"] = "0" * 64
    plan.write_text(json.dumps(stored))
    built.run("report", "models")
    page = (built.folder / "report.html").read_text()
    assert "dense changed since the plan was made" in page


def test_a_page_that_cannot_be_written(built: Project) -> None:
    assert built.run("report", "models", "-o", "nowhere/x.html", expect=3).err
    assert built.run("report", "absent", expect=2).err
