"""`tritongen.api` beside the commands: the same documents of the same project, and no output."""

import pytest

from support import format_models as make
from support.cli import Project, fixed
from tritongen import api
from tritongen.errors import ExitCode, InvalidInputError


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


def test_inspect(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    here.add("tried.onnx", fixed())
    told: list[str] = []
    for trial in (False, True):
        options = ["--trial"] if trial else []
        inspected = api.inspect("models", trial=trial, progress=lambda what, *_: told.append(what))
        assert capfd.readouterr() == ("", "")
        assert inspected.to_dict() == here.json("inspect", "models", *options)
        assert inspected.exit_code is ExitCode.OK
    assert "trying tried" in told
    with pytest.raises(InvalidInputError) as raised:
        api.inspect("absent")
    assert raised.value.code == "TG002"


def test_a_build_is_the_command_s(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    here.write("models/tritongen.yaml", "target: {cpus: 2}\n")
    checked = api.build("models", api.BuildRequest(mode="check"))
    assert checked.to_dict() == here.json("build", "--check", expect=1)
    assert checked.exit_code is ExitCode.FINDINGS
    would = api.build("models", api.BuildRequest(mode="dry-run", repository=here.repository))
    assert would.to_dict() == here.json("build", "--dry-run")
    capfd.readouterr()
    written = api.build("models")
    assert capfd.readouterr() == ("", "")
    assert written.to_dict()["written"]
    assert here.json("build", "--check")["differences"] == []
    assert api.build().to_dict() == here.json("build")


def test_faults_of_a_build(here: Project) -> None:
    for request, code in (
        (api.BuildRequest(cpus=0), "TG009"),
        (api.BuildRequest(mode="check", fix=True), "TG009"),
        (api.BuildRequest(repository=here.models), "TG305"),
        (api.BuildRequest(variants={"dense": "absent"}), "TG240"),
    ):
        with pytest.raises(InvalidInputError) as raised:
            api.build("models", request)
        assert raised.value.code == code


def test_code_is_told_once_to_whoever_asks(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make.python_model(project.models / "program/1/model.py")
    monkeypatch.chdir(project.folder)
    told: list[str] = []
    for _ in range(2):
        api.inspect("models", trial=True, notice=told.append)
    assert [text.partition(" runs in a sandbox")[0] for text in told] == ["code of models"]
    assert capfd.readouterr() == ("", "")
