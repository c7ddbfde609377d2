"""Files, advice, variants, and the order of findings."""

from dataclasses import replace

import pytest

from support.lint import BASE, codes, context, find_code, findings_of, model_view
from support.lint_cases import plus, swap
from tritongen.config.lint import lint
from tritongen.model.evidence import ReportedTensor, Trial
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion
from tritongen.model.findings import Severity
from tritongen.model.tensors import DType, TensorSpec

ONNX = (
    'backend: "onnxruntime"\nmax_batch_size: 0\n'
    'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] }\n'
    'output { name: "y" data_type: TYPE_FP32 dims: [ -1, 4 ] }\n'
    "instance_group { kind: KIND_CPU count: 1 }\n"
    'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
)


def facts(*shape: int | str, dtype: DType | None = DType.FP32) -> ModelFacts:
    """An ONNX model from x to y, both of one shape."""
    main = FileRef("m.onnx", "model.onnx", 10)
    return ModelFacts(
        name="m",
        path="m.onnx",
        format=ModelFormat.ONNX,
        versions=(ModelVersion(1, (main,)),),
        inputs=(TensorSpec("x", dtype, shape),),
        outputs=(TensorSpec("y", dtype, shape),),
    )


def onnx(config: str = ONNX, *shape: int | str, **changes):
    model = model_view("m", config, ["1/model.onnx"], facts=facts(*(shape or ("n", 4))))
    return findings_of(model, **changes)


def test_configuration_of_good_practice_has_no_findings():
    assert findings_of(model_view()) == ()
    assert codes(onnx()) == {"TG646"}


def test_model_file_is_named_with_what_is_there_instead():
    model = model_view("m", ONNX, ["1/net.onnx", "1/readme.txt"])
    found = find_code(findings_of(model), "TG454")
    assert found.severity is Severity.ERROR
    assert found.location.path == "m/1/model.onnx"
    assert "the folder holds net.onnx, readme.txt" in found.message
    assert found.fix == "Rename net.onnx, or set default_model_filename."


def test_every_served_version_needs_the_file():
    config = plus("version_policy { all { } }", ONNX)
    found = findings_of(model_view("m", config, ["1/model.onnx", "2/other"]))
    assert find_code(found, "TG454").location.path == "m/2/model.onnx"
    newest = findings_of(model_view("m", ONNX, ["1/other", "2/model.onnx"]))
    assert "TG454" not in codes(newest)


def test_model_of_several_files_is_a_folder():
    assert "TG454" not in codes(findings_of(model_view("m", ONNX, ["1/model.onnx/model.onnx"])))


def test_file_name_that_leaves_the_folder():
    config = plus('default_model_filename: "../../x.py"')
    assert "TG459" in codes(findings_of(model_view("m", config)), Severity.ERROR)


def test_file_by_compute_capability():
    config = plus('cc_model_filenames { key: "7.5" value: "t4.plan" }').replace(
        "python", "tensorrt"
    )
    assert "TG454" in codes(findings_of(model_view("m", config, ["1/model.plan"])))
    assert "TG454" not in codes(findings_of(model_view("m", config, ["1/t4.plan"])))


@pytest.mark.parametrize("name", ["model.py~", ".model.py.swp", "config.pbtxt.bak", ".DS_Store"])
def test_stray_files(name):
    found = find_code(findings_of(model_view(files=["1/model.py", name])), "TG649")
    assert found.severity is Severity.INFO


def test_name_that_clients_cannot_address():
    assert "TG650" in codes(findings_of(model_view("my model")))
    assert "TG650" not in codes(findings_of(model_view("my-model_2.x")))


def test_folder_without_configuration():
    model = model_view("m", None, ["1/model.onnx"])
    assert find_code(findings_of(model), "TG644").severity is Severity.WARNING
    assert "TG468" in codes(findings_of(model, autocomplete=False), Severity.ERROR)


