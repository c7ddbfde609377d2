"""A repository is always whole: whatever is killed, refused or full."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.intent import WeightsMode
from tritongen.repository.write_repository import (
    JOURNAL,
    RepositoryChange,
    TextFile,
    WeightFile,
    apply_change,
    recover,
    refuse_file_in_the_way,
    tidy,
)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_writes_places_and_removes(tmp_path: Path) -> None:
    repository, source = tmp_path / "repo", tmp_path / "w.onnx"
    source.write_bytes(b"weights")
    apply_change(repository, RepositoryChange(texts=(TextFile("old/config.pbtxt", b"x"),)))
    apply_change(
        repository,
        RepositoryChange(
            texts=(TextFile("m/config.pbtxt", b"c"), TextFile("tritongen.lock", b"l")),
            weights=(WeightFile("m/1/model.onnx", source, WeightsMode.COPY),),
            removals=("old/config.pbtxt",),
        ),
    )
    assert content(repository) == {
        "m/1/model.onnx": b"weights",
        "m/config.pbtxt": b"c",
        "tritongen.lock": b"l",
    }
    assert not (repository / "old").exists()


@pytest.mark.parametrize("mode", [WeightsMode.HARDLINK, WeightsMode.SYMLINK])
def test_weights_by_link(tmp_path: Path, mode: WeightsMode) -> None:
    source = tmp_path / "models/w.onnx"
    source.parent.mkdir()
    source.write_bytes(b"weights")
    change = RepositoryChange(weights=(WeightFile("m/1/model.onnx", source, mode),))
    apply_change(tmp_path / "repo", change)
    target = tmp_path / "repo/m/1/model.onnx"
    assert target.samefile(source)
    assert target.is_symlink() == (mode is WeightsMode.SYMLINK)
    if target.is_symlink():
        # Relative, so that the pair can be moved or mounted elsewhere.
        assert not target.readlink().is_absolute()


def test_a_failure_leaves_the_old_repository(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    apply_change(repository, RepositoryChange(texts=(TextFile("m/config.pbtxt", b"old"),)))
    before = content(repository)
    missing = WeightFile("n/1/model.onnx", tmp_path / "absent", WeightsMode.COPY)
    change = RepositoryChange(texts=(TextFile("m/config.pbtxt", b"new"),), weights=(missing,))
    with pytest.raises(EnvironmentProblem) as caught:
        apply_change(repository, change)
    assert caught.value.code == "TG003"
    assert content(repository) == before
    assert not (repository / "n").exists()


def test_a_full_disk_leaves_the_old_repository(tmp_path: Path) -> None:
    """A file-size limit refuses the write as a full disk does."""
    repository = tmp_path / "repo"
    apply_change(repository, RepositoryChange(texts=(TextFile("m/config.pbtxt", b"old"),)))
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tritongen.errors import TritongenError\n"
        "from tritongen.repository.write_repository import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "change = RepositoryChange(texts=(TextFile('m/config.pbtxt', b'n' * 5000),))\n"
        "try:\n"
        "    apply_change(Path(sys.argv[1]), change)\n"
        "except TritongenError as error:\n"
        "    print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(repository)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "TG005"
    assert content(repository) == {"m/config.pbtxt": b"old"}


def test_a_journal_is_finished(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/.tritongen-1-config.pbtxt.tmp").write_bytes(b"new")
    (tmp_path / "m/config.pbtxt").write_bytes(b"old")
    (tmp_path / "gone.txt").write_bytes(b"x")
    journal = {
        "renames": [["m/.tritongen-1-config.pbtxt.tmp", "m/config.pbtxt"]],
        "removals": ["gone.txt"],
    }
    (tmp_path / JOURNAL).write_text(json.dumps(journal))
    assert recover(tmp_path)
    assert content(tmp_path) == {"m/config.pbtxt": b"new"}
    assert not recover(tmp_path)


@pytest.mark.parametrize(
    "path", ["../victim", "/etc/passwd", "m/../../victim", "", "link/victim", "link/link/victim"]
)
def test_a_strangers_journal_cannot_leave_the_repository(tmp_path: Path, path: str) -> None:
    repository = tmp_path / "repo"
    repository.mkdir()
    (repository / "link").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "victim").write_bytes(b"keep")
    (repository / "new").write_bytes(b"new")
    for todo in ({"removals": [path]}, {"renames": [["new", path]]}, {"renames": [[path, "new"]]}):
        (repository / JOURNAL).write_text(json.dumps({"renames": [], "removals": [], **todo}))
        with pytest.raises(EnvironmentProblem):
            recover(repository)
    assert (tmp_path / "victim").read_bytes() == b"keep"
    assert (repository / "new").read_bytes() == b"new"


def test_a_journal_that_is_never_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / JOURNAL)
    with pytest.raises(EnvironmentProblem) as caught:
        recover(tmp_path)
    assert caught.value.code == "TG011"


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"renames": 3}'])
def test_a_damaged_journal_is_an_error_not_a_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(EnvironmentProblem):
        recover(tmp_path)


KILLS = 12
KILLED = """
import sys
from pathlib import Path
from tritongen.repository.write_repository import *
repository, version = Path(sys.argv[1]), sys.argv[2].encode()
texts = tuple(TextFile(f"m{n}/config.pbtxt", version) for n in range(40))
print("go", flush=True)
apply_change(repository, RepositoryChange(texts=texts))
"""


def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    """After the next command's `recover`, all files are of one version."""
    repository = tmp_path / "repo"
    change = RepositoryChange(texts=tuple(TextFile(f"m{n}/config.pbtxt", b"0") for n in range(40)))
    begun = time.monotonic()
    apply_change(repository, change)
    # The kills are spread over as long as this machine takes now, and a little longer.
    pause = (time.monotonic() - begun) * 1.2 / KILLS
    versions = set()
    for attempt in range(1, KILLS + 1):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(repository), str(attempt)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        child.stdout.readline()
        if attempt < KILLS:
            time.sleep(attempt * pause)
            child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        recover(repository)
        tidy(repository)
        found = set(content(repository).values())
        assert len(found) == 1, f"mixed versions after kill {attempt}: {found}"
        assert len(content(repository)) == 40
        versions |= found
    assert str(KILLS).encode() in versions, "the build that was not killed is not there"


def test_a_file_where_a_folder_or_one_above_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refuse_file_in_the_way(tmp_path)
    refuse_file_in_the_way(tmp_path / "new/folder")
    for place in ("file", "file/below", "file/below/it"):
        with pytest.raises(InvalidInputError) as caught:
            refuse_file_in_the_way(tmp_path / place)
        assert (caught.value.code, caught.value.where) == ("TG002", str(tmp_path / "file"))
