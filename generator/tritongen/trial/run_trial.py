"""The trial run: a model runs in a child process on seeded inputs, within limits.

The child tells what it finds as it goes, so that a model that crashes, hangs or eats memory costs
neither the tool nor what was already known.
"""

import json
from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.codec import encode
from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import ModelIntent
from tritongen.system.sample_files import SampleFiles
from tritongen.trial.child import run_worker
from tritongen.trial.child_report import make_trial, read_report
from tritongen.trial.child_request import TrialOptions, TrialRequest
from tritongen.trial.preparation import make_request
from tritongen.trial.runtimes import RUNTIMES
from tritongen.trial.warm_worker import WarmWorker


def run_trial(
    facts: ModelFacts,
    root: Path,
    intent: ModelIntent,
    options: TrialOptions,
    samples: SampleFiles | None = None,
    worker: WarmWorker | None = None,
) -> Trial:
    """Run a model in a child process on samples, or on seeded inputs.

    Args:
        facts: what its file says.
        root: the models folder that `facts` is relative to.
        intent: declared inputs, and the user's word on batching.
        options: limits and seed.
        samples: the user's, None where there are none.
        worker: of several trials, which runs it unless it is code; None for a process of its own.

    Returns:
        What was observed. A model that fails, hangs, crashes or takes too much memory is a `Trial`
        with `ok` false or, when that happened after its single-row run, with a `code`.

    Raises:
        InvalidInputError: TG304, a declared shape or description of values does not suit an input;
            TG107, the model's path leaves the folder.
        EnvironmentProblem: TG006, the library that runs the format is not installed.
    """
    from tritongen.trial.preparation import unfed_input

    if facts.format not in RUNTIMES:
        return _not_run("TG208", f"there is no trial for models in the format {facts.format}")
    if (unfed := unfed_input(facts, intent)) is not None:
        kind = unfed.declared_type or unfed.kind
        return _not_run("TG201", f"input {unfed.name!r} ({kind}) cannot be generated")
    try:
        request, tail = _asked(facts, root, intent, options, samples)
    except InvalidInputError as problem:
        if problem.code != "TG906":
            raise
        return _not_run(problem.code, f"{problem.where}: {problem.what}")
    memory = options.memory_limit(facts)
    text = json.dumps(encode(request)) + "\n"
    run = run_worker if worker is None or facts.format.is_code else worker.run
    result = run(text, options.timeout_s, memory, tail=tail)
    report = read_report(result.output)
    if report.missing is not None:
        what, fix = report.missing
        raise EnvironmentProblem("TG006", what, where=facts.name, fix=fix)
    return make_trial(report, result, options, memory)


def _asked(
    facts: ModelFacts,
    root: Path,
    intent: ModelIntent,
    options: TrialOptions,
    samples: SampleFiles | None,
) -> tuple[TrialRequest, bytes]:
    """What the child is asked, and the samples that follow it."""
    if samples is None:
        return make_request(facts, root, intent, options), b""
    from tritongen.trial import real_samples  # numpy is loaded only where there are some

    given, words = real_samples.read_for_trial(samples, facts, intent)
    facts, intent = real_samples.with_sample(facts, intent, given[0])
    places = tuple(sample.place for sample in given)
    request = make_request(facts, root, intent, options)
    return replace(request, samples=places, values_from=words), real_samples.sample_frame(given)


def _not_run(code: str, error: str) -> Trial:
    return Trial("", ok=False, code=code, error=error)
