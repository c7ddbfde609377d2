"""The onnxruntime backend reads a configuration as the C++ backend does."""

from types import SimpleNamespace

import pytest

from tritongen.serving.backends.onnxruntime.ort_backend.config import (
    RefusedError,
    SessionSettings,
    interface,
    parse_bool,
    parse_int,
    session_settings,
)
from tritongen.serving.backends.onnxruntime.ort_backend.signature import (
    complete,
    default_max_batch_size,
    signature,
    validate,
)


def with_parameters(**values):
    return {"parameters": {key: {"string_value": text} for key, text in values.items()}}


def session(inputs=(), outputs=(), initializers=()):
    def nodes(items):
        return [SimpleNamespace(name=name, type=kind, shape=shape) for name, kind, shape in items]

    return SimpleNamespace(
        get_inputs=lambda: nodes(inputs),
        get_outputs=lambda: nodes(outputs),
        get_overridable_initializers=lambda: nodes(initializers),
    )


@pytest.mark.parametrize("text", ["true", "TRUE", "On", "1"])
def test_true_texts(text):
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["false", "False", "OFF", "0"])
def test_false_texts(text):
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["yes", "no", "", "2", " true"])
def test_other_booleans_are_refused(text):
    with pytest.raises(RefusedError, match=f"failed to convert '{text}' to boolean"):
        parse_bool(text)


@pytest.mark.parametrize(
    ("text", "number"), [("4", 4), ("4abc", 4), (" 7", 7), ("-1", -1), ("+2", 2), ("0x10", 0)]
)
def test_integers_are_read_as_stoi_does(text, number):
    assert parse_int(text) == number


@pytest.mark.parametrize("text", ["", "abc", "-", "99999999999"])
def test_other_integers_are_refused(text):
    with pytest.raises(RefusedError, match="to integral number"):
        parse_int(text)


def test_defaults():
    assert session_settings({}) == SessionSettings()


def test_every_parameter_is_read():
    config = {
        "parameters": {
            key: {"string_value": text}
            for key, text in {
                "intra_op_thread_count": "3",
                "inter_op_thread_count": "2",
                "execution_mode": "1",
                "enable_mem_arena": "off",
                "enable_mem_pattern": "True",
                "memory.enable_memory_arena_shrinkage": "cpu:0",
                "session.use_device_allocator_for_initializers": "1",
                "cudnn_conv_algo_search": "7",
                "gpu_mem_limit": "whatever",
                "unknown_key": "ignored",
            }.items()
        },
        "model_operations": {"op_library_filename": ["/opt/ops.so"]},
    }
    assert session_settings(config) == SessionSettings(
        parallel=True,
        intra_threads=3,
        inter_threads=2,
        arena=False,
        pattern=True,
        session_entries=(("session.use_device_allocator_for_initializers", "1"),),
        run_entries=(("memory.enable_memory_arena_shrinkage", "cpu:0"),),
        op_libraries=("/opt/ops.so",),
    )


def test_negative_thread_counts_leave_the_default():
    settings = session_settings(
        with_parameters(intra_op_thread_count="-2", inter_op_thread_count="0")
    )
    assert (settings.intra_threads, settings.inter_threads) == (0, 0)


@pytest.mark.parametrize("mode", ["2", "-1"])
def test_other_execution_modes_are_refused(mode):
    with pytest.raises(RefusedError, match=rf"execution_mode are 0 or 1 but got {mode} \."):
        session_settings(with_parameters(execution_mode=mode))


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (-1, "ORT_ENABLE_BASIC"),
        (0, "ORT_ENABLE_ALL"),
        (1, "ORT_ENABLE_EXTENDED"),
        (2, "ORT_DISABLE_ALL"),
        (3, "ORT_ENABLE_ALL"),
    ],
)
def test_graph_levels(level, name):
    settings = session_settings({"optimization": {"graph": {"level": level}}})
    assert settings.optimization == name


def test_accelerators():
    def config(kind, name):
        return {"optimization": {"execution_accelerators": {kind: [{"name": name}]}}}

    assert session_settings(config("cpu_execution_accelerator", "openvino")).openvino
    # GPU accelerators are looked at for GPU instances only.
    assert session_settings(config("gpu_execution_accelerator", "anything")) == SessionSettings()
    with pytest.raises(RefusedError, match="unknown Execution Accelerator 'mkl' is requested"):
        session_settings(config("cpu_execution_accelerator", "mkl"))


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("seq(map(int64,tensor(float)))", "ONNX_TYPE_SEQUENCE"),
        ("map(int64,tensor(float))", "ONNX_TYPE_MAP"),
        ("sparse_tensor(float)", "ONNX_TYPE_SPARSETENSOR"),
        ("optional(tensor(float))", "ONNX_TYPE_UNKNOWN"),
    ],
)
def test_non_tensors_are_refused(declared, name):
    with pytest.raises(RefusedError) as caught:
        signature(session(outputs=[("probabilities", declared, [])]))
    assert str(caught.value) == (
        f"Unsupported ONNX Type '{name}' for I/O 'probabilities', expected 'ONNX_TYPE_TENSOR'."
    )


