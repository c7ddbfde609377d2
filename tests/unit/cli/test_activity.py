"""What the log says of a command, and what it keeps to itself."""

import argparse
import logging
import os
import stat
from pathlib import Path

import pytest

from tritongen.cli.activity import logged, shown_options
from tritongen.cli.main import COMMANDS, main
from tritongen.errors import InvalidInputError
from tritongen.system.activity_log import LOG_FILE, MAX_LOG_BYTES


@pytest.fixture(name="state")
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the current project."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".tritongen"
    folder.mkdir(mode=0o700)
    return folder


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(command="status", verbose=0, quiet=False, **given)


def test_secrets_are_not_shown():
    found = shown_options(
        options(
            url="grpcs://me:secret@host:8001",
            header=["triton-grpc-protocol-key: secret"],
            key="key.pem",
            insecure=False,
        )
    )
    assert found == [
        "header=[triton-grpc-protocol-key: ***]",
        "key=key.pem",
        "url=grpcs://***@host:8001",
    ]


def test_a_command_is_logged_from_its_options_to_its_end(state):
    with logged(options(format="json")):
        pass
    first, *_, last = (state / LOG_FILE).read_text().splitlines()
    assert first.endswith("INFO tritongen.cli.activity: status: format=json")
    assert "INFO tritongen.cli.activity: status ended after " in last
    assert stat.S_IMODE((state / LOG_FILE).stat().st_mode) == 0o600


def test_an_error_is_logged_with_its_details(state):
    with pytest.raises(InvalidInputError), logged(options()):
        raise InvalidInputError("TG304", "wrong", where="a.yaml", details=["line 1", "line 2"])
    text = (state / LOG_FILE).read_text()
    assert "ERROR tritongen.cli.activity: TG304 a.yaml: wrong\n  line 1\n  line 2\n" in text
    assert " with TG304\n" in text


def test_what_nobody_foresaw_is_logged_with_its_traceback(state):
    with pytest.raises(ZeroDivisionError), logged(options()):
        _ = 1 / 0
    text = (state / LOG_FILE).read_text()
    assert "\n  Traceback (most recent call last):\n" in text
    assert "\n  ZeroDivisionError: division by zero\n" in text


def test_without_a_state_folder_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with logged(options()):
        pass
    assert list(tmp_path.iterdir()) == []


def test_lines_wait_for_the_folder_that_the_command_makes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with logged(options(format="text")):
        (tmp_path / ".tritongen").mkdir()
    assert "status: format=text" in (tmp_path / ".tritongen" / LOG_FILE).read_text()


def test_a_log_that_has_grown_makes_room_for_another(state):
    with (state / LOG_FILE).open("wb") as file:
        file.truncate(MAX_LOG_BYTES + 1)
    with logged(options()):
        pass
    assert (state / f"{LOG_FILE}.1").stat().st_size == MAX_LOG_BYTES + 1
    assert 0 < (state / LOG_FILE).stat().st_size < 1000


@pytest.mark.parametrize("kind", ["file", "folder", "hard"])
def test_no_link_is_followed(state, tmp_path, capfd, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / LOG_FILE).write_text("mine\n")
    if kind == "folder":
        state.rmdir()
        state.symlink_to(outside)
    elif kind == "file":
        (state / LOG_FILE).symlink_to(outside / LOG_FILE)
    else:
        os.link(outside / LOG_FILE, state / LOG_FILE)
    with logged(options()):
        pass
    assert (outside / LOG_FILE).read_text() == "mine\n"
    assert ".tritongen/tritongen.log is not written" in capfd.readouterr().err


def test_a_line_commands_no_terminal(state):
    with logged(options(models="a\x1b]0;b\x07\n::error ::c")):
        pass
    text = (state / LOG_FILE).read_text()
    assert "\x1b" not in text
    assert all(not line.lstrip().startswith("::") for line in text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_say_more_or_less(command, capfd):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capfd.readouterr().out
    assert "-v, --verbose" in text
    assert "-q, --quiet" in text


@pytest.mark.parametrize(
    ("verbose", "shown"), [(0, []), (1, ["info: told"]), (2, ["debug: detail", "info: told"])]
)
def test_how_much_a_person_reads_along(verbose, shown, state, capsys):
    given = options()
    given.verbose = verbose
    log = logging.getLogger("tritongen.test")
    with logged(given):
        log.debug("detail")
        log.info("told")
        log.error("failed")
    lines = capsys.readouterr().err.splitlines()
    assert [one for one in lines if one.split(": ")[1] in {"detail", "told", "failed"}] == shown
