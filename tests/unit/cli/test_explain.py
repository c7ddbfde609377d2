"""`tritongen explain TG…`: what a code stands for."""

import json

import pytest

from tritongen.cli.main import main
from tritongen.errors import CODES


@pytest.mark.parametrize("word", ["TG510", "tg510"])
def test_a_code_is_explained_without_any_project(word, capsys):
    assert main(["explain", word]) == 0
    out = capsys.readouterr().out
    assert CODES["TG510"].title in out
    assert CODES["TG510"].fix in out
    assert "With max_batch_size above 0 they leave the batch axis" in " ".join(out.split())


def test_as_json(capsys):
    assert main(["explain", "TG531", "--format", "json"]) == 0
    given = json.loads(capsys.readouterr().out)
    assert (given["id"], given["fix"]) == ("TG531", CODES["TG531"].fix)
    assert given["meaning"].startswith("All executions")
    assert "intra_op_thread_count" in given["examples"][0]


def test_a_code_that_does_not_exist_names_those_near_it(capsys):
    assert main(["explain", "TG9999"]) == 2
    assert "TG99" in capsys.readouterr().err
