"""Evidence for every model: taken from the lock while the files are the same, else gathered."""

import json
import logging
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.formats.model_files import StatKey, hash_files
from tritongen.model.codec import parse_json
from tritongen.model.cores import budget_of
from tritongen.model.evidence import SAMPLES, Evidence, ModelEvidence, Trial, runtime_version
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import NO_BATCH, trial_declarations
from tritongen.model.progress import Progress, silent
from tritongen.model.releases import RELEASES
from tritongen.repository.project import Project
from tritongen.repository.runtime_versions import runtime_findings, wrong_answers
from tritongen.system.files import write_atomic
from tritongen.system.machine import read_cpus
from tritongen.system.own_files import read_own
from tritongen.system.sample_files import SampleFiles, find_samples
from tritongen.system.user_cache import cache_folder, user_cache
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.run_trial import run_trial
from tritongen.trial.warm_worker import WarmWorker

_log = logging.getLogger(__name__)

# Files below this size are hashed anew each time: it costs less than trusting a time stamp.
CACHED_SIZE = 8 * 2**20
# A trial that ran out of time or memory: it may go otherwise with other limits, or tomorrow.
_CUT_OFF = frozenset({"TG202", "TG203"})
# Chosen: a time beside the others of its trial, and memory, vary by so much from trial to trial; a
# machine as a whole by more.
_NOISE, _LEVEL_NOISE = 0.12, 0.25


@dataclass(frozen=True, slots=True)
class TrialPolicy:
    """When and how models are run.

    Attributes:
        run: whether models without evidence are run at all.
        remeasure: run every model, whatever the lock holds.
        options: limits of a trial.
        code: whether models that are programs are among them.
        any_cores: what was observed holds for any target.cpus, as where machines of several sizes
            are asked.
    """

    run: bool
    remeasure: bool
    options: TrialOptions
    code: bool = True
    any_cores: bool = False

    def runs(self, facts: ModelFacts, evidence: ModelEvidence) -> bool:
        """Whether a model is to be run."""
        allowed = self.run and (self.code or not facts.format.is_code)
        return allowed and (self.remeasure or not _decided(evidence))


def trial_policy(
    *,
    run: bool,
    remeasure: bool = False,
    timeout_s: float = 60.0,
    memory_bytes: int | None = None,
    code: bool = True,
    progress: Progress = silent,
) -> TrialPolicy:
    """A policy with this machine's cores as the most threads to try.

    Args:
        run: whether models without evidence are run at all.
        remeasure: run every model, whatever the lock holds.
        timeout_s: wall clock of one trial.
        memory_bytes: of one trial, None to go by the model's size.
        code: whether models that are programs are among them.
        progress: told of the download of a runtime.
    """
    cores = budget_of(read_cpus()).value
    options = TrialOptions(
        cores=cores, timeout_s=timeout_s, memory_bytes=memory_bytes, progress=progress
    )
    return TrialPolicy(run, remeasure, options, code)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Evidence of every servable model and which of it is missing.

    Attributes:
        evidence: by model.
        missing: models that have no trial and were not run, each with what has become of the one
            that the lock holds; empty where it holds none.
        held: those of them that were not run because they are programs.
        faults: samples that cannot be read.
        renewed: models that were tried again, each with what has become of the trial before.
        runtimes: what is said of runtimes that are not the target's.
    """

    evidence: Evidence
    missing: Mapping[str, str]
    held: tuple[str, ...] = ()
    faults: tuple[Finding, ...] = ()
    renewed: Mapping[str, str] = field(default_factory=dict)
    runtimes: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is said of programs not run, models run again, other runtimes, unused samples."""
        message = "its code was not run; this rests on what can be read"
        return (
            *(finding("TG147", Severity.WARNING, message, model=name) for name in self.held),
            *(
                finding("TG709", Severity.INFO, f"{lost}, so it was tried again", model=name)
                for name, lost in self.renewed.items()
            ),
            *self.runtimes,
            *self.faults,
        )

    @property
    def lost(self) -> tuple[Finding, ...]:
        """What is said of models whose trial in the lock does not hold, and that were not run."""
        return tuple(
            finding("TG707", Severity.WARNING, lost, model=name)
            for name, lost in self.missing.items()
            if lost
        )


