"""The trial run: a model runs in a child process on seeded inputs, within limits.

The child tells what it finds as it goes, so that a model that crashes, hangs or eats memory costs
neither the tool nor what was already known.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.codec import encode
from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts
from tritongen.trial.child import run_worker
from tritongen.trial.child_report import make_trial, read_report
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.runtime import RuntimeRefusal
from tritongen.trial.runtimes import RUNTIMES

if TYPE_CHECKING:
    # The child imports this package too, and has nothing to do with what the user asks for.
    from tritongen.model.intent import ModelIntent

__all__ = ["RUNTIMES", "RuntimeRefusal", "TrialOptions", "run_trial"]


def run_trial(facts: ModelFacts, root: Path, intent: "ModelIntent", options: TrialOptions) -> Trial:
    """Run a model in a child process on seeded inputs.

    Args:
        facts: what its file says.
        root: the models folder that `facts` is relative to.
        intent: declared inputs, and the user's word on batching.
        options: limits and seed.

    Returns:
        What was observed. A model that fails, hangs, crashes or takes too much memory is a `Trial`
        with `ok` false or, when that happened after its single-row run, with a `code`.

    Raises:
        InvalidInputError: TG304, a declared shape or description of values does not suit an input;
            TG107, the model's path leaves the folder.
        EnvironmentProblem: TG006, the library that runs the format is not installed.
    """
    from tritongen.trial.preparation import make_request, unfed_input

    if facts.format not in RUNTIMES:
        return _not_run("TG208", f"there is no trial for models in the format {facts.format}")
    if (unfed := unfed_input(facts, intent)) is not None:
        kind = unfed.declared_type or unfed.kind
        return _not_run("TG201", f"input {unfed.name!r} ({kind}) cannot be generated")
    request = make_request(facts, root, intent, options)
    memory = options.memory_limit(facts)
    result = run_worker(json.dumps(encode(request)), options.timeout_s, memory)
    report = read_report(result.output)
    if report.missing is not None:
        what, fix = report.missing
        raise EnvironmentProblem("TG006", what, where=facts.name, fix=fix)
    return make_trial(report, result, options, memory)


def _not_run(code: str, error: str) -> Trial:
    return Trial("", ok=False, code=code, error=error)
