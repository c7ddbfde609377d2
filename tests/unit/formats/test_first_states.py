"""Files that sequences begin with: copied beside the model, or told when they are not there."""

from pathlib import Path

from support.cli import sequence
from support.onnx_models import save
from tritongen.formats import inspect_folder
from tritongen.intent.reader import parse_intent
from tritongen.model.releases import find


def inspected(root: Path, initial: str):
    text = f"models: {{m: {{sequence: {{state: {{h: hn}}, initial: {{{initial}}}}}}}}}"
    intent = parse_intent(text, "").intent
    (facts,) = inspect_folder(root, find("26.07"), intent=intent).models
    return facts


def test_a_state_s_file_lies_beside_the_model_once(tmp_path):
    save(sequence(), tmp_path / "m/model.onnx")
    (tmp_path / "zero.bin").write_bytes(b"12345678")
    facts = inspected(tmp_path, "h: zero.bin, c: zero.bin")
    assert [(one.source, one.size) for one in facts.beside] == [("zero.bin", 8)]
    assert "TG318" not in {item.code for item in facts.findings}


def test_what_is_no_file_of_the_folder_is_told(tmp_path):
    save(sequence(), tmp_path / "m/model.onnx")
    (tmp_path / "folder").mkdir()
    for source in ("absent.bin", "folder"):
        facts = inspected(tmp_path, f"h: {source}")
        (told,) = [item for item in facts.findings if item.code == "TG318"]
        assert told.message == f"{source} is no file in the models folder"
        assert told.location.field == "models.m.sequence.initial.h"
        assert facts.beside == ()
