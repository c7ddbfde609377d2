"""`api.explain_code`: what a code stands for."""

import json

import jsonschema
import pytest

from support.result_schemas import DOCUMENTS
from tritongen import api
from tritongen.cli.main import main
from tritongen.errors import CODES, ExitCode, InvalidInputError


def test_the_document_is_that_of_the_command(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    explained = api.explain_code("tg531")
    assert capfd.readouterr() == ("", "")
    assert main(["explain", "TG531", "--format", "json"]) == explained.exit_code == ExitCode.OK
    assert explained.to_dict() == json.loads(capfd.readouterr().out)
    assert explained.code is CODES["TG531"]
    jsonschema.validate(explained.to_dict(), DOCUMENTS["explain TG…"])


def test_a_code_that_does_not_exist():
    with pytest.raises(InvalidInputError, match="there is no code TG9999") as raised:
        api.explain_code("TG9999")
    assert raised.value.code == "TG009"
