import io
import json
import signal

import pytest

from tritongen.model.evidence import BatchProof, BatchVerdict, Cost, ObservedTensor
from tritongen.model.tensors import DType
from tritongen.trial.child import ChildEnd, ChildResult
from tritongen.trial.child_report import Reporter, make_trial, read_report
from tritongen.trial.child_request import TrialOptions

OPTIONS = TrialOptions(cores=1, timeout_s=5)


def told(*steps):
    sink = io.StringIO()
    reporter = Reporter(sink)
    for step in steps:
        step(reporter)
    return sink.getvalue()


def ran(reporter):
    reporter.known(
        ok=True,
        inputs=(ObservedTensor("x", DType.FP32, (1, 2), "zeros"),),
        outputs=(ObservedTensor("y", DType.INT64, (1,)),),
    )


def trial(end, status, *steps, words=""):
    output = told(*steps)
    result = ChildResult(end, status, output, words)
    return make_trial(read_report(output), result, OPTIONS, 3 * 2**30)


@pytest.mark.parametrize(
    ("end", "status", "words", "code", "message"),
    [
        (ChildEnd.TIMED_OUT, 9, "", "TG202", "still running 1 row after 5 s"),
        (
            ChildEnd.TOO_LARGE,
            9,
            "",
            "TG203",
            "more than 3.0 GiB of memory in use while running 1 row",
        ),
        (ChildEnd.SIGNALLED, signal.SIGSEGV, "", "TG204", "SIGSEGV while running 1 row"),
        (
            ChildEnd.SIGNALLED,
            signal.SIGABRT,
            "double free",
            "TG204",
            "SIGABRT while running 1 row: dou",
        ),
        (ChildEnd.SIGNALLED, signal.SIGABRT, "std::bad_alloc", "TG203", "out of memory"),
        (ChildEnd.SIGNALLED, signal.SIGKILL, "", "TG203", "killed by the system"),
        (ChildEnd.SIGNALLED, signal.SIGXCPU, "", "TG202", "used up its CPU time"),
        (ChildEnd.SIGNALLED, 200, "", "TG204", "signal 200"),
        (
            ChildEnd.EXITED,
            3,
            "ValueError: no",
            "TG204",
            "status 3 while running 1 row: ValueError: no",
        ),
        (ChildEnd.EXITED, 1, "MemoryError", "TG203", "out of memory"),
    ],
)
def test_how_the_child_ended_becomes_code_and_message(end, status, words, code, message):
    result = trial(end, status, lambda r: r.stage("running 1 row"), words=words)
    assert not result.ok
    assert result.code == code
    assert message in result.error
    assert result.proof.verdict is BatchVerdict.UNTESTED


@pytest.mark.parametrize(
    ("end", "status", "verdict"),
    [
        (ChildEnd.SIGNALLED, signal.SIGSEGV, BatchVerdict.DISPROVEN),
        (ChildEnd.TIMED_OUT, 9, BatchVerdict.UNTESTED),
        (ChildEnd.TOO_LARGE, 9, BatchVerdict.UNTESTED),
    ],
)
def test_a_failure_on_more_rows_keeps_what_one_row_showed(end, status, verdict):
    result = trial(end, status, ran, lambda r: r.running(2))
    assert result.ok
    assert result.code
    assert result.inputs[0].values == "zeros"
    assert result.proof.verdict is verdict
    assert "2 rows" in result.proof.reason


def test_a_failure_while_measuring_keeps_proof_and_costs():
    proof = BatchProof(BatchVerdict.PROVEN, "rows agree", (1, 2, 3), 0.5, 1.0)
    result = trial(
        ChildEnd.TIMED_OUT,
        9,
        ran,
        lambda r: r.known(proof=proof, zeros_ok=True),
        lambda r: r.stage("measuring"),
        lambda r: r.known(costs=(Cost(1, 1, 2.5),)),
    )
    assert result.proof == proof
    assert result.costs == (Cost(1, 1, 2.5),)
    assert result.zeros_ok
    assert result.code == "TG202"


def test_a_child_that_has_told_everything_may_end_as_it_likes():
    result = trial(ChildEnd.SIGNALLED, signal.SIGSEGV, ran, lambda r: r.done())
    assert result.ok
    assert result.code == ""


def test_lines_that_were_cut_short_are_left_out():
    text = told(lambda r: r.known(ok=True, runtime="lib 1")) + '{"trial": {"zeros_'
    report = read_report(text)
    assert report.fields == {"ok": True, "runtime": "lib 1"}
    assert not report.done


def test_reports_are_json_without_special_numbers():
    assert json.loads(told(lambda r: r.known(mean=float("nan")))) == {"trial": {"mean": None}}
    assert json.loads(told(lambda r: r.stage("x"))) == {"stage": "x"}
