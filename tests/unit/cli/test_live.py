"""Progress of a search: a line that rewrites itself on a terminal, one now and then elsewhere."""

import io
import os

import pytest

from tritongen.cli import tune
from tritongen.cli.tune import Live


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_elsewhere_a_note_is_a_line_and_steps_are_told_now_and_then(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(tune.time, "monotonic", lambda: now[0])
    with Live() as live:
        live.told("trying the models", 0, 0)
        for later, text in ((4.9, "early"), (0.1, "due"), (4.9, "early"), (0.2, "again")):
            now[0] += later
            live._say(text, always=False)
        live.told("at once", 0, 0)
        live.told("", 0, 0)
    told = capsys.readouterr().err.splitlines()
    assert told == ["trying the models …", "due", "again", "at once …"]


@pytest.mark.parametrize(("columns", "length"), [(40, 39), (5, 20)])
def test_on_a_terminal_a_line_never_wraps(columns, length, monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr", stream)
    size = os.terminal_size((columns, 24))
    monkeypatch.setattr(tune.shutil, "get_terminal_size", lambda **_: size)
    with Live() as live:
        live._say("x" * 200, always=False)
    shown = stream.getvalue()
    assert shown.count("x") == length
    assert "\n" not in shown


def test_where_it_stands_is_told_in_shares_of_the_whole(monkeypatch, capsys):
    monkeypatch.setattr(tune.time, "monotonic", lambda: 100.0)
    with Live() as live:
        live.told("ocr: racing", 30, 120)
    assert capsys.readouterr().err == "ocr: racing · 25 %\n"
