"""What `probe` says to a language model: the command that measures its tokens."""

import json
import shlex

import pytest

from tritongen.errors import InvalidInputError
from tritongen.probe.language_models import aiperf_command, language_engine, refuse_language_model
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.address import Endpoint

VLLM = {"name": "opt", "backend": "vllm"}
ENSEMBLE = {
    "platform": "ensemble",
    "input": [{"name": "text_input"}, {"name": "max_tokens"}],
    "output": [{"name": "text_output"}],
}
OTHER = {"backend": "onnxruntime", "input": [{"name": "x"}], "output": [{"name": "y"}]}


@pytest.mark.parametrize(
    ("config", "engine"), [(VLLM, "vllm"), (ENSEMBLE, "tensorrtllm"), (OTHER, ""), ({}, "")]
)
def test_which_models_answer_with_text(config, engine):
    assert language_engine(config) == engine


def words(address, engine, *loads):
    return shlex.split(aiperf_command(Endpoint.parse(address), "opt", engine, loads))


def payload(command):
    """The template, with what AIPerf fills in for it."""
    (text,) = [word for word in command if word.startswith("payload_template:")]
    filled = text.partition(":")[2].replace("{{ text|tojson }}", '"Hi"')
    return json.loads(filled.replace("{{ max_tokens|tojson }}", "128"))


def test_the_endpoint_is_filled_in():
    command = words("https://api.example.com/serve", "vllm", ClosedLoop(16))
    assert command[:4] == ["aiperf", "profile", "--model", "opt"]
    assert (
        command[command.index("--url") + 1]
        == "https://api.example.com:443/serve/v2/models/opt/generate_stream"
    )
    assert command[-2:] == ["--concurrency", "16"]
    assert payload(command) == {
        "text_input": "Hi", "parameters": {"stream": True, "max_tokens": 128}
    }  # fmt: skip


def test_a_set_is_asked_without_parameters():
    command = words("localhost:8000", "tensorrtllm", OpenLoop(2.5))
    assert command[-2:] == ["--request-rate", "2.5"]
    assert payload(command) == {"text_input": "Hi", "stream": True, "max_tokens": 128}


def test_over_grpc_the_http_port_is_left_to_the_user():
    command = words("grpc://localhost:8001", "vllm")
    assert command[command.index("--url") + 1].startswith("http://HOST:8000/v2/")


class Server:
    """A server with one model's configuration."""

    endpoint = Endpoint.parse("localhost:8000")

    def __init__(self, config):
        self.control = self
        self._config = config

    def config(self, _model):
        return self._config


def test_a_language_model_is_not_probed():
    refuse_language_model(Server(OTHER), "net", ())
    with pytest.raises(InvalidInputError) as raised:
        refuse_language_model(Server(VLLM), "opt", ())
    assert raised.value.code == "TG920"
    assert "http://localhost:8000/v2/models/opt/generate_stream" in raised.value.fix
