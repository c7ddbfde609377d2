"""A TensorRT plan is told by the number behind its first eight bytes."""

import pytest

from tritongen.api import BuildRequest, build
from tritongen.formats.reading import ModelSource
from tritongen.formats.tensorrt import read_tensorrt
from tritongen.model.engine_facts import ProfileRange
from tritongen.model.tensors import DType


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


SIDE = """\
[I] ==== TensorRT Engine ====
    Name: Unnamed Network 0 | Explicit Batch Engine

    ---- 2 Engine Input(s) ----
    {images [dtype=float32, shape=(-1, 3, -1, -1)],
     scale [dtype=int64, shape=(-1,)]}

    ---- 1 Engine Output(s) ----
    {boxes [dtype=float16, shape=(-1, 84)]}

    ---- Memory ----
    Device Memory: 4718592 bytes

    ---- 2 Profile(s) (3 Tensor(s) Each) ----
    - Profile: 0
        Tensor: images (Input), Index: 0 | Shapes: min=(1, 3, 64, 64), opt=(4, 3, 224, 224), max=(16, 3, 512, 512)
        Tensor: scale (Input), Index: 1 | Shapes: min=(1,), opt=(4,), max=(16,)
        Tensor: boxes (Output), Index: 2 | Shape: (-1, 84)
    - Profile: 1
        Tensor: images (Input), Index: 0 | Shapes: min=(1, 3, 64, 64), opt=(32, 3, 64, 64), max=(64, 3, 64, 64)

    ---- 120 Layer(s) ----
"""  # noqa: E501  (as Polygraphy prints it)


def described(folder, text=SIDE):
    (folder / "model.plan").write_bytes(b"ptrt5678\xe8 and the engine")
    (folder / "model.plan.txt").write_text(text)
    return read_tensorrt(ModelSource(folder, "model.plan", "m"))


def test_a_text_beside_the_plan_tells_inputs_outputs_and_the_profile(tmp_path):
    facts = described(tmp_path)
    assert [(spec.name, spec.dtype, spec.shape) for spec in (*facts.inputs, *facts.outputs)] == [
        ("images", DType.FP32, (None, 3, None, None)),
        ("scale", DType.INT64, (None,)),
        ("boxes", DType.FP16, (None, 84)),
    ]
    assert (facts.plan.profiles, facts.plan.max_rows) == (2, 16)
    assert facts.plan.profile[0] == ProfileRange(
        "images", (1, 3, 64, 64), (4, 3, 224, 224), (16, 3, 512, 512)
    )


@pytest.mark.parametrize("text", ["", "nothing of the kind", "---- 1 Engine Input(s) ----\n{}"])
def test_another_text_beside_the_plan_is_no_matter(tmp_path, text):
    facts = described(tmp_path, text)
    assert (facts.inputs, facts.plan) == ((), None)


def test_the_batch_is_bounded_by_the_plan(tmp_path):
    (tmp_path / "m").mkdir()
    described(tmp_path / "m")
    (tmp_path / "tritongen.yaml").write_text(
        "target: {triton: '26.07', gpus: 1}\nmodels: {m: {batch: true, request_batch: 64}}\n"
    )
    request = BuildRequest(tmp_path / "out", trial=False)
    build(tmp_path, request)
    text = (tmp_path / "out/m/config.pbtxt").read_text()
    assert "max_batch_size: 16" in text
    assert "dims: [ 3, -1, -1 ]" in text
