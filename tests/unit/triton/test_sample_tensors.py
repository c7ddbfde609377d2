"""Requests from files of every form: what each element becomes, and what is refused of them."""

import base64
import json

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.system.sample_files import SampleFile, SampleFiles
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.sample_tensors import joined, read_rows, read_samples


def meta(*inputs: TensorMeta, outputs: tuple[TensorMeta, ...] = ()) -> ModelMeta:
    return ModelMeta("m", ("1",), "p", inputs, outputs or (TensorMeta("y", "FP32", (-1, 2)),))


def x(*shape: int, kind: str = "FP32", name: str = "x") -> TensorMeta:
    return TensorMeta(name, kind, shape)


def of_json(document: object, model: ModelMeta, *, batches: bool = True):
    text = document if isinstance(document, str) else json.dumps(document)
    file = SampleFile("x.json", text.encode())
    return read_samples(SampleFiles((file,), 1), model, batches)


def of_array(array, model: ModelMeta, *, batches: bool = True, rows: bool = False):
    import io

    buffer = io.BytesIO()
    np.save(buffer, array)
    given = SampleFiles((SampleFile("x.npy", buffer.getvalue()),), 1)
    return (read_rows if rows else read_samples)(given, model, batches)


def shapes(samples) -> list[tuple[int, ...]]:
    return [one.inputs["x"].shape for one in samples]


@pytest.mark.parametrize(
    ("entry", "kind", "found"),
    [
        ([1, 2], "FP32", [[1, 2]]),
        ({"content": [1, 2]}, "INT64", [[1, 2]]),
        ({"content": [[1], [2]], "shape": [2]}, "FP32", [[1, 2]]),
        ({"b64": base64.b64encode(np.float32([3, 4]).tobytes()).decode()}, "FP32", [[3, 4]]),
        ({"content": ["a", "b"]}, "BYTES", [[b"a", b"b"]]),
        ({"b64": base64.b64encode(b"abc").decode()}, "BYTES", [[b"abc"]]),
    ],
)
def test_a_tensor_in_json(entry, kind, found):
    size = len(found[0])
    (sample,) = of_json({"data": [{"x": entry, "other": 1}]}, meta(x(-1, size, kind=kind)))
    assert sample.inputs["x"].tolist() == found
    assert sample.place == "x.json, data[0]"
    (alone,) = of_json({"data": [{"x": entry}]}, meta(x(size, kind=kind)), batches=False)
    assert alone.inputs["x"].tolist() == found[0]


def test_the_only_dynamic_axis_is_filled_in():
    (sample,) = of_json({"data": [{"x": [1, 2, 3, 4, 5, 6]}]}, meta(x(-1, -1, 3)))
    assert sample.inputs["x"].shape == (1, 2, 3)
    (sample,) = of_json({"data": [{"x": 5}]}, meta(x(-1, 1)))
    assert sample.inputs["x"].tolist() == [[5]]


def test_steps_of_a_sequence_and_expected_outputs_come_in_order():
    document = {
        "data": [[{"x": [1]}, {"x": [2]}], {"x": [3]}],
        "validation_data": [[{"y": [1, 1]}], {"y": [2, 2]}],
    }
    samples = of_json(document, meta(x(-1, 1)))
    assert [one.inputs["x"].tolist() for one in samples] == [[[1]], [[2]], [[3]]]
    assert [sorted(one.expected) for one in samples] == [["y"], ["y"], []]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("[", 'it is not JSON with a list "data"'),
        ("[1]", 'it is not JSON with a list "data"'),
        ({"data": 3}, '"data" is not a list'),
        ({"data": []}, '"data" holds no requests'),
        ({"data": [3]}, r"data\[0\] is not an object"),
        (
            {"data": [{"x": [1, 2], "y": 1}], "validation_data": 3},
            '"validation_data" is not a list',
        ),
        ({"data": [{"x": None}]}, r"data\[0\].x has neither content nor b64"),
        ({"data": [{"x": []}]}, r"data\[0\].x holds nothing"),
        ({"data": [{"x": [[1], [2, 3]]}]}, r"data\[0\].x is ragged"),
        ({"data": [{"x": ["a", "b"]}]}, r"data\[0\].x does not fit the type FP32"),
        ({"data": [{"x": [1, 2, 3]}]}, r"data\[0\].x has"),
        ({"data": [{"x": {"content": [1, 2], "shape": [3]}}]}, r"has 2 values, not \[3\]"),
        ({"data": [{"x": {"content": [1, 2], "shape": ["a"]}}]}, "has 2 values, not"),
        (
            {"data": [{"x": {"content": [1, 2, 3], "shape": [3]}}]},
            r"has shape \[3\], the model wants",
        ),
        ({"data": [{"x": {"b64": "*"}}]}, "is not base64"),
        ({"data": [{"x": {"b64": "YWJj"}}]}, "has 3 bytes, not a multiple of 4"),
    ],
)
def test_what_is_wrong_with_json_is_told_with_its_place(document, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        of_json(document, meta(x(-1, 2)))
    assert (caught.value.code, caught.value.where) == ("TG906", "x.json")


@pytest.mark.parametrize(
    ("given", "served", "batches", "parts"),
    [
        ((3, 2), (-1, 2), True, [(1, 2)] * 3),
        ((2,), (-1, 2), True, [(1, 2)]),
        ((3,), (-1, 1), True, [(1, 1)] * 3),
        ((3, 1), (-1,), True, [(1,)] * 3),
        ((3, 2), (3, 2), False, [(3, 2)]),
        ((4, 3, 2), (3, 2), False, [(3, 2)] * 4),
        ((4, 2), (1, 2), False, [(1, 2)] * 4),
        ((4, 1, 2), (1, 2), False, [(1, 2)] * 4),
    ],
)
def test_an_array_is_divided_into_requests(given, served, batches, parts):
    found = of_array(np.ones(given, np.float32), meta(x(*served)), batches=batches)
    assert shapes(found) == parts
    assert found[0].place == "x.npy, row 1"


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((3, 5), np.float32), r"x has shape \[5\], the model wants \[2\]"),
        (np.ones((0, 2), np.float32), "holds nothing"),
        (np.array([["a", "b"]]), "x is <U1, the model wants FP32"),
    ],
)
def test_an_array_that_does_not_fit(array, said):
    with pytest.raises(InvalidInputError, match=said):
        of_array(array, meta(x(-1, 2)))


