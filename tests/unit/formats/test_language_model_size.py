"""How large a language model is, by its folder or by its name."""

import json

import pytest

from tritongen.formats.language_model_size import size_of
from tritongen.formats.vllm import with_arguments
from tritongen.model.facts import ModelFacts, ModelFormat

# 32 layers with 8 heads of 128 for keys and values: 128 KiB a token in half precision.
LLAMA = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072,
}


def folder(root, config, **files):
    """A folder of weights: sizes by name, dots written as two underscores."""
    root.mkdir(exist_ok=True)
    (root / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name, size in files.items():
        with (root / name.replace("__", ".")).open("wb") as file:
            file.truncate(size)
    return str(root)


def test_a_folder_of_weights_tells_all(tmp_path):
    path = folder(tmp_path / "m", LLAMA, model_1__safetensors=9 << 30, model_2__safetensors=6 << 30)
    size = size_of(path)
    assert (size.weight_bytes, size.token_bytes, size.max_length) == (15 << 30, 128 << 10, 131072)
    assert size.certain
    assert path in size.source


def test_weights_that_lie_there_twice_count_once(tmp_path):
    files = {"model__safetensors": 5 << 20, "consolidated__safetensors": 5 << 20}
    path = folder(tmp_path / "m", LLAMA, **files, pytorch_model__bin=5 << 20)
    assert size_of(path).weight_bytes == 5 << 20


@pytest.mark.parametrize(
    ("change", "token"),
    [
        ({"num_key_value_heads": None}, 512 << 10),
        ({"head_dim": 256}, 256 << 10),
        ({"torch_dtype": "float32"}, 256 << 10),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 32 * 576 * 2),
        ({"sliding_window": 4096}, 0),
        ({"sliding_window": 4096, "use_sliding_window": False}, 128 << 10),
        ({"layer_types": ["full_attention", "linear_attention"]}, 0),
        ({"num_hidden_layers": "many"}, 0),
    ],
)
def test_the_cache_of_a_token_follows_from_the_layers(tmp_path, change, token):
    said = {key: value for key, value in (LLAMA | change).items() if value is not None}
    path = folder(tmp_path / "m", said, model__safetensors=1 << 20)
    assert size_of(path).token_bytes == token
    assert size_of(path, cache="auto").token_bytes == token


def test_a_cache_of_eight_bits_takes_half(tmp_path):
    path = folder(tmp_path / "m", LLAMA, model__safetensors=1 << 20)
    assert size_of(path, cache="fp8").token_bytes == 64 << 10


def test_an_engine_states_the_same_of_itself(tmp_path):
    said = {"pretrained_config": LLAMA | {"head_size": 128}, "build_config": {"max_seq_len": 4096}}
    size = size_of(folder(tmp_path / "e", said, rank0__engine=4 << 20, rank1__engine=4 << 20))
    assert (size.weight_bytes, size.token_bytes, size.max_length) == (8 << 20, 128 << 10, 4096)


def test_of_a_model_that_sees_the_language_model_inside_counts(tmp_path):
    size = size_of(folder(tmp_path / "m", {"text_config": LLAMA}, model__safetensors=1 << 20))
    assert size.token_bytes == 128 << 10


@pytest.mark.parametrize("config", ["{", "[]", '"text"', '{"pretrained_config": 3}'])
def test_a_configuration_that_is_none_leaves_nothing_or_the_weights(tmp_path, config):
    size = size_of(folder(tmp_path / "m", config, model__safetensors=1 << 20))
    assert size is None or (size.weight_bytes, size.token_bytes) == (1 << 20, 0)


def test_a_folder_that_is_not_here_says_nothing(tmp_path):
    assert size_of(str(tmp_path / "none")) is None
    assert size_of("/dev/null") is None


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("facebook/opt-125m", 250 * 10**6),
        ("meta-llama/Llama-3.1-8B-Instruct", 16 * 10**9),
        ("Qwen/Qwen2.5-0.5B", 10**9),
        ("Qwen/Qwen3-30B-A3B", 60 * 10**9),
        ("TheBloke/Llama-2-7B-AWQ", 3850 * 10**6),
        ("neuralmagic/Meta-Llama-3-8B-FP8", 8 * 10**9),
    ],
)
def test_a_name_with_a_number_of_parameters_is_a_guess(name, weights):
    size = size_of(name)
    assert (size.weight_bytes, size.certain) == (weights, False)
    assert "its name" in size.source


@pytest.mark.parametrize(
    "name", ["microsoft/phi-2", "mistralai/Mixtral-8x7B-v0.1", "Llama-4-Scout-17B-16E", "a/b", ""]
)
def test_a_name_that_says_nothing_of_it(name):
    assert size_of(name) is None


def test_what_the_engine_is_told_decides_the_bits():
    assert size_of("a/m-7b", dtype="float32").weight_bytes == 28 * 10**9
    assert size_of("a/m-7b", quantization="fp8").weight_bytes == 7 * 10**9


def test_weights_that_are_quantised_while_they_are_loaded_are_a_guess(tmp_path):
    path = folder(tmp_path / "m", LLAMA, model__safetensors=1 << 20)
    assert size_of(path).certain
    assert not size_of(path, quantization="bitsandbytes").certain


def test_what_the_cpu_keeps_is_not_on_the_gpu():
    said = {"model": "a/m-7b", "cpu_offload_gb": 2, "tensor_parallel_size": 2}
    facts = with_arguments(ModelFacts("m", "m/model.json", ModelFormat.VLLM), said)
    assert facts.vllm.size.weight_bytes == 14 * 10**9 - 4 * 2**30
    assert "cpu_offload_gb" in facts.vllm.size.source
