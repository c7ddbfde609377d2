"""OpenVINO's representation, read from its XML."""

import pytest

from support import format_models as make
from tritongen.formats import inspect_folder
from tritongen.model.findings import Severity
from tritongen.model.releases import find
from tritongen.model.tensors import DType

RELEASE = find("26.07")


def facts_of(folder):
    (facts,) = inspect_folder(folder, RELEASE).models
    return facts


def codes(facts):
    return [item.code for item in facts.findings if item.severity is Severity.ERROR]


def test_what_the_library_says_is_what_is_read(tmp_path):
    import openvino

    path = make.openvino_image(tmp_path / "m" / "model.xml")
    facts = facts_of(tmp_path)
    model = openvino.Core().read_model(str(path))
    assert [spec.name for spec in facts.inputs] == [model.input().get_any_name()]
    assert [spec.name for spec in facts.outputs] == [model.output().get_any_name()]
    assert facts.inputs[0].shape == (None, 3, 8, 8)
    assert (facts.inputs[0].dtype, facts.outputs[0].shape) == (DType.FP32, (None, 4))
    assert facts.precisions[0] == ("FP16", 108)
    assert facts.weight_bytes == path.with_suffix(".bin").stat().st_size
    assert (facts.graph.critical_path, facts.graph.width) == (3, 1)
    assert facts.producer.startswith("OpenVINO 20")
    assert [ref.target for ref in facts.versions[0].files] == ["model.xml", "model.bin"]
    assert codes(facts) == []


def test_a_bounded_size_is_what_the_backend_refuses(tmp_path):
    make.openvino_image(tmp_path / "m.xml", batch=(1, 8))
    assert codes(facts_of(tmp_path)) == ["TG139"]


def test_weights_that_are_missing_or_cut_off(tmp_path):
    path = make.openvino_image(tmp_path / "m.xml")
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert codes(facts_of(tmp_path)) == ["TG102"]
    weights.unlink()
    assert codes(facts_of(tmp_path)) == ["TG108"]


def layer(body: str) -> bytes:
    return f'<net name="m" version="11"><layers>{body}</layers><edges></edges></net>'.encode()


@pytest.mark.parametrize(
    "content",
    [
        layer('<layer id="0" name="a" type="Result" version="opset1"></layer>'),
        layer('<layer id="0" name="a" type="Parameter"><data shape="a,b"/></layer>'),
        layer('<layer id="0" name="a" type="Const"><data size="-5"/></layer>'),
        layer("<layer>" * 70 + "</layer>" * 70),
        layer('<layer id="0" type="Parameter">')[:-30],
        b'<?xml version="1.0"?><net version="11">' + b"<layers>" * 100_000,
    ],
)
def test_damage_is_told(tmp_path, content):
    (tmp_path / "m.xml").write_bytes(content)
    assert "TG102" in codes(facts_of(tmp_path))


def test_entities_are_never_expanded(tmp_path):
    bomb = b'<!DOCTYPE net [<!ENTITY a "' + b"x" * 1000 + b'">]>'
    (tmp_path / "m.xml").write_bytes(b'<net version="11">' + b" " * 70_000 + bomb + b"</net>")
    assert codes(facts_of(tmp_path))[0] == "TG102"


def test_scalars_are_what_the_backend_refuses(tmp_path):
    body = (
        '<layer id="0" name="s" type="Parameter"><data shape="" element_type="f32"/>'
        '<output><port id="0" precision="FP32" names="s"/></output></layer>'
        '<layer id="1" name="r" type="Result" output_names="r"/>'
    )
    text = layer(body).replace(
        b"<edges></edges>",
        b'<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges>',
    )
    (tmp_path / "m.xml").write_bytes(text)
    (tmp_path / "m.bin").write_bytes(b"")
    assert codes(facts_of(tmp_path)) == ["TG115", "TG115"]


def test_a_version_of_many_digits_is_none_of_the_old_ones(tmp_path):
    port = '<output><port id="0" precision="FP32"><dim>1</dim></port></output>'
    layers = f'<layers><layer id="0" name="p" type="Parameter">{port}</layer></layers>'
    (tmp_path / "m.xml").write_text(f'<net name="m" version="{"1" * 5000}">{layers}</net>')
    assert "TG116" in codes(facts_of(tmp_path))
