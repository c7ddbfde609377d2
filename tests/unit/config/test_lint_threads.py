"""The thread rule over a repository, and the rate limiter's part in it."""

import pytest

from support.lint import BASE, codes, find_code, findings_of, model_view
from tritongen.model.facts import NAMED_LATER, ModelFacts, ModelFormat, PythonFacts
from tritongen.model.findings import Severity


def onnx(
    name: str = "m",
    *,
    count: int | None = 1,
    intra: int | None = 1,
    more: str = "",
    group: str = "",
    versions: tuple[str, ...] = ("1",),
):
    """An onnxruntime model with so many instances and threads."""
    threads = (
        f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{intra}" }} }}\n'
        if intra is not None
        else ""
    )
    counted = f"count: {count} " if count is not None else ""
    config = (
        'backend: "onnxruntime"\nmax_batch_size: 0\n'
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        f"instance_group {{ kind: KIND_CPU {counted}{group} }}\n{threads}{more}"
    )
    return model_view(name, config, [f"{version}/model.onnx" for version in versions])


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


def thread_errors(*models, **changes):
    return [
        item
        for item in findings_of(*models, **changes)
        if item.code in {"TG531", "TG532"} and item.severity is Severity.ERROR
    ]


@pytest.mark.parametrize(
    ("count", "intra", "cores", "fits"),
    [(2, 2, 4, True), (2, 2, 3, False), (1, 4, 4, True), (4, 1, 3.5, False), (1, 1, 0.5, False)],
)
def test_instances_times_threads_within_the_cores(count, intra, cores, fits):
    assert (not thread_errors(onnx(count=count, intra=intra), cores=cores)) is fits


def test_sum_over_all_models():
    models = (onnx("a", count=2, intra=1), onnx("b", count=1, intra=2))
    assert not thread_errors(*models, cores=4)
    (found,) = thread_errors(*models, cores=3)
    assert found.model == ""
    assert "a 2 × 1 + b 1 × 2 = 4 threads, more than the 3 cores" in found.message


def test_model_that_exceeds_the_cores_alone_is_named():
    found = thread_errors(onnx("a", count=8), onnx("b"), cores=4)
    assert [item.model for item in found] == ["", "a"]
    assert found[1].location.line == 5


def test_without_cores_the_sum_is_not_judged():
    assert not thread_errors(onnx(count=64, intra=64))


def test_missing_count_is_what_triton_fills_in():
    found = findings_of(onnx(count=None, intra=3), cores=4)
    assert "2 × 3 = 6 threads" in find_code(found, "TG531").message
    assert "Triton starts 2" in find_code(found, "TG642").message


def test_every_served_version_has_its_own_instances():
    model = onnx(count=2, more="version_policy { all { } }\n", versions=("1", "2"))
    assert not thread_errors(model, cores=4)
    assert thread_errors(model, cores=3)


@pytest.mark.parametrize("intra", [None, 0])
def test_missing_thread_count_is_unlimited(intra):
    model = onnx(intra=intra)
    assert find_code(findings_of(model), "TG532").severity is Severity.WARNING
    assert find_code(findings_of(model, cores=64), "TG532").severity is Severity.ERROR


def test_parallel_operators_add_their_threads():
    more = parameter("execution_mode", "1") + parameter("inter_op_thread_count", "3")
    assert not thread_errors(onnx(intra=2, more=more), cores=4)
    assert thread_errors(onnx(intra=2, more=more), cores=3)


def test_parallel_operators_without_a_limit():
    found = findings_of(onnx(more=parameter("execution_mode", "1")))
    assert "inter_op_thread_count is not set" in find_code(found, "TG532").message


def test_inter_op_threads_without_parallel_operators_do_nothing():
    assert "TG534" in codes(findings_of(onnx(more=parameter("inter_op_thread_count", "3"))))


def test_passive_instances_and_gpu_instances_do_not_count():
    model = onnx(count=8, group="passive: true")
    assert not thread_errors(model, cores=1)
    gpu = model_view("g", onnx(count=8).config.replace("KIND_CPU", "KIND_GPU"), ["1/model.onnx"])
    assert not thread_errors(gpu, cores=1, gpus=1)


def test_python_models_count_one_thread_an_instance_unless_the_environment_says_more():
    model = model_view()
    assert "TG533" in codes(findings_of(model, cores=1))
    assert not thread_errors(model, cores=1)
    variables = (("OMP_NUM_THREADS", "4"),)
    assert thread_errors(model, cores=1, environment=variables)
    assert not thread_errors(model, cores=4, environment=variables)


def openvino(count: int, threads: int):
    config = (
        'backend: "openvino"\nmax_batch_size: 0\n'
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        f"instance_group {{ kind: KIND_CPU count: {count} }}\n"
        + parameter("INFERENCE_NUM_THREADS", str(threads))
    )
    return model_view("ov", config, ["1/model.xml"])


def test_openvino_instances_share_the_threads_of_the_model():
    assert not thread_errors(openvino(8, 4), cores=4)
    assert thread_errors(openvino(1, 5), cores=4)


def torch(name: str, threads: int):
    config = (
        'backend: "pytorch"\nmax_batch_size: 0\n'
        'input { name: "x__0" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "y__0" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        "instance_group { kind: KIND_CPU count: 1 }\n"
        + parameter("INTRA_OP_THREAD_COUNT", str(threads))
    )
    return model_view(name, config, ["1/model.pt"])