def gather_evidence(project: Project, policy: TrialPolicy, progress: Progress) -> Gathered:
    """Evidence of every servable model of the project.

    Args:
        project: with its lock.
        policy: when models are run.
        progress: told of each model that is run, and of how many there are.

    Raises:
        InvalidInputError: a model file cannot be read.
        EnvironmentProblem: TG006, the runtime of a format that must be tried is not installed.
    """
    known = project.lock.evidence.models if project.lock is not None else {}
    cache = _load_cache(project.root)
    before = dict(cache)
    models: dict[str, ModelEvidence] = {}
    missing: dict[str, str] = {}
    faults: list[Finding] = []
    renewed: dict[str, str] = {}
    tried: set[str] = set()
    served = tuple(_served(project))
    with WarmWorker() as worker:
        for number, facts in enumerate(served):
            earlier = known.get(facts.name)
            hashed = _hashed(project, facts, cache, earlier)
            given = _given(project, facts.name, hashed.trial)
            target = _other_target(project, facts, any_cores=policy.any_cores)
            evidence, lost = _still_good(hashed, earlier, given.declared, target)
            if policy.runs(facts, evidence):
                _log.info("model %s is tried", facts.name)
                tried.add(facts.name)
                progress(facts.name, number, len(served))
                trial = _tried(project, facts, policy.options, given, worker)
                evidence = _of_now(_hashed(project, facts, cache, evidence), hashed, trial)
                if evidence.trial is None:
                    lost = "the model's file changed while it was tried"
                elif lost:
                    renewed[facts.name] = lost
            if given.fault is not None and (evidence.trial is None or evidence.trial.ok):
                faults.append(given.fault)
            if evidence.trial is None:
                missing[facts.name] = lost
            models[facts.name] = replace(evidence, variant=project.variants.get(facts.name))
    kept = len(models) - len(missing) - len(tried)
    _log.info("trials: %d run, %d hold from the lock, %d missing", len(tried), kept, len(missing))
    _save_cache(project.root, cache, before)
    programs = {facts.name for facts in project.models if facts.format.is_code}
    held = () if policy.code else tuple(name for name in missing if name in programs)
    runtimes = (*wrong_answers(project), *runtime_findings(project, models, tried))
    return Gathered(Evidence(models), missing, held, tuple(faults), renewed, runtimes)


def _served(project: Project) -> Iterator[ModelFacts]:
    """Models that can be served and are wanted."""
    for facts in project.models:
        if facts.servable and project.intent.of(facts.name).serve:
            yield facts


def _of_now(now: ModelEvidence, hashed: ModelEvidence, trial: Trial) -> ModelEvidence:
    """A trial as evidence of the file that was hashed before it and is hashed after it.

    What was tried is what was hashed only where it is still the same.
    """
    same = now.files == hashed.files
    return replace(now, trial=steadied(trial, hashed.trial) if same else None)


