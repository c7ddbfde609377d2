"""What a terminal of 80 and of 140 columns shows of results that a server gives, reviewed as text.

Names, reasons and figures are of the length that they have at work. The stories at both widths in
`test_transcripts.py` hold the commands that need no server.
"""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from support.printed import measured, too_wide, tuned
from support.probe import a_level
from tritongen.api.probing import ProbedLoads
from tritongen.cli import doctor, observe, optimize, probe_output, status, tune_output, up, verify
from tritongen.errors import CODES
from tritongen.fleet.observe.advice import ModelExpectation, RateChange
from tritongen.fleet.observe.model_counters import CounterStep, ModelCounters, Observed
from tritongen.fleet.observe.observe_server import Observation
from tritongen.model.findings import Severity, finding
from tritongen.model.variants import Accuracy, Proof, Speedup, Step, StepKind, Variant, Verdict
from tritongen.optimize.optimize_models import OptimizedModel
from tritongen.probe.probe_request import ProbeReport
from tritongen.probe.questions.comparison import Change, FigureComparison
from tritongen.probe.questions.goal_and_knee import SearchAnswer
from tritongen.probe.report.json_document import Environment
from tritongen.probe.statistics.attribution import Advice
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import LevelVerdict
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.serving.attached import ServerStatus
from tritongen.serving.doctor import Check
from tritongen.serving.up import UpResult
from tritongen.serving.verify import VerifiedModel, VerifiedOutput
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState
from tritongen.tune.search.objective import Performance
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.tuner import Evaluated
from tritongen.tune.tune_result import TuneReport
from tritongen.tune.variant_comparison import VariantComparison

TEXTS = Path(__file__).parent / "terminal"
OCR, TITLES, LONG = "ocr_recognition", "文書分類", "multilingual_sentence_embedding_v2"
ENDS = Endpoints("localhost:8000", "localhost:8001", "localhost:8002")
REFUSED = (
    f"unable to load model '{LONG}', configuration expects 2 inputs, model provides 3 "
    "(input_ids, attention_mask, token_type_ids)"
)
STATES = (
    ModelStatus(OCR, ready=True),
    ModelStatus(TITLES, ready=True),
    ModelStatus(LONG, ready=False, reason=REFUSED, code="TG823"),
)
OLDER = "the server's configuration is older"


def probed() -> None:
    advice = (Advice("78% queue, batch 1.0: dynamic batching is off", f"tritongen tune -m {OCR}"),)
    sure = "p99 within ±7.7%, throughput within ±1.2% at 95% confidence"
    closed = [
        replace(a_level(OCR, ClosedLoop(clients), 3168.0 * clients), advice=advice, reason=sure)
        for clients in (2, 16)
    ]
    late = replace(
        a_level(TITLES, OpenLoop(250.0), 250.0, failed=3, verdict=LevelVerdict.UNSTABLE),
        reason="the time was up while p99 was known within ±103%, throughput within ±9.1% at 95% "
        "confidence",
    )
    answer = SearchAnswer(OCR, "goal", "p99<5ms", "rate", 11_000.0, 12_500.0, closed[1], 13_000.0)
    whose = "a backend of this project's own"
    environment = Environment("2026-01-01T00:00:00Z", "1", "triton", "h", {}, measured_on=whose)
    report = ProbeReport(environment, [*closed, late])
    deliver(ProbedLoads(report))
    deliver(ProbedLoads(replace(report, levels=closed), (answer,)))


def compared() -> None:
    ratio = Interval(1.25, 1.1, 1.4)
    deliver(
        ProbedLoads(
            None,
            comparisons=[
                FigureComparison(
                    LONG, "c = 8", "throughput", 1e4, 12.5e3, ratio, Change.BETTER
                ),
                FigureComparison(TITLES, "250/s", "p99", 1e3, None, None, Change.UNKNOWN),
                FigureComparison(OCR, "c = 8", "p99", 1e3, 1250.0, ratio, Change.WORSE),
            ],
        )
    )  # fmt: skip


def deliver(found: ProbedLoads) -> None:
    probe_output.deliver(Namespace(format="text", output=None), found)


def tuning() -> None:
    better = VariantComparison(
        "int8", "", Change.BETTER, Interval(1.5, 1.4, 1.6), Interval(0.7, 0.6, 0.8),
        Candidate(1, 1),
    )  # fmt: skip
    unsure = Evaluated(
        Candidate(1, 1, 16, 100), ClosedLoop(32), "running", Performance(5880.0, 0.009, 2),
        measured(6820.0, 9.0, 1), "not separated when the time was up",
    )  # fmt: skip
    one = tuned(
        name=OCR, recorded=True, offers=(better,),
        sentence="the time was up; 2x1 b8 d500 was ahead, 1 more was not separated",
        notes=("the load generator shares the cores with the server, since there are no others",),
        diff=("--- ocr_recognition/config.pbtxt", "-  count: 1", "+  count: 2"),
    )  # fmt: skip
    one = replace(one, rows=(*one.rows[:1], unsure, *one.rows[1:]))
    report = TuneReport((one,), 60.5, "embedded", "2.71.0", {"cpu": "c"}, 2)
    tune_output.print_report(report, Path("models"), whole=False, dry_run=False)
    several = replace(report, models=(one, replace(one, name=LONG, offers=())))
    tune_output.print_report(several, Path("models"), whole=False, dry_run=False)