def test_what_auto_completion_guesses():
    config = 'backend: "onnxruntime"\n'
    model = model_view("m", config, ["1/model.onnx"], facts=facts("n", 4))
    assert "max_batch_size becomes 4" in find_code(findings_of(model), "TG644").message
    assert "TG506" in codes(findings_of(model, autocomplete=False), Severity.ERROR)


def test_completed_batch_size_of_a_model_that_cannot_batch():
    config = 'backend: "onnxruntime"\nmax_batch_size: 8\n'
    model = model_view("m", config, ["1/model.onnx"], facts=facts(1, 4))
    assert "TG509" in codes(findings_of(model), Severity.ERROR)


def test_leading_dynamic_dims_with_batching():
    config = swap("dims: [ 4 ]", "dims: [ -1, 4 ]")
    assert "TG640" in codes(findings_of(model_view("m", config)))
    assert "TG640" not in codes(findings_of(model_view("m", swap(": 8", ": 0", config))))
    one = BASE.replace("dims: [ 4 ]", "dims: [ -1, 4 ]", 1)
    assert "TG640" not in codes(findings_of(model_view("m", one)))


def output_findings(made, reported, dims):
    """What is said of output y: declared so, reported so by the runtime, configured with dims."""
    model = replace(facts("n", 4), outputs=(TensorSpec("y", DType.FP32, made),))
    trial = None
    if reported is not None:
        shapes = {"reported_inputs": (ReportedTensor("x", (-1, 4)),)}
        shapes["reported_outputs"] = (ReportedTensor("y", reported),)
        trial = Trial("onnxruntime 1", ok=True, **shapes)
    first, output = ONNX.split("output")
    config = f"{first}output{output.replace('-1, 4', dims)}"
    view = model_view("m", config, ["1/model.onnx"], facts=model, trial=trial)
    found = findings_of(view)
    return {item.code: item.severity for item in found if item.code in {"TG510", "TG511"}}


@pytest.mark.parametrize(
    ("made", "reported", "dims", "expected"),
    [
        # The runtime infers what the file leaves open: its word is the truth.
        ((1, "S", 4), (1, 1, 4), "1, 1, 4", {}),
        ((1, "S", 4), (1, 1, 4), "1, -1, 4", {"TG510": Severity.ERROR}),
        ((1, "S", 4), (1, -1, 4), "1, 1, 4", {"TG510": Severity.ERROR}),
        (None, (-1, 4), "-1, 4", {}),
        (None, (-1, 4), "1", {"TG510": Severity.ERROR}),
        (None, (), "-1, 4", {"TG511": Severity.ERROR}),
        # The declaration is wrong, and the runtime knows the size no better.
        ((2, 4), (2, -1), "2, -1", {}),
        # Without its word a declaration alone stands against a narrower configuration.
        ((1, "S", 4), None, "1, 1, 4", {"TG510": Severity.WARNING}),
        ((1, "S", 4), None, "1, -1, 4", {}),
        (None, None, "-1, 4", {"TG511": Severity.WARNING}),
        # A fixed size stays one, whatever else is inferred.
        ((1, "S", 4), None, "2, 1, 4", {"TG510": Severity.ERROR}),
        ((1, "S", 4), None, "1, 4", {"TG510": Severity.ERROR}),
    ],
)
def test_the_runtimes_shapes_are_the_truth(made, reported, dims, expected):
    assert output_findings(made, reported, dims) == expected


def test_an_input_without_a_shape_is_a_scalar_to_the_runtime():
    model = replace(facts("n", 4), inputs=(TensorSpec("x", DType.FP32, None),))
    found = find_code(findings_of(model_view("m", ONNX, ["1/model.onnx"], facts=model)), "TG511")
    assert found.severity is Severity.ERROR
    assert "its shape is not declared" in found.message


def test_type_that_triton_has_no_name_for():
    model = model_view("m", ONNX, ["1/model.onnx"], facts=facts("n", 4, dtype=None))
    assert "TG518" in codes(findings_of(model), Severity.ERROR)


