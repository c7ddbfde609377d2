"""The registry of backends: keys, spellings, releases, names, and threads in all."""

import pytest

from tritongen.config.lint import LintContext, ModelView, lint
from tritongen.model.backends import (
    BACKENDS,
    ThreadScope,
    artefact_for,
    backend_for,
    every_flavour,
    threads_each,
)
from tritongen.model.backends.pytorch import index_of
from tritongen.model.facts import ModelFacts, ModelFormat, TorchArgument, TorchFacts
from tritongen.model.releases import RELEASES, at_least, find

# (Backend, platform or runtime): {key: (first release, last release)}, empty for no bound.
KEYS = {
    ("onnxruntime", ""): {
        "intra_op_thread_count": ("", ""),
        "inter_op_thread_count": ("21.12", ""),
        "execution_mode": ("21.12", ""),
        "enable_mem_arena": ("22.04", ""),
        "enable_mem_pattern": ("22.04", ""),
        "memory.enable_memory_arena_shrinkage": ("22.04", ""),
        "session.use_device_allocator_for_initializers": ("25.02", ""),
        "cudnn_conv_algo_search": ("", ""),
        "gpu_mem_limit": ("", ""),
        "arena_extend_strategy": ("", ""),
        "do_copy_in_default_stream": ("", ""),
    },
    ("pytorch", ""): {
        "INTRA_OP_THREAD_COUNT": ("24.05", ""),
        "INTER_OP_THREAD_COUNT": ("24.05", ""),
        "DISABLE_OPTIMIZED_EXECUTION": ("", ""),
        "INFERENCE_MODE": ("", ""),
        "DISABLE_CUDNN": ("", ""),
        "ENABLE_WEIGHT_SHARING": ("", ""),
        "ENABLE_CACHE_CLEANING": ("", ""),
        "ENABLE_TENSOR_FUSER": ("", ""),
        "ENABLE_JIT_PROFILING": ("", ""),
        "ENABLE_JIT_EXECUTOR": ("", ""),
        "ENABLE_NVFUSER": ("", "23.12"),
    },
    ("pytorch", "torch_aoti"): {},
    ("pytorch", "model.py"): {
        "NUM_THREADS": ("", ""),
        "NUM_INTEROP_THREADS": ("", ""),
        "TORCH_COMPILE_OPTIONAL_PARAMETERS": ("", ""),
    },
    ("openvino", ""): {
        "INFERENCE_NUM_THREADS": ("", ""),
        "NUM_STREAMS": ("", ""),
        "PERFORMANCE_HINT": ("", ""),
        "COMPILATION_NUM_THREADS": ("", ""),
        "HINT_BF16": ("", ""),
        "SKIP_OV_DYNAMIC_BATCHSIZE": ("", ""),
        "ENABLE_BATCH_PADDING": ("", ""),
        "RESHAPE_IO_LAYERS": ("", ""),
        "CPU_EXTENSION_PATH": ("", ""),
        "TARGET_DEVICE": ("25.10", ""),
    },
    ("fil", ""): {
        "model_type": ("", ""),
        "is_classifier": ("25.09", ""),
        "output_class": ("", ""),
        "threshold": ("", ""),
        "predict_proba": ("", ""),
        "cpu_nthread": ("", ""),
        "xgboost_allow_unknown_field": ("", ""),
        "layout": ("25.09", ""),
        "chunk_size": ("25.09", ""),
        "transfer_threshold": ("", ""),
        "use_experimental_optimizations": ("", ""),
        "algo": ("", "25.08"),
        "threads_per_tree": ("", "25.08"),
        "storage_type": ("", "25.08"),
        "blocks_per_sm": ("", "25.08"),
    },
    ("python", ""): {"EXECUTION_ENV_PATH": ("", ""), "FORCE_CPU_ONLY_INPUT_TENSORS": ("", "")},
    ("tensorrt", ""): {
        "execution_context_allocation_strategy": ("25.05", ""),
        "enable_multi_device": ("26.06", ""),
        "multi_device_gpus": ("26.06", ""),
        "multi_device_per_rank_engines": ("26.06", ""),
    },
    ("tensorflow", ""): {
        "TF_NUM_INTRA_THREADS": ("", ""),
        "TF_NUM_INTER_THREADS": ("", ""),
        "TF_USE_PER_SESSION_THREADS": ("", ""),
        "TF_GRAPH_TAG": ("", ""),
        "TF_SIGNATURE_DEF": ("", ""),
        "MAX_SESSION_SHARE_COUNT": ("", ""),
        "TF_INIT_OPS_FILE": ("", ""),
    },
    ("dali", ""): {"num_threads": ("", ""), "split_along_outer_axis": ("", "")},
    ("vllm", ""): {"REPORT_CUSTOM_METRICS": ("24.08", ""), "ENABLE_VLLM_HEALTH_CHECK": ("", "")},
    ("tensorrtllm", ""): {
        "gpt_model_path": ("", ""),
        "gpt_model_type": ("", ""),
        "kv_cache_free_gpu_mem_fraction": ("", ""),
        "gpu_device_ids": ("", ""),
        "executor_worker_path": ("", ""),
    },
}
EVERY = [(rules, rule) for rules in every_flavour() for rule in rules.parameters]


