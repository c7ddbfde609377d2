"""Rules of backends that the embedded Triton does not have, and of other releases."""

import pytest

from support.lint import BASE, codes, find_code, findings_of, model_view
from support.lint_cases import plus, swap
from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts, ModelFormat, PythonFacts
from tritongen.model.findings import Severity


def other(backend: str, more: str = "", *, batch: int = 0, dtype: str = "TYPE_FP32") -> str:
    return (
        f'backend: "{backend}"\nmax_batch_size: {batch}\n'
        f'input {{ name: "INPUT__0" data_type: {dtype} dims: [ 4 ] }}\n'
        'output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 4 ] }\n'
        f"instance_group {{ kind: KIND_CPU count: 1 }}\n{more}"
    )


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


def errors(config: str, files=("1/model.onnx",), **changes) -> set[str]:
    return codes(findings_of(model_view("m", config, files), **changes), Severity.ERROR)


FILES = {
    "pytorch": ("1/model.pt",),
    "openvino": ("1/model.xml", "1/model.bin"),
    "tensorrt": ("1/model.plan",),
    "tensorflow": ("1/model.savedmodel/saved_model.pb",),
    "fil": ("1/xgboost.model",),
    "onnxruntime": ("1/model.onnx",),
    "python": ("1/model.py",),
}


@pytest.mark.parametrize(
    ("backend", "dtype", "refused"),
    [
        ("pytorch", "TYPE_UINT16", True),
        ("pytorch", "TYPE_BF16", True),
        ("pytorch", "TYPE_INT64", False),
        ("openvino", "TYPE_FP64", True),
        ("openvino", "TYPE_STRING", True),
        ("openvino", "TYPE_FP16", False),
        ("fil", "TYPE_FP64", True),
        ("fil", "TYPE_FP32", False),
        ("onnxruntime", "TYPE_UINT64", False),
        ("python", "TYPE_BF16", False),
    ],
)
def test_refused_types(backend, dtype, refused):
    found = errors(other(backend, dtype=dtype), FILES[backend])
    assert ("TG504" in found) is refused


@pytest.mark.parametrize(("release", "refused"), [("26.02", True), ("26.03", False)])
def test_bf16_of_onnxruntime_depends_on_the_release(release, refused):
    found = errors(other("onnxruntime", dtype="TYPE_BF16"), release=release)
    assert ("TG505" in found) is refused


@pytest.mark.parametrize(
    ("backend", "accepted"),
    [("onnxruntime", True), ("python", True), ("pytorch", False), ("openvino", False)],
)
def test_optional_inputs(backend, accepted):
    config = other(backend).replace("dims: [ 4 ] }", "dims: [ 4 ] optional: true }", 1)
    assert ("TG436" not in errors(config, FILES[backend])) is accepted


def test_profiles_of_tensorrt():
    config = other("tensorrt").replace("KIND_CPU count: 1", 'KIND_GPU count: 1 profile: [ "0" ]')
    assert "TG435" not in errors(config, FILES["tensorrt"], gpus=1)
    assert "TG435" in errors(config.replace('"0"', '"-1"'), FILES["tensorrt"], gpus=1)
    assert "TG435" in errors(config.replace('"0"', '"best"'), FILES["tensorrt"], gpus=1)


def test_non_linear_format_of_tensorrt_needs_three_dims():
    config = other("tensorrt").replace("dims: [ 4 ]", "dims: [ 4 ] is_non_linear_format_io: true")
    assert "TG431" in errors(config, FILES["tensorrt"])
    assert "TG431" not in errors(config.replace("[ 4 ]", "[ 4, 4, 4 ]"), FILES["tensorrt"])


def test_tensorrt_completes_what_is_not_written():
    config = 'backend: "tensorrt"\ninput { name: "x" }\noutput { name: "y" }\n'
    assert "TG424" not in errors(config, FILES["tensorrt"])
    assert "TG424" in errors(config, FILES["tensorrt"], autocomplete=False)


@pytest.mark.parametrize(("backend", "kind"), [("openvino", "KIND_GPU"), ("tensorrt", "KIND_CPU")])
def test_kinds_that_a_backend_does_not_serve(backend, kind):
    config = other(backend).replace("KIND_CPU", kind)
    assert "TG517" in errors(config, FILES[backend], gpus=1)


