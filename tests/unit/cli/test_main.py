"""Every outcome of a command becomes an exit code and a line that says what to do."""

import errno
import json
import sys

import pytest

from tritongen.cli.main import COMMANDS, Interrupted, build_parser, main


class Ends:
    """A command that ends in one way."""

    def __init__(self, how: BaseException) -> None:
        self._how = how

    def __call__(self, _options: object) -> int:
        raise self._how


@pytest.fixture
def ending(tmp_path, monkeypatch):
    """Makes the command `logs` end in a way of the test's."""
    from tritongen.cli import logs

    monkeypatch.chdir(tmp_path)

    def end(how: BaseException, *words: str) -> int:
        monkeypatch.setattr(logs, "run", Ends(how))
        return main(["logs", *words])

    return end


FULL = OSError(errno.ENOSPC, "No space left on device")
CLOSED = PermissionError(errno.EACCES, "Permission denied", "/closed/file")


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "error TG007 interrupted by Ctrl-C"),
        (Interrupted(15), 143, "error TG007 interrupted by SIGTERM"),
        (MemoryError("of 3 GiB"), 3, "error TG010 out of memory: of 3 GiB"),
        (CLOSED, 2, "error TG003 /closed/file: cannot be reached: permission denied"),
        (PermissionError(errno.EPERM, "Not permitted"), 3, "error TG001 internal error: "),
        (ValueError("no"), 3, "error TG001 internal error: ValueError: no"),
    ],
)
def test_what_ended_a_command(how, code, told, ending, capfd):
    assert ending(how) == code
    assert capfd.readouterr().err.startswith(told)


def test_a_full_disk_is_told_as_one_whatever_else_is_wished(ending, capfd, monkeypatch):
    monkeypatch.setenv("TRITONGEN_DEBUG", "1")
    monkeypatch.setattr(sys.modules[main.__module__], "_abandon_output", lambda: None)
    assert ending(FULL, "--format", "json") == 3
    told = capfd.readouterr()
    assert told.err.startswith("error TG005 the output cannot be written")
    assert told.out == "", "what cannot be written is not tried again"


def test_a_bug_is_shown_in_full_on_wish(ending, monkeypatch):
    monkeypatch.setenv("TRITONGEN_DEBUG", "1")
    with pytest.raises(ValueError, match="no"):
        ending(ValueError("no"))


@pytest.mark.parametrize(
    ("words", "as_json"),
    [
        (("--format", "json", "--bad"), True),
        (("--format=json", "--bad"), True),
        (("--format", "text", "--bad"), False),
        (("json", "--format"), False),
    ],
)
def test_faults_of_the_words_are_json_where_it_is_asked_for(words, as_json, capfd):
    assert main(["status", *words]) == 2
    out = capfd.readouterr().out
    assert (out != "") is as_json
    assert not as_json or json.loads(out)["error"]["code"] == "TG009"


def test_without_a_command_there_is_help(capfd):
    assert main([]) == 0
    out = capfd.readouterr().out
    assert all(f"    {name} " in out for name in COMMANDS)


def test_a_command_of_its_own_knows_no_other():
    alone = build_parser("down", alone=True).format_help()
    assert "{down}" in alone or "stop what" in alone
    assert "write the model repository" not in alone
    assert "write the model repository" in build_parser("down").format_help()


def test_a_current_folder_that_is_gone(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["status"]) == 2
    assert "the current folder no longer exists" in capfd.readouterr().err
