"""Accepted variants of a model beside what is served, in pairs: offered, never taken."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.model.progress import silent
from tritongen.model.variants import Verdict
from tritongen.planner import model_inputs
from tritongen.planner.context import show_figure
from tritongen.probe.questions.comparison import Change, judge_ratio
from tritongen.probe.statistics.intervals import Interval, paired_ratio
from tritongen.queueing import Loop, OpenLoop
from tritongen.repository.gather_evidence import gather_evidence, trial_policy
from tritongen.repository.project import Project
from tritongen.repository.stored_variants import read_variants, with_variants
from tritongen.tune.measure import TaskRunner
from tritongen.tune.search.measurement_records import LoadReading, Purpose, Task
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tuned_model import Subject, make_subject

# Pairs of measurements, and the change that matters.
_PAIRS = 5
_TOLERANCE = 0.03


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """A variant beside what is served, each under the configuration that is best for it.

    Attributes:
        name: of the variant.
        reason: what its own record says, or why it was not measured.
        change: of what the goal is about.
        throughput: of the variant divided by what is served; None when not measured.
        latency: likewise, at the goal's percentile.
        candidate: the variant's configuration, None when not measured.
    """

    name: str
    reason: str
    change: Change = Change.UNKNOWN
    throughput: Interval | None = None
    latency: Interval | None = None
    candidate: Candidate | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        if self.throughput is None or self.latency is None:
            return f"variant {self.name}: {self.reason}"
        chosen = f" as {self.candidate.key}" if self.candidate is not None else ""
        figures = f"throughput × {_ratio(self.throughput)}, latency × {_ratio(self.latency)}"
        tail = f"; {self.reason}" if self.reason else ""
        return f"variant {self.name}{chosen}: {self.change.value}, {figures}{tail}"


def _ratio(interval: Interval) -> str:
    return (
        f"{show_figure(interval.value)} ({show_figure(interval.low)} to "
        f"{show_figure(interval.high)})"
    )


def accepted_variants(
    project: Project, subject: Subject, options: TuneOptions, note: Callable[[str], None]
) -> tuple[tuple[VariantComparison, Subject | None], ...]:
    """The accepted variants of a model that are not served, not measured yet, each as a subject.

    None stands for a subject where the variant is not that of today's original any more.
    """
    served = project.variants.get(subject.name)
    found: list[tuple[VariantComparison, Subject | None]] = []
    for variant in read_variants(project.root, subject.name):
        accepted = variant.verdict is Verdict.ACCEPTED and variant.kept
        if not accepted or (served is not None and served.name == variant.name):
            continue
        try:
            made = _subject_of(project, subject, variant.name, options, note)
        except InvalidInputError as problem:
            found.append((VariantComparison(variant.name, problem.what), None))
        else:
            found.append((VariantComparison(variant.name, variant.reason), made))
    return tuple(found)


def _subject_of(
    project: Project, subject: Subject, name: str, options: TuneOptions, note: Callable[[str], None]
) -> Subject:
    whole = with_variants(project, {subject.name: name})
    alone = replace(
        whole,
        models=tuple(facts for facts in whole.models if facts.name == subject.name),
        lock=None,
    )
    note(f"trying {subject.name}, variant {name}")
    gathered = gather_evidence(alone, trial_policy(run=True), silent)
    evidence = gathered.evidence
    ((model, _),) = model_inputs(alone.models, alone.intent, evidence, subject.cores)
    made = make_subject(model, alone.intent, evidence.models[subject.name], subject.cores, options)
    return replace(made, variant=name)


@dataclass(frozen=True, slots=True)
class ComparedArm:
    """One of two to compare: a subject under a configuration and its load."""

    subject: Subject
    candidate: Candidate
    load: Loop

    def task(self, number: int, seconds: float) -> Task:
        """Its measurement in one pair."""
        return Task(self.candidate, self.load, Purpose.RACE, number, seconds)


def paired_comparison(
    bench: TaskRunner,
    offer: VariantComparison,
    ours: ComparedArm,
    theirs: ComparedArm,
    seconds: float,
) -> VariantComparison:
    """A variant against what is served, in interleaved pairs.

    Args:
        bench: to measure on.
        offer: of the variant, not measured yet.
        ours: what is served.
        theirs: the variant.
        seconds: of one measurement.
    """
    pairs: list[tuple[LoadReading, LoadReading]] = []
    for number in range(1, _PAIRS + 1):
        # The arm that comes second has the other's caches to itself: they take turns.
        order = (ours, theirs) if number % 2 else (theirs, ours)
        found = [bench.measure(arm.subject, arm.task(number, seconds)).sound for arm in order]
        if bench.interrupted or bench.hopeless:
            break
        first, second = found if number % 2 else reversed(found)
        if first is not None and second is not None:
            pairs.append((first, second))
    percentile = ours.subject.objective.percentile
    rate = paired_ratio([b.throughput_per_s / a.throughput_per_s for a, b in pairs])
    tail = paired_ratio([b.latency_s(percentile) / a.latency_s(percentile) for a, b in pairs])
    if isinstance(ours.load, OpenLoop):
        change = judge_ratio(tail, _TOLERANCE, larger_is_better=False)
    else:
        change = judge_ratio(rate, _TOLERANCE, larger_is_better=True)
    return replace(offer, change=change, throughput=rate, latency=tail, candidate=theirs.candidate)
