"""The verdict of one model: by proof where it was run, else by syntax, and it says which."""

from dataclasses import replace

import pytest

from support.capacity import model_facts, trial_evidence
from tritongen.model.evidence import BatchProof, BatchVerdict, Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.releases import find
from tritongen.model.tensors import DType, TensorSpec
from tritongen.repository.inspect import inspected

RELEASE = find("26.07")
FACTS = model_facts("m")
RUN = trial_evidence(4.0).trial
FIXED = replace(FACTS, outputs=(TensorSpec("y", DType.FP32, (1, 10)),))


def proven(verdict: BatchVerdict, *, ok: bool = True) -> Trial:
    return replace(RUN, ok=ok, proof=BatchProof(verdict, "so it is"))


@pytest.mark.parametrize(
    ("facts", "trial", "batch", "why"),
    [
        (FACTS, None, True, "by syntax only: every first axis is dynamic"),
        (FACTS, proven(BatchVerdict.PROVEN), True, "run: so it is"),
        (FACTS, proven(BatchVerdict.DISPROVEN), False, "run: so it is"),
        (FACTS, proven(BatchVerdict.UNTESTED), True, "by syntax only: "),
        (FIXED, None, False, "by syntax: y has no dynamic first axis"),
        (replace(FACTS, inputs=(TensorSpec("x", DType.FP32, ()),)), None, False, "by syntax: x"),
        (FACTS.refused("TG102", "damaged"), None, False, "the model cannot be served"),
    ],
)
def test_on_what_the_batch_axis_rests(facts: ModelFacts, trial, batch, why):
    found = inspected(facts, trial, RELEASE)
    assert (found.batchable, found.batch_reason.startswith(why)) == (batch, True)
    assert found.trial is trial
