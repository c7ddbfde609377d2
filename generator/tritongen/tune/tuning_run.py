"""One tuning run: a private server, and a search for each model, one after the other."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from tritongen import __version__
from tritongen.errors import EnvironmentProblem
from tritongen.model import codec
from tritongen.model.counting import counted
from tritongen.model.progress import Progress
from tritongen.planner.context import show_figure
from tritongen.probe.level import signal_of
from tritongen.queueing import OpenLoop
from tritongen.repository.lock_file import CONFIG_FILE
from tritongen.repository.project import Project
from tritongen.system.files import FileLock
from tritongen.triton.server import RuntimeName, own_implementation
from tritongen.triton.server_state import StateStore
from tritongen.tune.journal import Journal, JournalHeader
from tritongen.tune.measure import TaskRunner
from tritongen.tune.search.final_pairs import Rivals
from tritongen.tune.search.measurement_records import Purpose, Task, elapsed_s
from tritongen.tune.search.objective import TuneSettings
from tritongen.tune.search.tuner import Phase, Tuner, TunerStep, TuningChoice
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tune_result import TunedModel, result_of
from tritongen.tune.tune_server import PrivateServer
from tritongen.tune.tuned_model import Subject
from tritongen.tune.variant_comparison import (
    ComparedArm,
    VariantComparison,
    accepted_variants,
    paired_comparison,
)

# Less does not reach beyond the start of a server and the calibration. Chosen.
MIN_BUDGET_S = 8.0
# Below this, calibration rests on the trial's times and measures their level only. Chosen.
_FULL_CALIBRATION_S = 60.0
# Part of the budget in which the choice is measured at rates; a short run is for the choice alone.
_SWEEP_SHARE, _MAX_SWEEP_S, _MIN_SWEPT_S = 0.25, 120.0, 60.0
# The race is over in a minute or two; of what is beyond this, the sweep has half.
_LONG_BUDGET_S, _SHARE_BEYOND = 120.0, 0.5
# Part of the budget in which the winner is held against what is there.
_PAIRS_SHARE, _MAX_PAIRS_S = 0.25, 24.0
# A variant has half the time of what is served.
_VARIANT_SHARE = 0.5
# Others may take this share of the CPUs before the result says so.
_NOISY_SHARE = 0.10


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """Where a tuning run stands.

    Attributes:
        model: that is tuned now.
        index: of it, from 0.
        models: in all.
        doing: what comes next, for people.
        elapsed_s: tuning time of the model.
        budget_s: of the model.
        best: so far, None before anything was predicted.
    """

    model: str
    index: int
    models: int
    doing: str
    elapsed_s: float
    budget_s: float
    best: TuningChoice | None = None

    @property
    def left_s(self) -> float:
        """Tuning time that is left at most, of this model and those after it."""
        others = (self.models - self.index - 1) * self.budget_s
        return max(0.0, self.budget_s - self.elapsed_s) + others


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what happens.

    Attributes:
        step: of the search.
        note: of what is done before it, such as trials.
        download: of the runtime.
    """

    step: Callable[[TuneProgress], None] = lambda _: None
    note: Callable[[str], None] = lambda _: None
    download: Progress | None = None


