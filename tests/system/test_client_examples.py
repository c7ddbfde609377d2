"""What `tritongen client` prints is run as it stands, against a real Triton."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from support.cli import FREE_PORTS, Project
from support.recurrent import HIDDEN, cell
from support.serving_models import ONE_INSTANCE, identity, tensor_text
from support.triton import TestServer
from tritongen.model.tensors import DType

PYTHON = ("python", "python-async")
TYPES = [dtype for dtype in DType if dtype is not DType.BF16]  # numpy has no such type
DECOUPLED = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            sender = request.get_response_sender()
            for factor in (1, 2, 3):
                out = pb_utils.Tensor("y", np.full_like(values, factor))
                sender.send(pb_utils.InferenceResponse([out]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
"""


class Examples:
    """The examples for models of one server, printed and run."""

    def __init__(self, server: TestServer, folder: Path) -> None:
        self.server = server
        self.project = Project(folder)

    def text(self, model: str, *options: str) -> str:
        endpoints = self.server.server.endpoints
        grpc = options[-2:] == ("--protocol", "grpc")
        return self.project.run(
            "client", model, "-r", str(self.server.repository),
            "-u", endpoints.grpc if grpc else endpoints.http, *options,
        ).out  # fmt: skip

    def curl(self, model: str) -> str:
        return self._run("bash", "-euo", "pipefail", "-c", self.text(model))

    def python(self, model: str, language: str, protocol: str) -> str:
        text = self.text(model, "--lang", language, "--protocol", protocol)
        return self._run(sys.executable, "-c", text)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.project.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def examples(strict_server, tmp_path):
    return Examples(strict_server, tmp_path)


def config(dtype: str, dims: list[int], batch: int = 4) -> str:
    return (
        f'backend: "onnxruntime"\nmax_batch_size: {batch}\n'
        + tensor_text("input", "x", dtype, dims)
        + tensor_text("output", "y", dtype, dims)
        + ONE_INSTANCE
    )


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_over_curl_and_tritonclient(examples, load, dtype):
    name = load(config(dtype.config_name, [2]), identity(dtype.config_name))
    out = examples.curl(name)
    if dtype is DType.FP16:
        answer = (examples.project.folder / "response.bin").read_bytes()
        assert answer.endswith(bytes(4)), "two zeros of two bytes each"
    else:
        output = json.loads(out)["outputs"][0]
        assert (output["name"], output["shape"]) == ("y", [1, 2])
        sent = json.loads(examples.text(name).partition("-d '")[2].rpartition("'")[0])
        given, back = (
            np.array(data, dtype.numpy_name) for data in (sent["inputs"][0]["data"], output["data"])
        )
        assert given.tolist() == back.tolist()
    assert examples.python(name, "python", "http").startswith("y [[")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("language", PYTHON)
@pytest.mark.smoke
def test_both_protocols_at_once_and_one_by_one(examples, load, language, protocol):
    name = load(config("TYPE_FP32", [2]), identity())
    calls = 4 if language == "python-async" else 1
    assert examples.python(name, language, protocol).count("y [[") == calls


def test_a_tensor_too_large_to_be_read(examples, load):
    name = load(config("TYPE_FP32", [-1, 500]), identity("TYPE_FP32", ("n", "m", 500)))
    assert json.loads(examples.curl(name))["outputs"][0]["shape"] == [1, 1, 500]
    assert examples.python(name, "python", "grpc").startswith("y [[[")
    assert "[1 to 4, any, 500]" in examples.text(name, "--lang", "python")


def test_a_model_without_a_batch_axis(examples, load):
    name = load(config("TYPE_INT64", [3, 2], batch=0), identity("TYPE_INT64", (3, 2)))
    assert json.loads(examples.curl(name))["outputs"][0]["shape"] == [3, 2]


def test_a_sequence(examples, load):
    state = (
        'state { input_name: "h" output_name: "h_out" data_type: TYPE_FP32 dims: [ 4 ] '
        'initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } }'
    )
    assert HIDDEN == 4
    name = load(
        'backend: "onnxruntime"\nmax_batch_size: 4\n'
        + tensor_text("input", "x", "TYPE_FP32", [3])
        + tensor_text("output", "y", "TYPE_FP32", [1])
        + ONE_INSTANCE
        + f"sequence_batching {{ oldest {{ max_candidate_sequences: 8 }} {state} }}\n",
        cell(),
    )
    assert json.loads(examples.curl(name))["outputs"][0]["shape"] == [1, 1]
    for language in PYTHON:
        given = examples.python(name, language, "grpc").split("y ")[1:]
        assert len(given) == 3
        assert len(set(given)) == 3, "the state goes from step to step"


