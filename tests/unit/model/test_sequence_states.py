"""Which inputs and outputs look like a carried state."""

import pytest

from support.onnx_models import save
from support.recurrent import cell
from tritongen.formats import inspect_folder
from tritongen.intent.reader import parse_intent
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.releases import find
from tritongen.model.sequence_intent import SequenceIntent
from tritongen.model.sequence_states import likely_states
from tritongen.model.tensors import DType, TensorSpec
from tritongen.repository.drafts import draft_intent


def facts(inputs, outputs):
    def specs(text):
        found = []
        for item in text.split():
            name, _, size = item.partition(":")
            found.append(TensorSpec(name, DType.FP32, ("n", int(size or 4))))
        return tuple(found)

    return ModelFacts("m", "m.onnx", ModelFormat.ONNX, inputs=specs(inputs), outputs=specs(outputs))


@pytest.mark.parametrize(
    ("inputs", "outputs", "pairs"),
    [
        ("x state", "y stateN", [("state", "stateN")]),
        ("x h c", "y hn cn", [("h", "hn"), ("c", "cn")]),
        ("x h0 c0", "y h_n c_n", [("h0", "h_n"), ("c0", "c_n")]),
        ("x state_in", "y state_out", [("state_in", "state_out")]),
        ("x prev_state", "y new_state", [("prev_state", "new_state")]),
        ("x h:4", "y hn:5", []),  # sizes that differ
        ("input", "output", []),
        ("h", "y hn", []),  # nothing is left to ask with
        ("x h", "hn", []),  # nothing is left to answer with
        ("x h", "y h", []),  # the same name is no step
        ("input_ids attention_mask", "last_hidden_state pooler_output", []),
    ],
)
def test_pairs(inputs, outputs, pairs):
    assert list(likely_states(facts(inputs, outputs))) == pairs


def test_the_hint_goes_when_it_was_followed(tmp_path):
    save(cell(), tmp_path / "cell" / "model.onnx")
    release = find("26.07")

    def codes(intent):
        (model,) = inspect_folder(tmp_path, release, intent=intent).models
        return {item.code: item for item in model.findings}

    hint = codes(Intent())["TG144"]
    assert "h → h_out" in hint.message
    assert "models.cell.sequence: { state: { h: h_out } }" in hint.fix
    told = Intent(models={"cell": ModelIntent(sequence=SequenceIntent({"h": "h_out"}))})
    assert "TG144" not in codes(told)


def test_a_draft_shows_how_the_server_would_keep_the_state(tmp_path):
    save(cell(), tmp_path / "cell" / "model.onnx")
    text = draft_intent(tmp_path, force=False).text
    assert "# sequence: {state: {h: h_out}}" in text
    assert parse_intent(text, "tritongen.yaml").faults == ()
    asked = text.replace("cell: {}", "cell:").replace("    # sequence", "    sequence")
    document = parse_intent(asked, "tritongen.yaml")
    assert document.faults == ()
    assert document.intent.of("cell").sequence == SequenceIntent({"h": "h_out"})
