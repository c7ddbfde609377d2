"""Samples that a trial feeds, and when made-up values are added to them."""

import io

import numpy as np
import pytest

from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import ModelIntent
from tritongen.model.samples import FEWEST_REAL_ROWS
from tritongen.model.tensors import DType, TensorSpec
from tritongen.system.sample_files import SampleFile, SampleFiles
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.real_samples import read_for_trial
from tritongen.trial.run_trial import _asked

FACTS = ModelFacts(
    "m", "m/model.onnx", ModelFormat.ONNX,
    inputs=(TensorSpec("x", DType.FP32, ("n", 2)),),
    outputs=(TensorSpec("y", DType.FP32, ("n", 2)),),
)  # fmt: skip


def rows(count: int, found: int = 0) -> SampleFiles:
    files = []
    for number in range(count):
        buffer = io.BytesIO()
        np.save(buffer, np.full((1, 2), number, np.float32))
        files.append(SampleFile(f"{number}.npy", buffer.getvalue(), "x"))
    return SampleFiles(tuple(files), found or count)


@pytest.mark.parametrize(
    ("count", "found", "words"),
    [
        (1, 0, "1 sample and made-up values"),
        (FEWEST_REAL_ROWS - 1, 0, "2 samples and made-up values"),
        (FEWEST_REAL_ROWS, 0, "3 samples"),
        (4, 900, "4 of 900 samples"),
        (65, 0, "64 of 65 samples"),
    ],
)
def test_few_rows_are_joined_by_made_up_ones(count, found, words):
    fed, told = read_for_trial(rows(count, found), FACTS, ModelIntent())
    assert told == words
    assert len(fed) == min(count, 64)


def test_a_child_is_asked_with_samples_or_without(tmp_path):
    alone, tail = _asked(FACTS, tmp_path, ModelIntent(), TrialOptions(2), None)
    assert (alone.samples, tail) == ((), b"")
    given, tail = _asked(FACTS, tmp_path, ModelIntent(), TrialOptions(2), rows(2))
    assert len(given.samples) == 2
    assert given.values_from == "2 samples and made-up values"
    assert len(tail) > 2 * 8
