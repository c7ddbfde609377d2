"""Atomic writes and the lock, on the real file system."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.system.files import FileLock, remove_leftovers, translated, write_atomic


def test_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "config.pbtxt"
    target.write_bytes(b"old" * 1000)
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.pbtxt"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_write_honours_the_mode(tmp_path):
    write_atomic(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(EnvironmentProblem) as caught:
        write_atomic(tmp_path / "absent" / "file", b"x")
    assert caught.value.code == "TG004"
    assert "no such file or directory" in caught.value.what


def test_full_disk_is_told_apart_and_the_old_file_stays(tmp_path):
    # RLIMIT_FSIZE makes the kernel refuse the write as a full disk or quota would.
    target = tmp_path / "file"
    target.write_bytes(b"old")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tritongen.errors import EnvironmentProblem\n"
        "from tritongen.system.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_atomic(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except EnvironmentProblem as error: print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "TG005"
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_reader_never_sees_a_half(tmp_path):
    target = tmp_path / "file"
    contents = {b"a" * 50_000, b"b" * 70_000}
    write_atomic(target, next(iter(contents)))
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            write_atomic(target, content)
    done.set()
    reader.join()
    assert seen <= contents


def test_leftovers_of_dead_writers_go_and_others_stay(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = tmp_path / f".tritongen-{child.pid}-abc.tmp"
    alive = tmp_path / f".tritongen-{os.getpid()}-abc.tmp"
    foreign = tmp_path / ".tritongen-notes.tmp"
    for path in (dead, alive, foreign):
        path.touch()
    assert remove_leftovers(tmp_path) == (dead,)
    assert alive.exists()
    assert foreign.exists()


def _hold(path: Path) -> subprocess.Popen[str]:
    script = (
        "import sys; from pathlib import Path\n"
        "from tritongen.system.files import FileLock\n"
        "with FileLock(Path(sys.argv[1]), 'test'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_lock_excludes_another_process_and_names_it(tmp_path):
    path = tmp_path / "lock"
    with _hold(path) as holder:
        with pytest.raises(EnvironmentProblem) as caught, FileLock(path, "starting a server"):
            pass
        holder.stdin.close()
    assert caught.value.code == "TG008"
    assert str(holder.pid) in caught.value.what
    with FileLock(path, "starting a server"):
        pass


def test_lock_is_released_when_its_holder_is_killed(tmp_path):
    path = tmp_path / "lock"
    with _hold(path) as holder:
        holder.kill()
    with FileLock(path, "starting a server"):
        pass


def test_lock_waits_as_long_as_told(tmp_path):
    path = tmp_path / "lock"
    with _hold(path) as holder:
        timer = threading.Timer(0.3, holder.stdin.close)
        timer.start()
        with FileLock(path, "starting a server", timeout=30):
            pass
        timer.join()


@pytest.mark.parametrize("missing", [True, False], ids=["no folder", "a folder in its place"])
def test_the_target_is_named(tmp_path: Path, missing: bool) -> None:
    target = tmp_path / ("absent/page.html" if missing else "page.html")
    if not missing:
        target.mkdir()
    with pytest.raises(EnvironmentProblem) as caught:
        write_atomic(target, b"text")
    assert caught.value.code == "TG004"
    assert caught.value.where == str(target)
    assert [path.name for path in tmp_path.iterdir()] == ([] if missing else ["page.html"])


def test_a_staged_file_is_named_by_what_it_will_be(tmp_path: Path) -> None:
    staged = tmp_path / "absent/.tritongen-7-config.pbtxt.tmp"
    with pytest.raises(EnvironmentProblem) as caught:
        write_atomic(staged, b"text")
    assert caught.value.where == str(tmp_path / "absent/config.pbtxt")


def test_the_wait_for_a_lock_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told: list[str] = []
    with _hold(path) as holder:
        lock = FileLock(path, "a build", timeout=0.2, on_wait=lambda: told.append("waits"))
        with pytest.raises(EnvironmentProblem) as caught, lock:
            pass
        holder.stdin.close()
    assert told == ["waits"]
    assert caught.value.what == f"another run (process {holder.pid}) is at work: a build"
    with FileLock(path, "a build", on_wait=lambda: told.append("waits")):
        assert path.read_text() == str(os.getpid())
    assert told == ["waits"]


def test_a_holder_that_left_no_number_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with _hold(path) as holder:
        path.write_text("nobody")
        with pytest.raises(EnvironmentProblem) as caught, FileLock(path, "a build"):
            pass
        holder.stdin.close()
    assert caught.value.what == "another run is at work: a build"


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "TG005"), (errno.EDQUOT, "TG005"), (errno.EFBIG, "TG005"),
     (errno.EACCES, "TG004"), (errno.EROFS, "TG004")],
)  # fmt: skip
def test_what_the_system_refuses_is_a_full_disk_or_another_problem(number, code, tmp_path) -> None:
    with pytest.raises(EnvironmentProblem) as caught, translated(tmp_path / "file"):
        raise OSError(number, os.strerror(number), str(tmp_path / "other"))
    assert (caught.value.code, caught.value.where) == (code, str(tmp_path / "other"))
    with pytest.raises(EnvironmentProblem) as caught, translated(tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == str(tmp_path / "file")


def test_a_bare_word_of_the_system_is_repeated(tmp_path: Path) -> None:
    said = "cannot be written: the disk is gone"
    with pytest.raises(EnvironmentProblem, match=said), translated(tmp_path):
        raise OSError("The disk is gone")


def test_a_folder_that_cannot_be_synced_is_left_as_it_is(tmp_path: Path, monkeypatch) -> None:
    def refuse(number: int):
        def sync(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))

        return sync

    for number in (errno.EINVAL, errno.ENOTSUP):
        monkeypatch.setattr(os, "fsync", refuse(number))
        write_atomic(tmp_path / "file", b"x")
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(EnvironmentProblem):
        write_atomic(tmp_path / "file", b"y")