def test_keys_and_their_releases():
    found = {
        (rules.name, rules.flavour): {
            rule.key: (rule.since, rule.until) for rule in rules.parameters
        }
        for rules in every_flavour()
    }
    assert found == KEYS


def codes(rules, key, value, release):
    flavour = f'runtime: "{rules.flavour}"\n' if rules.flavour.endswith(".py") else ""
    text = (
        f'backend: "{rules.name}"\n{flavour}'
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
    )
    view = (ModelView("m", text, directories=("1",)),)
    findings = lint(view, LintContext(release=find(release)))
    return {(item.code, item.location.field) for item in findings}, findings


def value_of(rules, rule):
    if rule.choices:
        return rule.choices[0]
    return {"bool": rules.true_texts[0], "int": "1"}.get(rule.kind, "0.5")


@pytest.mark.parametrize(
    ("rules", "rule"), EVERY, ids=[f"{rules.name}-{rule.key}" for rules, rule in EVERY]
)
def test_a_wrong_spelling_is_caught(rules, rule):
    if rules.open_parameters:
        # Their other keys belong to the model's code or to an engine of many versions.
        assert rules.name in {"python", "vllm", "tensorrtllm"}
        return
    wrong = rule.key.swapcase() if len(rule.key) > 4 else rule.key + "x"
    _, findings = codes(rules, wrong, value_of(rules, rule), "24.10")
    (fault,) = [item for item in findings if item.code == "TG610"]
    assert rule.key in fault.fix or len(rule.key) < 5


@pytest.mark.parametrize(
    ("rules", "rule"), EVERY, ids=[f"{rules.name}-{rule.key}" for rules, rule in EVERY]
)
def test_the_release_that_reads_a_key(rules, rule):
    tags = [item.tag for item in RELEASES]
    field = f'parameters["{rule.key}"]'
    reading = [
        tag
        for tag in tags
        if (not rule.since or at_least(tag, rule.since))
        and (not rule.until or at_least(rule.until, tag))
    ]
    value = value_of(rules, rule)
    for tag in (reading[0], reading[-1]):
        found, _ = codes(rules, rule.key, value, tag)
        assert ("TG502", field) not in found
        assert ("TG503", field) not in found
        assert ("TG501", field) not in found
    before = [tag for tag in tags if rule.since and not at_least(tag, rule.since)]
    if before:
        assert ("TG502", field) in codes(rules, rule.key, value, before[-1])[0]
    after = [tag for tag in tags if rule.until and not at_least(rule.until, tag)]
    if after:
        assert ("TG503", field) in codes(rules, rule.key, value, after[0])[0]


# What no backend can read as such a value.
WRONG = {"bool": "maybe", "choice": "no such choice", "int": "many", "float": "half"}


@pytest.mark.parametrize(
    ("rules", "rule"),
    [(rules, rule) for rules, rule in EVERY if rule.kind in WRONG],
    ids=[f"{rules.name}-{rule.key}" for rules, rule in EVERY if rule.kind in WRONG],
)
def test_a_value_that_cannot_be_read_is_caught(rules, rule):
    release = rule.until or max("24.10", rule.since)
    found, _ = codes(rules, rule.key, WRONG[rule.kind], release)
    assert ("TG501", f'parameters["{rule.key}"]') in found


@pytest.mark.parametrize("rules", [item for item in every_flavour() if item.parameters])
def test_booleans_are_spelt_as_the_backend_reads_them(rules):
    rule = next((item for item in rules.parameters if item.kind == "bool"), None)
    if rule is None:
        # Their switches are texts and numbers, or there are none.
        assert rules.name in {"python", "pytorch", "dali", "tensorrtllm"}
        return
    release = rule.until or max("24.10", rule.since)
    field = ("TG501", f'parameters["{rule.key}"]')
    for text in (*rules.true_texts, *rules.false_texts):
        assert field not in codes(rules, rule.key, text, release)[0]
        changed = text.swapcase()
        if changed != text:
            assert (field in codes(rules, rule.key, changed, release)[0]) == rules.case_sensitive


def test_every_format_that_triton_serves_has_one_backend():
    unserved = {"torch_pickle", "sklearn_pickle", "keras", "safetensors", "tflite", "unknown"}
    assert {item.value for item in ModelFormat if backend_for(item) is None} == unserved
    assert artefact_for(ModelFormat.TORCH_AOTI).platform == "torch_aoti"
    assert backend_for(ModelFormat.TORCH_AOTI).flavour == "torch_aoti"
    assert artefact_for(ModelFormat.LIGHTGBM).filename == "model.txt"


def test_flavours_are_told_by_platform_and_runtime():
    pytorch = BACKENDS["pytorch"]
    assert pytorch.served_as(platform="pytorch_libtorch") is pytorch
    assert pytorch.served_as(platform="torch_aoti").parameters == ()
    assert pytorch.served_as(runtime="model.py").threads.default == 1


