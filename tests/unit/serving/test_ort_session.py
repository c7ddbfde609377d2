"""Sessions of the real ONNX Runtime are made as the configuration asks."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tritongen.serving.backends.onnxruntime.ort_backend.config import (
    RefusedError,
    SessionSettings,
)
from tritongen.serving.backends.onnxruntime.ort_backend.session import (
    OrtSession,
    from_bfloat16,
    model_file,
    to_bfloat16,
)


@pytest.fixture
def model(tmp_path):
    def write(elem_type=TensorProto.FLOAT):
        x = helper.make_tensor_value_info("x", elem_type, ["n", 2])
        y = helper.make_tensor_value_info("y", elem_type, ["n", 2])
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / "model.onnx"
        path.write_bytes(made.SerializeToString())
        return path

    return write


def options(path, **settings):
    return OrtSession(path, SessionSettings(**settings)).declaration.get_session_options()


def test_settings_reach_the_session(model):
    made = options(
        model(),
        optimization="ORT_ENABLE_EXTENDED",
        parallel=True,
        intra_threads=1,
        inter_threads=2,
        arena=False,
        pattern=False,
        session_entries=(("session.use_device_allocator_for_initializers", "1"),),
    )
    assert made.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    assert made.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert made.intra_op_num_threads == 1
    assert made.inter_op_num_threads == 2
    assert made.enable_cpu_mem_arena is False
    assert made.enable_mem_pattern is False
    key = "session.use_device_allocator_for_initializers"
    assert made.get_session_config_entry(key) == "1"


def test_what_is_not_set_keeps_the_runtime_s_default(model):
    made = options(model())
    fresh = ort.SessionOptions()
    assert made.intra_op_num_threads == fresh.intra_op_num_threads
    assert made.enable_cpu_mem_arena == fresh.enable_cpu_mem_arena
    assert made.enable_mem_pattern == fresh.enable_mem_pattern


def test_run_entries_reach_the_run(model):
    entry = "memory.enable_memory_arena_shrinkage"
    feeds = {"x": np.ones((1, 2), np.float32)}
    good = OrtSession(model(), SessionSettings(run_entries=((entry, "cpu:0"),)))
    assert good.run(["y"], feeds)[0].tolist() == [[1.0, 1.0]]
    bad = OrtSession(model(), SessionSettings(run_entries=((entry, "nonsense"),)))
    with pytest.raises(RefusedError, match="onnx runtime error"):
        bad.run(["y"], feeds)


def test_errors_are_in_the_backend_s_words(model, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(RefusedError, match=r"^onnx runtime error 7: Load model from .* failed"):
        OrtSession(tmp_path / "broken.onnx", SessionSettings())
    with pytest.raises(RefusedError, match=r"^onnx runtime error 1: Failed to load library no.so"):
        OrtSession(model(), SessionSettings(op_libraries=("no.so",)))
    session = OrtSession(model(), SessionSettings())
    with pytest.raises(RefusedError, match=r"^onnx runtime error 2: "):
        session.run(["y"], {"x": np.ones((1, 3), np.float32)})


def test_openvino_without_its_package_is_named(model):
    assert "OpenVINOExecutionProvider" not in ort.get_available_providers()
    with pytest.raises(RefusedError, match="execution provider is not in this onnxruntime"):
        OrtSession(model(), SessionSettings(openvino=True))


def test_bfloat16_travels_as_bits(model):
    session = OrtSession(model(TensorProto.BFLOAT16), SessionSettings())
    bits = np.array([[0x3FC0, 0x4000], [0x7FC0, 0x0001]], np.uint16)
    (output,) = session.run(["y"], {"x": bits})
    np.testing.assert_array_equal(output, bits)


def test_bfloat16_conversion_of_nothing():
    assert from_bfloat16(to_bfloat16(np.empty((0, 3), np.uint16))).shape == (0, 3)


def test_model_file_as_file_folder_or_other_name(tmp_path):
    config = {"name": "m", "default_model_filename": ""}
    (tmp_path / "model.onnx").touch()
    assert model_file(tmp_path, config) == tmp_path / "model.onnx"
    folder = tmp_path / "big.onnx"
    folder.mkdir()
    (folder / "model.onnx").touch()
    named = {**config, "default_model_filename": "big.onnx"}
    assert model_file(tmp_path, named) == folder / "model.onnx"
    absent = {**config, "default_model_filename": "absent.onnx"}
    with pytest.raises(RefusedError, match=r"unable to find '.*absent\.onnx' for model"):
        model_file(tmp_path, absent)
