"""No name, message or path commands a terminal, a CI runner, a spreadsheet or a browser."""

import argparse
import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.hostile_names import assert_harmless, names, without_styles
from support.plans import facts, intents
from support.probe import a_level
from tritongen.api import CheckedRepository
from tritongen.cli import build, check, inspect
from tritongen.cli.output import bold, good, print_table, progress, report_error, say, say_lines
from tritongen.config.lint import as_document, as_github, as_sarif
from tritongen.config.pbtxt import parse_config
from tritongen.config.protobuf import same
from tritongen.errors import InvalidInputError
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent, Target
from tritongen.model.lock import Lock, LockedTarget
from tritongen.planner import plan_serving
from tritongen.probe.report.html_page import html_page
from tritongen.probe.report.json_document import Environment
from tritongen.probe.report.tables import csv_text, details
from tritongen.repository.build import BuildResult
from tritongen.repository.compare import Difference, DifferenceKind
from tritongen.repository.inspect import ApplicableFix, InspectedModel
from tritongen.repository.render_repository import outline, render_models

LOCK = Lock("tritongen 1", LockedTarget("25.05", 4))


class Terminal(io.StringIO):
    """A stream that shows colours."""

    def isatty(self) -> bool:
        return True


def printed(write: Callable[[], object], *, terminal: bool = False) -> str:
    """What a writer sends to both streams, without the tool's own colours."""
    stream = Terminal() if terminal else io.StringIO()
    with redirect_stdout(stream), redirect_stderr(stream):
        write()
    return without_styles(stream.getvalue()) if terminal else stream.getvalue()


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    return finding(
        draw(st.sampled_from(["TG531", "TG462", "TG619"])),
        draw(st.sampled_from(Severity)),
        draw(names),
        model=draw(names),
        path=draw(names),
        line=draw(st.integers(0, 9)),
        field=draw(names),
        fix=draw(names),
    )


several = st.lists(findings(), min_size=1, max_size=3).map(tuple)


@st.composite
def named(draw: st.DrawFn) -> ModelFacts:
    """Facts whose tensors, dimensions and path have hostile names."""
    model = draw(facts())
    inputs = tuple(
        replace(spec, name=f"{draw(names)}{index}", shape=("batch", draw(names), 3))
        for index, spec in enumerate(model.inputs)
    )
    return replace(model, path=draw(names), inputs=inputs)


def checked(found: list[Finding]) -> CheckedRepository:
    """A check that found these, and ignored as many."""
    return CheckedRepository(Path("repo"), tuple(found), tuple(found))


@settings(max_examples=40, deadline=None)
@given(several, st.booleans())
def test_check_prints_findings_harmlessly(found, terminal):
    text = printed(
        lambda: check._print(checked(found), "text"),
        terminal=terminal,
    )
    assert_harmless(text)


@settings(max_examples=40, deadline=None)
@given(several, names)
def test_annotations_are_one_command_a_finding(found, prefix):
    text = printed(lambda: check._print(checked(found), "github"))
    assert_harmless(text, commands=len(found))
    assert text.count("\n") == len(found)
    for line in as_github(found, prefix).splitlines():
        properties, _, _ = line.removeprefix("::").partition("::")
        keys = [part.partition("=")[0] for part in properties.partition(" ")[2].split(",")]
        assert keys in (["file", "line", "title"], ["title"])
        assert re.search("%(?!25|0D|0A|3A|2C)", line) is None


@settings(max_examples=40, deadline=None)
@given(several, names)
def test_json_and_sarif_are_harmless_and_say_the_same(found, prefix):
    for form in ("json", "sarif"):
        text = printed(lambda form=form: check._print(checked(found), form))
        assert_harmless(text)
        json.loads(text)
    messages = [item["message"] for item in as_document(found, prefix)["findings"]]
    assert messages == [item.message for item in found]
    run = json.loads(as_sarif(found, "1", prefix))["runs"][0]
    texts = [result["message"]["text"] for result in run["results"]]
    assert texts == [f"{item.message}. {item.fix}".strip() for item in found]


@settings(max_examples=40, deadline=None)
@given(named(), several, names, st.booleans())
def test_inspect_prints_models_harmlessly(model, found, text, terminal):
    item = InspectedModel(
        replace(model, name=text), True, text, found, (ApplicableFix("TG1", text, text),)
    )
    assert_harmless(printed(lambda: inspect._print(item), terminal=terminal))


