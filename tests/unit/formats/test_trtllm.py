"""Engines of TensorRT-LLM: parameters of a configuration, and the LLM API's model.yaml."""

import pytest

from support.engine_models import LLM_API, LLM_API_YAML, TRTLLM_TEMPLATES, filled, write
from tritongen.formats import inspect_folder
from tritongen.formats.trtllm import engine_of
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Severity
from tritongen.model.releases import find

FILE = "tensorrt_llm/1/model.yaml"


def inspected(root):
    return {item.name: item for item in inspect_folder(root, find("26.07")).models}


def faults(root, text, **changes):
    """(Severity, code, message) of a model whose `model.yaml` is this."""
    facts = inspected(write(root, LLM_API | {FILE: text} | changes))["tensorrt_llm"]
    return [(item.severity, item.code, item.message) for item in facts.findings]


def test_the_llm_api_says_what_its_engine_is(tmp_path):
    text = LLM_API_YAML.replace("tensor_parallel_size: 1", "tensor_parallel_size: 2")
    text += "max_seq_len: 4096\nkv_cache_config:\n  free_gpu_memory_fraction: 0.5\n"
    facts = inspected(write(tmp_path, LLM_API | {FILE: text}))["tensorrt_llm"]
    engine = facts.template.engine
    assert (facts.format, facts.findings) == (ModelFormat.TEMPLATE, ())
    assert "TinyLlama-1.1B" in facts.producer
    assert (engine.split, engine.cache_share, engine.max_length) == (2, 0.5, 4096)
    assert engine.size.weight_bytes == 2200 * 10**6


def test_a_folder_of_another_name_is_known_by_its_file(tmp_path):
    texts = {path.replace("tensorrt_llm", "llama"): text for path, text in LLM_API.items()}
    texts["llama/config.pbtxt"] = texts["llama/config.pbtxt"].replace("tensorrt_llm", "llama")
    facts = inspected(write(tmp_path, texts))["llama"]
    assert (facts.format, facts.template.engine is not None) == (ModelFormat.TEMPLATE, True)


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("model: Tiny", "modle: Tiny", "TG152", "names no model"),
        ("_parallel_size: 1", "_parallel_size: two", "TG152", "whole number"),
        ("decoupled: false", "decoupled: 'no'", "TG152", "triton_config.decoupled"),
        ("  decoupled: false\n", "", "TG152", "no triton_config.decoupled"),
        ("max_batch_size: 0", "max_batch_size: 8", "TG545", "one at a time"),
        ("backend: pytorch", "enable_chunked_prefil: true", "TG153", "not known here"),
        ("model: Tiny", "model: ./Tiny", "TG154", "working directory"),
        ("# Arguments", "a: [\n# Arguments", "TG152", "no YAML"),
        ("# Arguments", "a: &a [1]\nb: *a\n# Arguments", "TG152", "aliases"),
        ("# Arguments", f"a: {'[' * 40}{']' * 40}\n# Arguments", "TG152", "too deeply"),
    ],
)
def test_a_planted_mistake_of_the_llm_api(tmp_path, old, new, code, words):
    found = faults(tmp_path, LLM_API_YAML.replace(old, new, 1))
    assert code in {item[1] for item in found}
    assert any(words in item[2] for item in found), found


@pytest.mark.parametrize("text", ["", "- a\n", "text", "\0"])
def test_a_file_that_holds_no_arguments(tmp_path, text):
    assert [item[:2] for item in faults(tmp_path, text)] == [(Severity.ERROR, "TG152")]


def test_a_file_without_end_is_not_read(tmp_path):
    found = faults(tmp_path, LLM_API_YAML + "#" * (1 << 17))
    assert [(item[1], "KiB" in item[2]) for item in found] == [("TG152", True)]


def test_helpers_that_were_left_behind(tmp_path):
    write(tmp_path, LLM_API)
    (tmp_path / "tensorrt_llm/1/helpers.py").unlink()
    facts = inspected(tmp_path)["tensorrt_llm"]
    assert [(item.code, "helpers.py" in item.message) for item in facts.findings] == [
        ("TG454", True)
    ]


def test_a_set_names_its_engine_in_parameters():
    text = filled(TRTLLM_TEMPLATES, gpu_device_ids="0,1;2,3")["tensorrt_llm/config.pbtxt"]
    text = text.replace("count: 1", "count: 2")
    engine = engine_of(text)
    assert (engine.model, engine.devices, engine.instances) == (
        "/engines/llama", ((0, 1), (2, 3)), 2
    )  # fmt: skip
    assert (engine.gpus, engine.cache_share) == (2, 0.9)


def test_what_names_no_engine_has_none():
    assert engine_of(TRTLLM_TEMPLATES["tensorrt_llm/config.pbtxt"]) is None
    assert engine_of(filled(TRTLLM_TEMPLATES)["preprocessing/config.pbtxt"]) is None
    commented = '# parameters { key: "gpt_model_path" value: { string_value: "/e" } }\n'
    assert engine_of(commented) is None
