"""What the commands print for people."""

import io
import json

import pytest

from tritongen.cli import output
from tritongen.cli.output import dim, good, print_table, say, severe, suggest
from tritongen.cli.probe_output import answer_text
from tritongen.errors import EnvironmentProblem, ExitCode
from tritongen.model.findings import Severity, finding
from tritongen.planner.context import show_rate
from tritongen.probe.questions.goal_and_knee import SearchAnswer
from tritongen.triton.server import ModelStatus


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    """A terminal with colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


@pytest.fixture
def quiet():
    output.keep_quiet(wanted=True)
    yield
    output.keep_quiet(wanted=False)


def test_the_next_command_is_told_where_there_is_no_terminal(capfd):
    """In a notebook or in CI."""
    suggest("tritongen build models")
    assert capfd.readouterr().out == "\nnext: tritongen build models\n"


def test_who_wants_it_quiet_reads_results_alone(quiet, terminal, capfd):
    suggest("tritongen build models")
    output.remark("a remark")
    output.progress("a stage")
    with output.ProgressBar() as bar:
        bar("loading", 1, 2)
    assert terminal.getvalue() == ""
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.25, "0.25"), (50.0, "50"), (999.9, "999.9"), (999.99, "1,000"), (11_000.0, "11,000")],
)
def test_a_rate_has_no_exponent(rate, text):
    assert show_rate(rate) == text


def test_an_answer_names_its_rates_in_full():
    answer = SearchAnswer("m", "goal", "p99<5ms", "rate", 11_000.0, 12_500.0, None, 13_000.0)
    told = "m: p99<5ms holds up to 11,000 requests/s (p99 unknown); 12,500 does not"
    assert answer_text(answer) == told


@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)],
)
def test_a_terminal_is_coloured_unless_it_is_told_otherwise(
    name, value, coloured, terminal, monkeypatch
):
    monkeypatch.setenv(name, value)
    assert output.colours(terminal) is coloured
    assert not output.colours(io.StringIO())


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (finding("TG701", Severity.INFO, "drift"), "info TG701 drift"),
        (finding("TG701", Severity.INFO, "drift", model="m"), "info TG701 m: drift"),
        (
            finding("TG701", Severity.INFO, "drift", model="m", path="a.yaml", line=3, field="f"),
            "info TG701 m a.yaml:3:f: drift",
        ),
        (
            finding("TG701", Severity.INFO, "drift", model="m", path="m/config.pbtxt", line=3),
            "info TG701 m/config.pbtxt:3: drift",
        ),
        (
            finding("TG701", Severity.INFO, "drift", model="m", path="m.onnx"),
            "info TG701 m.onnx: drift",
        ),
        (
            finding("TG701", Severity.INFO, "m.onnx is cut", model="m", path="m.onnx"),
            "info TG701 m.onnx is cut",
        ),
        (
            finding("TG701", Severity.INFO, "a.yaml is cut", model="m", path="a.yaml"),
            "info TG701 m a.yaml: a.yaml is cut",
        ),
    ],
)
def test_a_finding_names_its_place_once(item, line, capsys):
    output.print_findings([item])
    assert capsys.readouterr().out == f"{line}\n"


def test_a_finding_that_matters_comes_with_its_fix(capsys):
    output.print_findings([finding("TG701", Severity.WARNING, "drift", fix="Build.")])
    assert capsys.readouterr().out == "warning TG701 drift\n  → Build.\n"


@pytest.mark.parametrize(
    ("stated", "width"),
    [("60", 60), ("0", None), ("", None), ("-3", None), ("²", None), ("wide", None)],
)
def test_columns_says_how_wide_a_line_is(stated, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", stated)
    assert output.terminal_width(io.StringIO()) == width


def test_prose_breaks_between_words_and_a_command_stays_whole(monkeypatch, capsys):
    text = "  → Build it anew: `tritongen build models`, then start `tritongen up`."
    monkeypatch.setenv("COLUMNS", "30")
    say(text)
    suggest("tritongen optimize models -m one -m two --fix")
    output.say_lines(text)
    assert capsys.readouterr().out.splitlines() == [
        "  → Build it anew:", "    `tritongen build models`,", "    then start `tritongen up`.", "",
        "next: tritongen optimize models -m one -m two --fix", text,
    ]  # fmt: skip
    monkeypatch.delenv("COLUMNS")
    say(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_what_is_longer_than_a_line_is_not_cut(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "12")
    say("in a/very/long/path.onnx: 文書 分類文")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["in", "  a/very/long/path.onnx:", "  文書", "  分類文"]


def test_styles_take_no_cells_and_each_line_has_its_own(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "24")
    long = "one two three four five six seven"
    print_table(
        ("a", "state", "b"), [("x", good("ready"), "y"), ("z", severe(long, Severity.ERROR), "w")]
    )
    say(f"{good('ready')}: {dim(long)}")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "x  \033[32mready\033[0m               y",
        "z  \033[31mone two three four\033[0m  w",
        "   \033[31mfive six seven\033[0m",
        "\033[32mready\033[0m: \033[2mone two three\033[0m",
        "\033[2m  four five six seven\033[0m",
    ]


def test_no_line_that_is_broken_commands_a_ci_runner(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    say("a name that is long ::error ::gone\n::notice ::more")
    lines = capsys.readouterr().out.splitlines()
    begun = ("error", "gone\\n::notice", "more")
    assert lines == ["a name that is long", *(rf"  \x3a:{word}" for word in begun)]


def test_a_table_says_what_it_leaves_out(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "12")
    output.print_table(("a", "size", "b"), [("name", "123456", "x")], drop=("size",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a     b", "name  x"]
    assert " ".join(map(str.strip, lines[2:])) == "left out for want of width: size"
    monkeypatch.setenv("COLUMNS", "15")
    output.print_table(("a", "size", "b"), [("name", "123456", "x")], drop=("size",))
    assert capsys.readouterr().out.splitlines() == ["a     size    b", "name  123456  x"]


def test_an_error_is_told_on_stderr_and_as_json_where_it_is_asked_for(capsys):
    problem = EnvironmentProblem("TG814", "gone", where="host", fix="Start it.", details=["a\nb"])
    output.report_error(problem, as_json=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["error TG814 host: gone", "  a", "  b", "  → Start it."]
    output.report_error(problem, as_json=True)
    assert json.loads(capsys.readouterr().out)["error"] == {
        "code": "TG814", "message": "gone", "where": "host", "fix": "Start it.",
        "details": ["a\nb"],
    }  # fmt: skip


def test_a_document_is_ascii_where_the_stream_cannot_take_more(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    output.emit_json({"name": "日"})
    stream.flush()
    assert json.loads(stream.buffer.getvalue())["name"] == "日"
    wide = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr("sys.stdout", wide)
    output.emit_json({"name": "日"})
    wide.flush()
    assert "日".encode() in wide.buffer.getvalue()


def test_an_empty_text_prints_no_line(capsys):
    output.emit("")
    output.say_lines("")
    output.say_lines("a\r\n\tb\n")
    assert capsys.readouterr().out == "a\n        b\n"


def test_progress_is_a_line_that_rewrites_itself_and_is_gone_at_the_end(terminal, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal)
    with output.ProgressBar() as bar:
        bar("loading", 1, 3)
        bar("waiting", 1, 0)
    shown = terminal.getvalue()
    assert "loading, 1 of 3 done" in shown
    assert "waiting\033[0m" in shown
    assert shown.endswith("\r\033[K")
    assert "\n" not in shown


def test_elsewhere_each_stage_is_one_line(monkeypatch):
    """Models that are tried are one stage; so is a download, whose units are bytes."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with output.ProgressBar() as bar:
        bar("waiting", 0, 0)
        for done in range(3):
            bar(f"trying {done}", done, 3)
        for done in (0, 1 << 20):
            bar("downloading", done, 2 << 20)
        bar.told("trying", 0, 0)
    output.progress("a stage")
    assert stream.getvalue().splitlines() == [
        "trying 0, 0 of 3 done", "downloading 0 %", "trying …", "a stage",
    ]  # fmt: skip


