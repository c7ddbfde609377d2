"""What people and programs read: tables and JSON on stdout, progress and errors on stderr."""

import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from tritongen.api.documents import error_json, whole_document
from tritongen.errors import ExitCode, TritongenError
from tritongen.model.codec import view
from tritongen.model.findings import Finding, Severity
from tritongen.model.printable import json_text, printable, printable_line

if TYPE_CHECKING:
    from tritongen.repository.compare import Difference
    from tritongen.triton.server import ModelStatus


# An option of the whole command line.
_asked = {"quiet": False}
_STYLES = {
    Severity.ERROR: "31",
    Severity.WARNING: "33",
    Severity.INFO: "36",
}
_GOOD = "32"
_BOLD = "1"
_DIM = "2"
# More units than this are bytes, and told as a share.
_MAX_COUNTED = 100_000
# Seconds of a stage before the time that is left is told. Chosen: a rate of less is chance.
_SURE_AFTER_S = 5.0
_MINUTES_FROM_S = 100.0
# Stands for the escape character of our own styles until a line is written. Nobody can know it:
# what looks like a style in a name is shown as text.
_MARK = f"<{os.urandom(8).hex()}>"
_STYLE = re.compile(rf"{_MARK}\[\d+m")
_PLAIN = f"{_MARK}[0m"
_LEAD = re.compile(rf"(?:{_MARK}\[\d+m|\s)*")


def colours(stream: TextIO) -> bool:
    """Whether to colour: NO_COLOR forbids it, FORCE_COLOR asks for it; else on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style, where the stream shows styles; for `say` alone."""
    return f"{_MARK}[{style}m{text}{_PLAIN}" if colours(stream or sys.stdout) else text


def good(text: str) -> str:
    """Text in the colour of success."""
    return paint(text, _GOOD)


def bold(text: str) -> str:
    """Emphasised text."""
    return paint(text, _BOLD)


def dim(text: str) -> str:
    """Text that stands back."""
    return paint(text, _DIM)


def severe(text: str, severity: Severity) -> str:
    """Text in the colour of a severity."""
    return paint(text, _STYLES[severity])


def styled_line(text: str) -> str:
    """A line with nothing in it that commands a terminal or a CI runner but our own styles."""
    lead = _LEAD.match(text)
    begin = lead.end() if lead else 0
    return (printable(text[:begin]) + printable_line(text[begin:])).replace(_MARK, "\033")


def say(
    text: str = "", *, stream: TextIO | None = None, flush: bool = False, wrap: bool = True
) -> None:
    """Print one line: whatever stands in it is text, and none of it begins a line by itself.

    Args:
        text: of the line.
        stream: stdout when None.
        flush: at once.
        wrap: at the width of the terminal; not what is copied from it, such as a command.
    """
    stream = stream or sys.stdout
    for line in _folded(text, terminal_width(stream)) if wrap else [text]:
        print(styled_line(line), file=stream, flush=flush)


def _folded(text: str, width: int | None) -> Iterator[str]:
    """The lines of a text in a terminal, each with its styles complete."""
    if width is None:
        yield text
        return
    from tritongen.cli.table import folded

    style = ""
    for line in folded(printable(text), width, _width):
        found = [style, *_STYLE.findall(line)]
        begin, style = style, "" if found[-1] == _PLAIN else found[-1]
        yield f"{begin}{line}{_PLAIN if style else ''}"


def say_error(text: str) -> None:
    """Print one line on stderr."""
    say(text, stream=sys.stderr)


def say_lines(text: str, *, stream: TextIO | None = None) -> None:
    """Print the lines of a text that has many: a difference, a draft; nothing for no text."""
    for line in text.removesuffix("\n").split("\n") if text else ():
        say(line.removesuffix("\r").expandtabs(), stream=stream, wrap=False)


def emit(document: str) -> None:
    """Print a document whose writer has made it safe in its own form: JSON, SARIF, annotations."""
    sys.stdout.write(document.removesuffix("\n") + "\n" if document else "")


