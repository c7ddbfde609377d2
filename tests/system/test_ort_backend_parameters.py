"""Parameters and completion of the Python-based onnxruntime backend, on a real Triton."""

from pathlib import Path

import numpy as np
import pytest

from support.serving_models import (
    ONE_INSTANCE,
    config_text,
    identity,
    parameter,
    tensor_text,
)
from support.triton import start_server, write_model
from tritongen.serving import reaper
from tritongen.system.processes import SERVER

MODEL = "1/model.onnx"
HEAD = 'backend: "onnxruntime"\n' + ONE_INSTANCE


# Every parameter that the C++ backend reads on a CPU, with a value it accepts.
ACCEPTED = [
    ("intra_op_thread_count", "1"),
    ("intra_op_thread_count", "2 threads"),
    ("intra_op_thread_count", "0"),
    ("inter_op_thread_count", "2"),
    ("execution_mode", "0"),
    ("execution_mode", "1"),
    ("enable_mem_arena", "ON"),
    ("enable_mem_arena", "false"),
    ("enable_mem_pattern", "1"),
    ("enable_mem_pattern", "Off"),
    ("memory.enable_memory_arena_shrinkage", "cpu:0"),
    ("session.use_device_allocator_for_initializers", "1"),
    ("cudnn_conv_algo_search", "9"),
    ("gpu_mem_limit", "1000000"),
    ("arena_extend_strategy", "9"),
    ("do_copy_in_default_stream", "maybe"),
    ("some.unknown.key", "whatever"),
]


@pytest.mark.parametrize(("key", "text"), ACCEPTED)
def test_parameter_is_accepted_and_the_model_answers(strict_server, load, key, text):
    name = load(config_text(extra=parameter(key, text)), identity())
    x = np.ones((1, 2), np.float32)
    assert strict_server.client.infer(name, {"x": x})["y"].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("level", [-1, 0, 1, 2])
def test_graph_level_is_accepted(strict_server, load, level):
    name = load(config_text(extra=f"optimization {{ graph {{ level: {level} }} }}\n"), identity())
    assert strict_server.client.model_ready(name)


def test_gpu_accelerators_are_ignored_on_the_cpu(strict_server, load):
    accelerator = (
        "gpu_execution_accelerator: [ { name: 'tensorrt' parameters { key: 'no' value: 'x' } } ]"
    )
    extra = f"optimization {{ execution_accelerators {{ {accelerator} }} }}\n"
    name = load(config_text(extra=extra), identity())
    assert strict_server.client.model_ready(name)


def stub_threads(server, model: str) -> int:
    """Threads of the one backend process of a model."""
    for pid in reaper.marked(f"{SERVER}={server.server.state.server}"):
        command = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        if f"/{model}/".encode() in command[1]:
            return len(list(Path("/proc", str(pid), "task").iterdir()))
    raise AssertionError(f"{model} has no process")


def test_thread_counts_are_the_session_s(strict_server, load):
    def threads(**values):
        extra = "".join(parameter(key, text) for key, text in values.items())
        return stub_threads(strict_server, load(config_text(extra=extra), identity()))

    one = threads(intra_op_thread_count="1")
    assert threads(intra_op_thread_count="4") == one + 3
    # Operators side by side have their own pool, in parallel mode only.
    assert threads(intra_op_thread_count="1", inter_op_thread_count="4") == one
    parallel = threads(intra_op_thread_count="1", inter_op_thread_count="4", execution_mode="1")
    assert parallel > one


def test_default_is_two_instances(strict_server, load):
    config = config_text().replace(ONE_INSTANCE, "")
    name = load(config, identity())
    (group,) = strict_server.client.model_config(name)["instance_group"]
    assert (group["kind"], group["count"]) == ("KIND_CPU", 2)


def test_completion_fills_tensors_and_batching(explicit_server):
    name = explicit_server.unique()
    assert explicit_server.try_model(name, None, {MODEL: identity()}) is None
    config = explicit_server.client.model_config(name)
    assert config["backend"] == "onnxruntime"
    assert config["max_batch_size"] == 4
    assert config["dynamic_batching"]["preferred_batch_size"] == [4]
    (tensor,) = config["input"]
    assert (tensor["name"], tensor["data_type"], tensor["dims"]) == ("x", "TYPE_FP32", [2])
    explicit_server.unload(name)


def test_completion_of_a_batch_of_scalars_adds_an_empty_reshape(explicit_server):
    name = explicit_server.unique()
    assert explicit_server.try_model(name, None, {MODEL: identity(shape=["n"])}) is None
    config = explicit_server.client.model_config(name)
    assert config["input"][0]["dims"] == [1]
    assert config["input"][0]["reshape"] == {"shape": []}
    x = np.ones((3, 1), np.float32)
    assert explicit_server.client.infer(name, {"x": x})["y"].shape == (3, 1)
    explicit_server.unload(name)


def test_completion_is_skipped_when_tensors_are_given(explicit_server):
    name = explicit_server.unique()
    config = HEAD + tensor_text("input", "x", "TYPE_FP32", [-1, 2])
    config += tensor_text("output", "y", "TYPE_FP32", [-1, 2])
    assert explicit_server.try_model(name, config, {MODEL: identity()}) is None
    completed = explicit_server.client.model_config(name)
    assert completed["max_batch_size"] == 0
    assert "dynamic_batching" not in completed
    explicit_server.unload(name)


def test_default_batch_size_of_the_server_s_command_line(tmp_path):
    repository = tmp_path / "repository"
    write_model(repository, "m", None, {MODEL: identity()})
    flags = (("backend-config", "onnxruntime,default-max-batch-size=16"),)
    with start_server(repository, tmp_path / "project", flags=flags) as server:
        assert server.client.model_config("m")["max_batch_size"] == 16
