"""`tritongen.api` beside the commands: the same documents of the same project, and no output."""

import pytest

from support.cli import Project
from tritongen import api
from tritongen.errors import InvalidInputError


@pytest.fixture
def here(built: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A built project, from whose folder the API is called as the commands are."""
    monkeypatch.chdir(built.folder)
    return built


def test_check(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    checked = api.check("model_repository")
    assert capfd.readouterr() == ("", "")
    assert checked.to_dict() == here.json("check")


def test_explain(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    explained = api.explain("dense")
    assert capfd.readouterr() == ("", "")
    assert explained.to_dict() == here.json("explain", "dense")
    one = api.explain("dense", "max_batch_size", models="models", repository="model_repository")
    assert [item.field for item in one.values] == ["max_batch_size"]
    for model, field, code in (("absent", "", "TG306"), ("dense", "absent", "TG304")):
        with pytest.raises(InvalidInputError) as raised:
            api.explain(model, field)
        assert raised.value.code == code
