"""State and caches hold what the tool made; what a stranger put there is refused and left alone."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.repository.project import last_models, remember_models
from tritongen.serving.growing_log import follow_file, last_text, new_log
from tritongen.system.files import FileLock
from tritongen.system.own_files import MAX_BYTES, make_folders, read_own
from tritongen.system.user_cache import cache_folder, user_cache
from tritongen.triton.server_state import StateStore

SECRET = b"what the user would miss"


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def dangling_link(path: Path, victim: Path) -> None:
    victim.unlink()
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def listener(path: Path, victim: Path) -> None:
    # The socket's file stays when the socket is closed.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path, victim: Path) -> None:
    path.symlink_to("/dev/zero")


def stranger(path: Path, victim: Path) -> None:
    path.write_bytes(SECRET)
    os.chown(path, 12345, 12345)


TRAPS = (link, dangling_link, hard_link, pipe, listener, device, stranger)
Trap = Callable[[Path, Path], None]


def lock(path: Path) -> None:
    with FileLock(path, "test"):
        pass


def log(path: Path) -> None:
    new_log(path).close()


def follow(path: Path) -> None:
    list(follow_file(path, 3, lambda: False))


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("use", [lock, log, last_text, follow, read_own])
def test_a_file_that_the_tool_did_not_make(use, trap: Trap, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(SECRET)
    path = tmp_path / "own file"
    trap(path, victim)
    if trap is hard_link and use in {last_text, follow, read_own}:
        use(path)  # reading it harms nobody
    else:
        with pytest.raises(EnvironmentProblem) as caught:
            use(path)
        assert caught.value.code == "TG011"
        assert caught.value.where == str(path)
        assert f"rm -r '{path}'" in caught.value.fix
        subprocess.run(["bash", "-c", f"rm -r '{path}'"], check=True)
        assert use in {last_text, follow, read_own} or use(path) is None, "the printed cure works"
    assert trap is dangling_link or victim.read_bytes() == SECRET
    assert trap is not dangling_link or not victim.exists()


def test_a_file_larger_than_any_of_the_tool_s(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(EnvironmentProblem) as caught:
        read_own(path)
    assert caught.value.code == "TG011"
    assert f"{MAX_BYTES >> 20} MiB" in caught.value.what
    assert len(last_text(path)) <= 4 << 20


def test_what_older_versions_left_open_is_closed(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True, mode=0o777)
    (folder / "lock").touch(mode=0o644)
    make_folders(folder, tmp_path)
    lock(folder / "lock")
    log(folder / "log")
    modes = {path: path.stat().st_mode & 0o777 for path in (folder.parent, folder)}
    assert set(modes.values()) == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def linked_folder(path: Path, target: Path) -> None:
    path.symlink_to(target)


def stranger_s_folder(path: Path, _target: Path) -> None:
    path.mkdir()
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize("trap", [linked_folder, stranger_s_folder])
@pytest.mark.parametrize("below", ["", "tune"])
def test_a_state_folder_that_the_tool_did_not_make(trap, below, tmp_path, monkeypatch):
    target, project = tmp_path / "target", tmp_path / "project"
    for folder in (target, project / "models"):
        folder.mkdir(parents=True)
    store = StateStore(project)
    if below:
        store.folder.mkdir()
    trap(store.folder / below, target)
    with pytest.raises(EnvironmentProblem) as caught:
        store.make_folder("tune")
    assert caught.value.code == "TG011"
    assert caught.value.where == str(store.folder / below)
    if not below:
        for use in (store.read, lambda: store.lock("test")):
            with pytest.raises(EnvironmentProblem) as caught:
                use()
            assert caught.value.code == "TG011"
        monkeypatch.chdir(project)
        remember_models(Path("repository"), project)
        assert last_models(Path("repository")) == Path("models"), "nothing was remembered"
    assert list(target.iterdir()) == []


def test_a_registry_that_leads_elsewhere(tmp_path, monkeypatch):
    """What cannot be trusted is forgotten, and replaced without touching what it leads to."""
    victim = tmp_path / "victim"
    victim.write_text(f'{{"{tmp_path / "repository"}": "/"}}')
    monkeypatch.chdir(tmp_path)
    StateStore(tmp_path).make_folder()
    Path(".tritongen/projects.json").symlink_to(victim)
    with pytest.raises(InvalidInputError) as caught:
        last_models(Path("repository"))
    assert caught.value.code == "TG002"
    remember_models(Path("repository"), tmp_path)
    assert last_models(Path("repository")) == tmp_path
    assert victim.read_text().endswith(': "/"}')


def test_a_cache_of_somebody_else_s(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stranger_s_folder(tmp_path / "tritongen", tmp_path)
    for use in (user_cache, lambda: cache_folder("locks")):
        with pytest.raises(EnvironmentProblem) as caught:
            use()
        assert caught.value.code == "TG011"
        assert "XDG_CACHE_HOME" in caught.value.fix


def test_a_cache_that_the_user_moved_to_a_larger_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("cache", "large"):
        (tmp_path / name).mkdir()
    (tmp_path / "cache/tritongen").symlink_to(tmp_path / "large")
    assert cache_folder("locks") == tmp_path / "large" / "locks"
    (tmp_path / "large/triton").symlink_to(tmp_path)
    with pytest.raises(EnvironmentProblem) as caught:
        cache_folder("triton")
    assert caught.value.code == "TG011"


def test_the_folder_among_the_temporary_files(tmp_path):
    """Anybody may have made it first; programs are started from it."""
    script = (
        "import sys; from tritongen.errors import EnvironmentProblem\n"
        "from tritongen.system.user_cache import private_folder\n"
        "try: print(private_folder())\n"
        "except EnvironmentProblem as error: print(error.code)\n"
    )

    def run() -> str:
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        return subprocess.check_output([sys.executable, "-c", script], text=True, env=environment)

    path = Path(run().strip())
    assert path.parent == tmp_path
    assert path.stat().st_mode & 0o777 == 0o700
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert run() == "TG011\n"