def test_rows_are_taken_where_the_first_axis_is_open_unless_they_are_whole_tensors():
    open_axis = meta(x(-1, 2))
    assert shapes(of_array(np.ones((3, 2), np.float32), open_axis, batches=False, rows=True)) == [
        (1, 2), (1, 2), (1, 2),
    ]  # fmt: skip
    whole = meta(x(-1, -1, 2))
    found = of_array(np.ones((4, 2, 3, 2), np.float32), whole, batches=False, rows=True)
    assert shapes(found) == [(2, 3, 2)] * 4
    with pytest.raises(InvalidInputError, match=r"has shape \[5\]"):
        of_array(np.ones((3, 5), np.float32), open_axis, batches=False, rows=True)
    fixed = of_array(np.ones((3, 2), np.float32), meta(x(3, 2)), batches=False, rows=True)
    assert shapes(fixed) == [(3, 2)]


def test_a_tensor_without_a_type_takes_what_comes():
    anything = meta(x(kind=""))
    (one, two) = of_array(np.ones((2, 5)), anything, batches=False)
    assert (one.inputs["x"].shape, two.inputs["x"].dtype) == ((1, 5), np.float64)
    (sample,) = of_json({"data": [{"x": [[1.5, 2.5]]}]}, anything, batches=False)
    assert (sample.inputs["x"].dtype, sample.inputs["x"].shape) == (np.float32, (1, 2))
    (sample,) = of_json({"data": [{"x": [1, 2]}]}, anything, batches=False)
    assert sample.inputs["x"].dtype == np.int64


def test_a_file_is_of_the_tensor_that_it_names_or_of_the_only_input(tmp_path):
    def read(path: str, *inputs: TensorMeta, tensor: str = ""):
        np.save(tmp_path / "a.npy", np.ones((2, 2), np.float32))
        content = (tmp_path / "a.npy").read_bytes()
        return read_samples(
            SampleFiles((SampleFile(path, content, tensor),), 1), meta(*inputs), True
        )

    assert len(read("any.npy", x(-1, 2))) == 2
    assert len(read("z.npy", x(-1, 2), x(-1, 2, name="z"))) == 2
    assert len(read("any.npy", x(-1, 2), x(-1, 2, name="z"), tensor="z")) == 2
    for path, tensor in (("any.npy", ""), ("x.npy", "w")):
        with pytest.raises(InvalidInputError, match="m has no tensor"):
            read(path, x(-1, 2), x(-1, 2, name="z"), tensor=tensor)
    with pytest.raises(InvalidInputError, match="it holds none of the inputs x"):
        read("y.npy", x(-1, 2))
    with pytest.raises(InvalidInputError, match=r"files of type [.]txt cannot be read"):
        read("x.txt", x(-1, 2))
    with pytest.raises(InvalidInputError, match="files of type unknown cannot be read"):
        read("x", x(-1, 2))


def test_several_arrays_belong_in_an_npz(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((2, 2)), y=np.zeros((2, 2)), other=np.ones(9))
    content = (tmp_path / "a.npz").read_bytes()
    samples = read_samples(SampleFiles((SampleFile("a.npz", content),), 1), meta(x(-1, 2)), True)
    assert [sorted({**one.inputs, **one.expected}) for one in samples] == [["x", "y"]] * 2
    with pytest.raises(InvalidInputError, match="it holds several arrays"):
        read_samples(SampleFiles((SampleFile("x.npy", content),), 1), meta(x(-1, 2)), True)
    with pytest.raises(InvalidInputError, match="it cannot be read"):
        read_samples(SampleFiles((SampleFile("x.npz", b"PK"),), 1), meta(x(-1, 2)), True)


def test_a_request_of_one_row_is_left_as_it_is():
    samples = of_array(np.arange(6, dtype=np.float32).reshape(3, 2), meta(x(-1, 2)))
    assert joined(samples, 1) == samples
    assert [one.inputs["x"].tolist() for one in joined(samples, 2)] == [[[0, 1], [2, 3]]]
    assert [len(one.inputs["x"]) for one in joined(samples, 3)] == [3]
    assert [one.inputs["x"][:, 0].tolist() for one in joined(samples, 4)] == [[0, 2, 4, 0]]
