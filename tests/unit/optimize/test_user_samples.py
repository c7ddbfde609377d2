import sys
from pathlib import Path

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.tensors import DType
from tritongen.optimize.child_jobs import DataSource, JobInput
from tritongen.optimize.user_samples import load_samples, seeded_samples

X = JobInput("x", DType.FP32, (-1, 3), (1, 3))
TEXT = JobInput("t", DType.BYTES, (-1, 1), (1, 1))
WHOLE = JobInput("w", DType.FP32, (5, 2), (5, 2))


def npz(folder: Path, **arrays: np.ndarray) -> DataSource:
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return DataSource(str(path))


def faults(source: DataSource, *inputs: JobInput, **renamed: str) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        load_samples(source, inputs, renamed)
    assert caught.value.code == "TG221"
    return list(caught.value.details) or [caught.value.what]


def test_rows_of_an_archive(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(4, 3)
    samples = load_samples(npz(tmp_path, x=values, labels=np.arange(4)), [X], {})
    assert samples.rows == 4
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 2, 3]
    run = samples.run(2)["x"]
    assert (run.shape, run.dtype) == ((1, 3), np.float32)
    assert samples.take([3, 1]).labels.tolist() == [3, 1]


def test_a_folder_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    np.save(tmp_path / "y.npy", np.array(["a", "b"]))
    samples = load_samples(DataSource(str(tmp_path)), [X], {})
    assert samples.labels is not None
    assert samples.labels.tolist() == ["a", "b"]


def test_inputs_without_a_batch_axis_have_the_samples_in_front(tmp_path: Path) -> None:
    samples = load_samples(npz(tmp_path, w=np.zeros((7, 5, 2), np.float32)), [WHOLE], {})
    assert samples.rows == 7
    assert samples.run(0)["w"].shape == (5, 2)


def test_texts(tmp_path: Path) -> None:
    samples = load_samples(npz(tmp_path, t=np.array([["a"], ["é"]])), [TEXT], {})
    assert samples.run(1)["t"].tolist() == [["é".encode()]]


def test_a_name_from_before_a_fix(tmp_path: Path) -> None:
    source = npz(tmp_path, old=np.zeros((2, 3), np.float32))
    assert load_samples(source, [X], {"old": "x"}).rows == 2


def test_labels_by_name(tmp_path: Path) -> None:
    source = npz(tmp_path, x=np.zeros((2, 3), np.float32), classes=np.arange(2))
    named = DataSource(source.path, labels="classes")
    assert load_samples(named, [X], {}).labels is not None
    assert faults(DataSource(source.path, labels="nope"), X)
    assert faults(source, X) == ["'classes' is no input of the model"]


def test_every_fault_is_told(tmp_path: Path) -> None:
    other = JobInput("z", DType.INT64, (-1,), (1,))
    source = npz(tmp_path, x=np.zeros((2, 4), np.float32), z=np.zeros(3, np.float32), q=np.zeros(2))
    found = faults(source, X, other, TEXT)
    assert found[0] == "input 'x': its shape is [2, 4], not [samples, 3] or [samples, any, 3]"
    assert found[1] == "input 'z': its type is float32, which does not fit INT64"
    assert found[2] == "there is no array for the input 't'"
    assert found[3] == "'q' is no input of the model"
    assert found[4].startswith("the arrays differ in their number of samples")


def test_no_samples(tmp_path: Path) -> None:
    assert faults(npz(tmp_path, x=np.zeros((0, 3), np.float32)), X) == ["there are no samples"]


def test_labels_of_another_length(tmp_path: Path) -> None:
    source = npz(tmp_path, x=np.zeros((2, 3), np.float32), labels=np.arange(3))
    assert "x 2, labels 3" in faults(source, X)[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.npz", b""), ("b.npz", b"PK\x03\x04garbage"), ("c.npz", b"not numpy"), ("d.npy", None)],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        load_samples(DataSource(str(path)), [X], {})
    assert caught.value.code == "TG220"


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    source = npz(tmp_path, x=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(InvalidInputError) as caught:
        load_samples(source, [X], {})
    assert caught.value.code == "TG220"


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(InvalidInputError) as caught:
            load_samples(DataSource(str(path)), [X], {})
        assert caught.value.code == "TG220"


def callable_(folder: Path, body: str, name: str) -> DataSource:
    (folder / f"{name}.py").write_text(f"import numpy as np\ndef samples():\n    {body}\n")
    return DataSource(function=f"{name}:samples", folders=(str(folder),))


def test_a_callable(tmp_path: Path) -> None:
    body = "return {'x': np.ones((2, 3)), 'labels': [0, 1]}"
    before = list(sys.path)
    samples = load_samples(callable_(tmp_path, body, "given_data"), [X], {})
    assert samples.rows == 2
    assert sys.path == before


@pytest.mark.parametrize(
    ("body", "words"),
    [("raise KeyError('gone')", "raised KeyError"), ("return [1]", "returned list, no mapping")],
)
def test_a_callable_that_fails(tmp_path: Path, body: str, words: str) -> None:
    source = callable_(tmp_path, body, f"bad_data_{len(body)}")
    with pytest.raises(InvalidInputError, match=words) as caught:
        load_samples(source, [X], {})
    assert caught.value.code == "TG220"


@pytest.mark.parametrize("name", ["no_such_module:f", "json:no_such", "json", "json:__doc__"])
def test_a_callable_that_is_not_there(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_samples(DataSource(function=name), [X], {})
    assert caught.value.code == "TG220"


def test_generated_samples_have_the_sizes_of_the_trial() -> None:
    samples = seeded_samples([X, WHOLE], 0, 3)
    assert samples.rows == 3
    assert {name: array.shape for name, array in samples.run(1).items()} == {
        "x": (1, 3),
        "w": (5, 2),
    }
