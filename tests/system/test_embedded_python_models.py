"""Models of Triton's Python backend, whose stub was compiled for numpy 1, with this numpy."""

import io
import tarfile

import numpy as np
import pytest

from support import format_models
from support.cli import FREE_PORTS, dense
from support.python_models import CALLER, REPEAT
from support.serving_models import ONE_INSTANCE, tensor_text
from tritongen.errors import EnvironmentProblem
from tritongen.model.samples import numpy_dtype
from tritongen.model.tensors import DType
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            backwards = x[:, ::-1]  # not contiguous
            kept = x.copy()
            kept.flags.writeable = False
            outputs = [
                pb_utils.Tensor("backwards", backwards),
                pb_utils.Tensor("kept", kept),
                pb_utils.Tensor("type", np.array([[str(x.dtype).encode()]], dtype=object)),
            ]
            assert outputs[0].as_numpy().tolist() == backwards.tolist()
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
"""

TYPES = [dtype for dtype in DType if dtype is not DType.BF16]  # it has no numpy type there


def sample(dtype: DType) -> np.ndarray:
    if dtype is DType.BYTES:
        return np.array([[b"", b"\0\xff", b"x" * 70000], ["é".encode(), b"a", b"b"]], dtype=object)
    return np.array([[0, 1, 0], [1, 0, 1]]).astype(numpy_dtype(dtype)) * numpy_dtype(dtype).type(1)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_arrays_of_every_type(strict_server, dtype):
    name = strict_server.unique("python")
    config = (
        'backend: "python"\nmax_batch_size: 4\n'
        + ONE_INSTANCE
        + tensor_text("input", "x", dtype.config_name, [3])
        + tensor_text("output", "backwards", dtype.config_name, [3])
        + tensor_text("output", "kept", dtype.config_name, [3])
        + tensor_text("output", "type", "TYPE_STRING", [1])
    )
    assert strict_server.try_model(name, config, {"1/model.py": MODEL.encode()}) is None
    x = sample(dtype)
    for given in (x[:1], x):
        got = strict_server.client.infer(name, {"x": given})
        assert got["backwards"].tolist() == given[:, ::-1].tolist()
        assert got["kept"].tolist() == given.tolist()
        assert got["type"].ravel().tolist() == [str(given.dtype).encode()]
    log = "\n".join(strict_server.server.logs(200))
    assert "Traceback" not in log.rpartition(f"loading: {name}")[2]
    strict_server.unload(name)


# The policy is said in the code alone, and no sender is named where it is used.
SAID = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "IN", "data_type": "TYPE_STRING", "dims": [1]})
        config.add_output({"name": "OUT", "data_type": "TYPE_STRING", "dims": [1]})
        config.set_model_transaction_policy(dict(decoupled=True))
        return config

    async def execute(self, requests):
        for request in requests:
            sender = getattr(request, "get_response_sender")()
            text = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            sender.send(
                pb_utils.InferenceResponse([pb_utils.Tensor("OUT", text)]),
                flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL,
            )
"""