def test_a_decoupled_model(examples, strict_server):
    name = strict_server.unique("repeat")
    text = (
        'backend: "python"\n'
        + tensor_text("input", "x", "TYPE_FP32", [2])
        + tensor_text("output", "y", "TYPE_FP32", [2])
        + ONE_INSTANCE
        + "model_transaction_policy { decoupled: true }\n"
    )
    assert strict_server.try_model(name, text, {"1/model.py": DECOUPLED.encode()}) is None
    expected = "y [1. 1.]\ny [2. 2.]\ny [3. 3.]\n"
    assert [examples.python(name, language, "grpc") for language in PYTHON] == [expected] * 2
    problem = examples.project.run(
        "client", name, "-r", str(strict_server.repository), expect=2
    ).err
    assert "TG371" in problem
    assert "--lang python --protocol grpc" in problem
    strict_server.unload(name)


def test_the_openapi_document_is_valid_and_its_example_is_answered_as_it_says(examples, load):
    name = load(config("TYPE_FP32", [2]), identity())
    document = json.loads(examples.text(name, "--lang", "openapi"))
    validate(document)
    operation = document["paths"][f"/v2/models/{name}/infer"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    Draft202012Validator(body["schema"]).validate(body["example"])
    wrong = {**body["example"], "inputs": [{**body["example"]["inputs"][0], "shape": [9, 2]}]}
    assert not Draft202012Validator(body["schema"]).is_valid(wrong), "9 rows are too many"
    server = document["servers"][0]["url"].removeprefix("http://")
    connection = http.client.HTTPConnection(server, timeout=60)
    connection.request("POST", f"/v2/models/{name}/infer", json.dumps(body["example"]))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator(schema).validate(answer)


def test_the_projects_own_server_its_sizes_and_every_example_as_a_file(built, embedded_runtime):
    unserved = built.run("client", "dense").out
    assert "localhost:8000" in unserved
    built.run("up", *FREE_PORTS)
    try:
        built.run("client", "dense", "--write", "examples")
        names = sorted(path.name for path in (built.folder / "examples").iterdir())
        assert names == ["dense.openapi.json", "dense.py", "dense.sh", "dense_async.py"]
        done = subprocess.run(
            ["bash", built.folder / "examples" / "dense.sh"], capture_output=True, check=True
        )
        assert json.loads(done.stdout)["model_name"] == "dense"
    finally:
        built.run("down")


def test_names_that_are_not_there(built):
    problem = built.run("client", "dens", expect=2).err
    assert "TG306" in problem
    assert "dense" in problem


LANGUAGE = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            asked = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()
            streams = pb_utils.get_input_tensor_by_name(request, "stream")
            streamed = streams is not None and streams.as_numpy()[0]
            sender = request.get_response_sender()
            for part in asked.split() if streamed else [asked]:
                out = pb_utils.Tensor("text_output", np.array([f"<{part}>".encode()], object))
                sender.send(pb_utils.InferenceResponse([out]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


@pytest.fixture
def language_model(strict_server):
    """A model that answers a text with its words, as those of vLLM and TensorRT-LLM answer."""
    name = strict_server.unique()
    text = (
        'backend: "python"\nmax_batch_size: 0\nmodel_transaction_policy { decoupled: true }\n'
        + tensor_text("input", "text_input", "TYPE_STRING", [1])
        + tensor_text("input", "max_tokens", "TYPE_INT32", [1]).replace("}", "optional: true }")
        + tensor_text("input", "stream", "TYPE_BOOL", [1]).replace("}", "optional: true }")
        + tensor_text("output", "text_output", "TYPE_STRING", [-1])
        + ONE_INSTANCE
    )
    reason = strict_server.try_model(name, text, {"1/model.py": LANGUAGE.encode()})
    assert reason is None, reason
    yield name
    strict_server.unload(name)


def test_a_language_model_is_asked_at_once_and_part_by_part(examples, language_model):
    whole, *parts = examples.curl(language_model).split("data: ")
    assert json.loads(whole)["text_output"] == "<What is an inference server?>"
    words = [json.loads(part)["text_output"] for part in parts]
    assert words == ["<What>", "<is>", "<an>", "<inference>", "<server?>"]
    assert examples.python(language_model, "python", "http").strip() == "".join(words)
    assert "<What is an" in examples.python(language_model, "python", "grpc")


def test_a_language_model_is_left_to_aiperf(examples, language_model):
    http_ = examples.server.server.endpoints.http
    ran = examples.project.run("probe", "-m", language_model, "-u", http_, expect=2)
    assert "error TG920" in ran.err
    assert f"http://{http_}/v2/models/{language_model}/generate_stream" in ran.err
