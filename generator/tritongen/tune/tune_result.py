"""What a tuning run found, for people, programs and the lock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.evidence import Cost, Served, ServedRate, Tuned
from tritongen.model.findings import Finding
from tritongen.model.intent import ModelIntent
from tritongen.planner.context import mebibytes, show_figure
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.statistics import GpuUse
from tritongen.tune.search.co_location import CoLocationForecast
from tritongen.tune.search.judge import RaceVerdict
from tritongen.tune.search.measurement_records import History, Purpose, elapsed_s
from tritongen.tune.search.objective import Objective
from tritongen.tune.search.rate_sweep import swept
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.server_model import Calibration
from tritongen.tune.search.standings import Measurement
from tritongen.tune.search.tuner import Evaluated, Tuner, TuningChoice, evaluated, pareto
from tritongen.tune.tuned_model import Subject
from tritongen.tune.variant_comparison import VariantComparison

# The percentile of the figures that every result states, whatever its goal's.
_P99 = 99.0
# Where a rate is sent, throughputs this close are that rate.
_SAME = 0.02
# Digits of figures in the lock: more would be noise.
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class TunedModel:
    """One model's result.

    Attributes:
        name: of the model.
        objective: its goal.
        intent: what tritongen.yaml wants of it.
        cores: that it was tuned on.
        choice: the best, with the search's own view of it.
        best: as measured, with its 99th percentile; None when it was not.
        default: the auto-completed configuration likewise.
        default_candidate: what that is.
        incumbent: today's configuration.
        rows: every candidate.
        front: the Pareto front of what was measured.
        verdict: how it ended: a value of `search.arms.Verdict`, ``interrupted`` or ``stopped``.
        sentence: the verdict for people.
        notes: what limits the result.
        wall_s: tuning time.
        calibration: of the server, None when nothing could be measured.
        sweep: the choice at rates, ascending; empty where there was no time.
        diff: of the configuration in the repository.
        new: whether the repository has no configuration of it yet: all of it would be news.
        recorded: whether the lock holds it now.
        offers: accepted variants beside what is served.
        protocol: what requests travelled by.
        kept: whether what the repository holds stays, since nothing is better.
        measured_on: whose backend figures are of where it is not NVIDIA's, else empty.
        gpu: card that it was tuned on, empty for CPUs.
        gpu_use: by candidate, at its busiest.
    """

    name: str
    objective: Objective
    intent: ModelIntent
    cores: int
    choice: TuningChoice
    best: Measurement | None
    default: Measurement | None
    default_candidate: Candidate
    incumbent: Candidate
    rows: tuple[Evaluated, ...]
    front: tuple[Evaluated, ...]
    verdict: str
    sentence: str
    notes: tuple[str, ...] = ()
    wall_s: float = 0.0
    calibration: Calibration | None = None
    sweep: tuple[ServedRate, ...] = ()
    diff: tuple[str, ...] = ()
    new: bool = False
    recorded: bool = False
    offers: tuple[VariantComparison, ...] = ()
    protocol: ClientProtocol = ClientProtocol.HTTP
    kept: bool = False
    measured_on: str = ""
    gpu: str = ""
    gpu_use: Mapping[Candidate, GpuUse] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the goal's conditions were seen to hold."""
        return self.best is not None and self.choice.feasible

    @property
    def tuned(self) -> Tuned:
        """The choice as the lock records it."""
        numbers = self._numbers()
        chosen = self.choice.candidate.tuned(self.goal_text, numbers, self.cores, self.gpu)
        wanted = self.intent.wanted(self.protocol)
        return replace(chosen, wanted=wanted, measured_on=self.measured_on)

    @property
    def goal_text(self) -> str:
        """The goal, and what requests travelled by where that is not what everybody expects."""
        over = " over gRPC" if self.protocol is ClientProtocol.GRPC else ""
        return f"{self.objective.text}{over}"

    def _numbers(self) -> dict[str, float]:
        numbers: dict[str, float] = {
            "candidates": float(sum(row.measured is not None for row in self.rows))
        }
        if self.best is not None:
            numbers |= {
                "rounds": float(self.best.rounds),
                "throughput_per_s": self.best.throughput.value,
                "p99_us": self.best.latency_s.value * 1e6,
            }
            # Where a rate is sent it comes back: an interval would say nothing of the server.
            if isinstance(self.best.load, ClosedLoop):
                numbers["throughput_low"] = self.best.throughput.low
                numbers["throughput_high"] = self.best.throughput.high
        if self.default is not None:
            numbers |= {
                "default_throughput_per_s": self.default.throughput.value,
                "default_p99_us": self.default.latency_s.value * 1e6,
            }
        return {name: _short(value) for name, value in numbers.items() if math.isfinite(value)}

    def served(self, cpu: str) -> Served | None:
        """Times of executions on a server, for capacity planning; None without any.

        Where a short run measured only one batch, the others are the trial's times brought to the
        measured level.

        Args:
            cpu: name of the processor.
        """
        calibration = self.calibration
        if calibration is None or self.gpu:
            return None  # times of a GPU are none of a machine's cores
        # A plan is for requests that come at rates.
        slower, pauses = calibration.at_rates, calibration.pauses
        costs = tuple(
            Cost(point.batch, point.threads, _short(point.seconds * slower * 1e3), _short(point.cv))
            for point in sorted(
                calibration.service.points, key=lambda point: (point.threads, point.batch)
            )
        )
        return Served(
            cpus=float(self.cores),
            cpu=cpu,
            costs=costs,
            front_end_ms=_short(calibration.front_end_s * slower * 1e3),
            transport_ms=_short(calibration.transport_s * 1e3),
            contention=_short(calibration.service.contention or 0.0),
            cold=_short(calibration.service.idle_penalty),
            wake_ms=_short(calibration.wake_s * slower * 1e3),
            stall_ms=_short(pauses.length_s * 1e3) if pauses is not None else 0.0,
            stalls_per_s=_short(pauses.per_s) if pauses is not None else 0.0,
            rates=tuple(_rate(one) for one in self.sweep),
        )