@settings(max_examples=30, deadline=None)
@given(named(), intents(), several, names, st.booleans())
def test_build_writes_and_prints_harmlessly(model, intent, found, text, diff):
    whole = Intent(Target(cpus=4), {model.name: intent})
    plan = plan_serving([model], whole, Evidence(), budget_of_limit(4))
    rendered = tuple(render_models(plan, (model,)))
    for item in rendered:
        assert_harmless(item.text)
        assert same(parse_config(item.text, "config.pbtxt").message, item.config.message)
    old = "".join(f"# {text}{item.text}" for item in rendered)
    changed = Difference(text, DifferenceKind.CHANGED, old, rendered[0].text if rendered else "")
    refused = replace(plan, refused=((text, (text,)),))
    result = BuildResult(
        refused, tuple(map(outline, rendered)), LOCK, (changed,), found, True, {text: text}
    )
    options = argparse.Namespace(diff=diff, check=False, dry_run=False, repository=text, all=False)
    assert_harmless(printed(lambda: build._print(result, options)))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """The process's environment with other values meanwhile; hypothesis runs a test many times."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@settings(max_examples=40, deadline=None)
@given(names, names, st.lists(names, max_size=2), st.booleans())
def test_errors_progress_and_tables_are_harmless(what, where, told, terminal):
    problem = InvalidInputError("TG009", what, where=where, fix=what, details=told)
    assert_harmless(printed(lambda: report_error(problem, as_json=False), terminal=terminal))
    json_text = io.StringIO()
    with redirect_stdout(json_text), redirect_stderr(io.StringIO()):
        report_error(problem, as_json=True)
    assert_harmless(json_text.getvalue())
    assert json.loads(json_text.getvalue())["error"]["message"] == what
    assert_harmless(printed(lambda: progress(what), terminal=True))
    for columns in ("", "20", "80"):
        with environment(COLUMNS=columns):
            table = printed(
                lambda: print_table((what, "x"), [(where, what), (good(what), bold(where))])
            )
        assert_harmless(table)
        assert columns or table.count("\n") == 3
    assert_harmless(printed(lambda: say_lines(f"{what}\n{where}")))


def test_the_tools_own_colours_work_and_nobody_elses_do():
    stream = Terminal()
    with redirect_stdout(stream):
        say(f"{good('ok')} {bold(chr(27) + '[31mred')}")
        print_table(("a", "b"), [(good("x"), "y"), ("long", "z")])
    lines = stream.getvalue().splitlines()
    assert lines[0] == "\x1b[32mok\x1b[0m \x1b[1m\\x1b[31mred\x1b[0m"
    assert [without_styles(line) for line in lines[1:]] == ["a     b", "x     y", "long  z"]


@settings(max_examples=40, deadline=None)
@given(names)
@example("+1E+1")
@example("+1E+A1")
def test_probe_reports_are_harmless(name):
    level = a_level(name, failed=3)
    assert_harmless(printed(lambda: say_lines("\n".join(details(level)))))
    rows = list(csv.reader(io.StringIO(csv_text([level]))))
    assert len(rows) == 2
    for cell in rows[1]:
        assert_harmless(cell.replace("::", ""))
        # A number is no formula, with an exponent neither.
        assert re.match(r"[=@\t\r]|[+-](?![\d.]+([eE][+-]?\d+)?\Z)", cell) is None


class _Tags(HTMLParser):
    """The elements and handlers of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@settings(max_examples=40, deadline=None)
@given(names)
def test_pages_hold_no_markup_of_strangers(name):
    plain = Environment("t", "tritongen 1", "triton 2", "http h", {}, command="probe")
    level = a_level("m")
    hostile = replace(plain, server=name, endpoint=name, command=name, machine={name: name})
    machine = replace(plain, machine={"x": "y"})
    page = html_page(hostile, [replace(level, model=name, reason=name)], [(name, name)])
    reference = _Tags()
    reference.feed(html_page(machine, [level], [("m", "answer")]))
    found = _Tags()
    found.feed(page)
    assert_harmless(page)
    assert found.handlers == []
    assert found.tags == reference.tags


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_a_tag_in_a_name_is_text(name):
    page = html_page(Environment("t", name, name, name), [a_level(name)], [(name, name)])
    assert name not in page
