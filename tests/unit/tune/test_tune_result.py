"""What a run reports, keeps in the lock and draws, from a race on the synthetic Triton."""

import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from support.synthetic_triton import TEXT, SyntheticTriton, run_tuning
from tritongen.api.tuning import document, progress_line
from tritongen.errors import InvalidInputError
from tritongen.fleet.report.report_charts import measured_configurations
from tritongen.model.backends import BACKENDS
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.codec import decode, encode
from tritongen.model.evidence import ModelEvidence, Served, ServedRate
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import Intent, ModelIntent
from tritongen.planner.context import show_figure, show_number, tuned_reason
from tritongen.triton.server import own_implementation
from tritongen.triton.statistics import GpuUse
from tritongen.tune.journal import Journal, JournalHeader
from tritongen.tune.search.measurement_records import TaskRecord
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.tuner import Tuner
from tritongen.tune.tune_models import tuned_evidence
from tritongen.tune.tune_page import html_page
from tritongen.tune.tune_result import (
    TuneReport,
    _gpu_use,
    gain_sentence,
    gpu_sentence,
    rates_sentence,
    result_of,
)
from tritongen.tune.tuned_model import Subject
from tritongen.tune.tuning_run import TuneProgress

BASELINE = Candidate(2, 2, 4, 0)
HEADER = JournalHeader("m/x", "throughput", 2, 0, "f")


def run_of(goal, history=None, ended=""):
    objective = parse_goal(goal)
    settings = TuneSettings(objective, 2, budget_s=60.0)
    space = SearchSpace(BACKENDS["onnxruntime"], 2, batchable=True, max_batch=8)
    tuner = Tuner(settings, space, Candidate(1, 1), BASELINE, history=history or ())
    if history is None:
        run_tuning(tuner, SyntheticTriton(TEXT, 2, 1))
    subject = Subject(
        ModelFacts("m", "m/model.onnx", ModelFormat.ONNX),
        Intent(),
        ModelIntent(),
        ModelEvidence(()),
        2,
        objective,
        space,
        Candidate(1, 1),
        Candidate(1, 1),
        BASELINE,
        None,
    )
    return result_of(subject, tuner, ended), tuner.history


@pytest.fixture(scope="module")
def run():
    return run_of("throughput")


def report_of(result):
    return TuneReport((result,), 60.0, "embedded", "2.51.0", {"cpu": "c", "cores": 2}, 2)


def test_figures_are_those_of_the_choice(run):
    result, _ = run
    assert result.met
    assert result.best.throughput.low < result.best.throughput.value < result.best.throughput.high
    assert result.default.rounds == 3
    assert result.choice.candidate.key in result.sentence
    assert "the auto-completed configuration" in gain_sentence(result)


