"""What commands print of results that a whole server would have to give, reviewed as text.

Each case prints one or several results in every form that a user sees; what must be shown, left
out or worded otherwise at a boundary is in the text. `test_transcripts.py` holds those commands
that need no server.
"""

import re
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest

from support.printed import measured, tuned
from support.probe import a_level
from support.result_schemas import DOCUMENTS
from tritongen.api import tuning
from tritongen.api.documents import whole_document
from tritongen.api.probing import ProbedLoads
from tritongen.api.verifying import VerifiedRepository
from tritongen.cli import (
    doctor,
    observe,
    optimize,
    probe_output,
    status,
    tune_output,
    up,
    verify,
)
from tritongen.cli.output import document_text
from tritongen.errors import EnvironmentProblem
from tritongen.fleet.observe.advice import ModelExpectation, RateChange
from tritongen.fleet.observe.model_counters import CounterStep, ModelCounters, Observed
from tritongen.fleet.observe.observe_server import CounterSource, Observation
from tritongen.model.findings import Severity, finding
from tritongen.model.variants import (
    Accuracy,
    Proof,
    Speedup,
    Step,
    StepKind,
    Variant,
    Verdict,
)
from tritongen.optimize.optimize_models import OptimizedModel
from tritongen.probe.probe_request import ProbeReport
from tritongen.probe.questions.comparison import Change, FigureComparison
from tritongen.probe.questions.goal_and_knee import SearchAnswer
from tritongen.probe.report import html_page as probe_page
from tritongen.probe.report.json_document import Environment
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import LevelVerdict
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.serving.attached import ServerStatus
from tritongen.serving.doctor import Check
from tritongen.serving.up import UpResult
from tritongen.serving.verify import VerifiedModel, VerifiedOutput
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState
from tritongen.tune import tune_page
from tritongen.tune.search.co_location import CoLocationForecast
from tritongen.tune.search.objective import Performance, parse_goal
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.tuner import TuningChoice
from tritongen.tune.tune_result import TuneReport
from tritongen.tune.tuning_run import TuneProgress
from tritongen.tune.variant_comparison import VariantComparison

PRINTED = Path(__file__).parent / "printed"
MODELS = Path("my models")
ENDS = Endpoints("localhost:8000", "localhost:8001", "")
STATES = (
    ModelStatus("ready", ready=True),
    ModelStatus("refused", ready=False, reason="it does not load", code="TG813"),
)


def shown(document: object) -> None:
    print(document_text({"document": document}))


def doctors() -> None:
    fine = Check("docker", Severity.INFO, "Docker 29")
    slow = Check("memory", Severity.WARNING, "2 GiB are little", "Add memory.", "TG805")
    doctor._print((fine,))
    doctor._print((fine, slow))


def statuses() -> None:
    own = ServerStatus(
        RuntimeName.EMBEDDED, ENDS, "2.71.0", STATES, (), "model_repository", "server.log"
    )
    drift = finding("TG701", Severity.WARNING, "differs from the disk", model="ready")
    other = replace(own, runtime=RuntimeName.ATTACHED, log="", drift=(drift,))
    for one in (own, other, replace(other, repository="", models=(), drift=())):
        status._print(one)
        shown(status._json(one))


def verifications() -> None:
    models = [
        VerifiedModel("equal", True, (VerifiedOutput("y", 0.0, True),), "3 samples"),
        VerifiedModel("far", False, (VerifiedOutput("y", 0.25, False),), "y differs"),
        VerifiedModel("refused", False, (), "its run here failed"),
        VerifiedModel("exact", False, (VerifiedOutput("text", 0.0, False),), "other texts"),
    ]
    stale = VerifiedModel("old", False, (), "older than the folder", stale=True)
    verify._print(models, own=True)
    for own in (True, False):
        verify._print([models[0], stale], own=own)
    shown(VerifiedRepository((*models, stale)).to_dict())


def optimisations() -> None:
    fix = Step(
        "zipmap", StepKind.FIX, True, "maps become scores", Proof(3, 1e-7, 1e-5, True), ("TG110",)
    )
    left = Step("opset", StepKind.FIX, False, "it suits already", Proof(3, 2e-7, 1e-5, False))
    exact = Step("names", StepKind.FIX, True, "names are replaced", Proof(3, 0.0, 0.0))
    variant = Variant(
        "int8", "ocr", "x/model.onnx", size_bytes=3 << 20, verdict=Verdict.ACCEPTED,
        reason="faster", accuracy=Accuracy("top1", 0.98, None, 0.01, 0.02, True),
        speedup=Speedup(1.5, 1.4, 1.6), speedups=(Speedup(1.5, 1.4, 1.6, 1, 2),),
    )  # fmt: skip
    fixed = Variant("fixed", "ocr", "", size_bytes=1 << 19)
    steps = (fix, left, exact, replace(fix, proof=replace(fix.proof, rows_equal=None)))
    whole = OptimizedModel("ocr", steps, (variant, fixed), "int8", ())
    plain = OptimizedModel("plain", (fix,), (), None, ())
    options = Namespace(models=MODELS, fix=False)
    optimize._print((whole, plain), options)
    optimize._print((plain,), options)
    optimize._print((plain,), Namespace(models=MODELS, fix=True))
    optimize._print((replace(plain, steps=(replace(fix, cures=()),)),), options)
    shown([optimize._json(one) for one in (whole, plain)])


