"""Evidence for every model: taken from the lock while the files are the same, else gathered."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.formats.model_files import StatKey, hash_files
from tritongen.model.codec import parse_json
from tritongen.model.cores import budget_of
from tritongen.model.evidence import Evidence, ModelEvidence, Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import NO_BATCH, trial_declarations
from tritongen.repository.project import Project
from tritongen.system.files import write_atomic
from tritongen.system.machine import read_cpus
from tritongen.system.own_files import read_own
from tritongen.system.user_cache import cache_folder, user_cache
from tritongen.trial import TrialOptions, run_trial

_log = logging.getLogger(__name__)

# Files below this size are hashed anew each time: it costs less than trusting a time stamp.
CACHED_SIZE = 8 * 2**20
# A trial that ran out of time or memory: it may go otherwise with other limits, or tomorrow.
_CUT_OFF = frozenset({"TG202", "TG203"})

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrialPolicy:
    """When and how models are run.

    Attributes:
        run: whether models without evidence are run at all.
        remeasure: run every model, whatever the lock holds.
        options: limits of a trial.
        code: whether models that are programs are among them.
    """

    run: bool
    remeasure: bool
    options: TrialOptions
    code: bool = True

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
) -> TrialPolicy:
    """A policy with this machine's cores as the most threads to try.

    Args:
        run: whether models without evidence are run at all.
        remeasure: run every model, whatever the lock holds.
        timeout_s: wall clock of one trial.
        memory_bytes: of one trial, None to go by the model's size.
        code: whether models that are programs are among them.
    """
    cores = budget_of(read_cpus()).value
    options = TrialOptions(cores=cores, timeout_s=timeout_s, memory_bytes=memory_bytes)
    return TrialPolicy(run, remeasure, options, code)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Evidence of every servable model and which of it is missing.

    Attributes:
        evidence: by model.
        missing: models that have no trial and were not run, each with what has become of the one
            that the lock holds; empty where it holds none.
        held: those of them that were not run because they are programs.
    """

    evidence: Evidence
    missing: Mapping[str, str]
    held: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is said of programs that were not run."""
        message = "its code was not run; this rests on what can be read"
        return tuple(finding("TG147", Severity.WARNING, message, model=name) for name in self.held)


def gather_evidence(project: Project, policy: TrialPolicy, progress: Progress) -> Gathered:
    """Evidence of every servable model of the project.

    Args:
        project: with its lock.
        policy: when models are run.
        progress: told of each model that is run.

    Raises:
        InvalidInputError: a model file cannot be read.
        EnvironmentProblem: TG006, the runtime of a format that must be tried is not installed.
    """
    known = project.lock.evidence.models if project.lock is not None else {}
    cache = _load_cache(project.root)
    before = dict(cache)
    models: dict[str, ModelEvidence] = {}
    missing: dict[str, str] = {}
    tried = 0
    for facts in project.models:
        if not facts.servable or project.intent.of(facts.name).skip:
            continue
        declared = trial_declarations(project.intent.of(facts.name))
        earlier = known.get(facts.name)
        evidence = _hashed(project.root, facts, cache, earlier)
        evidence, lost = _still_good(evidence, earlier, declared)
        if policy.runs(facts, evidence):
            _log.info("model %s is tried", facts.name)
            tried += 1
            progress(facts.name)
            trial = _tried(project, facts, policy.options, declared)
            now = _hashed(project.root, facts, cache, evidence)
            # What was tried is what was hashed only where it is still the same.
            same = now.files == evidence.files
            evidence = replace(now, trial=trial if same else None)
            lost = "" if same else "the model's file changed while it was tried"
        if evidence.trial is None:
            missing[facts.name] = lost
        models[facts.name] = replace(evidence, variant=project.variants.get(facts.name))
    kept = len(models) - len(missing) - tried
    _log.info("trials: %d run, %d hold from the lock, %d missing", tried, kept, len(missing))
    if cache != before:
        _save_cache(project.root, cache)
    programs = {facts.name for facts in project.models if facts.format.is_code}
    held = () if policy.code else tuple(name for name in missing if name in programs)
    return Gathered(Evidence(models), missing, held)


def _tried(
    project: Project, facts: ModelFacts, options: TrialOptions, declared: tuple[str, ...]
) -> Trial:
    trial = run_trial(facts, project.root, project.intent.of(facts.name), options)
    # Times of one processor are not those of another: a plan must know whose they are.
    return replace(trial, cpu=read_cpus().model if trial.costs else "", declared=declared)


def _still_good(
    evidence: ModelEvidence, known: ModelEvidence | None, declared: tuple[str, ...]
) -> tuple[ModelEvidence, str]:
    """Evidence without a trial that fed what is no longer declared, and what has become of it."""
    trial = evidence.trial
    if trial is None:
        lost = known is not None and known.trial is not None
        return evidence, "the model's file has changed since it was tried" if lost else ""
    changed = _changed(trial, declared)
    if not changed:
        return evidence, ""
    names = ", ".join(dict.fromkeys(item.partition(": ")[0] for item in changed))
    return replace(evidence, trial=None), f"tritongen.yaml has changed since it was tried: {names}"


def _changed(trial: Trial, declared: tuple[str, ...]) -> list[str]:
    """What tritongen.yaml says otherwise than it did for a trial."""
    if trial.declared is None:
        # An older lock: where the model ran, what was fed stands in it; else it may be the fix.
        return [] if trial.ok else list(declared)
    # A trial that has tested the batch axis is as good where batching is switched off now.
    wanted = set(declared)
    return sorted({*trial.declared, *({NO_BATCH} & wanted)} ^ wanted)


def _decided(evidence: ModelEvidence) -> bool:
    """Whether a trial has said what there is to say; one that a limit cut off has not."""
    trial = evidence.trial
    return trial is not None and (trial.ok or trial.code not in _CUT_OFF)


def _hashed(
    root: Path,
    facts: ModelFacts,
    cache: dict[StatKey, str],
    known: ModelEvidence | None,
) -> ModelEvidence:
    """The known evidence when it holds for these bytes, else evidence without observations."""
    large = any(ref.size >= CACHED_SIZE for version in facts.versions for ref in version.files)
    files = hash_files(root, facts, cache if large else None)
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


def _save_cache(root: Path, cache: dict[StatKey, str]) -> None:
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