@pytest.mark.parametrize(
    ("ended", "says"),
    [("interrupted", "tuning was interrupted"), ("", "the time was up")],
)
def test_what_ended_a_search_is_what_its_words_say(run, ended, says):
    whole = run[1]
    result, _ = run_of("throughput", whole[: len(whole) // 2], ended)
    words = [result.sentence, *(row.why for row in result.rows)]
    assert any(says in text for text in words)
    assert not ended or not any("the time was up" in text or "no time" in text for text in words)


def test_the_lock_holds_short_numbers_that_explain_reads_out(run):
    result, _ = run
    tuned = result.tuned
    assert tuned.cores == 2
    assert all(value == float(f"{value:.4g}") for value in tuned.numbers.values())
    sentence = tuned_reason(tuned).sentence
    assert sentence.startswith("tuned for throughput on 2 cores: ")
    assert f"{show_figure(tuned.numbers['throughput_per_s'])} requests/s" in sentence
    assert "e+" not in sentence


def test_whose_backend_was_measured_is_told_with_every_figure(run):
    whose = own_implementation("embedded", ["onnxruntime", "python"])
    assert whose == "this project's own Python backend for onnxruntime, not NVIDIA's C++ one"
    result = replace(run[0], measured_on=whose)
    assert tuned_reason(result.tuned).sentence.endswith(f"; measured on {whose}")
    assert document(report_of(result))["models"][0]["measured_on"] == whose
    for runtime, backend in (("docker", "onnxruntime"), ("embedded", "python"), ("", "fil")):
        assert own_implementation(runtime, [backend]) == ""


def test_what_was_measured_over_grpc_says_so_wherever_it_is_told(run):
    result = replace(run[0], protocol=ClientProtocol.GRPC)
    assert tuned_reason(result.tuned).sentence.startswith("tuned for throughput over gRPC on 2 co")
    assert "throughput over gRPC on 2 cores" in html_page(report_of(result))
    assert document(report_of(result))["models"][0]["protocol"] == "grpc"
    assert document(report_of(run[0]))["models"][0]["protocol"] == "http"


def test_service_times_for_planning_survive_the_lock(run):
    result, _ = run
    served = result.served("cpu")
    assert decode(Served, encode(served)) == served
    assert {(cost.batch, cost.threads) for cost in served.costs} >= {(1, 1), (8, 1), (1, 2)}
    assert served.costs[0].ms == pytest.approx(TEXT.first_s * 1e3, rel=0.3)
    assert served.cpus == 2.0


def test_json_has_the_fields_that_were_promised(run):
    (model,) = document(report_of(run[0]))["models"]
    assert {"name", "default", "best", "evaluated", "verdict", "wall_s"} <= set(model)
    for name in ("instances", "threads", "max_batch_size", "queue_delay_us"):
        assert name in model["best"]
    for name in ("throughput_per_s", "p99_us"):
        assert set(model["best"][name]) == {"value", "low", "high"}


def test_another_percentile_keeps_its_p99():
    result, _ = run_of("p50<40ms")
    (best,) = [row for row in result.rows if row.fate == "best"]
    assert result.best.latency_s.value > best.measured.latency_s.value


def test_where_a_rate_is_sent_the_rate_is_no_achievement():
    result, _ = run_of("latency@50/s")
    assert gain_sentence(result).endswith(
        "× the p99 of the auto-completed configuration at the same rate"
    )
    assert "throughput and" not in gain_sentence(result)
    assert "throughput_low" not in result.tuned.numbers
    assert "throughput_low" in run_of("throughput")[0].tuned.numbers


def test_before_the_race_there_is_only_a_prediction(run):
    _, history = run
    calibrated = tuple(record for record in history if record.task.round == 0)
    result, _ = run_of("throughput", calibrated)
    assert result.best is None
    assert not result.met
    assert "only predicted" in result.sentence


def test_the_page_is_well_formed_and_escapes_names(run):
    result = replace(run[0], name="<m&m>", notes=("a < b",))
    page = html_page(report_of(result))
    assert "<m&m>" not in page
    for drawing in page.split("<svg")[1:]:
        ET.fromstring("<svg" + drawing.split("</svg>")[0] + "</svg>")  # noqa: S314  (our own)
    assert "nan" not in page


def test_progress_names_time_left_and_the_best(run):
    result, _ = run
    line = progress_line(TuneProgress("m", 0, 2, "round 2", 20.0, 60.0, result.choice))
    assert line.startswith("[1/2] m: round 2 · at most 100 s left · best so far ")
    assert result.choice.candidate.key in line


def test_figures_for_people():
    shown = [show_figure(value) for value in (0.0, 0.012345, 1.0, 12.34, 999.6, 12345.0, math.inf)]
    assert shown == ["0", "0.0123", "1.00", "12.3", "1,000", "12,300", "inf"]


def test_numbers_of_a_reason_for_people():
    shown = [
        show_number(name, value)
        for name, value in (
            ("p99_us", 67170.0),
            ("default_throughput_per_s", 920.9),
            ("rounds", 3.0),
            ("item_ms_at_8", 0.12345),
            ("cpuset", "none"),
            ("quota", math.inf),
        )
    ]
    assert shown == [
        "p99 67.2 ms",
        "default throughput 921/s",
        "rounds 3",
        "item ms at 8 0.123",
        "cpuset none",
        "quota inf",
    ]


class TestJournal:
    def test_what_was_appended_is_there_after_a_kill(self, run, tmp_path):
        _, history = run
        (tmp_path / "tune").mkdir()
        journal = Journal(tmp_path / "tune", HEADER)
        assert journal.begin(resume=True) == ()
        for record in history[:3]:
            journal.append(record)
        with journal.path.open("a") as file:
            file.write('{"half')
        again = Journal(tmp_path / "tune", HEADER)
        assert again.begin(resume=True) == history[:3]
        again.append(history[3])
        assert Journal(tmp_path / "tune", HEADER).begin(resume=True) == history[:4]

    def test_the_report_finds_in_it_what_was_measured(self, run, tmp_path):
        result, history = run
        (tmp_path / "tune").mkdir()
        header = replace(HEADER, model="m")
        journal = Journal(tmp_path / "tune", header)
        journal.begin(resume=False)
        for record in history:
            journal.append(record)
        found = measured_configurations(tmp_path, "m", result.tuned)
        assert [one.chosen for one in found if not one.baseline].count(True) == 1
        assert sum(one.baseline for one in found) <= 1
        raced = {record.task.candidate for record in history if record.sound}
        assert len(found) >= len(raced) - 1

    def test_a_new_run_begins_afresh(self, run, tmp_path):
        journal = Journal(tmp_path, HEADER)
        journal.begin(resume=False)
        journal.append(run[1][0])
        assert journal.begin(resume=False) == ()

    def test_names_of_models_do_not_leave_the_folder(self, tmp_path):
        journal = Journal(tmp_path, replace(HEADER, model="../x"))
        assert journal.path.parent == tmp_path

    def test_another_runs_journal_is_refused(self, tmp_path):
        Journal(tmp_path, HEADER).begin(resume=False)
        with pytest.raises(InvalidInputError) as caught:
            Journal(tmp_path, replace(HEADER, cores=4)).begin(resume=True)
        assert caught.value.code == "TG950"


def test_latencies_at_rates_are_told_and_kept_with_the_choice_they_are_of(run):
    rate = ServedRate(120.04, 900, ((50.0, 6.0), (99.0, 14.25), (99.9, 20.0)))
    result = replace(run[0], sweep=(rate,))
    assert rates_sentence(result) == "p99 at rates: 14.2 ms at 120/s"
    assert rates_sentence(run[0]) == ""
    assert "14.2 ms at 120/s" in html_page(report_of(result))
    (found,) = document(report_of(result))["models"][0]["rates"]
    assert found["latency_us"] == {"p50": 6000.0, "p99": 14250.0, "p999": 20000.0}
    kept = tuned_evidence(ModelEvidence(()), None, result, "cpu")
    assert kept.served.rates == (replace(rate, per_s=120.0),)
    # A run that gave no times keeps those of before, without latencies of another choice.
    blind = replace(result, calibration=None, sweep=())
    later = tuned_evidence(ModelEvidence(()), kept.served, blind, "cpu")
    assert later.served == replace(kept.served, rates=())


def busy(share, used=8 << 30):
    """What a server's metrics say of its GPU."""
    return GpuUse(share, used, 16 << 30)


def test_use_of_a_gpu_is_told_of_each_candidate_at_its_busiest(run):
    result, history = run
    seen = [
        replace(one, reading=replace(one.reading, gpus=busy(0.1 * (number % 10))))
        if one.reading is not None
        else one
        for number, one in enumerate(history)
    ]
    found = replace(result, gpu="T4", gpu_use=_gpu_use(tuple(seen)))
    (model,) = document(report_of(found))["models"]
    best = found.gpu_use[found.choice.candidate]
    assert model["best"]["gpu_utilization"] == best.utilization
    assert model["best"]["gpu_memory_bytes"] == 8 << 30
    assert "of their memory taken" in gpu_sentence(found)
    assert gpu_sentence(found) in html_page(report_of(found))
    assert found.tuned.gpu == "T4"
    assert found.served("a CPU") is None


def test_without_a_gpu_nothing_of_it_is_told(run):
    result, _ = run
    (model,) = document(report_of(result))["models"]
    assert not any(key.startswith("gpu") for key in model["best"])
    assert gpu_sentence(result) == ""


def test_a_reading_of_gpus_is_kept_in_the_journal(run):
    _, history = run
    record = next(one for one in history if one.reading is not None)
    record = replace(record, reading=replace(record.reading, gpus=busy(0.83)))
    assert decode(TaskRecord, encode(record)) == record


OUT_OF_MEMORY = "onnx runtime error 6: CUDA failure 2: out of memory ; GPU=0"


def test_a_candidate_that_runs_out_of_gpu_memory_loses_and_the_run_goes_on():
    objective = parse_goal("throughput")
    space = SearchSpace(BACKENDS["onnxruntime"], 2, batchable=True, max_batch=8)
    tuner = Tuner(TuneSettings(objective, 2, budget_s=60.0), space, Candidate(1, 1), BASELINE)
    run_tuning(tuner, Cramped(TEXT, 2, 1))
    assert tuner.best().candidate.instances == 1
    lost = [one for one in tuner.history if one.error]
    assert lost
    assert {one.task.candidate.instances for one in lost} == {2}


class Cramped(SyntheticTriton):
    """A server whose card holds one instance."""

    def measure(self, task):
        record = super().measure(task)
        if task.candidate.instances == 1:
            return record
        return replace(record, reading=None, error=OUT_OF_MEMORY)
