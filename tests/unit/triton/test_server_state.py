"""The state file of a project."""

import json
from dataclasses import replace

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.triton.server import Endpoints, RuntimeName, ServerState
from tritongen.triton.server_state import StateStore, project_label

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
