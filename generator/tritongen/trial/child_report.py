"""What the child tells its parent: one JSON object a line, each at once.

Lines are ``{"stage": "running 2 rows"}``, what is about to happen; ``{"trial": {…}}``, fields of
`Trial` that are known from now on; ``{"missing": [what, fix]}``, a library that is not installed;
and ``{"done": true}``. A crash loses nothing that was known before it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tritongen.model.codec import encode


class _Sink(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Reporter:
    """The child's side."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink

    def stage(self, doing: str) -> None:
        """What is about to happen, as the end of "while …"."""
        self._put({"stage": doing})

    def running(self, rows: int) -> None:
        """A batch of so many rows is about to run, to be compared with rows alone."""
        self._put({"stage": f"running {rows} row{'s' if rows > 1 else ''}", "rows": rows})

    def known(self, **fields: object) -> None:
        """Fields of `Trial` that are known now."""
        self._put({"trial": {name: encode(value) for name, value in fields.items()}})

    def missing(self, what: str, fix: str) -> None:
        """A library is not installed; nothing follows."""
        self._put({"missing": [what, fix]})

    def done(self) -> None:
        """The trial has come to its end."""
        self._put({"done": True})

    def _put(self, line: Mapping[str, object]) -> None:
        self._sink.write(json.dumps(line, allow_nan=False) + "\n")
        self._sink.flush()


@dataclass(frozen=True, slots=True)
class Report:
    """The parent's side: everything that the child said.

    Attributes:
        fields: JSON values of the fields of `Trial` that were known.
        stage: what the child was doing last.
        rows: of the batch that it was comparing last, 0 when it was doing something else.
        missing: (what, fix) of a library that is not installed, None when there is none.
        done: whether the child came to its end.
    """

    fields: Mapping[str, object]
    stage: str
    rows: int
    missing: tuple[str, str] | None
    done: bool


def read_report(text: str) -> Report:
    """Gather the child's lines; one that was cut short by its end is left out."""
    fields: dict[str, object] = {}
    stage, rows, missing, done = "starting", 0, None, False
    for raw in text.splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if "stage" in line:
            stage, rows = str(line["stage"]), int(line.get("rows", 0))
        elif "trial" in line:
            fields |= line["trial"]
        elif "missing" in line:
            missing = (str(line["missing"][0]), str(line["missing"][1]))
        elif "done" in line:
            done = True
    return Report(fields, stage, rows, missing, done)
