"""Repositories of vLLM, TensorRT-LLM and DALI: no false alarm, and what is planted is found."""

import json

import pytest

from support.engine_models import (
    DALI,
    DALI_PIPELINE,
    LLM_API,
    TRTLLM_TEMPLATES,
    VLLM,
    VLLM_CONFIG,
    filled,
    write,
)
from support.lint import context, model_view
from tritongen.config.lint import lint
from tritongen.model.findings import Severity
from tritongen.repository.check import check_repository


def told(root, **options):
    """(Severity, code, model, message) of what `check` tells, advice left out."""
    found = check_repository(root, **options).findings
    return [
        (item.severity, item.code, item.model, item.message)
        for item in found
        if item.severity is not Severity.INFO
    ]


def codes(root, **options):
    return sorted({code for _, code, _, _ in told(root, **options)})


@pytest.mark.parametrize("gpus", [None, 1])
def test_the_documented_repositories_raise_no_alarm(tmp_path, gpus):
    texts = VLLM | filled(TRTLLM_TEMPLATES) | DALI
    assert told(write(tmp_path, texts), gpus=gpus) == []


def test_unfilled_templates_name_every_placeholder_with_its_line(tmp_path):
    root = write(tmp_path, TRTLLM_TEMPLATES)
    found = [item for item in check_repository(root).findings if item.severity is Severity.ERROR]
    assert {item.code for item in found} == {"TG541"}
    first = next(item for item in found if item.model == "tensorrt_llm")
    assert (first.location.line, "${triton_backend}" in first.message) == (2, True)
    assert any("${logits_datatype}" in item.message for item in found)


def test_a_quoted_placeholder_is_a_setting_left_out(tmp_path):
    texts = filled(TRTLLM_TEMPLATES)
    kept = [
        item for item in check_repository(write(tmp_path, texts)).findings if item.code == "TG541"
    ]
    assert {item.severity for item in kept} == {Severity.INFO}
    assert any("${gpu_device_ids}" in item.message for item in kept)


@pytest.mark.parametrize("name", ["engine_dir", "tokenizer_dir", "batching_strategy"])
def test_a_quoted_placeholder_that_nothing_is_served_without(tmp_path, name):
    texts = filled(TRTLLM_TEMPLATES, **{name: f"${{{name}}}"})
    assert codes(write(tmp_path, texts)) == ["TG541"]


def test_a_placeholder_in_a_comment_is_none(tmp_path):
    texts = {"opt/config.pbtxt": f"# fill ${{engine_dir}}\n{VLLM_CONFIG}"}
    assert codes(write(tmp_path, VLLM | texts)) == []


def vllm(root, arguments=None, config=VLLM_CONFIG, **files):
    """A repository of one vLLM model."""
    said = json.loads(VLLM["opt/1/model.json"]) | (arguments or {})
    said = {key: value for key, value in said.items() if value is not None}
    return write(root, {"opt/config.pbtxt": config, "opt/1/model.json": json.dumps(said), **files})


MODEL_KIND = "instance_group [ { count: 1 kind: KIND_MODEL } ]"


@pytest.mark.parametrize(
    ("arguments", "config", "options", "code", "words"),
    [
        ({"model": None}, VLLM_CONFIG, {}, "TG152", 'no "model"'),
        ({"gpu_memory_utilization": 1.5}, VLLM_CONFIG, {}, "TG152", "above 0 and up to 1"),
        ({"tensor_parallel_size": "2"}, VLLM_CONFIG, {}, "TG152", "a whole number"),
        ({"enforce_eager": 1}, VLLM_CONFIG, {}, "TG152", "true or false"),
        ({"enable_lora": True}, VLLM_CONFIG, {}, "TG152", "multi_lora.json"),
        ({"gpu_memory_utilisation": 0.5}, VLLM_CONFIG, {}, "TG153", "is not known here"),
        ({"model": "/no/such/folder"}, VLLM_CONFIG, {}, "TG154", "not on this machine"),
        ({"model": "./weights"}, VLLM_CONFIG, {}, "TG154", "working directory"),
        ({}, f"{VLLM_CONFIG}max_batch_size: 8", {}, "TG542", "max_batch_size 8"),
        ({}, f"{VLLM_CONFIG}dynamic_batching {{ }}", {}, "TG545", "company"),
        (
            {},
            f"{VLLM_CONFIG}model_transaction_policy {{ decoupled: false }}",
            {},
            "TG525",
            "any number of responses",
        ),
        ({}, VLLM_CONFIG, {"autocomplete": False}, "TG525", "auto-completion is off"),
        ({}, VLLM_CONFIG.replace("MODEL", "CPU"), {}, "TG517", "KIND_CPU"),
        ({"tensor_parallel_size": 4}, VLLM_CONFIG, {"gpus": 2}, "TG543", "takes 4 GPUs"),
        (
            {"tensor_parallel_size": 2},
            VLLM_CONFIG.replace("KIND_MODEL", "KIND_GPU"),
            {"gpus": 2},
            "TG543",
            "a single GPU",
        ),
        ({}, VLLM_CONFIG.replace("count: 1", "count: 2"), {"gpus": 1}, "TG544", "1.00 of"),
    ],
)  # fmt: skip
def test_a_planted_mistake_of_a_vllm_model(tmp_path, arguments, config, options, code, words):
    found = told(vllm(tmp_path, arguments, config), **options)
    assert [item[1] for item in found] == [code]
    assert words in found[0][3]