def test_values_that_hold_for_the_process_must_agree():
    assert "TG630" not in codes(findings_of(torch("a", 2), torch("b", 2)))
    found = findings_of(torch("a", 2), torch("b", 3))
    warned = find_code(found, "TG630")
    assert warned.model == "b"
    assert warned.location.line == 6


def limited(name: str, count: int, intra: int, cost: int):
    resources = f'rate_limiter {{ resources [ {{ name: "cpu" global: true count: {cost} }} ] }}'
    return onnx(name, count=count, intra=intra, group=resources)


def test_rate_limiter_holds_executions_within_its_resource():
    models = (limited("a", 4, 1, 1), limited("b", 2, 2, 2))
    changes = {"cores": 4, "resources": (("cpu", 4),)}
    assert thread_errors(*models, **changes)
    assert not thread_errors(*models, rate_limiter=True, **changes)
    assert thread_errors(*models, rate_limiter=True, cores=4, resources=(("cpu", 5),))


def test_rate_limiter_without_a_stated_resource_has_what_one_instance_needs():
    assert not thread_errors(limited("a", 8, 2, 2), rate_limiter=True, cores=2)


def test_resource_cheaper_than_the_threads_is_no_limit():
    assert thread_errors(limited("a", 8, 2, 1), rate_limiter=True, cores=4, resources=(("cpu", 4),))


def test_rate_limiter_settings_do_nothing_while_it_is_off():
    assert "TG627" in codes(findings_of(limited("a", 1, 1, 1)))
    assert "TG627" not in codes(findings_of(limited("a", 1, 1, 1), rate_limiter=True))


def test_instance_that_needs_more_than_there_is():
    found = findings_of(limited("a", 1, 1, 5), rate_limiter=True, resources=(("cpu", 4),))
    assert "TG438" in codes(found, Severity.ERROR)


def in_python(name, cost, *callees, count=1):
    """A Python model that calls others and takes so much of resource cpu."""
    resources = f'rate_limiter {{ resources [ {{ name: "cpu" global: true count: {cost} }} ] }}'
    config = BASE.replace("count: 1", f"count: {count} {resources if cost else ''}")
    facts = ModelFacts(name, "", ModelFormat.PYTHON, python=PythonFacts(callees=callees))
    return model_view(name, config, facts=facts)


@pytest.mark.parametrize(
    ("models", "available", "expected"),
    [
        # It holds the only unit while it waits for one that needs it.
        ((in_python("a", 1, "b"), in_python("b", 1)), 1, ["a"]),
        ((in_python("a", 1, "b"), in_python("b", 1)), None, ["a"]),
        ((in_python("a", 1, NAMED_LATER), in_python("b", 1)), 1, ["a"]),
        # All its instances together can hold them all.
        ((in_python("a", 1, "b", count=4), in_python("b", 1)), 4, ["a"]),
        ((in_python("a", 1, "b", count=3), in_python("b", 1)), 4, []),
        # Two callers, the one in the middle included.
        ((in_python("a", 1, "b"), in_python("b", 1, "c"), in_python("c", 1)), 2, ["a", "b"]),
        ((in_python("a", 1, "b"), in_python("b", 1, "c"), in_python("c", 1)), 3, []),
        # The callee stands behind another model that needs every unit.
        ((in_python("a", 1, "b"), in_python("b", 0), in_python("z", 4)), 4, ["a"]),
        ((in_python("a", 0, "b"), in_python("b", 1)), 1, []),
        ((in_python("a", 1), in_python("b", 1)), 1, []),
    ],
)
def test_a_caller_holds_nothing_that_its_callee_waits_for(models, available, expected):
    resources = (("cpu", available),) if available else ()
    found = findings_of(*models, rate_limiter=True, resources=resources)
    told = [item for item in found if item.code == "TG535"]
    assert [item.model for item in told] == expected
    assert all(item.severity is Severity.ERROR for item in told)
    assert all(item.location.line for item in told)
    # Whether the limiter will be on is not known of a repository that somebody wrote by hand.
    unknown = findings_of(*models, resources=resources)
    assert {item.severity for item in unknown if item.code == "TG535"} <= {Severity.WARNING}


def test_a_caller_keeps_no_core_busy_while_it_waits():
    models = (in_python("a", 0, "b"), in_python("b", 1))
    assert not thread_errors(*models, rate_limiter=True, cores=1, resources=(("cpu", 1),))
    assert thread_errors(*models, cores=1)


TENSORRT = (
    'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }'
)


@pytest.mark.parametrize(
    ("group", "more", "gpus", "expected"),
    [
        ("KIND_GPU", "", None, {"TG653"}),
        ("KIND_GPU", "", 1, set()),
        ("KIND_GPU", "", 0, {"TG434"}),
        ("KIND_AUTO", TENSORRT, None, {"TG623"}),
        ("KIND_AUTO", TENSORRT, 0, {"TG623"}),
        ("KIND_GPU", TENSORRT, 1, set()),
    ],
)
def test_a_gpu_that_cores_alone_do_not_promise(group, more, gpus, expected):
    config = (
        'backend: "onnxruntime"\nmax_batch_size: 0\n'
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        f"instance_group {{ kind: {group} count: 1 }}\n{more}"
    )
    found = codes(findings_of(model_view("m", config, ["1/model.onnx"]), cores=2, gpus=gpus))
    assert found & {"TG434", "TG623", "TG653"} == expected
    unsaid = codes(findings_of(model_view("m", config, ["1/model.onnx"]), gpus=None))
    assert not unsaid & {"TG434", "TG623", "TG653"}