def test_expected_and_written_are_named():
    config = ONNX.replace("TYPE_FP32", "TYPE_INT64", 1)
    found = find_code(onnx(config), "TG508")
    assert "the configuration says TYPE_INT64, the model provides TYPE_FP32" in found.message
    assert found.fix == "Write TYPE_FP32."
    assert (found.location.line, found.location.field) == (3, "input[0].data_type")


def test_control_tensors_are_inputs_of_the_model():
    config = plus(
        'sequence_batching { control_input { name: "START" control { '
        "kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } } }",
        ONNX,
    )
    found = codes(onnx(config), Severity.ERROR)
    assert {"TG506", "TG514"} <= found


def test_relative_environment_depends_on_the_server():
    config = plus('parameters { key: "EXECUTION_ENV_PATH" value { string_value: "env.tar.gz" } }')
    found = find_code(findings_of(model_view("m", config)), "TG651")
    assert found.fix == "Write $$TRITON_MODEL_DIRECTORY/env.tar.gz."


def test_environment_in_the_folder():
    key = "$$TRITON_MODEL_DIRECTORY/env.tar.gz"
    config = plus(f'parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{key}" }} }}')
    assert findings_of(model_view("m", config, ["1/model.py", "env.tar.gz"])) == ()


def test_cache_of_the_server():
    config = plus("response_cache { enable: true }")
    assert "TG613" not in codes(findings_of(model_view("m", config), cache=True))
    assert "TG613" in codes(findings_of(model_view("m", config), cache=None))


def test_host_policy_that_is_defined():
    config = swap("count: 1", 'count: 1 host_policy: "numa0"')
    assert "TG609" not in codes(findings_of(model_view("m", config), host_policies=("numa0",)))


def test_variants_are_read_like_the_configuration_itself():
    variants = (("configs/large.pbtxt", BASE.replace("count: 1", "count: 0")),)
    found = findings_of(model_view(variants=variants, directories=["configs"]))
    assert [(item.code, item.location.path) for item in found] == [
        ("TG603", "m/configs/large.pbtxt")
    ]


def test_faults_of_the_text_hide_no_other_model():
    found = findings_of(model_view("a", "x: 1"), model_view("b", plus('name: "c"')))
    assert [(item.model, item.code) for item in found] == [("a", "TG461"), ("b", "TG402")]


def test_step_whose_text_does_not_parse_is_not_compared():
    ensemble = (
        'platform: "ensemble"\nmax_batch_size: 8\n'
        'input { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] }\n'
        'output { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] }\n'
        'ensemble_scheduling { step { model_name: "b" model_version: -1 '
        'input_map { key: "IN" value: "IN" } output_map { key: "OUT" value: "OUT" } } }\n'
    )
    found = findings_of(model_view("a", ensemble, ["1/.keep"]), model_view("b", "x: 1"))
    assert [(item.model, item.code) for item in found] == [("b", "TG461")]


def test_ensembles_in_a_circle_are_all_named():
    def ensemble(step: str) -> str:
        return (
            'platform: "ensemble"\nmax_batch_size: 8\n'
            'input { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] }\n'
            'output { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] }\n'
            f'ensemble_scheduling {{ step {{ model_name: "{step}" model_version: -1 '
            'input_map { key: "IN" value: "IN" } output_map { key: "OUT" value: "OUT" } } }\n'
        )

    found = findings_of(
        model_view("a", ensemble("b"), ["1/.keep"]), model_view("b", ensemble("a"), ["1/.keep"])
    )
    assert [(item.model, item.code) for item in found] == [("a", "TG450"), ("b", "TG450")]


def test_order_of_the_models_does_not_matter():
    models = (
        model_view("a", plus("x: 1")),
        model_view("b", None),
        model_view("c", plus('name: "x"')),
    )
    expected = lint(models, context())
    assert lint(models[::-1], context()) == expected
    assert [item.model for item in expected] == sorted(item.model for item in expected)


def test_every_finding_of_a_configuration_carries_model_and_path():
    for item in findings_of(model_view("m", plus('name: "x"\nruntime: "a/b"'), ["2x/model.py"])):
        assert item.model == "m"
        assert item.location.path.startswith("m")
        assert item.message
        assert item.fix