def observations() -> None:
    busy = ModelCounters(90.0, 10.0, 180.0, 45.0, 9e5, 2e5, 6e5, 3e5)
    steps = (
        CounterStep(0.0, 5.0, busy.part(0.3)),
        CounterStep(5.0, 10.0, busy.part(0.7)),
    )
    models = (Observed("busy", steps), Observed("idle", (CounterStep(0.0, 9.0, ModelCounters()),)))
    expected = {
        "busy": ModelExpectation(average=10.0, peak=20.0, instances=2, service="s"),
        "idle": ModelExpectation(),
    }
    error = finding("TG981", Severity.ERROR, "10 % of its requests fail", model="busy")
    seen = Observation(models, expected, (error,), (RateChange("busy", 10.0, 14.0),))
    quiet = replace(seen, findings=(), changes=())
    observe._print(seen, None, None)
    observe._print(seen, MODELS / "tritongen.yaml", None)
    observe._print(quiet, None, Path("rates.csv"))
    for source in (
        CounterSource(("host:8000",), "", "", 10.0),
        CounterSource((), "http://me:secret@host:9090", "", 10.0),
    ):
        document = observe._json(seen, source, None, Path("rates.csv"))
        jsonschema.validate(whole_document(document), DOCUMENTS["observe"])
        shown(document)


def tunings() -> None:
    better = VariantComparison(
        "int 8",
        "",
        Change.BETTER,
        Interval(1.5, 1.4, 1.6),
        Interval(0.7, 0.6, 0.8),
        Candidate(1, 1),
    )
    same = VariantComparison("fp16", "never measured")
    whole = tuned(recorded=True, offers=(better, same), notes=("short",), diff=("-a", "+b"))
    missed = tuned(
        name="missed", cores=1, best=None, default=None, new=True, diff=("+all of it",),
        choice=TuningChoice(
            Candidate(1, 1), OpenLoop(50.0), None, None, False, (), (parse_goal("p99<80ms"),)
        ),
    )  # fmt: skip
    rows = whole.rows
    sent = tuned(
        rows=(
            replace(
                rows[0], load=OpenLoop(300.0), measured=measured(300.0, 5.0, 1, OpenLoop(300.0))
            ),
        ),
        front=(),
    )
    predicted = tuned(rows=rows[3:], front=())
    left = finding("TG110", Severity.ERROR, "a sequence", model="states")
    together = CoLocationForecast({"ocr": Performance(900.0, 0.02, 2)}, True)
    report = TuneReport((whole,), 60.5, "embedded", "2.71.0", {"cpu": "c"}, 2)
    both = replace(report, models=(whole, missed), notes=("few cores",), left_out=(left,))
    for shown_report, every, dry in (
        (report, False, False),
        (replace(report, models=(sent,)), True, False),
        (replace(report, models=(predicted,)), False, True),
        (replace(report, models=(predicted,)), True, True),
        (both, False, False),
        (both, True, False),
        (replace(report, models=(), interrupted=2), False, False),
    ):
        print(f"--- all: {every}, dry run: {dry}")
        tune_output.print_report(shown_report, MODELS, whole=every, dry_run=dry)
    shown(tuning.document(replace(both, together=together, interrupted=2)))
    progress = TuneProgress("ocr", 0, 1, "racing", 12.0, 60.0)
    for one in (
        progress,
        replace(progress, index=1, models=3, best=whole.choice),
        replace(progress, best=missed.choice, elapsed_s=70.0),
    ):
        print(tuning.progress_line(one))


ENVIRONMENT = Environment("2026-01-01T00:00:00Z", "tritongen 1", "triton 2", "http host:8000", {})