def _rate(one: ServedRate) -> ServedRate:
    return replace(one, per_s=_short(one.per_s), ms=tuple((p, _short(ms)) for p, ms in one.ms))


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What a tuning run gave.

    Attributes:
        models: in the order in which they were tuned.
        wall_s: of the whole run.
        runtime: where the server ran.
        server: its version.
        machine: CPU, cores and what else numbers depend on.
        cores: of the container.
        notes: on the run as a whole.
        interrupted: number of the signal that ended it, 0 for none.
        seed: of the search.
        together: the choices side by side, by simulation; None where that is no question.
        left_out: the first error of every model that should be tuned and cannot be served.
    """

    models: tuple[TunedModel, ...]
    wall_s: float
    runtime: str
    server: str
    machine: Mapping[str, object] = field(default_factory=dict)
    cores: int = 0
    notes: tuple[str, ...] = ()
    interrupted: int = 0
    seed: int = 0
    together: CoLocationForecast | None = None
    left_out: tuple[Finding, ...] = ()

    @property
    def met(self) -> bool:
        """Whether every goal was met."""
        return all(model.met for model in self.models)


def result_of(
    subject: Subject, tuner: Tuner, ended: str = "", notes: tuple[str, ...] = ()
) -> TunedModel:
    """What a search has found.

    Args:
        subject: the model.
        tuner: that searched.
        ended: ``interrupted`` or ``stopped``; empty when the search ended by itself.
        notes: what limits the result.
    """
    choice, rows = tuner.best(), evaluated(tuner, ended)
    p99 = replace(subject.objective, percentile=_P99)
    result = TunedModel(
        name=subject.name,
        objective=subject.objective,
        intent=subject.wanted,
        cores=subject.cores,
        choice=choice,
        best=tuner.measurement(choice, p99),
        default=tuner.baseline(p99),
        default_candidate=subject.baseline,
        incumbent=subject.incumbent,
        rows=rows,
        front=pareto(rows),
        verdict=ended or (choice.verdict or RaceVerdict.BUDGET).value,
        sentence="",
        notes=(*notes, *_failures(tuner.history), *_hasty(choice)),
        wall_s=elapsed_s(tuner.history),
        calibration=tuner.calibration() if tuner.race is not None else None,
        sweep=swept(tuner.history, choice.candidate),
        gpu=subject.gpu,
        gpu_use=_gpu_use(tuner.history),
    )
    return replace(result, sentence=_sentence(result))


def _gpu_use(history: History) -> dict[Candidate, GpuUse]:
    """The busiest moment of each candidate's measurements, the baseline's left out."""
    found: dict[Candidate, GpuUse] = {}
    for record in history:
        use = record.reading.gpus if record.reading is not None else None
        if use is None or record.task.purpose is Purpose.BASELINE:
            continue
        known = found.get(record.task.candidate)
        if known is None or (use.utilization or 0.0) > (known.utilization or 0.0):
            found[record.task.candidate] = use
    return found


def gpu_sentence(result: TunedModel) -> str:
    """How busy the choice keeps the GPUs, for people; empty without any."""
    use = result.gpu_use.get(result.choice.candidate)
    if use is None:
        return ""
    parts = [f"busy for {use.utilization:.0%}"] if use.utilization is not None else []
    if use.memory_bytes is not None:
        parts.append(f"{mebibytes(use.memory_bytes)} of their memory taken")
    return f"GPUs: {', '.join(parts)}" if parts else ""


def _failures(history: History) -> tuple[str, ...]:
    """Each cause of failed measurements once, with the configurations that it hit."""
    hit: dict[str, list[str]] = {}
    for record in history:
        if record.error:
            default = record.task.purpose is Purpose.BASELINE
            name = "the auto-completed configuration" if default else record.task.candidate.key
            hit.setdefault(record.error, []).append(name)
    return tuple(
        f"{', '.join(dict.fromkeys(names))} could not be measured: {cause}"
        for cause, names in hit.items()
    )


def _hasty(choice: TuningChoice) -> tuple[str, ...]:
    """What a choice is worth that was measured once."""
    if choice.measured is None or choice.measured.rounds != 1:
        return ()
    why = "measured only once, which a brief disturbance of the machine can decide"
    return (f"{why}: give it more --budget",)


def _sentence(result: TunedModel) -> str:
    best, choice = result.choice.candidate.key, result.choice
    if result.best is None:
        if result.verdict == RaceVerdict.FAILED:
            return "nothing could be measured; today's configuration stays"
        end = {"interrupted": "interrupted", "stopped": "stopped early"}.get(result.verdict)
        end = end or "the time was up"
        return f"{end} before anything raced; {best} is only predicted to be best"
    others = sum(row.fate in {"tied", "running"} for row in result.rows)
    sentences = {
        RaceVerdict.SEPARATED.value: f"{best} is ahead of every other candidate",
        RaceVerdict.IMMATERIAL.value: f"{best} is the simplest of {others + 1} candidates whose "
        "differences do not matter",
        RaceVerdict.BUDGET.value: f"the time was up; {best} was ahead, {others} more "
        f"{'was' if others == 1 else 'were'} not separated"
        if others
        else f"the time was up; {best} was ahead",
        RaceVerdict.INFEASIBLE.value: f"no candidate meets the goal; {best} comes nearest",
        RaceVerdict.FAILED.value: f"no candidate is left; {best} was the best of what was measured",
        "interrupted": f"interrupted; {best} was the best so far",
        "stopped": f"stopped early; {best} was the best so far",
    }
    sentence = sentences[result.verdict]
    if choice.raced is not None:
        end = {"interrupted": "interrupted; ", "stopped": "stopped early; "}.get(result.verdict, "")
        why = "but is not surely better for the clients than"
        sentence = f"{end}{choice.raced.key} won the race, {why} {best}, which stays"
    if not choice.feasible and result.verdict != RaceVerdict.INFEASIBLE:
        sentence += ", and misses the goal"
    return sentence


def rates_sentence(result: TunedModel) -> str:
    """The choice at rates, for people; empty where it was not measured at any."""
    known = [(one.per_s, dict(one.ms).get(_P99)) for one in result.sweep]
    parts = [f"{show_figure(ms)} ms at {show_figure(rate)}/s" for rate, ms in known if ms]
    return f"p99 at rates: {', '.join(parts)}" if parts else ""


def gain_sentence(result: TunedModel) -> str:
    """The best against the auto-completed configuration; empty without both."""
    if result.best is None or result.default is None:
        return ""
    ratio = result.best.throughput.value / result.default.throughput.value
    tail = show_figure(result.best.latency_s.value / result.default.latency_s.value)
    sent = isinstance(result.best.load, OpenLoop)
    if sent and abs(ratio - 1.0) < _SAME:
        return f"{tail} × the p99 of the auto-completed configuration at the same rate"
    gain = f"{show_figure(ratio)} × the throughput and {tail} × the p99"
    return f"{gain} of the auto-completed configuration"