def test_element_types_without_a_name_become_invalid():
    model = signature(session(inputs=[("x", "tensor(complex64)", [1])]))
    assert model.inputs["x"].wire == "TYPE_<invalid>"


def _config(**changes):
    base = {
        "name": "m",
        "max_batch_size": 0,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 3]}],
    }
    return {**base, **changes}


def _model(shape=("n", 3)):
    return signature(
        session([("x", "tensor(float)", list(shape))], [("y", "tensor(float)", list(shape))])
    )


def _stateful(**state):
    named = {"input_name": "h", "output_name": "h_out", "data_type": "TYPE_FP32", "dims": ["4"]}
    return interface(_config(sequence_batching={"state": [{**named, **state}]}))


def _recurrent():
    return signature(
        session(
            [("x", "tensor(float)", ["n", 3]), ("h", "tensor(float)", ["n", 4])],
            [("y", "tensor(float)", ["n", 3]), ("h_out", "tensor(float)", ["n", 4])],
        )
    )


def test_states_count_as_inputs_and_must_be_the_models():
    validate(_stateful(), _recurrent())
    with pytest.raises(RefusedError, match="unexpected inference input 'z', allowed inputs"):
        validate(_stateful(input_name="z"), _recurrent())
    with pytest.raises(RefusedError, match="unexpected inference output 'z', allowed outputs"):
        validate(_stateful(output_name="z"), _recurrent())
    with pytest.raises(RefusedError, match="TYPE_FP16 for input state 'h', model provides"):
        validate(_stateful(data_type="TYPE_FP16"), _recurrent())
    with pytest.raises(RefusedError, match="expects 2 inputs, model provides 1"):
        validate(_stateful(), _model())


@pytest.mark.parametrize(
    ("control", "shape", "kind", "message"),
    [
        ("absent", [1], "int32", "model does not provide that input"),
        ("start", [2], "int32", r"in model has dims \[2\] but dims \[1\] is expected"),
        (
            "start",
            [1],
            "float",
            "expects data-type FLOAT but the model configuration specifies data-type TYPE_INT32",
        ),
    ],
)
def test_sequence_controls_must_fit(control, shape, kind, message):
    config = _config(
        sequence_batching={
            "control_input": [
                {
                    "name": control,
                    "control": [{"kind": "CONTROL_SEQUENCE_START", "int32_false_true": [0, 1]}],
                }
            ]
        }
    )
    model = signature(
        session(
            [("x", "tensor(float)", ["n", 3]), ("start", f"tensor({kind})", shape)],
            [("y", "tensor(float)", ["n", 3])],
        )
    )
    with pytest.raises(RefusedError, match=message):
        validate(interface(config), model)


def test_a_control_counts_as_an_input():
    config = _config(
        sequence_batching={
            "control_input": [
                {
                    "name": "id",
                    "control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}],
                }
            ]
        }
    )
    model = signature(
        session(
            [("x", "tensor(float)", ["n", 3]), ("id", "tensor(uint64)", [1])],
            [("y", "tensor(float)", ["n", 3])],
        )
    )
    validate(interface(config), model)


def test_completion_of_a_batching_model():
    config = {"name": "m", "max_batch_size": 0, "input": [], "output": []}
    complete(config, _model(), 4)
    assert config["max_batch_size"] == 4
    assert config["dynamic_batching"] == {}
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]


def test_completion_of_a_batch_of_scalars():
    config = {"name": "m", "max_batch_size": 1, "input": [], "output": []}
    complete(config, _model(["n"]), 4)
    assert config["input"][0]["dims"] == [1]
    assert config["input"][0]["reshape"] == {"shape": []}
    assert "dynamic_batching" not in config


def test_completion_keeps_a_scheduler_and_a_given_side():
    given = [{"name": "y", "data_type": "TYPE_FP32", "dims": [3]}]
    config = {
        "name": "m", "max_batch_size": 8, "input": [], "output": given, "sequence_batching": {}
    }  # fmt: skip
    complete(config, _model(), 4)
    assert "dynamic_batching" not in config
    assert config["output"] is given
    assert config["max_batch_size"] == 8


@pytest.mark.parametrize("shape", [[3], [], [2, "n"]])
def test_a_model_without_dynamic_first_axis_does_not_batch(shape):
    config = {"name": "m", "max_batch_size": 0, "input": [], "output": []}
    complete(config, _model(shape), 4)
    assert config["max_batch_size"] == 0
    with pytest.raises(RefusedError, match="autofill failed for model 'm'"):
        complete({**config, "max_batch_size": 2, "input": [], "output": []}, _model(shape), 4)


def test_default_batch_size_when_the_server_names_none():
    assert default_max_batch_size(1) == 4
    assert default_max_batch_size(2**22 + 1) == 4  # no such process