def probe_results() -> Iterator[tuple[str, ProbedLoads]]:
    level = a_level()
    open_level = a_level("n", OpenLoop(50.0), 50.0, failed=3)
    unsure = a_level(verdict=LevelVerdict.UNSTABLE)
    report = ProbeReport(ENVIRONMENT, [level, open_level])
    yield "plain", ProbedLoads(report)
    own = replace(ENVIRONMENT, measured_on="a backend of our own")
    yield "own backend", ProbedLoads(ProbeReport(own, [unsure]))
    lost = EnvironmentProblem("TG814", "the server is gone")
    yield "lost", ProbedLoads(replace(report, levels=[level], problem=lost))
    yield "interrupted", ProbedLoads(replace(report, levels=[level], interrupted=2))
    found = SearchAnswer("m", "goal", "p99<5ms", "rate", 90.0, 120.0, level, 110.0)
    none = SearchAnswer("m", "goal", "p99<1ms", "concurrency", None, 1.0, None, 110.0)
    answers = (
        found,
        replace(found, beyond=None, undecided="the time was up", kind="concurrency"),
        SearchAnswer("m", "knee", "", "concurrency", 8.0, None, level, 1234.5),
        SearchAnswer("m", "knee", "", "concurrency", None, None, level, 110.0),
        SearchAnswer("m", "knee", "", "concurrency", 8.0, None, None, 110.0),
    )
    searched = ProbeReport(ENVIRONMENT, [level, unsure])
    yield "answers", ProbedLoads(searched, answers)
    yield "missed", ProbedLoads(searched, (none, found))
    yield (
        "missed, unsure",
        ProbedLoads(searched, (replace(none, undecided="the time was up"),)),
    )
    yield (
        "missed and interrupted",
        ProbedLoads(replace(searched, interrupted=15), (none,)),
    )
    ratio = Interval(1.25, 1.1, 1.4)
    compared = [
        FigureComparison("m", "c = 8", "throughput", 1000.0, 1250.0, ratio, Change.BETTER),
        FigureComparison("m", "c = 8", "p99", 1000.0, None, None, Change.UNKNOWN),
        FigureComparison(
            "m", "c = 8", "p50", 1000.0, 1010.0, Interval(1.01, 1.0, 1.02), Change.SAME
        ),
    ]
    yield "compared", ProbedLoads(None, comparisons=compared)
    worse = [
        FigureComparison("m", "c = 8", "p99", 1000.0, 1250.0, ratio, Change.WORSE),
        FigureComparison("m", "c = 8", "failures", 0.0, 0.05, None, Change.WORSE),
    ]
    yield "worse", ProbedLoads(report, comparisons=[*compared, *worse])


def probes() -> None:
    for name, found in probe_results():
        print(f"--- {name}")
        code = probe_output.deliver(Namespace(format="text", output=None), found)
        print(f"[{code}]")
        document = found.to_dict()
        jsonschema.validate(document, DOCUMENTS["probe"])
        for level in document["levels"]:
            del level["timeline"], level["histograms"]
        shown(document)
    _, plain = next(probe_results())
    probe_output.deliver(Namespace(format="csv", output=None), plain)


@dataclass
class Handle:
    """What `up` shows of a server: its state and its command."""

    run_line: str
    endpoints: Endpoints = ENDS

    @property
    def state(self) -> ServerState:
        name = RuntimeName.DOCKER if self.run_line else RuntimeName.EMBEDDED
        image = "triton:26.07" if self.run_line else ""
        return ServerState(
            name, "label", "server", 1, 1, "boot", "", ENDS, (), "model_repository", "server.log",
            "2.71.0", 0.0, image=image,
        )  # fmt: skip


def started() -> None:
    warning = finding("TG805", Severity.WARNING, "memory is short")
    for run_line, models in (("", STATES), ("docker run triton", STATES[:1]), ("", ())):
        server = Handle(run_line)
        found = UpResult(server, "there is no GPU", models, (warning,))  # type: ignore[arg-type]  # all that is shown of it
        for form in ("text", "json"):
            print(f"[{up.show(found, form)}]")


def pages() -> None:
    """Pages without their styles: charts are where a figure that is wrong is not seen."""
    whole = tuned(offers=(), notes=("short",))
    alone = tuned(name="alone", rows=whole.rows[:1], front=(), objective=parse_goal("throughput"))
    report = TuneReport((whole, alone), 60.5, "embedded", "2.71.0", {"cpu": "c"}, 2)
    levels = [
        a_level(
            load=ClosedLoop(clients), rate=60.0 * clients**0.5, latencies_us=range(1_000, 2_000)
        )
        for clients in (1, 4, 16)
    ]
    opened = [a_level("n", OpenLoop(rate), rate, failed=3) for rate in (20.0, 50.0)]
    few = [a_level("few", latencies_us=(1_000.0,))]
    for page in (
        tune_page.html_page(report),
        probe_page.html_page(ENVIRONMENT, [*levels, *opened, *few], [("m", "the answer")]),
    ):
        print(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


CASES = (
    doctors, statuses, verifications, optimisations, observations, tunings, probes, started, pages,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_is_printed(case, monkeypatch, capsys, update_golden) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    case()
    out, err = capsys.readouterr()
    lines = [line.rstrip() for line in out.splitlines()]
    text = "\n".join([*lines, *(f"! {line}".rstrip() for line in err.splitlines()), ""])
    expected = PRINTED / f"{case.__name__}.txt"
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
