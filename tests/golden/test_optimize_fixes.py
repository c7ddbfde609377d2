"""Every fix on a model with its fault: the graph before and after, reviewed as text."""

from pathlib import Path

import onnx
import pytest

from support.optimize import dump, faulty, fix
from tritongen.optimize.fixes import FIXES

CASES = Path(__file__).parent / "optimize"

# name of the case: (model, context)
MODELS = {
    "zipmap": (faulty.zipmap(), {}),
    "zipmap_texts": (faulty.zipmap(texts=True), {}),
    "label_indices": (faulty.zipmap(texts=True, ml=3), {"string_labels": False}),
    "label_indices_old": (faulty.zipmap(texts=True), {"string_labels": False}),
    "sequence": (faulty.sequence(), {}),
    "sequence_split": (faulty.sequence(split=True), {}),
    "optional": (faulty.optional_output(), {}),
    "optional_input": (faulty.optional_input(), {}),
    "names": (faulty.bad_names(), {}),
    "sizes": (faulty.literal_sizes(), {}),
    "ranks": (faulty.wrong_rank(), {}),
    "ranks_undeclared": (faulty.no_rank(), {}),
    "free_batch": (faulty.fixed_batch(), {}),
    "free_batch_of_3": (faulty.fixed_batch(3), {}),
    "free_batch_lstm": (faulty.fixed_batch_lstm(), {}),
    "batch_first": (faulty.second_axis(), {}),
    "scalars": (faulty.scalar_output(), {"batch": False}),
    "ir_version": (faulty.new_versions(), {"ir": 9}),
    "opset": (faulty.new_versions(), {"opset": 19}),
    "opset_old": (faulty.old_opset(), {}),
}


@pytest.mark.parametrize("case", MODELS)
def test_fix(case: str, tmp_path: Path, update_golden: bool) -> None:
    model, context = MODELS[case]
    fixed = fix(model, tmp_path, **context)
    steps = [f"{step.name}: {step.reason}" for step in fixed.steps]
    assert all(step.applied for step in fixed.steps), steps
    assert fixed.model
    parts = [
        dump(model),
        *(f"# {step}\n" for step in steps),
        f"# rows equal: {fixed.rows_equal}\n",
        *([f"# {fixed.labels_of}: {', '.join(fixed.labels)}\n"] if fixed.labels else []),
        dump(onnx.load(fixed.model)),
    ]
    text = "".join(parts)
    expected = CASES / f"{case}.txt"
    if update_golden:
        expected.write_text(text)
    assert text == expected.read_text()


def test_every_fix_has_a_case() -> None:
    assert {name for name in FIXES if any(case.startswith(name) for case in MODELS)} == set(FIXES)
