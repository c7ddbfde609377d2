"""A TensorRT plan is told by the number behind its first eight bytes."""

import pytest

from tritongen.formats.reading import ModelSource
from tritongen.formats.tensorrt import read_tensorrt


@pytest.mark.parametrize(
    ("content", "producer"),
    [
        (b"12345678\xe8", "TensorRT 8.5"),
        (b"12345678\x07more", "TensorRT, serialisation 7"),
        (b"ftrt5678\xcd", "TensorRT 8.2 for the safety runtime"),
        (b"12345678", None),
        (b"", None),
    ],
)
def test_what_built_a_plan(tmp_path, content, producer):
    (tmp_path / "model.plan").write_bytes(content)
    facts = read_tensorrt(ModelSource(tmp_path, "model.plan", "m"))
    told = [item.code for item in facts.findings]
    assert told == (["TG140"] if producer else ["TG102"])
    assert facts.producer == (producer or "")