def test_a_vllm_model_without_its_arguments(tmp_path):
    root = write(tmp_path, {"opt/config.pbtxt": VLLM_CONFIG, "opt/1/notes.txt": ""})
    assert codes(root) == ["TG454"]


def test_arguments_that_are_no_json(tmp_path):
    root = write(
        tmp_path, {"opt/config.pbtxt": VLLM_CONFIG, "opt/1/model.json": '{"model": "a/b",'}
    )
    assert codes(root) == ["TG102"]


def test_shares_of_two_models_on_one_gpu_add_up(tmp_path):
    other = {path.replace("opt", "phi"): text for path, text in VLLM.items()}
    assert codes(write(tmp_path, VLLM | other), gpus=1) == ["TG544"]


def test_adapters_whose_folders_are_missing(tmp_path):
    more = {"opt/1/multi_lora.json": json.dumps({"alpaca": "/no/such/adapter"})}
    found = told(vllm(tmp_path, {"enable_lora": True}, **more))
    assert [(item[1], "alpaca" in item[3]) for item in found] == [("TG154", True)]


@pytest.mark.parametrize(
    ("changes", "options", "code", "words"),
    [
        ({"engine_dir": ""}, {}, "TG542", "no engine to load"),
        ({"engine_dir": "engines/llama"}, {}, "TG651", "working directory"),
        ({"batching_strategy": "V1"}, {}, "TG545", "whole batch"),
        ({"batching_strategy": "static"}, {}, "TG501", "accepted"),
        ({"max_queue_delay_microseconds": "50000"}, {}, "TG545", "wait 50 ms"),
        ({"gpu_device_ids": "0,3"}, {"gpus": 2}, "TG543", "names GPU 3"),
        ({"gpu_device_ids": "first"}, {}, "TG542", "lists numbers"),
        ({}, {"gpus": 0}, "TG543", "on GPUs only"),
        ({"bls_instance_count": "1"}, {}, "TG546", "could answer 8"),
    ],
)
def test_a_planted_mistake_of_a_tensorrt_llm_set(tmp_path, changes, options, code, words):
    found = told(write(tmp_path, filled(TRTLLM_TEMPLATES, **changes)), **options)
    assert [item[1] for item in found] == [code]
    assert words in found[0][3]


def edited(path, old, new):
    texts = filled(TRTLLM_TEMPLATES)
    assert old in texts[path]
    return texts | {path: texts[path].replace(old, new)}


@pytest.mark.parametrize(
    ("path", "old", "new", "code", "words"),
    [
        (
            "postprocessing/config.pbtxt",
            "/models/llama",
            "/models/mistral",
            "TG546",
            "tokenizer_dir",
        ),
        ("tensorrt_llm_bls/config.pbtxt", "decoupled: true", "decoupled: false", "TG546", "both"),
        ("tensorrt_llm/config.pbtxt", "count: 1", "count: 2", "TG543", "same GPUs"),
        ("tensorrt_llm/config.pbtxt", "KIND_CPU", "KIND_GPU gpus: [0]", "TG543", "places"),
    ],
)  # fmt: skip
def test_models_of_a_set_that_disagree(tmp_path, path, old, new, code, words):
    found = check_repository(write(tmp_path, edited(path, old, new))).findings
    found = [item for item in found if item.severity is not Severity.INFO]
    assert [item.code for item in found] == [code]
    assert words in found[0].message + found[0].fix


def test_a_second_engine_leaves_room_for_both_caches(tmp_path):
    texts = filled(TRTLLM_TEMPLATES)
    second = texts["tensorrt_llm/config.pbtxt"].replace('name: "tensorrt_llm"', 'name: "draft"')
    root = write(tmp_path, texts | {"draft/config.pbtxt": second, "draft/1/.gitkeep": ""})
    assert codes(root) == ["TG544"]


