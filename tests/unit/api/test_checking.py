"""`api.check`: the findings of the command, told to nobody."""

import json
from pathlib import Path

import pytest

from support.lint import BASE, PYTHON_MODEL
from tritongen import api
from tritongen.cli.main import main
from tritongen.errors import ExitCode, InvalidInputError

SLOW = "dynamic_batching { max_queue_delay_microseconds: 2000000 }"  # TG654, a warning


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    version = tmp_path / "repo" / "m" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_bytes(PYTHON_MODEL)
    (version.parent / "config.pbtxt").write_text(f"{BASE}{SLOW}\n")
    return Path("repo")


@pytest.mark.parametrize("ignored", [(), ("TG654",)])
def test_the_document_is_that_of_the_command(repository, ignored, capfd):
    checked = api.check(repository, ignore=ignored)
    assert capfd.readouterr() == ("", "")
    options = [word for code in ignored for word in ("--ignore", code)]
    assert main(["check", str(repository), "--format", "json", *options]) == checked.exit_code
    assert checked.to_dict() == json.loads(capfd.readouterr().out)
    assert [item.code for item in (*checked.findings, *checked.ignored)] == ["TG654"]


def test_warnings_are_errors_where_it_is_strict(repository):
    assert api.check(repository).exit_code is ExitCode.OK
    assert api.check(str(repository), strict=True).exit_code is ExitCode.FINDINGS


def test_faults_of_what_is_given(repository):
    with pytest.raises(InvalidInputError, match="select: there is no code 'TG9999'"):
        api.check(repository, select=("TG9999",))
    with pytest.raises(InvalidInputError, match="cpus: must be a number above 0"):
        api.check(repository, cpus=0)
    with pytest.raises(InvalidInputError, match="absent: does not exist") as raised:
        api.check("absent")
    assert raised.value.code == "TG002"
