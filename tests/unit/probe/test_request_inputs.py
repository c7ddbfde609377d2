import base64
import json
import struct

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.intent import DeclaredTensor
from tritongen.model.tensors import DType
from tritongen.probe.load_job import InputOptions, input_shape, make_messages
from tritongen.system.sample_files import data_file
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.tensor_bytes import cast, encode


def meta(*inputs: TensorMeta) -> ModelMeta:
    return ModelMeta("m", ("1",), "onnx", inputs, (TensorMeta("OUT", "FP32", (-1, 2)),))


IDS = TensorMeta("ids", "INT64", (-1, -1))
IMAGE = TensorMeta("image", "FP32", (-1, 3, -1, -1))


def values_of(message, index=0, dtype=np.int64):
    tensor = message.inputs[index]
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def test_requests_differ_from_one_another():
    messages = make_messages(meta(IDS), "", True, InputOptions())
    assert len(messages) > 10
    assert len({m.inputs[0].data for m in messages}) > 10


def test_the_seed_decides():
    first = make_messages(meta(IDS), "", True, InputOptions(seed=1))
    assert first == make_messages(meta(IDS), "", True, InputOptions(seed=1))
    assert first != make_messages(meta(IDS), "", True, InputOptions(seed=2))


def test_values_follow_their_description():
    options = InputOptions(values={"ids": "int[0,30522)"})
    values = np.concatenate(
        [values_of(m).reshape(-1) for m in make_messages(meta(IDS), "", True, options)]
    )
    assert values.min() >= 0
    assert 10_000 < values.max() < 30_522


def test_tritongen_yaml_describes_values_and_shapes_and_the_flag_wins():
    declared = {"ids": DeclaredTensor("ids", values="int[5,6)", shape=(7,))}
    options = InputOptions(declared=declared)
    message = make_messages(meta(IDS), "", True, options)[0]
    assert message.inputs[0].shape == (1, 7)
    assert set(values_of(message).reshape(-1)) == {5}
    options = InputOptions(declared=declared, shapes={"ids": (9,)}, values={"ids": "const(3)"})
    message = make_messages(meta(IDS), "", True, options)[0]
    assert message.inputs[0].shape == (1, 9)
    assert set(values_of(message).reshape(-1)) == {3}


def test_floats_are_finite():
    for message in make_messages(meta(IMAGE), "", True, InputOptions(shapes={"image": (3, 4, 4)})):
        assert np.isfinite(values_of(message, dtype=np.float32)).all()


@pytest.mark.parametrize(
    ("shape", "batches", "given", "expected"),
    [
        ((-1, 16), True, None, (2, 16)),
        ((16,), False, None, (16,)),
        ((-1, -1), True, None, (2, 16)),
        ((-1, 3, -1, -1), True, None, (2, 3, 224, 224)),
        ((-1, -1, -1, 3), True, None, (2, 224, 224, 3)),
        ((1, -1, 640, 640), False, None, (1, 16, 640, 640)),
        ((-1, 3, -1, -1), True, (3, 32, 64), (2, 3, 32, 64)),
        ((-1, 3, -1, -1), True, (1, 3, 32, 64), (2, 3, 32, 64)),
        ((-1, 3), False, (5, 3), (5, 3)),
        ((-1,), True, None, (2,)),
    ],
)
def test_shapes_are_given_or_guessed(shape, batches, given, expected):
    tensor = TensorMeta("x", "FP32", shape)
    options = InputOptions(batch=2, shapes={"x": given} if given else {})
    assert input_shape(tensor, batches, options) == expected


@pytest.mark.parametrize("given", [(4, 32, 32), (3, 32), (3, 0, 32), (1, 1, 3, 32, 32)])
def test_a_shape_that_contradicts_the_model_is_refused(given):
    with pytest.raises(InvalidInputError) as caught:
        make_messages(meta(IMAGE), "", True, InputOptions(shapes={"image": given}))
    assert caught.value.code == "TG907"
    assert "--shape image:" in caught.value.fix


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InvalidInputError) as caught:
        make_messages(meta(IDS), "", True, InputOptions(values={"idx": "ones"}))
    assert "idx" in str(caught.value)
    assert "ids" in caught.value.fix


def test_a_batch_needs_a_batch_axis():
    with pytest.raises(InvalidInputError):
        make_messages(meta(TensorMeta("x", "FP32", (4,))), "", False, InputOptions(batch=2))


def test_an_unknown_type_is_refused():
    with pytest.raises(InvalidInputError):
        make_messages(meta(TensorMeta("x", "FP128", (4,))), "", False, InputOptions())


def test_strings_travel_with_their_lengths():
    array = np.array([b"ab", b"", "é"], dtype=object)
    expected = b"\x02\0\0\0ab" + b"\0\0\0\0" + b"\x02\0\0\0" + "é".encode()
    assert encode(array, DType.BYTES) == expected


def test_bfloat16_is_rounded_to_the_nearest():
    array = np.array([1.0, -2.5, 3.0e38, np.nan], dtype=np.float32)
    words = struct.unpack("<4H", encode(array, DType.BF16))
    assert words[:2] == (0x3F80, 0xC020)
    assert words[3] == 0x7FC0


def test_arrays_travel_in_little_endian_order():
    assert encode(np.array([1], dtype=">i4"), DType.INT32) == b"\x01\0\0\0"
    assert encode(np.arange(6).reshape(2, 3)[:, 1], DType.INT64) == struct.pack("<2q", 1, 4)


