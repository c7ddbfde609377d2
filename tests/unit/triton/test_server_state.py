"""The state file of a project."""

import json
from dataclasses import replace

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Endpoint
from tritongen.triton.server import ApiKeys, Endpoints, RuntimeName, ServerState
from tritongen.triton.server_state import StateStore, own_endpoint, project_label

STATE = ServerState(
    runtime=RuntimeName.EMBEDDED,
    label="0123456789ab",
    server="fedcba",
    pid=7,
    start_ticks=99,
    boot_id="boot",
    container="",
    endpoints=Endpoints("127.0.0.1:1", "127.0.0.1:2", ""),
    models=("a", "b"),
    repository="/models",
    log="/log",
    version="2.51.0",
    started=1.5,
)


def test_what_is_written_is_read(tmp_path):
    store = StateStore(tmp_path)
    assert store.read() is None
    state = replace(STATE, label=project_label(tmp_path))
    store.write(state)
    assert store.read() == state
    store.write(replace(state, pid=8))
    assert StateStore(tmp_path).read() == replace(state, pid=8)
    store.clear()
    store.clear()
    assert store.read() is None


def test_the_state_of_another_project_is_none_of_this_one(tmp_path):
    """As in a folder that was copied: its server is the other one's, and stays."""
    store = StateStore(tmp_path)
    store.write(STATE)
    assert store.read() is None


def test_the_folder_is_kept_out_of_version_control(tmp_path):
    StateStore(tmp_path).write(STATE)
    assert (tmp_path / ".tritongen" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        '{"schema_version": 1}',
        json.dumps({"schema_version": 2}),
        json.dumps({"schema_version": 1, "runtime": "none"}),
    ],
)
def test_a_damaged_file_is_a_clear_error(tmp_path, text):
    store = StateStore(tmp_path)
    store.folder.mkdir()
    store.path.write_text(text)
    with pytest.raises(EnvironmentProblem) as caught:
        store.read()
    assert caught.value.code == "TG817"
    assert caught.value.where == str(store.path)


def test_a_state_that_is_not_a_file(tmp_path):
    store = StateStore(tmp_path)
    store.path.mkdir(parents=True)
    with pytest.raises(EnvironmentProblem) as caught:
        store.read()
    assert caught.value.code == "TG817"


def test_a_project_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem) as caught:
        StateStore(tmp_path / "file").write(STATE)
    assert caught.value.code == "TG004"


def test_label_is_the_folder_s_whatever_the_path(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "project")
    assert project_label(tmp_path / "project") == project_label(tmp_path / "link")
    assert project_label(tmp_path / "project") == project_label(tmp_path / "x" / ".." / "project")
    assert project_label(tmp_path / "project") != project_label(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_named_as_one(tmp_path):
    store = StateStore(tmp_path)
    store.path.mkdir(parents=True)
    with pytest.raises(EnvironmentProblem) as caught:
        store.clear()
    assert caught.value.code == "TG817"
    assert caught.value.where == str(store.path)
    assert "Remove the folder" in caught.value.fix
    assert store.path.is_dir()


KEYED = replace(STATE, key="secret")


@pytest.mark.parametrize(
    ("address", "host", "keyed"),
    [
        ("127.0.0.1:1", "127.0.0.1", True),
        ("localhost:1", "127.0.0.1", True),
        ("127.0.0.1:9", "127.0.0.1", False),
        ("elsewhere:1", "elsewhere", False),
        ("grpc://localhost:2", "127.0.0.1", True),
        ("grpc://localhost:1", "localhost", False),
        ("https://localhost:1", "localhost", True),
    ],
)
def test_the_key_goes_to_the_own_server_s_address_alone(address, host, keyed, tmp_path):
    store = StateStore(tmp_path)
    endpoint = Endpoint.parse(address, headers={"a": "b"})
    assert own_endpoint(tmp_path, endpoint) == endpoint
    store.write(replace(KEYED, label=project_label(tmp_path)))
    found = own_endpoint(tmp_path, endpoint)
    assert found.host == host
    assert ("secret" in found.keys.values()) is keyed
    assert found.headers["a"] == "b"


def test_a_state_that_cannot_be_read_gives_no_key(tmp_path):
    store = StateStore(tmp_path)
    store.folder.mkdir()
    store.path.write_text("{")
    endpoint = Endpoint.parse("127.0.0.1:1")
    assert own_endpoint(tmp_path, endpoint) is endpoint


def test_a_server_s_keys_close_what_only_the_tool_needs():
    assert ApiKeys("", "x").groups == ()
    keys = ApiKeys("t", "n")
    assert [group.partition(":")[0] for group in keys.groups] == [
        "shared-memory,model-repository", "trace,logging",
    ]  # fmt: skip
    assert KEYED.headers() == {"tritongen-key": "secret"}
    assert KEYED.headers(grpc=True) == {"triton-grpc-protocol-tritongen-key": "secret"}
    assert STATE.headers() == {}
    assert ApiKeys.new() != ApiKeys.new()