def test_decoupled_models_are_planned_served_and_verified(project, embedded_runtime):
    project.write("models/repeat/1/model.py", REPEAT)
    project.write("models/said/1/model.py", SAID)
    project.write("models/plain/1/model.py", format_models.PYTHON)
    project.run("build", "models")
    policy = "model_transaction_policy {"
    told = {name: project.config(name).read_text() for name in ("repeat", "said", "plain")}
    assert {name: policy in text for name, text in told.items()} == {
        "repeat": True, "said": True, "plain": False
    }  # fmt: skip
    assert "max_batch_size: 0" not in told["repeat"], "the batch axis is proven, too"
    assert project.json("check")["summary"]["errors"] == 0
    try:
        project.run("up", *FREE_PORTS)
        models = {item["name"]: item for item in project.json("verify")["models"]}
        endpoints = project.json("status")["endpoints"]
        with GrpcClient(endpoints["grpc"]) as client:
            x = np.array([[1, 2, 3]], np.float32)
            responses = client.stream("repeat", {"IN": x})
            assert [item["OUT"].tolist() for item in responses] == [
                (x * factor).tolist() for factor in (1, 2, 3)
            ]
            with pytest.raises(EnvironmentProblem) as problem:
                client.stream("repeat", {"IN": x[:, :2]})
            assert problem.value.code == "TG815"
        # Over HTTP alone they cannot be asked, and that is said.
        elsewhere = project.json("verify", "-u", endpoints["http"], expect=1)["models"]
        assert [item["name"] for item in elsewhere if not item["ok"]] == ["repeat", "said"]
    finally:
        project.run("down")
    assert {name: item["ok"] for name, item in models.items()} == dict.fromkeys(told, True)
    assert "every response" in models["repeat"]["reason"]
    found = {item["name"] for item in models["repeat"]["outputs"]}
    assert found == {"OUT", "OUT (response 2)", "OUT (response 3)"}
    # A hand that takes the policy away is told what that does.
    project.config("repeat").write_text(told["repeat"].replace("decoupled: true", ""))
    found = project.json("check", expect=1)["findings"]
    assert {item["code"] for item in found if item["severity"] == "error"} == {"TG525"}
    # So is an overlay against what the model has shown.
    wish = "overlay: {model_transaction_policy: {decoupled: false}}"
    project.write("models/tritongen.yaml", f"models: {{repeat: {{{wish}}}}}")
    (lost,) = project.json("build", "models", "--force", expect=1)["left_out"]
    assert (lost["name"], lost["code"]) == ("repeat", "TG525")


PACKED = """
import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "X", "data_type": "TYPE_FP32", "dims": [1]})
        config.add_output({"name": "Y", "data_type": "TYPE_FP32", "dims": [1]})
        return config

    def execute(self, requests):
        y = np.array([float(os.environ.get("OF_THE_ENVIRONMENT", "0"))], np.float32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]) for _ in requests]
"""


@pytest.mark.parametrize("place", ["packed/1/env.tar.gz", "packed/env.tar.gz"])
def test_a_packed_environment_is_planned_and_served(project, embedded_runtime, place):
    project.write("models/packed/1/model.py", PACKED)
    script = b"export OF_THE_ENVIRONMENT=7\n"
    with tarfile.open(project.models / place, "w:gz") as archive:
        for name, data in (("bin/activate", script), ("conda-meta/history", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    project.run("build", "models")
    text = project.config("packed").read_text()
    assert f'"$$TRITON_MODEL_DIRECTORY/{place.partition("/")[2]}"' in text
    assert "the packed environment that lies beside model.py" in text
    assert not project.json("build", "models", "--check")["drift"]
    assert project.json("check")["summary"]["errors"] == 0
    try:
        project.run("up", *FREE_PORTS)
        with HttpClient(project.json("status")["endpoints"]["http"]) as client:
            answer = client.infer("packed", {"X": np.zeros(1, np.float32)})
    finally:
        project.run("down")
    assert answer["Y"].tolist() == [7.0], "the server ran it in its environment"


def test_a_caller_is_answered_with_one_core_for_all(project, embedded_runtime):
    """Under the rate limiter a caller that held the only core would wait for itself."""
    project.write("models/caller/1/model.py", CALLER)
    for name in ("dense", "other"):
        project.add(f"{name}/model.onnx", dense())
    document = project.json("build", "models", "--cpus", "1")
    assert "TG310" in {item["code"] for item in document["findings"]}
    assert ["rate-limit-resource", "cpu:1"] in project.lock()["server"]["flags"]
    text = project.config("caller").read_text()
    assert "# No rate_limiter: it calls dense" in text
    assert project.json("check")["summary"]["errors"] == 0
    try:
        project.run("up", *FREE_PORTS)
        x = np.arange(8, dtype=np.float32).reshape(2, 4)
        with HttpClient(project.json("status")["endpoints"]["http"], timeout=60) as client:
            expected = client.infer("dense", {"x": x})["y"]
            np.testing.assert_array_equal(client.infer("caller", {"x": x})["y"], expected)
    finally:
        project.run("down")
    # With the core in its hands, as another tool would write it, it is told.
    group = 'rate_limiter { resources [ { name: "cpu" global: true count: 1 } ] }'
    project.config("caller").write_text(text.replace("kind: KIND_CPU", f"kind: KIND_CPU {group}"))
    found = project.json("check", expect=1)["findings"]
    (told,) = [item for item in found if item["severity"] == "error"]
    assert (told["code"], told["model"]) == ("TG535", "caller")
