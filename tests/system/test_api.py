"""`tritongen.api` beside the commands: the same documents of the same project, and no output."""

import json
from dataclasses import replace

import jsonschema
import pytest

from support import format_models as make
from support.cli import Project, fixed, tree
from support.result_schemas import DOCUMENTS
from tritongen import api
from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError


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
    request = api.BuildRequest(mode="dry-run", trial=False)  # what is measured is never the same
    assert api.build("models", request).to_dict() == here.json("build", "--dry-run", "--no-trial")
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


def test_plan(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    options = api.PlanOptions(provider="azure", write=False)
    planned = api.plan("models", options, top=2)
    assert capfd.readouterr() == ("", "")
    same = here.json("plan", "models", "--provider", "azure", "--dry-run", "--top", "2")
    assert planned.to_dict() == same
    assert (planned.exit_code, len(same["options"])) == (ExitCode.OK, 2)
    with pytest.raises(EnvironmentProblem) as raised:
        api.plan("models", api.PlanOptions(output=here.folder / "absent" / "plan.json"))
    assert raised.value.code == "TG004"


def test_client(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    for language in ("curl", "python", "python-async", "openapi"):
        example = api.client("dense", language=language)
        assert capfd.readouterr() == ("", "")
        assert (
            example.text.rstrip("\n") + "\n" == here.run("client", "dense", "--lang", language).out
        )
        assert example.to_dict()["text"] == example.text
        jsonschema.validate(example.to_dict(), DOCUMENTS["client"])
    with pytest.raises(InvalidInputError, match="language: there is no 'java'"):
        api.client("dense", language="java")
    for repository, model, code in (("absent", "dense", "TG002"), (here.repository, "a", "TG306")):
        with pytest.raises(InvalidInputError) as raised:
            api.client(model, repository=repository)
        assert raised.value.code == code


def test_verify(
    served: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(served.folder)
    address = served.json("status")["endpoints"]["http"]
    told: list[str] = []
    for url in ("", address):
        verified = api.verify(url=url, notice=told.append)
        assert capfd.readouterr() == ("", "")
        assert verified.to_dict() == served.json("verify", *(["-u", url] if url else []))
        assert verified.exit_code is ExitCode.OK
    assert told == []  # no model is code
    smuggled = api.Access(headers={"x-key": "a\r\nHost: other"})
    for url, access, code in ((address, smuggled, "TG304"), ("no address", None, "TG304")):
        with pytest.raises(InvalidInputError) as raised:
            api.verify(url=url, access=access)
        assert raised.value.code == code
    with pytest.raises(EnvironmentProblem) as absent:
        api.verify(url="localhost:1")
    assert absent.value.code == "TG814"


def test_probe(
    served: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(served.folder)
    told: list[str] = []
    request = api.ProbeRequest(
        models=(api.ModelChoice("dense"),),
        loads=(api.ClosedLoop(2),),
        conditions=api.Conditions(budget_s=2.0, fixed=True),
    )
    probed = api.probe(request, progress=lambda what, *_: told.append(what))
    assert capfd.readouterr() == ("", "")
    assert (probed.problem, probed.exit_code) == (None, ExitCode.OK)
    assert told
    flags = ("-m", "dense", "--concurrency", "2", "--duration", "2s")
    document = served.json("probe", *flags)
    assert alike(probed.to_dict(), document)
    served.write("before.json", json.dumps(document))
    compared = api.compare_probes("before.json", "before.json")
    assert compared.to_dict() == served.json("probe", "--compare", "before.json", "before.json")
    with pytest.raises(InvalidInputError) as raised:
        api.probe(request, find=api.LoadSearch(), both_clients=True)
    assert raised.value.code == "TG905"
    with pytest.raises(EnvironmentProblem):
        api.probe(replace(request, url="localhost:1"))


def test_tune(here: Project, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, int, int]] = []
    before = tree(here.repository)
    tuned = api.tune(
        "models",
        api.TuneOptions(models=("dense",), cpus=1, budget_s=8, dry_run=True),
        progress=lambda *step: told.append(step),
    )
    assert capfd.readouterr() == ("", "")
    assert tree(here.repository) == before
    same = here.json("tune", "-m", "dense", "--cpus", "1", "--budget", "8s", "--dry-run")
    found = tuned.to_dict()
    jsonschema.validate(found, DOCUMENTS["tune"])
    # Of configurations as good as each other, either may be chosen: one delays, the other does not.
    assert alike(found["models"][0]["best"], same["models"][0]["best"])
    assert (sorted(found), tuned.exit_code) == (sorted(same), ExitCode.OK)
    steps = [(done, total) for what, done, total in told if what.startswith("dense: ")]
    assert steps == sorted(steps)
    assert {total for _, total in steps} == {8}
    for options, untrusted, code in (
        (api.TuneOptions(goal="fast"), False, "TG304"),
        (api.TuneOptions(models=("absent",)), False, "TG306"),
        (api.TuneOptions(budget_s=0.1), False, "TG951"),
        (None, True, "TG149"),
    ):
        with pytest.raises(InvalidInputError) as raised:
            api.tune("models", options, untrusted=untrusted)
        assert raised.value.code == code


def shape(value: object) -> object:
    """A document without what is measured: names and kinds of values."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__


def alike(one: object, other: object) -> bool:
    """Whether two measurements have the same names; advice is given where there is a cause."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return not one or not other or alike(one[0], other[0])
    return None in (one, other) or shape(one) == shape(other)