def document_text(document: Mapping[str, object], *, ascii_only: bool = False) -> str:
    """The JSON text of one object, whose values may be dataclasses, with its schema version."""
    return json_text(whole_document(document), indent=2, ascii_only=ascii_only)


def emit_json(document: Mapping[str, object]) -> None:
    """Print one object with its schema version, and nothing else."""
    text = document_text(document)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # another encoding, or bytes of a file name that are no text
        text = document_text(document, ascii_only=True)
    emit(text)


def present(
    form: str, document: Callable[[], Mapping[str, object]], show: Callable[[], None]
) -> None:
    """Print a result as it is asked for.

    Args:
        form: `json`, or text.
        document: the result for programs.
        show: prints it for people.
    """
    if form == "json":
        emit_json(document())
    else:
        show()


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, drop: Sequence[str] = ()
) -> None:
    """Print columns that fit the terminal; where there is none they are as wide as they are.

    Args:
        headers: of the columns.
        rows: their cells.
        drop: headers of columns that are left out where they do not fit, the first one first.
    """
    from tritongen.cli.table import fitted, joined_rows

    table = [[printable(cell) for cell in row] for row in (headers, *rows)]
    may_go = [headers.index(name) for name in drop]
    shown, widths = fitted(table, terminal_width(sys.stdout), may_go, _width)
    for number, row in enumerate(table):
        for line in joined_rows([row[index] for index in shown], widths, _width, _wrap):
            say(bold(line) if number == 0 else line, wrap=False)
    if left := [name for index, name in enumerate(headers) if index not in shown]:
        say(dim(f"left out for want of width: {', '.join(left)}"))