def verified() -> None:
    far = VerifiedOutput("scores", 0.25, False)
    field = "dynamic_batching.max_queue_delay_microseconds"
    models = [
        VerifiedModel(OCR, True, (VerifiedOutput("scores", 2.4e-7, True),), "3 samples compared"),
        VerifiedModel(LONG, False, (far,), "scores differs by 0.25 on row 2 of photos/7.npz"),
        VerifiedModel(TITLES, False, (), "no local run for the format tensorrt"),
        VerifiedModel(
            "rank", False, (far,), f"{OLDER}: {field}: 500, here 100; 3 samples compared",
            stale=True,
        ),
    ]  # fmt: skip
    verify._print(models, own=True)
    places = ("triton-0.example.org:8000", "triton-1.example.org:8000")
    verify._print([replace(models[0], server=place) for place in places], own=False)


def stated() -> None:
    own = ServerStatus(
        RuntimeName.EMBEDDED, ENDS, "2.71.0", STATES, (), "model_repository",
        ".tritongen/server.log",
    )  # fmt: skip
    status._print(own)
    drift = finding(
        "TG701", Severity.WARNING, "500 is served, 100 stands on the disk", model=OCR,
        path=f"{OCR}/config.pbtxt", field="dynamic_batching.max_queue_delay_microseconds",
    )  # fmt: skip
    status._print(replace(own, runtime=RuntimeName.ATTACHED, log="", drift=(drift,)))


class Server:
    """What `up` shows of a server without a container."""

    run_line = ""
    endpoints = ENDS
    state = ServerState(
        RuntimeName.EMBEDDED, "label", "server", 1, 1, "boot", "", ENDS, (), "model_repository",
        ".tritongen/server.log", "2.71.0", 0.0,
    )  # fmt: skip


def started() -> None:
    reason = "no Docker Engine answers here; Triton of the wheel runs as a process"
    memory = finding("TG316", Severity.WARNING, "planned for 8 cores, 4 are free for the server")
    up._print(UpResult(Server(), reason, STATES, (memory,)))  # type: ignore[arg-type]  # all that is shown of it


def observed() -> None:
    busy = ModelCounters(9000.0, 10.0, 18000.0, 4500.0, 9e7, 2e7, 6e7, 3e7)
    models = tuple(
        Observed(name, (CounterStep(0.0, 600.0, busy), CounterStep(600.0, 1200.0, busy)))
        for name in (OCR, LONG, TITLES)
    )
    expected = {one.model: ModelExpectation(10.0, 20.0, instances=2) for one in models}
    high = finding(
        "TG982", Severity.WARNING, "peak is 1.5 × the intent (30/s, stated 20/s); it needs 3 "
        "replicas, the plan has 2", model=OCR,
    )  # fmt: skip
    seen = Observation(models, expected, (high,), (RateChange(OCR, 15.0, 30.0),))
    observe._print(seen, None, Path("rates.csv"))


def diagnosed() -> None:
    docker = (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock: permission denied "
        "while trying to connect"
    )
    wheel = "the wheel's Triton 2.71.0 is here, with backends for onnxruntime and python"
    checks = (
        Check("embedded", Severity.INFO, wheel),
        Check("docker", Severity.ERROR, docker, CODES["TG840"].fix, "TG840"),
        Check("backends", Severity.WARNING, "onnxruntime is missing", CODES["TG805"].fix, "TG805"),
    )
    doctor._print(checks)


def optimised() -> None:
    fix = Step(
        "zipmap", StepKind.FIX, True,
        "maps of a classifier become a tensor of scores, one column for each of 3 classes",
        Proof(3, 1e-7, 1e-5, True), ("TG110",),
    )  # fmt: skip
    variant = Variant(
        "int8-dynamic", OCR, "x/model.onnx", size_bytes=23 << 20, verdict=Verdict.ACCEPTED,
        reason="faster", accuracy=Accuracy("top1", 0.9812, 0.9807, 0.01, 0.0005, True),
        speedup=Speedup(1.5, 1.4, 1.6),
    )  # fmt: skip
    found = OptimizedModel(OCR, (fix,), (variant,), "int8-dynamic", ())
    optimize._print((found,), Namespace(models=Path("my models"), fix=False))


CASES = (
    probed, compared, tuning, verified, stated, started, observed, diagnosed, optimised,
)  # fmt: skip


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_a_terminal_shows(case, width, monkeypatch, capsys, update_golden) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    case()
    out, err = capsys.readouterr()
    assert too_wide(out + err, width) == []
    text = out + "".join(f"! {line}\n" for line in err.splitlines())
    expected = TEXTS / f"{case.__name__}-{width}.txt"
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