def test_tensorflow_left_the_images():
    config = other("tensorflow", 'platform: "tensorflow_savedmodel"\n')
    assert "TG455" not in errors(config, FILES["tensorflow"], release="25.02")
    assert "TG455" in errors(config, FILES["tensorflow"], release="25.03")


def test_torch_aoti_is_younger_than_the_backend():
    config = other("pytorch", 'platform: "torch_aoti"\n')
    assert "TG455" in errors(config, ("1/model.pt2",), release="26.02")
    assert "TG455" not in errors(config, ("1/model.pt2",), release="26.04")


def test_unknown_backend_is_told_unless_its_library_lies_beside_the_model():
    found = findings_of(model_view("m", other("mine"), ["1/weights"]))
    assert find_code(found, "TG455").severity is Severity.WARNING
    beside = model_view("m", other("mine"), ["1/weights", "libtriton_mine.so"])
    assert "TG455" not in codes(findings_of(beside))


@pytest.mark.parametrize(
    ("backend", "key", "value", "code"),
    [
        ("onnxruntime", "enable_mem_arena", "ON", ""),
        ("onnxruntime", "enable_mem_arena", "yes", "TG501"),
        ("onnxruntime", "gpu_mem_limit", "12", ""),
        ("openvino", "NUM_STREAMS", "auto", ""),
        ("openvino", "NUM_STREAMS", "many", "TG501"),
        ("openvino", "PERFORMANCE_HINT", "latency", ""),
        ("openvino", "HINT_BF16", "no", "TG501"),
        ("fil", "predict_proba", "True", "TG501"),
        ("fil", "threshold", "half", "TG501"),
        ("python", "FORCE_CPU_ONLY_INPUT_TENSORS", "no", ""),
        ("python", "FORCE_CPU_ONLY_INPUT_TENSORS", "No", "TG501"),
    ],
)
def test_values_of_parameters(backend, key, value, code):
    found = errors(other(backend, parameter(key, value)), FILES[backend])
    assert ("TG501" in found) is bool(code)


def test_everything_but_yes_counts_as_false_for_openvino():
    model = model_view(
        "m", other("openvino", parameter("ENABLE_BATCH_PADDING", "true")), FILES["openvino"]
    )
    assert find_code(findings_of(model), "TG501").severity is Severity.WARNING


@pytest.mark.parametrize(
    ("backend", "key", "fix"),
    [
        ("onnxruntime", "intra_op_threads_count", 'Write "intra_op_thread_count".'),
        ("onnxruntime", "INTRA_OP_THREAD_COUNT", 'Write "intra_op_thread_count".'),
        ("openvino", "RESHAPE_IO_LAYOUTS", 'Write "RESHAPE_IO_LAYERS".'),
    ],
)
def test_misspelt_parameters(backend, key, fix):
    model = model_view("m", other(backend, parameter(key, "1")), FILES[backend])
    assert find_code(findings_of(model), "TG610").fix == fix


def test_parameters_of_other_releases():
    key = "session.use_device_allocator_for_initializers"
    model = model_view("m", other("onnxruntime", parameter(key, "1")), FILES["onnxruntime"])
    assert "TG502" in codes(findings_of(model, release="25.01"))
    assert "TG502" not in codes(findings_of(model, release="25.02"))
    old = model_view("m", other("fil", parameter("algo", "NAIVE")), FILES["fil"])
    assert "TG503" in codes(findings_of(old, release="25.09"))
    assert "TG503" not in codes(findings_of(old, release="25.08"))


def test_required_parameters_of_fil():
    bare = other("fil", batch=8)
    assert "TG520" in errors(bare, FILES["fil"])
    classifier = bare + parameter("is_classifier", "true")
    assert "TG520" in errors(classifier, FILES["fil"])
    assert "TG520" not in errors(classifier + parameter("threshold", "0.5"), FILES["fil"])
    older = bare + parameter("output_class", "false")
    assert "TG520" not in errors(older, FILES["fil"], release="25.08")
    assert "TG520" in errors(
        bare + parameter("is_classifier", "false"), FILES["fil"], release="25.08"
    )