def _other_target(project: Project, facts: ModelFacts, *, any_cores: bool) -> str:
    """What of the target is otherwise than at the last build, when every trial held for it."""
    before = project.lock.target if project.lock is not None else None
    if before is None:
        return ""
    now, changed = project.intent.target, []
    if before.triton != now.triton:
        old = next((one for one in RELEASES if one.tag == before.triton), None)
        # The release itself stands for a runtime that no table has.
        runtimes = {
            runtime_version(one, facts.format) or one.tag for one in (old, project.release) if one
        }
        if old is None or len(runtimes) > 1:
            changed.append("target.triton")
    if before.gpus != now.gpus and 0 in {before.gpus, now.gpus}:
        changed.append("target.gpus")
    if not any_cores and before.cores != project.target().cores.value:
        changed.append("target.cpus")
    return " and ".join(changed)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a trial is given.

    Attributes:
        declared: all of it, as the trial records it.
        samples: None where there are none, or none that can be read.
        fault: why they cannot be read.
    """

    declared: tuple[str, ...]
    samples: SampleFiles | None = None
    fault: Finding | None = None


def _given(project: Project, model: str, trial: Trial | None) -> _Given:
    """What tritongen.yaml gives a trial; where samples are not at hand, those of the known one."""
    intent = project.intent.of(model)
    declared = trial_declarations(intent)
    if not intent.samples:
        return _Given(declared)
    try:
        samples = find_samples(project.root, intent.samples)
    except InvalidInputError as problem:
        known = trial.declared or () if trial is not None and trial.on_samples else ()
        kept = [item for item in known if item.startswith(SAMPLES)] or [f"{SAMPLES}unreadable"]
        text = f"its samples are not used: {problem.where}: {problem.what}"
        fault = finding(problem.code, Severity.WARNING, text, fix=problem.fix, model=model)
        return _Given(tuple(sorted((*declared, *kept))), None, fault)
    return _Given(tuple(sorted((*declared, f"{SAMPLES}{samples.sha256}"))), samples)


def _tried(
    project: Project, facts: ModelFacts, options: TrialOptions, given: _Given, worker: WarmWorker
) -> Trial:
    if given.fault is not None:
        code, message = given.fault.code, given.fault.message
        return Trial("", ok=False, code=code, error=message, declared=given.declared)
    intent = project.intent.of(facts.name)
    options = replace(options, onnxruntime=project.release.onnxruntime)
    trial = run_trial(facts, project.root, intent, options, given.samples, worker)
    # Times of one processor are not those of another: a plan must know whose they are.
    return replace(trial, cpu=read_cpus().model if trial.costs else "", declared=given.declared)


def steadied(trial: Trial, before: Trial | None) -> Trial:
    """What is known of a model where a new trial differs from it by no more than noise.

    A plan that follows from times near a threshold would otherwise be another with each trial.

    Args:
        trial: of now.
        before: of the same bytes, as the lock has it; None without one.
    """
    if before is None or replace(trial, costs=(), peak_bytes=0) != replace(
        before, costs=(), peak_bytes=0
    ):
        return trial
    new = {(cost.batch, cost.threads, cost.inter_op): cost for cost in trial.costs}
    old = {(cost.batch, cost.threads, cost.inter_op): cost for cost in before.costs}
    pairs = [(old[key], cost) for key, cost in new.items() if key in old]
    ratios = [math.log(max(b.ms, 1e-9) / max(a.ms, 1e-9)) for a, b in pairs]
    level = statistics.median(ratios) if ratios else 0.0
    memory = abs(trial.peak_bytes - before.peak_bytes) > _NOISE * before.peak_bytes
    # A measurement that was disturbed has a wide spread, and gives way to one that was not.
    clear = any(
        abs(ratio - level) > max(_NOISE, a.spread, b.spread) or a.spread > 2 * max(_NOISE, b.spread)
        for ratio, (a, b) in zip(ratios, pairs, strict=True)
    )
    if clear or memory or abs(level) > _LEVEL_NOISE:
        return trial
    return replace(before, costs=(*before.costs, *(new[key] for key in new if key not in old)))


def _still_good(
    evidence: ModelEvidence, known: ModelEvidence | None, declared: tuple[str, ...], target: str
) -> tuple[ModelEvidence, str]:
    """Evidence without a trial that no longer holds, and what has become of it.

    Args:
        evidence: of the model's file as it is.
        known: what the lock holds.
        declared: what is fed now.
        target: what has changed of the target; empty for nothing.
    """
    trial = evidence.trial
    if trial is None:
        lost = known is not None and known.trial is not None
        return evidence, "the model's file has changed since it was tried" if lost else ""
    changed = _changed(trial, declared)
    if not changed and not target:
        return evidence, ""
    if not changed:
        return replace(evidence, trial=None), f"{target} has changed since it was tried"
    names = ", ".join(dict.fromkeys(item.partition(": ")[0] for item in changed))
    what = "the samples have" if names == "samples" else "tritongen.yaml has"
    return replace(evidence, trial=None), f"{what} changed since it was tried: {names}"


def _changed(trial: Trial, declared: tuple[str, ...]) -> list[str]:
    """What tritongen.yaml says otherwise than it did for a trial."""
    if trial.declared is None:
        # An older lock: where the model ran, what was fed stands in it; else it may be the fix.
        return [item for item in declared if not trial.ok or item.startswith(SAMPLES)]
    # A trial that has tested the batch axis is as good where batching is switched off now.
    wanted = set(declared)
    return sorted({*trial.declared, *({NO_BATCH} & wanted)} ^ wanted)


def _decided(evidence: ModelEvidence) -> bool:
    """Whether a trial has said what there is to say; one that a limit cut off has not."""
    trial = evidence.trial
    return trial is not None and (trial.ok or trial.code not in _CUT_OFF)


def _hashed(
    project: Project,
    facts: ModelFacts,
    cache: dict[StatKey, str],
    known: ModelEvidence | None,
) -> ModelEvidence:
    """The known evidence when it holds for these bytes, else evidence without observations."""
    if known is not None and facts.name in project.stored:
        return known
    large = any(ref.size >= CACHED_SIZE for version in facts.versions for ref in version.files)
    files = hash_files(project.root, facts, cache if large else None)
    if known is not None and _of_versions(known.files) == _of_versions(files):
        return replace(known, files=files)
    return ModelEvidence(files)


def _of_versions(files: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Files that a trial has run; those beside the versions say nothing of how a model runs."""
    return [(path, sha) for path, sha in files if path.partition("/")[0].isdecimal()]


def _cache_path() -> Path:
    return user_cache() / "hashes.json"


def _load_cache(root: Path) -> dict[StatKey, str]:
    """Hashes of large files of this folder; an unreadable cache is an empty one."""
    try:
        document = parse_json(read_own(_cache_path()))
        entries = document.get(str(root.resolve()), [])
        return {(str(path), int(size), int(time)): str(sha) for path, size, time, sha in entries}
    except (OSError, ValueError, TypeError, AttributeError, EnvironmentProblem):
        return {}


def _save_cache(root: Path, cache: dict[StatKey, str], before: dict[StatKey, str]) -> None:
    """Keep hashes where they are others than before."""
    if cache == before:
        return
    try:
        cache_folder("")
        path = _cache_path()
        try:
            document = parse_json(read_own(path))
        except (OSError, ValueError):
            document = {}
        document[str(root.resolve())] = [[*key, sha] for key, sha in cache.items()]
        write_atomic(path, json.dumps(document).encode(), mode=0o600)
    except (OSError, EnvironmentProblem):
        return  # a cache that cannot be written costs time at the next build, nothing else