class TuningRun:
    """One run: a private server, and a search for each model, one after the other.

    Attributes:
        protocol: what requests travel by.
        interrupted: number of the signal that ended the run, 0 for none.
        tuners: of the models that are served, by name, with what was measured.
        server: that was measured on.
    """

    def __init__(
        self,
        folder: Path,
        project: Project,
        options: TuneOptions,
        told: Listener,
        subjects: Sequence[Subject],
    ) -> None:
        self._options, self._told, self._subjects = options, told, tuple(subjects)
        self.protocol = options.protocol or project.intent.business.clients.protocol
        self._project, self._store = project, StateStore(folder)
        self._folder = self._store.folder / "tune"
        self._offset_s = 0.0
        self._begun = time.monotonic()
        self.interrupted = 0
        self.tuners: dict[str, Tuner] = {}
        self._ended = self._cause = ""
        self.server = PrivateServer(
            store=self._store,
            root=project.root.resolve(),
            backends=tuple(sorted({subject.space.backend.name for subject in subjects})),
            release=project.intent.target.triton,
            options=options,
            protocol=self.protocol,
            progress=told.download,
            gpus=project.intent.target.gpus if any(one.gpu for one in subjects) else 0,
        )
        self._bench = TaskRunner(self.server, options.seed, self._clock)

    def lock(self) -> FileLock:
        """Keeps two runs from disturbing each other's measurements.

        Raises:
            EnvironmentProblem: TG008 on entry when another run holds it; TG004, TG005, TG011.
        """
        return FileLock(self._store.make_folder("tune") / "lock", "tuning")

    def notes(self) -> tuple[str, ...]:
        """What was measured on, and what the measurements suffered from."""
        notes = []
        names = [subject.space.backend.name for subject in self._subjects]
        if measured_on := own_implementation(self.server.runtime, names):
            notes.append(f"measured on {measured_on}: times there are others")
        cores = self.server.cores
        if cores.shared and self.server.starts:
            listed = ", ".join(map(str, cores.server))
            notes.append(
                f"server and load generator shared CPUs {listed}: there are no others, so both "
                "are slower than apart"
            )
        share = self._bench.interference.share
        if share > _NOISY_SHARE:
            notes.append(
                f"noisy: other processes took {share:.0%} of this machine's CPUs meanwhile; "
                "comparisons are paired, levels are lower than on a quiet machine"
            )
        short = self._bench.short_of_memory
        if short:
            notes.append(f"memory ran short, and the server was started anew ({short} times)")
        died = [f"{words}; another one was started" for words in self._bench.died]
        return (*notes, *died)

    def run(self) -> tuple[TunedModel, ...]:
        """Tune every model; what was measured is never lost."""
        results: list[TunedModel] = []
        # A run that was killed leaves its folder of weights behind.
        shutil.rmtree(self.server.repository, ignore_errors=True)
        try:
            for index, subject in enumerate(self._subjects):
                variants = accepted_variants(self._project, subject, self._options, self._told.note)
                # Together with its variants a model keeps to the budget.
                tried = sum(other is not None for _, other in variants)
                budget_s = self._options.budget_s / (1.0 + _VARIANT_SHARE * tried)
                results.append(self._tune(index, subject, max(MIN_BUDGET_S, budget_s)))
                if variants:
                    budget_s = max(MIN_BUDGET_S, _VARIANT_SHARE * max(MIN_BUDGET_S, budget_s))
                    results[-1] = self._compared(index, subject, results[-1], variants, budget_s)
                if self._ended:
                    break
        except KeyboardInterrupt as signalled:
            self._end(signal_of(signalled))
        finally:
            self._bench.close()
        return tuple(results)

    def _tune(self, index: int, subject: Subject, budget_s: float) -> TunedModel:
        """Calibrate, predict, race, and measure the choice at rates."""
        settings = self._settings(subject, budget_s)
        journal = Journal(self._folder, self._header(subject))
        tuner = Tuner(
            settings,
            subject.space,
            subject.incumbent,
            subject.baseline,
            subject.prior if budget_s < _FULL_CALIBRATION_S else None,
            journal.begin(resume=self._options.resume),
            self._rivals(subject),
        )
        self._offset_s, self._begun = elapsed_s(tuner.history), time.monotonic()
        search = _Search(index, subject, settings, tuner, journal)
        try:
            while not self._over(search) and (step := tuner.next()) is not None:
                self._take(search, step)
            while not self._ended and (step := tuner.pairs()) is not None:
                self._take(search, step)
            self._sweep(search)
        except KeyboardInterrupt as signalled:
            self._end(signal_of(signalled))
        except EnvironmentProblem as problem:
            if not any(found.sound for found in tuner.history):
                raise
            self._ended, self._cause = "stopped", str(problem)
        if not subject.variant:
            self.tuners[subject.name] = tuner
        result = result_of(subject, tuner, self._ended, (self._cause,) if self._cause else ())
        rivals = self._rivals(subject)
        kept = rivals is not None and rivals.held and result.choice.candidate == rivals.there
        measured_on = own_implementation(self.server.runtime, [subject.space.backend.name])
        return replace(result, protocol=self.protocol, kept=kept, measured_on=measured_on)

    def _rivals(self, subject: Subject) -> Rivals | None:
        """What the winner is held against; variants are only offered."""
        if subject.variant:
            return None
        lock = self._project.lock
        held = lock is not None and f"{subject.name}/{CONFIG_FILE}" in lock.written
        clients = self._project.intent.business.clients.concurrency
        return Rivals(subject.incumbent, subject.built, held, clients)

    def _settings(self, subject: Subject, budget_s: float) -> TuneSettings:
        # What is offered beside the choice is not planned with.
        swept = not subject.variant and budget_s >= _MIN_SWEPT_S
        short = min(budget_s, _LONG_BUDGET_S)
        sweep_s = min(_SWEEP_SHARE * short + _SHARE_BEYOND * (budget_s - short), _MAX_SWEEP_S)
        return TuneSettings(
            subject.objective,
            float(subject.cores),
            budget_s=budget_s,
            sweep_s=sweep_s if swept else 0.0,
            pairs_s=0.0 if subject.variant else min(_PAIRS_SHARE * budget_s, _MAX_PAIRS_S),
            seed=self._options.seed,
        )

    def _sweep(self, search: "_Search") -> None:
        """Measure the choice at rates, on a server with nothing else: so it is served later."""
        alone = False
        while not self._ended and (step := search.tuner.sweep()) is not None:
            if not alone:
                self._bench.close()
                alone = True
            self._take(search, step)

    def _compared(
        self,
        index: int,
        subject: Subject,
        result: TunedModel,
        variants: Sequence[tuple[VariantComparison, Subject | None]],
        budget_s: float,
    ) -> TunedModel:
        """The result with accepted variants held against it, each as it is best."""
        found = []
        for offer, variant in variants:
            if variant is None or result.best is None or self._ended:
                found.append(offer)
                continue
            other = self._tune(index, variant, budget_s)
            if other.best is None:
                why = other.notes[0] if other.notes else other.sentence
                found.append(replace(offer, reason=why))
                continue
            seconds = self._settings(subject, budget_s).seconds(result.best.throughput.value)
            ours = ComparedArm(subject, result.choice.candidate, result.choice.load)
            theirs = ComparedArm(variant, other.choice.candidate, other.choice.load)
            found.append(paired_comparison(self._bench, offer, ours, theirs, seconds))
            if self._bench.interrupted:
                self._end(self._bench.interrupted)
        return replace(result, offers=tuple(found))

    def _take(self, search: "_Search", step: TunerStep) -> None:
        """Measure what a step asks for, until the time is up or the server is."""
        for task in self._ordered(search.subject, step):
            if step.phase not in {Phase.PAIR, Phase.SWEEP} and self._over(search):
                return
            self._tell(search, step, task)
            found = self._bench.measure(search.subject, task)
            if self._bench.interrupted:
                self._end(self._bench.interrupted)
                return
            search.journal.append(found)
            search.tuner.take(found)
            if self._bench.hopeless:
                self._ended, self._cause = "stopped", "the server died again and again"
                return
            if step.phase is Phase.CALIBRATE:
                # Each one may make the others unnecessary.
                return

    def _end(self, number: int) -> None:
        self.interrupted, self._ended = number, "interrupted"

    def _over(self, search: "_Search") -> bool:
        """Whether the run has ended, or the time is up."""
        return bool(self._ended) or search.tuner.over(self._clock())

    def _clock(self) -> float:
        return self._offset_s + time.monotonic() - self._begun

    def _ordered(self, subject: Subject, step: TunerStep) -> list[Task]:
        """Tasks with those of one environment together, so that the server starts anew seldom."""
        keys = [self._bench.configuration(subject, task).environment for task in step.tasks]
        order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        pairs = sorted(zip(keys, step.tasks, strict=True), key=lambda pair: order[pair[0]])
        return [task for _, task in pairs]

    def _tell(self, search: "_Search", step: TunerStep, task: Task) -> None:
        raced = step.phase is not Phase.CALIBRATE
        left = counted(step.remaining, "candidate")
        doing = f"round {step.round}, {left}" if raced else "calibrating"
        if step.phase is Phase.PAIR:
            doing = f"round {step.round} beside what is there"
        if isinstance(task.load, OpenLoop) and step.phase is Phase.SWEEP:
            doing = f"at {show_figure(task.load.rate_per_s)}/s"
        name = "auto-completed" if task.purpose is Purpose.BASELINE else task.candidate.key
        self._told.step(
            TuneProgress(
                f"{search.subject.name} {search.subject.variant}".rstrip(),
                search.index,
                len(self._subjects),
                f"{doing}: {name}",
                self._clock(),
                search.settings.budget_s,
                search.tuner.best() if raced else None,
            )
        )

    def _header(self, subject: Subject) -> JournalHeader:
        """What the measurements depend on: a journal of anything else is not continued."""
        space = subject.space
        choices = {f.name: getattr(space, f.name) for f in fields(space) if f.name != "backend"}
        basis = {
            "tool": __version__,
            "files": subject.evidence.files,
            "backend": space.backend.name,
            "space": choices,
            "baseline": subject.baseline,
            "runtime": self._options.runtime or RuntimeName.EMBEDDED,
            "image": self._options.image,
            "protocol": self.protocol,
        }
        text = json.dumps(codec.encode(basis), sort_keys=True)
        return JournalHeader(
            f"{subject.name}@{subject.variant}" if subject.variant else subject.name,
            subject.objective.text,
            subject.cores,
            self._options.seed,
            hashlib.sha256(text.encode()).hexdigest()[:16],
        )


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for one model."""

    index: int
    subject: Subject
    settings: TuneSettings
    tuner: Tuner
    journal: Journal
