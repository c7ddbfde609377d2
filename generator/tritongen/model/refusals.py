"""What a trial has shown that no server of the target's release can load."""

import re
from dataclasses import replace

from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Severity, finding
from tritongen.model.releases import Release

# The trial's code for a model that the runtime itself does not load.
NOT_LOADED = "TG145"


def with_refusal(facts: ModelFacts, trial: Trial | None, release: Release, gpus: int) -> ModelFacts:
    """Facts with an error where the target's runtime will refuse the model as the trial's did.

    An older runtime than the target's may lack what that one has, and so may the CPU's operators
    where the target has a GPU: then the trial's warning is all that can be said.

    Args:
        facts: from the file.
        trial: None when it was not run.
        release: the target Triton.
        gpus: number of GPUs of the target.
    """
    if trial is None or trial.ok or trial.code != NOT_LOADED or facts.onnx is None:
        return facts
    if gpus or facts.onnx.custom_domains or not _as_new(trial.runtime, release.onnxruntime):
        return facts
    fault = finding(
        NOT_LOADED,
        Severity.ERROR,
        f"{trial.runtime} does not load it: {trial.error}",
        model=facts.name,
        path=facts.path,
    )
    return replace(facts, findings=(*facts.findings, fault))


def _as_new(runtime: str, version: str) -> bool:
    """Whether a trial's runtime, such as ``onnxruntime 1.32.0``, is not older than a version."""
    return _numbers(runtime) >= _numbers(version)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
