from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from support.optimize import faulty, run
from tritongen.errors import InvalidInputError
from tritongen.optimize import onnx_session
from tritongen.optimize.onnx_files import DATA_FILE, LARGE_BYTES, is_reference, load, save, unlinked
from tritongen.optimize.onnx_session import RunSettings

SIZE = 64
X = np.random.default_rng(0).normal(size=(2, SIZE)).astype(np.float32)


def big(*, as_constant: bool = False, floats: bool = False, ir: int = 8) -> onnx.ModelProto:
    """y = x · w + b with a w that is large."""
    array = np.random.default_rng(1).normal(size=(SIZE, SIZE)).astype(np.float32)
    assert array.nbytes > LARGE_BYTES
    weight = numpy_helper.from_array(array, "w")
    if floats:
        weight = helper.make_tensor("w", TensorProto.FLOAT, array.shape, array.ravel())
    nodes = [faulty.node("MatMul", "x w", "h"), faulty.node("Add", "h b", "y")]
    held = [faulty.weights("b", SIZE)]
    if as_constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    else:
        held.append(weight)
    inputs = [faulty.tensor("x", ["n", SIZE])]
    if ir < 4:
        # Initialisers had to be inputs too.
        inputs += [faulty.tensor(item.name, item.dims) for item in held]
    return faulty.model(nodes, inputs, [faulty.tensor("y", ["n", SIZE])], held, ir=ir)


def stored(folder: Path, model: onnx.ModelProto) -> Path:
    folder.mkdir()
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def same(first: Path, second: Path) -> None:
    np.testing.assert_array_equal(run(first, {"x": X})["y"], run(second, {"x": X})["y"])


@pytest.mark.parametrize(
    "form", [{}, {"as_constant": True}, {"floats": True}, {"as_constant": True, "ir": 3}]
)
def test_a_model_survives_without_its_weights_in_memory(tmp_path: Path, form: dict) -> None:
    source = stored(tmp_path / "a", big(**form))
    model = load(source)
    if form.get("ir") != 3:
        assert len(model.proto.SerializeToString()) < LARGE_BYTES
        assert any(is_reference(item) for item in model.proto.graph.initializer)
    (tmp_path / "b").mkdir()
    (written,) = save(model, tmp_path / "b" / "model.onnx")
    onnx.checker.check_model(str(written))
    same(source, written)


def test_weights_can_be_put_outside(tmp_path: Path) -> None:
    source = stored(tmp_path / "a", big())
    (tmp_path / "b").mkdir()
    written, data = save(load(source), tmp_path / "b" / "model.onnx", outside=True)
    assert data.name == DATA_FILE
    assert written.stat().st_size < LARGE_BYTES
    same(source, written)


def test_data_files_are_linked_not_copied(tmp_path: Path) -> None:
    source = stored(tmp_path / "a", big())
    model = onnx.load(source)
    external_data_helper.convert_model_to_external_data(model, location="deep/w.bin")
    (tmp_path / "a" / "deep").mkdir()
    onnx.save(model, tmp_path / "a" / "outside.onnx")
    outside = load(tmp_path / "a" / "outside.onnx")
    assert outside.data_files == ("deep/w.bin",)
    (tmp_path / "b").mkdir()
    written, data = save(outside, tmp_path / "b" / "model.onnx")
    assert data.samefile(tmp_path / "a" / "deep" / "w.bin")
    same(source, written)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "deep/../../w.bin"])
def test_a_data_file_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    model = big()
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(InvalidInputError) as caught:
        load(stored(tmp_path / "a", model))
    assert caught.value.code == "TG107"


def test_a_missing_data_file(tmp_path: Path) -> None:
    model = big()
    external_data_helper.convert_model_to_external_data(model, location="gone.bin")
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "gone.bin").unlink()
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path / "m.onnx")
    assert caught.value.code == "TG108"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path / "m.onnx")
    assert caught.value.code == "TG103"


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_told(tmp_path: Path, cut: float) -> None:
    data = big().SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path / "m.onnx")
    assert caught.value.code == "TG102"


