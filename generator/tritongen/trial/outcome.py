"""From what the child left to a `Trial`."""

import signal

from tritongen.model.codec import decode
from tritongen.model.evidence import BatchVerdict, Trial
from tritongen.trial.child import ChildEnd, ChildResult
from tritongen.trial.child_report import Report
from tritongen.trial.trial_options import TrialOptions


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
    if report.done:
        return decode(Trial, fields)
    code, error = _failure(report, result, options, memory_bytes)
    fields |= {"code": code, "error": error}
    if fields["ok"] is True and "proof" not in fields:
        verdict = _verdict(report, code)
        fields["proof"] = {"verdict": verdict.value, "reason": error}
    return decode(Trial, fields)


def _verdict(report: Report, code: str) -> BatchVerdict:
    """Time and memory say nothing of axis 0; a crash on several rows does."""
    return BatchVerdict.DISPROVEN if report.rows > 1 and code == "TG204" else BatchVerdict.UNTESTED


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
