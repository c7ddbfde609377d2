"""Whatever is in a file, inspection ends soon and says something sensible."""

import functools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import onnx_models
from tritongen.errors import CODES, InvalidInputError
from tritongen.formats import Inspection, inspect_folder, name_fault
from tritongen.formats.format_detection import detect
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import DamagedError, fields, signed, varint
from tritongen.formats.parsing.zip_archives import zip_names
from tritongen.model.releases import find
from tritongen.model.tensors import show_shape

RELEASE = find("26.07")
# Slow machines must not fail a test; a reader that hangs is stopped by the suite's own limit.
FUZZ = settings(max_examples=150, deadline=None)
MANY = settings(max_examples=400, deadline=None)

SUFFIXES = (".onnx", ".pt", ".pt2", ".xml", ".json", ".py", ".pb", ".ubj", ".h5", ".pkl", ".tl", "")


@functools.cache
def real_models() -> tuple[bytes, ...]:
    """A few kilobytes each: plain, with functions, sequences, sub-graphs, trees."""
    paths = [path for path in onnx_models.package_models() if path.stat().st_size < 30_000]
    return tuple(path.read_bytes() for path in paths[::9])


def inspect(content: bytes, name: str = "m.onnx") -> Inspection | None:
    """Inspect one file; None when it is taken for no model."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        try:
            found = inspect_folder(Path(folder), RELEASE)
        except InvalidInputError as error:
            if error.code != "TG101":
                raise
            return None
    for facts in found.models:
        for spec in (*facts.inputs, *facts.outputs):
            show_shape(spec.shape).encode()
        for item in facts.findings:
            assert item.code in CODES
            assert item.fix
            assert len(item.message) < 10_000
            item.message.encode()
    return found


@FUZZ
@given(st.binary(max_size=2000), st.sampled_from(SUFFIXES))
def test_any_bytes(content, suffix):
    inspect(content, f"m{suffix}")


@FUZZ
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_inside_a_graph(graph, rest):
    head = b"\x08\x08" + wire.header(7, len(graph))
    found = inspect(head + graph + rest)
    assert found is not None
    assert [facts.name for facts in found.models] == ["m"]


@FUZZ
@given(st.data())
def test_a_cut_model(data):
    content = data.draw(st.sampled_from(real_models()))
    end = data.draw(st.integers(0, len(content) - 1))
    found = inspect(content[:end])
    assert found is not None
    # A message that ends between two fields is a whole message; a model without graph is none.
    if end < len(content) // 2:
        assert not found.models[0].servable


@MANY
@given(st.data())
def test_a_model_with_changed_bytes(data):
    content = bytearray(data.draw(st.sampled_from(real_models())))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    inspect(bytes(content))


@FUZZ
@given(st.data())
def test_a_model_with_parts_moved(data):
    content = data.draw(st.sampled_from(real_models()))
    cuts = sorted(data.draw(st.integers(0, len(content))) for _ in range(3))
    first, second, third = cuts
    inspect(content[:first] + content[second:third] + content[first:second] + content[third:])


@FUZZ
@given(st.data())
def test_a_claim_beyond_the_file(data):
    content = bytearray(data.draw(st.sampled_from(real_models())))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + 1] = b"\xff\xff\xff\xff\x7f"
    inspect(bytes(content))


@FUZZ
@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_zip(content, at):
    end = b"PK\x05\x06" + content[:18].ljust(18, b"\0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pt"
        path.write_bytes(b"PK\x03\x04" + content[:at] + end + content[at:])
        assert all(isinstance(name, str) for name in zip_names(path))
        detect(path)


@FUZZ
@given(st.text(max_size=300))
def test_a_name_is_safe_or_refused(name):
    fault = name_fault(name)
    if fault is None:
        assert name == Path(name).name
        assert name.isascii()
        assert not name.startswith((".", "-"))
        assert " " not in name
        assert name.isprintable()
    else:
        assert fault.code in {"TG106", "TG126"}


@FUZZ
@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=5))
def test_numbers_come_back(value, rest):
    encoded = wire.encoded(value)
    assert varint(encoded + rest, 0, len(encoded + rest)) == (value, len(encoded))
    assert signed(value) % (1 << 64) == value
    with pytest.raises(DamagedError):
        varint(encoded, 0, len(encoded) - 1)


@FUZZ
@given(st.binary(max_size=300))
def test_fields_stay_inside_their_message(content):
    end = 0
    try:
        for number, kind, first, last in fields(content, 0, len(content)):
            assert number > 0
            assert end < last <= len(content)
            assert kind == 0 or end < first <= last
            end = last
    except DamagedError:
        return
    assert end == len(content)