def test_noise_is_told_and_never_hangs(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        (tmp_path / "m.onnx").write_bytes(rng.bytes(rng.integers(1, 300)))
        with suppress(InvalidInputError):
            load(tmp_path / "m.onnx")


def test_an_originals_data_file_is_never_written(tmp_path: Path) -> None:
    """Its data file has the very name that a new one would get, and is linked beside the result."""
    model = big()
    external_data_helper.convert_model_to_external_data(
        model, location=DATA_FILE, size_threshold=0, convert_attribute=False
    )
    folder = tmp_path / "original"
    folder.mkdir()
    onnx.save_model(model, folder / "model.onnx")
    before = (folder / DATA_FILE).read_bytes()
    loaded = load(folder / "model.onnx")
    (tmp_path / "mixed").mkdir()
    # A model with weights outside and, in its own file, others that are large.
    mixed = onnx.ModelProto()
    mixed.CopyFrom(loaded.proto)
    whole = numpy_helper.from_array(np.zeros((SIZE, SIZE), np.float32), "extra")
    mixed.graph.initializer.append(whole)
    mixed.graph.node.append(faulty.node("MatMul", "h extra", "unused"))
    path = folder / "mixed.onnx"
    path.write_bytes(mixed.SerializeToString())
    files = save(load(path), tmp_path / "mixed" / "model.onnx", outside=True)
    assert len({item.name for item in files}) == 3
    assert (folder / DATA_FILE).read_bytes() == before
    same(folder / "model.onnx", tmp_path / "mixed" / "model.onnx")


def test_saving_beside_itself_keeps_the_data_file(tmp_path: Path) -> None:
    path = stored(tmp_path / "original", big())
    (tmp_path / "out").mkdir()
    save(load(path), tmp_path / "out" / "first.onnx", outside=True)
    save(load(tmp_path / "out" / "first.onnx"), tmp_path / "out" / "second.onnx")
    same(path, tmp_path / "out" / "second.onnx")


def test_a_copy_where_a_data_file_is_a_link(tmp_path: Path) -> None:
    """As onnx's own reader wants it: neither hard nor symbolic links."""
    path = stored(tmp_path / "original", big())
    (tmp_path / "out").mkdir()
    outside = tmp_path / "out" / "model.onnx"
    save(load(path), outside, outside=True)
    assert unlinked(outside, tmp_path / "none") == outside
    assert not (tmp_path / "none").exists()
    for kind in ("hardlink_to", "symlink_to"):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "model.onnx").write_bytes(outside.read_bytes())
        getattr(folder / DATA_FILE, kind)(outside.with_name(DATA_FILE))
        copied = unlinked(folder / "model.onnx", tmp_path / f"{kind}-copy")
        assert copied.parent == tmp_path / f"{kind}-copy"
        onnx.load(copied)
        same(path, copied)


@pytest.mark.parametrize(
    ("size", "settings", "spared"),
    [
        (100, RunSettings(), {"spinning", "prepacking"}),
        (99, RunSettings(), {"spinning"}),
        (100, RunSettings(lean=False), set()),
    ],
)
def test_a_lean_session_of_a_large_model_spares_its_second_copy(
    tmp_path, monkeypatch, size, settings, spared
):
    monkeypatch.setattr(onnx_session, "_LEAN_FROM_BYTES", 100)
    (tmp_path / "m.onnx").write_bytes(b"x" * size)
    options = onnx_session.session_options(
        onnx_session.onnxruntime(), tmp_path / "m.onnx", settings
    )

    def said(key: str) -> bool:
        try:
            options.get_session_config_entry(key)
        except RuntimeError:
            return False
        return True

    keys = {
        "spinning": "session.intra_op.allow_spinning",
        "prepacking": "session.disable_prepacking",
    }
    assert {name for name, key in keys.items() if said(key)} == spared