def terminal_width(stream: TextIO) -> int | None:
    """Columns of a terminal, or what COLUMNS says instead; None where lines have no end."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isascii() and stated.isdigit() and int(stated):
        return int(stated)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _width(cell: str) -> int:
    """Cells of a text on a terminal, without its styles."""
    from tritongen.cli.table import cells_of

    return cells_of(_STYLE.sub("", cell))


def _wrap(cell: str, width: int) -> list[str]:
    """The lines of a cell, each in the style in which it begins."""
    from tritongen.cli.table import wrapped

    style, lines = _STYLE.match(cell), wrapped(_STYLE.sub("", cell), width)
    return [f"{style[0]}{line}{_PLAIN}" for line in lines] if style else lines


def print_findings(items: Iterable[Finding]) -> None:
    """Print findings, each with its fix."""
    for item in items:
        _print_finding(item)


def _print_finding(item: Finding) -> None:
    place = ":".join(
        part
        for part in (item.location.path, str(item.location.line or ""), item.location.field)
        if part
    )
    # A path of the model's folder or file names the model already.
    first = place.replace(":", "/").partition("/")[0]
    named = item.model in {first, first.rpartition(".")[0]}
    where = place if named else " ".join(part for part in (item.model, place) if part)
    head = severe(f"{item.severity.value} {item.code}", item.severity)
    told = bool(place) and named and item.message.startswith(place)
    say(f"{head} {where + ': ' if where and not told else ''}{item.message}")
    if item.severity is not Severity.INFO:
        say(f"  → {item.fix}")


def print_diffs(differences: "Iterable[Difference]") -> None:
    """Print what would change, line by line."""
    for difference in differences:
        say_lines("\n".join(difference.diff()))


def print_states(models: "Sequence[ModelStatus]") -> None:
    """Print whether each model serves, or why it does not."""
    states = [good("ready") if one.ready else severe(one.reason, Severity.ERROR) for one in models]
    names = [one.name for one in models]
    print_table(("model", "state"), zip(names, states, strict=True))


def states_json(models: "Sequence[ModelStatus]") -> list[dict[str, object]]:
    """Whether each model serves, as JSON."""
    return [view(one, "name", "ready", "reason") for one in models]


def readiness(models: "Sequence[ModelStatus]") -> ExitCode:
    """Whether every model serves."""
    return ExitCode.OK if all(one.ready for one in models) else ExitCode.FINDINGS


def print_left_out(codes: Mapping[str, Sequence[str]]) -> None:
    """The last word on models that are not served, whose findings stand above it.

    Args:
        codes: of each model's errors, by its name.
    """
    if codes:
        told = ", ".join(f"{name} [{', '.join(found)}]" for name, found in codes.items())
        say(severe(f"not served: {told}", Severity.ERROR))
        purpose = "each fix stands above; `serve: false` leaves a model out on purpose"
        say(f"  → {purpose}")


def report_error(problem: TritongenError, *, as_json: bool) -> None:
    """Print an error: for people on stderr, and as the one object on stdout when JSON is asked."""
    head = paint(f"error {problem.code}", _STYLES[Severity.ERROR], sys.stderr)
    say_error(f"{head} {problem}")
    for detail in problem.details:
        for line in detail.split("\n"):
            say_error(f"  {line.expandtabs()}")
    say_error(f"  → {problem.fix}")
    if as_json:
        emit_json({"error": error_json(problem)})


def keep_quiet(*, wanted: bool) -> None:
    """Whether only results and errors are printed from here on."""
    _asked["quiet"] = wanted


def remark(text: str) -> None:
    """A line on stderr beside the results; none for who wants it quiet."""
    if not _asked["quiet"]:
        say_error(text)


def progress(text: str) -> None:
    """A line of progress for a stage."""
    _log_stage(text)
    remark(paint(text, _DIM, sys.stderr))


def _log_stage(text: str) -> None:
    import logging  # not for `--help`

    logging.getLogger(__name__).info("%s", text)


class ProgressBar:
    """A line of progress; call it with units done.

    On a terminal it rewrites itself. Elsewhere there is one line for each stage: for all models
    that are tried, as for a download.
    """

    def __init__(self) -> None:
        self._shown = False
        self._what = ""
        # Of the stage: units in all, units that were done when it began, and when that was.
        self._stage = (0, 0, 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show what is being done, and how far it is when the total is known."""
        begins = bool(total) and what != self._what
        if begins:
            self._what = what
            _log_stage(what)
            begins = total != self._stage[0]
        if begins:
            self._stage = (total, done, time.monotonic())
        line = paint(what + self._position(done, total), _DIM, sys.stderr)
        if not sys.stderr.isatty():
            if begins:
                remark(line)
        elif not _asked["quiet"]:
            sys.stderr.write(f"\r\033[K{styled_line(line)}")
            sys.stderr.flush()
            self._shown = True

    def _position(self, done: int, total: int) -> str:
        """How far it is: of few units their number, of bytes their share; and the time left."""
        if not total:
            return ""
        told = f", {done} of {total} done" if total <= _MAX_COUNTED else f" {100 * done // total} %"
        begun, at = self._stage[1:]
        spent = time.monotonic() - at
        if done <= begun or spent < _SURE_AFTER_S:
            return told
        left = spent * (total - done) / (done - begun)
        time_left = f"{left:.0f} s" if left < _MINUTES_FROM_S else f"{left / 60:.0f} min"
        return f"{told}, about {time_left} left"

    def told(self, what: str, done: int, total: int) -> None:
        """Progress of the API: what has no measure yet is a line of its own."""
        if what and not done and not total:
            progress(f"{what} …")
        else:
            self(what, done, total)


def suggest(*commands: str) -> None:
    """Name the next commands, on a terminal or not; JSON has no such line."""
    if _asked["quiet"]:
        return
    say()
    for command in commands:
        say(f"{dim('next:')} {command}", wrap=False)


def tell_of_code(folder: Path, names: Collection[str], *, served: bool = False) -> None:
    """One line on stderr, the first time that code of a folder runs; see `code_notice`."""
    from tritongen.api.code_notice import code_notice

    if text := code_notice(folder, names, served=served):
        say_error(text)