def test_fil_opens_the_file_of_its_model_type():
    config = other("fil", parameter("model_type", "xgboost_json"), batch=8)
    assert "TG454" in errors(config, ("1/xgboost.model",))
    assert "TG454" not in errors(config, ("1/xgboost.json",))


STATE = (
    'sequence_batching { state [ { input_name: "SI" output_name: "SO" data_type: TYPE_FP32 '
    "dims: [ 2 ] } ] }\n"
)
WARMUP = (
    'model_warmup { name: "w" batch_size: 1 inputs { key: "INPUT__0" value { '
    "data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } }\n"
)


@pytest.mark.parametrize(
    ("backend", "kept"),
    [
        ("onnxruntime", True), ("pytorch", True), ("tensorrt", True),
        ("openvino", False), ("fil", False), ("python", False), ("tensorflow", False),
    ],
)  # fmt: skip
def test_states_need_a_backend_that_hands_them_back(backend, kept):
    model = model_view("m", other(backend, STATE, batch=4), FILES[backend])
    assert ("TG523" in codes(findings_of(model))) is not kept


def test_a_model_that_keeps_state_is_not_warmed_up():
    assert "TG524" in errors(other("onnxruntime", STATE + WARMUP, batch=4))
    assert "TG524" not in errors(other("onnxruntime", STATE, batch=4))
    assert "TG524" not in errors(other("onnxruntime", WARMUP, batch=4))


def test_batch_sizes_that_backends_want():
    assert "TG521" in errors(other("fil"), FILES["fil"])
    assert "TG521" not in errors(other("fil", batch=8), FILES["fil"])
    exact = findings_of(model_view("m", other("openvino", batch=8), FILES["openvino"]))
    assert find_code(exact, "TG522").severity is Severity.WARNING


def accelerator(name: str, *options: tuple[str, str], place: str = "gpu") -> str:
    given = "".join(f'parameters {{ key: "{key}" value: "{value}" }} ' for key, value in options)
    return (
        "optimization { execution_accelerators { "
        f'{place}_execution_accelerator {{ name: "{name}" {given}}} }} }}\n'
    )


def accelerated(text: str, **changes):
    config = other("onnxruntime", text).replace("KIND_CPU", "KIND_GPU")
    return findings_of(model_view("m", config, FILES["onnxruntime"]), **{"gpus": 1, **changes})


@pytest.mark.parametrize(
    ("option", "release", "code"),
    [
        (("precision_mode", "FP16"), "26.07", ""),
        (("precision_mode", "BF16"), "26.01", "TG516"),
        (("precision_mode", "BF16"), "26.02", ""),
        (("precision_mode", "fast"), "26.07", "TG516"),
        (("trt_min_subgraph_size", "3"), "24.04", ""),
        (("trt_min_subgraph_size", "3"), "24.03", "TG516"),
        (("trt_no_such", "3"), "26.07", "TG516"),
    ],
)
def test_options_of_the_tensorrt_accelerator(option, release, code):
    found = codes(accelerated(accelerator("tensorrt", option), release=release), Severity.ERROR)
    assert ("TG516" in found) is bool(code)


def test_cuda_options_that_are_overwritten():
    found = accelerated(accelerator("cuda", ("gpu_mem_limit", "1"), ("use_tf32", "0")))
    assert find_code(found, "TG624").location.field.endswith('["gpu_mem_limit"]')
    assert "TG515" in codes(accelerated(accelerator("cuda"), release="24.06"))


def test_openvino_accelerator_reads_no_option():
    found = accelerated(accelerator("openvino", ("num_of_threads", "1"), place="cpu"))
    assert "TG624" in codes(found)


def test_metric_controls():
    def found(control: str, release: str = "26.07"):
        config = plus(f"model_metrics {{ metric_control {{ {control} }} }}")
        return findings_of(model_view("m", config), release=release)

    family = 'metric_identifier { family: "nv_inference_first_response_histogram_ms" }'
    buckets = "histogram_options { buckets: [ 1, 2 ] }"
    assert not found(f"{family} {buckets}")
    assert "TG439" in codes(found(buckets))
    assert "TG439" in codes(found(f"metric_identifier {{ }} {buckets}"))
    assert "TG439" in codes(found(family))
    assert "TG439" in codes(found(f"{family} histogram_options {{ }}"))
    assert "TG629" in codes(found(f'metric_identifier {{ family: "nv_other" }} {buckets}'))
    assert "TG460" in codes(found(f"{family} {buckets}", "24.10"))


