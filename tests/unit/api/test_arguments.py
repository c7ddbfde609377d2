"""What is given to the API is checked before the work."""

import pytest

from tritongen.api.arguments import models_path, refuse_other, refuse_unless_positive, writable_file
from tritongen.errors import EnvironmentProblem, InvalidInputError


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_number_that_is_none_above_0(value):
    with pytest.raises(InvalidInputError, match="cpus: must be a number above 0") as raised:
        refuse_unless_positive(cpus=value)
    assert raised.value.code == "TG009"


def test_numbers_that_fit_or_are_not_given():
    refuse_unless_positive(cpus=0.5, gpus=None)


def test_a_word_that_is_not_known_names_those_that_are():
    refuse_other("mode", "write", ("write", "check"))
    with pytest.raises(InvalidInputError, match="mode: there is no 'wrte'") as raised:
        refuse_other("mode", "wrte", ("write", "check"))
    assert raised.value.fix == "Use one of write, check."


def test_models_are_a_folder_a_file_or_the_last_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "repository"
    with pytest.raises(InvalidInputError, match="is not known here"):
        models_path(None, repository)
    (tmp_path / "models").mkdir()
    assert models_path(None, repository).name == "models"
    (tmp_path / "models" / "a.onnx").touch()
    assert models_path("models/a.onnx", repository).name == "a.onnx"
    with pytest.raises(InvalidInputError, match="absent: does not exist"):
        models_path("absent", repository)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    assert writable_file(tmp_path / "plan.json").name == "plan.json"
    with pytest.raises(EnvironmentProblem, match="there is no such folder"):
        writable_file(tmp_path / "absent" / "plan.json")