def test_casts_lose_no_values():
    assert cast(np.array([1, 2], dtype=np.int64), DType.INT8).dtype == np.int8
    assert cast(np.array([300]), DType.INT8) is None
    assert cast(np.array([1.5]), DType.INT32) is None
    assert cast(np.array([1.5]), DType.FP16).dtype == np.float16
    assert cast(np.array([1]), DType.BYTES) is None
    assert cast(np.array(["a"]), DType.FP32) is None


def from_file(path, *inputs, batches=True, **options):
    return make_messages(meta(*inputs), "", batches, InputOptions(data=data_file(path), **options))


def test_npz_rows_become_requests(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(
        path, ids=np.arange(12).reshape(6, 2), OUT=np.arange(12, dtype=np.float32).reshape(6, 2)
    )
    messages = from_file(path, IDS, batch=2)
    assert len(messages) == 3
    assert values_of(messages[1]).tolist() == [[4, 5], [6, 7]]
    assert np.frombuffer(messages[1].expected["OUT"], np.float32).tolist() == [4, 5, 6, 7]


def test_npy_is_the_only_input(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.arange(8).reshape(4, 2))
    assert len(from_file(path, IDS)) == 4
    single = TensorMeta("x", "INT64", (2,))
    assert len(from_file(path, single, batches=False)) == 4
    with pytest.raises(InvalidInputError):
        from_file(path, IDS, single)


def test_inputs_that_the_file_lacks_are_generated(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, ids=np.array([[7, 7]]))
    messages = from_file(path, IDS, TensorMeta("mask", "INT64", (-1, 2)))
    assert all(values_of(message).tolist() == [[7, 7]] for message in messages)
    assert values_of(messages[0], 1).tolist() == [[1, 1]]


def test_perf_analyzers_json_is_read(tmp_path):
    path = tmp_path / "data.json"
    raw = np.array([5, 6], dtype=np.int64).tobytes()
    content = {
        "data": [
            {"ids": [1, 2]},
            {"ids": {"content": [3, 4], "shape": [2]}},
            [{"ids": {"b64": base64.b64encode(raw).decode()}}, {"ids": [7, 8]}],
        ],
        "validation_data": [{"OUT": [0.5, 1.5]}],
    }
    path.write_text(json.dumps(content))
    messages = from_file(path, IDS)
    assert [values_of(m).tolist() for m in messages] == [[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]]
    assert np.frombuffer(messages[0].expected["OUT"], np.float32).tolist() == [0.5, 1.5]
    assert not messages[1].expected
    assert len(from_file(path, IDS, batch=2)) == 2


def test_strings_in_json(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"data": [{"text": ["ab", "ü"]}]}))
    (message,) = from_file(path, TensorMeta("text", "BYTES", (2,)), batches=False)
    assert message.inputs[0].data == b"\x02\0\0\0ab\x02\0\0\0" + "ü".encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"data": 5}',
        '{"data": []}',
        '{"data": [3]}',
        '{"data": [{"ids": null}]}',
        '{"data": [{"ids": ["a", "b"]}]}',
        '{"data": [{"ids": [[1], [2, 3]]}]}',
        '{"data": [{"ids": {"content": [1, 2], "shape": [3]}}]}',
        '{"data": [{"ids": {"content": [1, 2], "shape": ["a"]}}]}',
        '{"data": [{"ids": []}]}',
        '{"data": [{"ids": {"b64": "***"}}]}',
        '{"data": [{"ids": {"b64": "AAA="}}]}',
        '{"data": [{"ids": [1.5]}]}',
    ],
)
def test_json_of_another_form_is_refused_with_its_place(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        from_file(path, IDS)
    assert caught.value.code == "TG906"
    assert caught.value.where == str(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    np.savez(tmp_path / "several.npz", ids=np.zeros((1, 2), np.int64))
    several = (tmp_path / "several.npz").read_bytes()
    for name, content in (
        ("a.pkl", b"x"),
        ("b.npz", b"no zip"),
        ("c.npy", b"\x93NUMPY junk"),
        ("d.npy", several),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InvalidInputError) as caught:
            from_file(path, IDS)
        assert caught.value.code == "TG906"
    with pytest.raises(InvalidInputError) as caught:
        from_file(tmp_path / "none.npz", IDS)
    assert (caught.value.code, caught.value.what) == ("TG002", "there is no such file")
    with pytest.raises(InvalidInputError) as caught:
        from_file(tmp_path, IDS)
    assert (caught.value.code, caught.value.what) == ("TG002", "is no file")


def test_a_pickle_inside_a_file_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("trapped").write_text, ("yes",))

    path = tmp_path / "trap.npz"
    np.savez(path, ids=np.array([[Trap()]], dtype=object))
    with pytest.raises(InvalidInputError) as caught:
        from_file(path, IDS)
    assert not (tmp_path / "trapped").exists()
    assert "Python objects, which are never loaded" in caught.value.what
    assert "allow_pickle" not in caught.value.what, "nobody is advised to run what is in a file"


def test_arrays_that_do_not_fit_the_model_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    for arrays in (
        {"ids": np.zeros((2, 3, 4), dtype=np.int64)},
        {"ids": np.array([[0.5, 1.0]])},
        {"other": np.zeros(3)},
        {"ids": np.zeros((0, 2), dtype=np.int64)},
    ):
        np.savez(path, **arrays)
        with pytest.raises(InvalidInputError) as caught:
            from_file(path, IDS)
        assert caught.value.code == "TG906"
