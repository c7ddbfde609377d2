"""How a server's configurations differ from those on disk, and whether it is older than them."""

import time

import pytest

from support.impostor import impostor
from tritongen.errors import EnvironmentProblem
from tritongen.serving.served_config import (
    config_document,
    listed_models,
    model_drift,
    repository_drift,
)
from tritongen.serving.verify_age import RepositoryAge
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server import Endpoints, RuntimeName, ServerState

SERVED = {
    "name": "m", "backend": "onnxruntime", "max_batch_size": 8,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}],
    "instance_group": [{"count": 2, "kind": "KIND_CPU"}], "dynamic_batching": {},
    "parameters": {"a": {"string_value": "1"}}, "of the future": 3,
}  # fmt: skip


@pytest.fixture(name="repository")
def repository_of_m(tmp_path):
    (tmp_path / "m/1").mkdir(parents=True)
    return tmp_path


def drift(repository, text: str, served: object = SERVED) -> list[tuple[str, str]]:
    (repository / "m/config.pbtxt").write_text(text)
    with impostor(("m",), {"config": served}) as address, HttpClient(address) as client:
        found = model_drift(client, repository, "m")
        return [(item.location.field, item.message) for item in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('backend: "onnxruntime"', []),
        ("max_batch_size: 4", [("max_batch_size", "4 on disk, 8 on the server")]),
        ('input [{name: "x" data_type: TYPE_FP16 dims: [4]}]',
         [("input[0].data_type", "TYPE_FP16 on disk, TYPE_FP32 on the server")]),
        ('input [{name: "x" dims: [4, 5]}]',
         [("input[0].dims", "2 entries on disk, 1 entries on the server")]),
        ('input [{name: "x" dims: [5]}]', [("input[0].dims[0]", "5 on disk, 4 on the server")]),
        ("instance_group [{count: 3 kind: KIND_GPU}]",
         [("instance_group[0].count", "3 on disk, 2 on the server"),
          ("instance_group[0].kind", "KIND_GPU on disk, KIND_CPU on the server")]),
        ("dynamic_batching {max_queue_delay_microseconds: 5}",
         [("dynamic_batching.max_queue_delay_microseconds", "5 on disk, 0 on the server")]),
        (
            "optimization {priority: PRIORITY_MAX}",
            [("optimization", "set on disk, absent on the server")],
        ),
        ('parameters {key: "a" value {string_value: "2"}}',
         [('parameters["a"].string_value', "2 on disk, 1 on the server")]),
        ('parameters {key: "b" value {string_value: "2"}}',
         [('parameters["b"]', "set on disk, absent on the server")]),
        (f'default_model_filename: "{"x" * 61}"',
         [("default_model_filename", f"{'x' * 60}… on disk,  on the server")]),
        (f'default_model_filename: "{"x" * 60}"',
         [("default_model_filename", f"{'x' * 60} on disk,  on the server")]),
        (
            "no field: 3",
            [("", "the file on disk can no longer be read by Triton; see `tritongen check`")],
        ),
    ],
)  # fmt: skip
def test_a_field_that_is_written_and_served_otherwise(repository, text, found):
    assert drift(repository, text) == found


def test_without_a_file_nothing_can_differ(repository):
    with impostor(("m",), {"config": SERVED}) as address, HttpClient(address) as client:
        assert list(model_drift(client, repository, "m")) == []


def test_models_of_one_side_alone(repository):
    (repository / "other/1").mkdir(parents=True)
    with impostor(("m", "third"), {"config": SERVED}) as address, HttpClient(address) as client:
        found = {item.model: item.message for item in repository_drift(client, repository)}
        assert listed_models(client, repository) == (("m", True), ("third", True))
    assert found == {
        "other": "is on disk, and the server has not loaded it",
        "third": "is served, and not on disk",
    }


def test_a_configuration_of_another_form_is_none(repository):
    with (
        impostor((), {"config": {"input": 3}}) as address,
        HttpClient(address) as client,
        pytest.raises(EnvironmentProblem) as caught,
    ):
        config_document(client, "m")
    assert (caught.value.code, caught.value.where) == ("TG839", "m")


def test_a_document_has_every_plain_field():
    with impostor((), {"config": SERVED}) as address, HttpClient(address) as client:
        found = config_document(client, "m")
    assert (found["max_batch_size"], found["platform"]) == (8, "")
    assert "of the future" not in found


def state(*models: str, started: float = 0.0) -> ServerState:
    return ServerState(
        RuntimeName.EMBEDDED, "l", "s", 1, 1, "b", "", Endpoints(), models, "r", "log", "2", started
    )


def test_a_server_that_began_before_a_model_was_built_is_older(repository):
    (repository / "m/config.pbtxt").write_text("max_batch_size: 8")
    (repository / "m/1/model.onnx").write_text("new")
    soon, long_ago = time.time() + 60, time.time() - 60
    with impostor(("m",), {"config": SERVED}) as address, HttpClient(address) as client:

        def why(known: ServerState | None, *, different: bool = True) -> str:
            return RepositoryAge(client, repository, known).why_older("m", different=different)

        assert why(state()) == "the server was started before this model was built"
        assert why(None) == ""
        assert why(state("m", started=soon)) == ""
        assert why(state("m", started=long_ago)) == "m/1/model.onnx is newer than the server"
        assert why(state("m", started=long_ago), different=False) == ""
        (repository / "m/1/model.onnx").unlink()
        assert why(state("m", started=long_ago)) == "", (
            "a configuration is held against the server's"
        )
        (repository / "m/config.pbtxt").write_text("max_batch_size: 2")
        assert why(None, different=False).startswith(
            "the server's configuration is older: max_batch_size: 2 on disk"
        )
