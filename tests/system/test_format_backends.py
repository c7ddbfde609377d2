"""The Python-based pytorch, openvino and fil: what Triton's own backends refuse, they refuse."""

import pytest

from support import format_models as make


def tensor(kind, name, dtype, *dims):
    sizes = ", ".join(map(str, dims))
    return f'{kind} {{ name: "{name}" data_type: TYPE_{dtype} dims: [ {sizes} ] }}\n'


def parameter(key, value):
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


CPU = "instance_group { kind: KIND_CPU count: 1 }\n"
TORCH = 'backend: "pytorch"\nplatform: "pytorch_libtorch"\nmax_batch_size: 4\n' + CPU
OPENVINO = 'backend: "openvino"\n' + CPU
FIL = 'backend: "fil"\nmax_batch_size: 8\n' + CPU
X = tensor("input", "x", "FP32", 6)
Y = tensor("output", "OUTPUT__0", "FP32", 3)
IMAGE = tensor("input", "a_name", "FP32", -1, 3, 8, 8)
SCORE = tensor("output", "score", "FP32", -1, 4)
ROW = tensor("input", "input__0", "FP32", 5)
CLASS = tensor("output", "output__0", "FP32", 1)
XGBOOST = parameter("model_type", "xgboost_json")
CLASSIFIES = parameter("is_classifier", "true") + parameter("threshold", "0.5")

STREAMS = "to be either AUTO/NUMA/<int_value>, got many"
HINTS = "to be LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT, got fast"

CASES = [
    ("torch", X + Y, None),
    ("torch", tensor("input", "INPUT__0", "FP32", 6) + Y, None),
    ("torch", tensor("input", "anything", "FP32", 6) + tensor("output", "z", "FP32", 3), None),
    ("torch", X + X.replace('"x"', '"z"') + Y, "expects 2 inputs, model provides 1"),
    ("torch", Y, "configuration expects 0 inputs, model provides 1"),
    ("torch", X, "model configuration must contain at least one output"),
    ("torch", X.replace("FP32", "UINT16") + Y, "unsupported datatype TYPE_UINT16 for input 'x'"),
    ("torch", X + Y.replace("FP32", "BF16"), "unsupported datatype TYPE_BF16 for output"),
    ("torch", X.replace("FP32", "STRING") + Y, "only supports 1 dimensional List of String"),
    ("torch", X + Y + parameter("INFERENCE_MODE", "yes"), "failed to convert 'yes' to boolean"),
    ("torch", X + Y + parameter("INTRA_OP_THREAD_COUNT", "x"), "failed to convert 'x' to int"),
    ("torch", X + Y + parameter("INTRA_OP_THREAD_COUNT", "1x"), None),
    ("openvino", IMAGE + SCORE, None),
    ("openvino", SCORE, "configuration expects 0 inputs, model provides 1"),
    ("openvino", IMAGE.replace("a_name", "image") + SCORE, "allowed inputs are: a_name"),
    ("openvino", IMAGE + SCORE.replace("score", "s"), "allowed outputs are: score"),
    ("openvino", IMAGE.replace("FP32", "FP64") + SCORE, "unsupported datatype TYPE_FP64"),
    ("openvino", IMAGE.replace("3, 8", "4, 8") + SCORE, "expects 4 dimensions (shape [-1,3,8,8])"),
    ("openvino", IMAGE + SCORE + parameter("NUM_STREAMS", "many"), STREAMS),
    ("openvino", IMAGE + SCORE + parameter("INFERENCE_NUM_THREADS", "-1"), "number, got -1"),
    ("openvino", IMAGE + SCORE + parameter("HINT_BF16", "NO"), "'HINT_BF16' to be YES, got no"),
    ("openvino", IMAGE + SCORE + parameter("PERFORMANCE_HINT", "fast"), HINTS),
    ("openvino", IMAGE + SCORE + parameter("ENABLE_BATCH_PADDING", "true"), None),
    ("fil", ROW + CLASS + XGBOOST + CLASSIFIES, None),
    ("fil", ROW + CLASS + XGBOOST, "Required parameter is_classifier not found in config"),
    ("fil", ROW + CLASS + XGBOOST + parameter("output_class", "false"), None),
    ("fil", ROW + CLASS + XGBOOST + parameter("is_classifier", "true"), "parameter threshold"),
    ("fil", ROW + CLASS + parameter("model_type", "onnx"), "onnx not recognized as a valid"),
    ("fil", ROW + CLASS + parameter("is_classifier", "false"), "unable to find"),
    ("fil", ROW + CLASS + XGBOOST + parameter("is_classifier", "True"), "is_classifier"),
]
HEADS = {"torch": TORCH, "openvino": OPENVINO, "fil": FIL}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    xml = make.openvino_image(folder / "model.xml")
    return {
        "torch": {"1/model.pt": make.torch_linear(folder / "model.pt").read_bytes()},
        "openvino": {
            "1/model.xml": xml.read_bytes(),
            "1/model.bin": xml.with_suffix(".bin").read_bytes(),
        },
        "fil": {"1/xgboost.json": make.xgboost_forest(folder / "x.json").read_bytes()},
    }


@pytest.mark.parametrize(("kind", "config", "reason"), CASES)
def test_what_is_refused_and_why(strict_server, files, kind, config, reason):
    name = strict_server.unique(kind)
    found = strict_server.try_model(name, HEADS[kind] + config, files[kind])
    try:
        if reason is None:
            assert found is None, found
        else:
            assert found is not None
            assert reason in found
    finally:
        strict_server.unload(name)


def served(server, files, kind, config):
    name = server.unique(kind)
    assert server.try_model(name, config, files[kind]) is None
    return name


def test_a_batch_of_another_size_fails_in_openvino_and_padding_mends_it(strict_server, files):
    import numpy as np

    from tritongen.errors import EnvironmentProblem, InvalidInputError

    dims = tensor("input", "a_name", "FP32", 3, 8, 8) + tensor("output", "score", "FP32", 4)
    config = OPENVINO.replace("\n", "\nmax_batch_size: 4\n", 1) + dims
    name = served(strict_server, files, "openvino", config)
    rows = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    with pytest.raises((EnvironmentProblem, InvalidInputError), match="batch size '4', got '2'"):
        strict_server.client.infer(name, {"a_name": rows})
    strict_server.unload(name)
    padded = served(
        strict_server, files, "openvino", config + parameter("ENABLE_BATCH_PADDING", "YES")
    )
    assert strict_server.client.infer(padded, {"a_name": rows})["score"].shape == (2, 4)
    strict_server.unload(padded)


def test_an_output_of_another_type_fails_in_torch(strict_server, files):
    import numpy as np

    from tritongen.errors import EnvironmentProblem, InvalidInputError

    name = served(strict_server, files, "torch", TORCH + X + Y.replace("FP32", "INT64"))
    with pytest.raises(
        (EnvironmentProblem, InvalidInputError), match="expects datatype TYPE_INT64 for output"
    ):
        strict_server.client.infer(name, {"x": np.zeros((1, 6), np.float32)})
    strict_server.unload(name)
