"""Which files hold samples: bounded, in the same order each time, never outside of the folder."""

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.system import sample_files
from tritongen.system.sample_files import MAX_BYTES, data_file, find_samples, spread
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.sample_tensors import joined, read_samples

PHOTO = TensorMeta("IMAGE", "BYTES", (-1, 1))


def meta(*inputs: TensorMeta) -> ModelMeta:
    return ModelMeta("m", ("1",), "p", inputs, (TensorMeta("OUT", "FP32", (-1, 2)),))


def test_of_many_files_the_same_ones_are_used_each_time(tmp_path):
    for index in range(1000):
        (tmp_path / f"{index:04}.jpg").write_bytes(b"%d" % index)
    found = find_samples(tmp_path, {"IMAGE": "*.jpg"})
    assert (len(found.files), found.found) == (64, 1000)
    assert found == find_samples(tmp_path, {"IMAGE": "."})
    numbers = [int(file.content) for file in found.files]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 950, "from one end of the folder to the other"


def test_the_hash_is_of_what_they_hold(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"one")
    first = find_samples(tmp_path, {"IMAGE": "a.jpg"}).sha256
    (tmp_path / "a.jpg").rename(tmp_path / "b.jpg")
    assert find_samples(tmp_path, {"IMAGE": "*.jpg"}).sha256 == first
    (tmp_path / "b.jpg").write_bytes(b"two")
    assert find_samples(tmp_path, {"IMAGE": "*.jpg"}).sha256 != first


def test_a_file_is_one_element_of_bytes_alone(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8")
    (sample,) = read_samples(find_samples(tmp_path, {"IMAGE": "a.jpg"}), meta(PHOTO), True)
    assert sample.inputs["IMAGE"].tolist() == [[b"\xff\xd8"]]
    assert sample.place == f"{tmp_path}/a.jpg"
    with pytest.raises(InvalidInputError) as caught:
        read_samples(
            find_samples(tmp_path, {"X": "a.jpg"}), meta(TensorMeta("X", "FP32", (-1, 1))), True
        )
    assert "only of BYTES a file is one element" in caught.value.what


def test_a_folder_of_arrays_is_by_the_names_of_its_files(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2), np.float32))
    np.save(tmp_path / "b.npy", np.ones((3, 1), np.int64))
    np.save(tmp_path / "OUT.npy", np.ones((3, 2), np.float32))
    inputs = TensorMeta("a", "FP32", (-1, 2)), TensorMeta("b", "INT64", (-1, 1))
    samples = read_samples(find_samples(tmp_path, {"": "."}), meta(*inputs), True)
    assert [sorted(one.inputs) for one in samples] == [["a", "b"]] * 3
    assert samples[0].expected["OUT"].tolist() == [[1, 1]]
    np.save(tmp_path / "b.npy", np.ones((2, 1), np.int64))
    with pytest.raises(InvalidInputError) as caught:
        read_samples(find_samples(tmp_path, {"": "."}), meta(*inputs), True)
    assert "different numbers of requests: OUT 3, a 3, b 2" in caught.value.what


def test_requests_of_several_rows_are_of_one_size(tmp_path):
    text = '{"data": [{"x": [1]}, {"x": [1, 2]}, {"x": [3]}, {"x": [3, 4]}, {"x": [5]}]}'
    (tmp_path / "x.json").write_text(text)
    given = find_samples(tmp_path, {"": "x.json"})
    samples = read_samples(given, meta(TensorMeta("x", "INT64", (-1, -1))), True)
    two = [one.inputs["x"].tolist() for one in joined(samples, 2)]
    assert two == [[[1], [3]], [[1, 2], [3, 4]]]
    (four,) = joined(samples, 4)
    assert four.inputs["x"].tolist() == [[1], [3], [5], [1]], "too few are repeated"


@pytest.mark.parametrize("pattern", ["a**b", "x" * 5000, "a/\0", "[", "..", "/etc/*", "a/../../b"])
def test_a_pattern_that_cannot_be_one_is_refused(tmp_path, pattern):
    with pytest.raises(InvalidInputError) as caught:
        find_samples(tmp_path, {"": pattern})
    assert caught.value.code == "TG906"


def test_too_much_is_refused(tmp_path):
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(257 * 2**20)
    with pytest.raises(InvalidInputError) as caught:
        find_samples(tmp_path, {"IMAGE": "*.jpg"})
    assert "more than 256 MiB" in caught.value.what


@pytest.mark.parametrize(
    ("count", "most", "taken"),
    [(0, 3, []), (3, 3, [0, 1, 2]), (4, 3, [0, 1, 2]), (9, 3, [0, 3, 6])],
)
def test_of_many_those_at_even_distances_are_taken(count, most, taken):
    assert list(spread(range(count), most)) == taken


def test_the_least_and_the_greatest_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_files, "_MAX_SAMPLE_BYTES", 10)
    for name, size in (("a", 4), ("b", 6)):
        (tmp_path / f"{name}.jpg").write_bytes(b"x" * size)
    assert [len(one.content) for one in find_samples(tmp_path, {"X": "*.jpg"}).files] == [4, 6]
    (tmp_path / "c.jpg").write_bytes(b"x")
    with pytest.raises(InvalidInputError, match="more than 256 MiB"):
        find_samples(tmp_path, {"X": "*.jpg"})


def test_a_glob_takes_files_of_tensors_alone_unless_the_tensor_is_named(tmp_path):
    for name in ("a.npy", "b.jpg", "c.json", "d.npz"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "e.npy").mkdir()

    def names(tensor: str, pattern: str) -> list[str]:
        return [one.path[-5:] for one in find_samples(tmp_path, {tensor: pattern}).files]

    assert names("", "*") == names("", ".") == ["a.npy", ".json", "d.npz"]
    assert names("X", "*") == ["a.npy", "b.jpg", ".json", "d.npz"]
    assert names("", "b.jpg") == ["b.jpg"]
    assert names("", "[ab].???") == ["a.npy"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.npy").write_bytes(b"x")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a.npy").symlink_to(tmp_path / "secret.npy")
    with pytest.raises(InvalidInputError, match="leads out of the folder"):
        find_samples(tmp_path / "models", {"": "a.npy"})


def test_a_file_of_the_command_line_is_read_whole(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"abc")
    found = data_file(tmp_path / "a.npz")
    assert (found.files[0].content, found.found) == (b"abc", 1)
    for path, what in ((tmp_path, "is no file"), (tmp_path / "absent", "there is no such file")):
        with pytest.raises(InvalidInputError, match=what) as caught:
            data_file(path)
        assert caught.value.code == "TG002"
    with (tmp_path / "big").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidInputError, match="larger than 4 GiB"):
        data_file(tmp_path / "big")
