"""Messages between the tool and a child: what is taken, and what is none."""

import io
import json
import struct

import numpy as np
import pytest

from tritongen.trial import frames
from tritongen.trial.frames import read_frame, write_frame


def framed(head: object, *parts: bytes) -> io.BytesIO:
    text = json.dumps(head).encode()
    return io.BytesIO(struct.pack("<I", len(text)) + text + b"".join(parts))


def tensor(size: int, dtype: str = "UINT8", shape: tuple[int, ...] | None = None) -> dict:
    return {"tensors": [["x", dtype, list(shape or (size,)), size]]}


def test_a_message_comes_as_it_was_sent():
    stream = io.BytesIO()
    arrays = {
        "x": np.array([[1.5, 2.5]], np.float32),
        "t": np.array(["a", "ü"], object),
        "no": np.array([1 + 2j]),
    }
    write_frame(stream, {"code": "TG1"}, arrays)
    write_frame(stream, {"second": 2})
    stream.seek(0)
    head, found = read_frame(stream)
    assert head == {"code": "TG1"}
    assert found["x"].tolist() == [[1.5, 2.5]]
    assert found["t"].tolist() in (["a", "ü"], [b"a", "ü".encode()])
    assert set(found) == {"x", "t"}
    assert read_frame(stream) == ({"second": 2}, {})
    with pytest.raises(EOFError):
        read_frame(stream)


def test_so_many_bytes_and_no_more(monkeypatch):
    monkeypatch.setattr(frames, "_MAX_TENSOR_BYTES", 8)
    monkeypatch.setattr(frames, "_MAX_STRING_BYTES", 6)
    assert read_frame(framed(tensor(8), bytes(8)))[1]["x"].shape == (8,)
    assert read_frame(framed(tensor(0), b""))[1]["x"].shape == (0,)
    text = struct.pack("<I", 2) + b"ab"
    assert read_frame(framed(tensor(6, "BYTES", (1,)), text))[1]["x"].shape == (1,)
    for head in (tensor(9), tensor(-1), tensor(7, "BYTES", (1,))):
        with pytest.raises(ValueError, match="too many bytes"):
            read_frame(framed(head, bytes(20)))
    both = {"tensors": [["x", "UINT8", [5], 5], ["y", "UINT8", [4], 4]]}
    with pytest.raises(ValueError, match="too many bytes"):
        read_frame(framed(both, bytes(20)))


def test_a_header_has_its_bound(monkeypatch):
    head = {"tensors": []}
    monkeypatch.setattr(frames, "_MAX_HEADER_BYTES", len(json.dumps(head)))
    assert read_frame(framed(head)) == ({}, {})
    with pytest.raises(ValueError, match="the header is too long"):
        read_frame(framed({"tensors": [], "a": 1}))


@pytest.mark.parametrize("head", [[], 3, {"tensors": {}}, {"tensors": 3}])
def test_what_is_no_message(head):
    with pytest.raises(TypeError):
        read_frame(framed(head))


def test_a_tensor_has_the_bytes_of_its_shape():
    with pytest.raises(ValueError, match="other bytes than its shape"):
        read_frame(framed(tensor(8, "FP32", (3,)), bytes(8)))
    with pytest.raises(EOFError):
        read_frame(framed(tensor(8), bytes(7)))
    with pytest.raises(KeyError):
        read_frame(framed({}))