def test_the_time_that_is_left_is_told_once_it_means_something(terminal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr", terminal)
    with output.ProgressBar() as bar:
        for at, done in ((100.0, 2), (104.0, 4), (110.0, 6), (400.0, 12)):
            now[0] = at
            bar("trying", done, 42)
    shown = terminal.getvalue()
    assert "4 of 42 done\033" in shown, "four seconds say little"
    assert "6 of 42 done, about 90 s left" in shown
    assert "12 of 42 done, about 15 min left" in shown


@pytest.mark.parametrize(
    ("terminal", "no", "force", "coloured"),
    [
        (True, "", "", True), (False, "", "", False), (True, "1", "", False),
        (False, "", "1", True), (False, "", "0", False), (True, "1", "1", False),
    ],
)  # fmt: skip
def test_who_decides_on_colours(terminal, no, force, coloured, monkeypatch):
    """As other tools do: NO_COLOR forbids, FORCE_COLOR asks, and a terminal is asked last."""
    monkeypatch.setenv("NO_COLOR", no)
    monkeypatch.setenv("FORCE_COLOR", force)
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    assert output.colours(stream) is coloured


def test_a_stage_is_logged_once_and_one_without_an_end_never(caplog):
    caplog.set_level("INFO")
    with output.ProgressBar() as bar:
        for done in range(3):
            bar("loading", done, 3)
        bar("waiting", 0, 0)
    assert [record.message for record in caplog.records if "cli.output" in record.name] == [
        "loading"
    ]


def test_models_that_are_not_ready_are_findings(capsys):
    ready = ModelStatus("a", ready=True)
    refused = ModelStatus("b", ready=False, reason="no such file")
    assert output.readiness([ready]) is ExitCode.OK
    assert output.readiness([ready, refused]) is ExitCode.FINDINGS
    output.print_states([ready, refused])
    assert capsys.readouterr().out.splitlines() == [
        "model  state", "a      ready", "b      no such file",
    ]  # fmt: skip


def test_nothing_left_out_is_no_word(capsys):
    output.print_left_out({})
    assert capsys.readouterr().out == ""
    output.print_left_out({"a": ["TG110", "TG111"], "b": ["TG121"]})
    assert "not served: a [TG110, TG111], b [TG121]" in capsys.readouterr().out


def test_code_of_a_folder_is_told_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tritongen").mkdir(mode=0o700)
    output.tell_of_code(tmp_path, [])
    assert capsys.readouterr().err == ""
    output.tell_of_code(tmp_path, ["d", "c", "b", "a"], served=True)
    told = capsys.readouterr().err
    assert "and then in a server: a, b, c and 1 more; --untrusted forbids it" in told
    output.tell_of_code(tmp_path, ["a"])
    assert capsys.readouterr().err == ""
    other = tmp_path / "other"
    other.mkdir()
    output.tell_of_code(other, ["a", "b", "c"])
    told = capsys.readouterr().err
    assert ": a, b, c; --untrusted" in told
    assert "server" not in told
