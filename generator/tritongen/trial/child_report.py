"""What the child tells its parent, one JSON object a line, each at once; and the trial it makes.

Lines are ``{"stage": "running 2 rows"}``, what is about to happen; ``{"trial": {…}}``, fields of
`Trial` that are known from now on; ``{"missing": [what, fix]}``, a library that is not installed;
and ``{"done": true}``. A crash loses nothing that was known before it.
"""

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from tritongen.model.codec import decode, encode, parse_json
from tritongen.model.evidence import BatchVerdict, Trial
from tritongen.trial.child import ChildEnd, ChildResult
from tritongen.trial.child_request import TrialOptions


def known_fix(text: str) -> str:
    """How to get a library, in the tool's own words; empty for those of a model."""
    return text if re.fullmatch(r"pip install 'tritongen\[\w+\]'", text) else ""


class Reporter:
    """The child's side."""

    def __init__(self, sink: TextIO) -> None:
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


# The last stage, which counts for an estimate; what ends it takes nothing else with it.
COUNTING = "counting its operations"


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
    """Gather the child's lines; one that was cut short by its end, or is none, is left out."""
    fields: dict[str, object] = {}
    stage, rows, missing, done = "starting", 0, None, False
    for raw in text.splitlines():
        try:
            line = parse_json(raw)
            if "stage" in line:
                stage, rows = str(line["stage"]), int(line.get("rows", 0))
            elif "trial" in line:
                fields |= line["trial"]
            elif "missing" in line:
                what, fix = line["missing"]
                missing = (str(what), known_fix(str(fix)))
            elif "done" in line:
                done = True
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            continue  # a model that is code can write here, too
    return Report(fields, stage, rows, missing, done)


def make_trial(
    report: Report, result: ChildResult, options: TrialOptions, memory_bytes: int
) -> Trial:
    """The trial, with the failure that ended it when it did not come to its end."""
    fields: dict[str, object] = {
        "runtime": "",
        "ok": False,
        "seed": options.seed,
        **report.fields,
    }
    if report.done or report.stage == COUNTING:
        return _decoded(fields)
    code, error = _failure(report, result, options, memory_bytes)
    fields |= {"code": code, "error": error}
    if fields["ok"] is True and "proof" not in fields:
        # Time and memory say nothing of axis 0; a crash on several rows does.
        crashed = report.rows > 1 and code == "TG204"
        verdict = BatchVerdict.DISPROVEN if crashed else BatchVerdict.UNTESTED
        fields["proof"] = {"verdict": verdict.value, "reason": error}
    return _decoded(fields)


def _decoded(fields: Mapping[str, object]) -> Trial:
    try:
        return decode(Trial, fields)
    except ValueError:  # told by the model itself
        return Trial("", ok=False, code="TG204", error="its report cannot be read")


def _failure(
    report: Report, result: ChildResult, options: TrialOptions, memory_bytes: int
) -> tuple[str, str]:
    """Finding code and one line on how the child ended."""
    doing = report.stage
    if result.end is ChildEnd.TIMED_OUT:
        return "TG202", f"still {doing} after {options.timeout_s:g} s"
    if result.end is ChildEnd.TOO_LARGE:
        return "TG203", f"more than {_size(memory_bytes)} of memory in use while {doing}"
    words = f": {result.last_words}" if result.last_words else ""
    if result.starved:
        return "TG203", f"out of memory while {doing}{words}"
    if result.end is ChildEnd.SIGNALLED:
        return _signalled(result.status, doing, words)
    return "TG204", f"the child ended with status {result.status} while {doing}{words}"


def _signalled(number: int, doing: str, words: str) -> tuple[str, str]:
    if number == signal.SIGXCPU:
        return "TG202", f"used up its CPU time while {doing}"
    if number == signal.SIGKILL:
        # Nobody here sent it; the kernel does so when memory is short.
        return "TG203", f"killed by the system while {doing}, most likely for memory"
    return "TG204", f"{_signal_name(number)} while {doing}{words}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