@pytest.mark.parametrize(
    ("text", "last_without"),
    [
        ('runtime: "model.py"', "23.12"),
        ("sequence_batching { iterative_sequence: false }", "23.11"),
        ("ensemble_scheduling { max_inflight_requests: 0 }", "25.10"),
    ],
)
def test_fields_need_their_release_even_with_the_default_value(text, last_without):
    model = model_view("m", plus(text))
    assert "TG460" in codes(findings_of(model, release=last_without))
    assert "TG460" not in codes(findings_of(model))


def test_labels_outside_the_folder():
    config = swap('name: "OUT"', 'name: "OUT" label_filename: "../labels.txt"')
    old = findings_of(model_view("m", config), release="26.01")
    assert find_code(old, "TG626").severity is Severity.WARNING
    assert "TG459" in codes(findings_of(model_view("m", config), release="26.02"), Severity.ERROR)


def test_gpus_are_judged_only_when_they_are_known():
    config = BASE.replace("KIND_CPU", "KIND_GPU").replace("count: 1", "count: 1 gpus: [ 2 ]")
    assert "TG434" not in codes(findings_of(model_view("m", config), gpus=None))
    assert "TG434" not in codes(findings_of(model_view("m", config), gpus=4))
    assert "TG434" in codes(findings_of(model_view("m", config), gpus=2))


def test_python_runtime_of_pytorch():
    config = other("pytorch", 'runtime: "model.py"\n')
    assert "TG454" not in errors(config, ("1/model.py",))
    found = codes(findings_of(model_view("m", config, ["1/model.py"]), release="26.08"))
    assert "TG648" in found
    assert "TG648" not in codes(
        findings_of(model_view("m", config, ["1/model.py"]), release="26.09")
    )


SENDS, SAYS = PythonFacts(sends=True), PythonFacts(decoupled=True)
SEVERAL, ONE = Trial("python 3", ok=True, decoupled=True), Trial("python 3", ok=True)


@pytest.mark.parametrize(
    ("python", "trial", "autocomplete", "policy", "expected"),
    [
        (SENDS, SEVERAL, True, "", Severity.ERROR),
        (PythonFacts(), SEVERAL, True, "", Severity.ERROR),
        (SAYS, None, False, "", Severity.ERROR),
        (SAYS, None, True, "decoupled: false", Severity.ERROR),
        # Triton asks the model itself.
        (SAYS, None, True, "", None),
        # One response from a sender is allowed; another request may give more.
        (SENDS, None, True, "", Severity.WARNING),
        (SENDS, ONE, True, "", Severity.WARNING),
        (PythonFacts(decoupled=False, sends=True), None, False, "", None),
        (SENDS, SEVERAL, True, "decoupled: true", None),
        (PythonFacts(), None, True, "", None),
    ],
)
def test_any_number_of_responses_needs_the_policy(python, trial, autocomplete, policy, expected):
    config = plus(f"model_transaction_policy {{ {policy} }}") if policy else BASE
    facts = ModelFacts("m", "m/1/model.py", ModelFormat.PYTHON, python=python)
    view = model_view("m", config, facts=facts, trial=trial)
    found = findings_of(view, autocomplete=autocomplete)
    told = [item for item in found if item.code == "TG525"]
    assert [item.severity for item in told] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("backend", "meant"),
    [
        ("onnxruntimu", "onnxruntime"),
        ("pyton", "python"),
        ("openvinno", "openvino"),
        ("onnx", ""),
        ("mine", ""),
    ],
)
def test_a_backend_that_is_misspelt(backend, meant):
    found = find_code(findings_of(model_view("m", other(backend), ["1/weights"])), "TG455")
    assert found.severity is (Severity.ERROR if meant else Severity.WARNING)
    if meant:
        assert found.fix == f'Did you mean "{meant}"?'
    # Its own library beside it says that the name is meant.
    beside = model_view("m", other(backend), ["1/weights", f"libtriton_{backend}.so"])
    assert "TG455" not in codes(findings_of(beside))