def test_what_model_yaml_says_stays_out_of_the_configuration(tmp_path):
    config = (
        'backend: "python"\nmax_batch_size: 8\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n'
    )
    files = {
        "tensorrt_llm/config.pbtxt": config,
        "tensorrt_llm/1/model.py": TRTLLM_TEMPLATES["preprocessing/1/model.py"],
        "tensorrt_llm/1/model.yaml": "model: a/b\n",
    }
    assert "TG546" in codes(write(tmp_path, files))


@pytest.mark.parametrize(
    ("old", "new", "options", "code", "words"),
    [
        ("@autoserialize\n", "", {}, "TG155", "carries @autoserialize"),
        (', dtype=types.UINT8, ndim=1', "", {}, "TG155", "without dtype or ndim: IMAGE"),
        ("def pipeline():", "def pipeline(:", {}, "TG102", "line"),
        ("", "", {"autocomplete": False}, "TG155", "auto-completion is off"),
    ],
)  # fmt: skip
def test_a_planted_mistake_of_a_dali_pipeline(tmp_path, old, new, options, code, words):
    texts = {path: text for path, text in DALI.items() if path.startswith("decoder")}
    texts["decoder/1/dali.py"] = DALI_PIPELINE.replace(old, new) if old else DALI_PIPELINE
    found = told(write(tmp_path, texts), **options)
    assert [(item[1], words in item[3]) for item in found] == [(code, True)]


def test_a_dali_input_that_the_pipeline_does_not_have(tmp_path):
    wrong = 'input [ { name: "PICTURE" data_type: TYPE_UINT8 dims: [ -1 ] } ]\n'
    config = DALI["decoder/config.pbtxt"] + wrong
    assert codes(write(tmp_path, DALI | {"decoder/config.pbtxt": config})) == ["TG155"]


PLAN = """backend: "tensorrt"
platform: "tensorrt_plan"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group [ { kind: KIND_GPU count: 1 } ]
"""


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (PLAN + "optimization { cuda { graphs: true graph_spec { batch_size: 8 } } }", []),
        (PLAN + "optimization { cuda { output_copy_stream: true } }", []),
        (PLAN + "optimization { cuda { graphs: true graph_spec { batch_size: 9 } } }", ["TG547"]),
        (PLAN + "optimization { cuda { graphs: true graph_spec { } } }", ["TG547"]),
        (PLAN + "optimization { cuda { graph_spec { batch_size: 1 } } }", ["TG614"]),
        (
            PLAN.replace('"tensorrt"', '"python"').replace('platform: "tensorrt_plan"\n', "")
            + "optimization { cuda { graphs: true } }",
            ["TG614"],
        ),
    ],
)
def test_fields_that_tensorrt_alone_reads(config, found):
    view = model_view("m", config, files=("1/model.plan", "1/model.py"))
    told = lint((view,), context(gpus=1))
    assert [item.code for item in told if item.severity is not Severity.INFO] == found


def test_a_model_of_the_llm_api_raises_no_alarm(tmp_path):
    assert told(write(tmp_path, LLM_API), gpus=1) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "code", "words"),
    [
        ("config.pbtxt", "count: 1", "count: 2", "TG543", "onto the same GPUs"),
        ("1/model.yaml", "tensor_parallel_size: 1", "tensor_parallel_size: 4", "TG543", "over 4"),
        ("1/model.yaml", "tensor_parallel_size: 1", "tensor_parallel_size: 0", "TG152", "from 1"),
        ("1/model.yaml", "  decoupled: false\n", "", "TG152", "triton_config.decoupled"),
        ("config.pbtxt", 'backend: "python"', 'backend: "python"\nmax_batch_size: 8', "TG546", "8"),
    ],
)  # fmt: skip
def test_a_planted_mistake_of_the_llm_api(tmp_path, path, old, new, code, words):
    path = f"tensorrt_llm/{path}"
    texts = LLM_API | {path: LLM_API[path].replace(old, new, 1)}
    found = told(write(tmp_path, texts), gpus=2)
    assert {item[1] for item in found} == {code}
    assert words in found[0][3] or code == "TG546"


def test_gpus_of_each_instance_hold_the_split(tmp_path):
    path = "tensorrt_llm/config.pbtxt"
    given = 'parameters { key: "gpu_device_ids" value: { string_value: "0;1" } }\n'
    texts = LLM_API | {path: LLM_API[path].replace("count: 1", "count: 2") + given}
    assert told(write(tmp_path, texts), gpus=2) == []
    once, twice = "pipeline_parallel_size: 1", "pipeline_parallel_size: 2"
    yaml = texts["tensorrt_llm/1/model.yaml"].replace(once, twice)
    write(tmp_path, {"tensorrt_llm/1/model.yaml": yaml})
    (fault,) = told(tmp_path, gpus=2)
    assert (fault[1], "lists 1, 1" in fault[3]) == ("TG543", True)