THREADS = [
    ("onnxruntime", "", 2, {"intra_op_thread_count": "3"}, {}, 6),
    (
        "onnxruntime",
        "",
        2,
        {"intra_op_thread_count": "3", "execution_mode": "1", "inter_op_thread_count": "2"},
        {},
        8,
    ),
    ("onnxruntime", "", 2, {"intra_op_thread_count": "3", "inter_op_thread_count": "2"}, {}, 6),
    ("onnxruntime", "", 2, {"intra_op_thread_count": "0"}, {"OMP_NUM_THREADS": "1"}, None),
    ("onnxruntime", "", 2, {}, {}, None),
    ("pytorch", "", 2, {"INTRA_OP_THREAD_COUNT": "2", "INTER_OP_THREAD_COUNT": "1"}, {}, 4),
    ("pytorch", "", 2, {}, {"OMP_NUM_THREADS": "3"}, 6),
    ("pytorch", "", 2, {}, {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "1"}, 2),
    ("pytorch", "torch_aoti", 2, {"INTRA_OP_THREAD_COUNT": "2"}, {}, None),
    ("pytorch", "torch_aoti", 2, {}, {"OMP_NUM_THREADS": "1"}, 2),
    ("pytorch", "model.py", 3, {}, {}, 3),
    ("pytorch", "model.py", 3, {"NUM_THREADS": "2"}, {}, 6),
    ("openvino", "", 4, {"INFERENCE_NUM_THREADS": "2"}, {}, 2),
    ("openvino", "", 4, {}, {"OMP_NUM_THREADS": "1"}, None),
    ("fil", "", 2, {"cpu_nthread": "3"}, {}, 6),
    ("fil", "", 2, {"cpu_nthread": "3"}, {"OMP_NUM_THREADS": "2"}, 4),
    ("fil", "", 2, {"cpu_nthread": "-1"}, {}, None),
    ("python", "", 3, {}, {"OMP_NUM_THREADS": "2"}, 6),
    ("python", "", 3, {}, {}, None),
    ("tensorrt", "", 4, {}, {}, 1),
    ("tensorflow", "", 2, {"TF_NUM_INTRA_THREADS": "2", "TF_NUM_INTER_THREADS": "2"}, {}, 3),
]


@pytest.mark.parametrize(("name", "flavour", "instances", "given", "variables", "total"), THREADS)
def test_threads_in_all(name, flavour, instances, given, variables, total):
    rules = BACKENDS[name].served_as(platform=flavour, runtime=flavour)
    each = threads_each(rules.threads, given, variables)
    shared = each is None or rules.threads.pooled
    assert (each if shared else instances * each) == total


def test_what_a_thread_parameter_holds_for():
    scopes = {name: rules.threads.scope for name, rules in BACKENDS.items()}
    assert scopes == {
        "onnxruntime": ThreadScope.INSTANCE,
        "pytorch": ThreadScope.PROCESS,
        "openvino": ThreadScope.MODEL,
        "fil": ThreadScope.INSTANCE,
        "python": ThreadScope.PROCESS_PER_INSTANCE,
        "tensorrt": ThreadScope.PROCESS,
        "tensorflow": ThreadScope.PROCESS,
        "dali": ThreadScope.INSTANCE,
        "vllm": ThreadScope.PROCESS_PER_INSTANCE,
        "tensorrtllm": ThreadScope.PROCESS,
    }


@pytest.mark.parametrize(
    ("name", "index"),
    [("INPUT__0", 0), ("a__12", 12), ("my__in__0", None), ("plain", None), ("x__", None)],
)
def test_numbers_in_names(name, index):
    assert index_of(name) == index


def torch_facts(*arguments):
    given = tuple(TorchArgument(name, "Tensor") for name in arguments)
    return ModelFacts("m", "m.pt", ModelFormat.TORCHSCRIPT, torch=TorchFacts(given, "Tensor"))


@pytest.mark.parametrize(
    ("inputs", "outputs", "faults"),
    [
        (("a", "b"), ("OUTPUT__0",), 0),
        (("INPUT__0", "INPUT__1"), ("y",), 0),
        (("first", "second"), ("y", "z"), 0),
        (("a",), ("y",), 1),
        (("INPUT__0", "INPUT__0"), ("y",), 1),
        (("INPUT__1", "INPUT__2"), ("y",), 1),
        (("a", "b"), ("OUTPUT__0", "OTHER__0"), 1),
    ],
)
def test_names_that_torchscript_maps_to_other_places(inputs, outputs, faults):
    check = BACKENDS["pytorch"].names
    assert len(check(torch_facts("a", "b"), inputs, outputs)) == faults


def test_names_of_a_forest():
    check, facts = BACKENDS["fil"].names, ModelFacts("m", "m.json", ModelFormat.XGBOOST_JSON)
    assert check(facts, ("input__0",), ("output__0", "treeshap_output")) == ()
    assert len(check(facts, ("x",), ("y",))) == 2
