"""Forms of values, shared options, and what is said of a misspelt word."""

import argparse
from pathlib import Path

import pytest

from tritongen.cli import parser as forms
from tritongen.cli.build import _variant
from tritongen.cli.main import build_parser
from tritongen.cli.optimize import _drop
from tritongen.cli.parser import seconds
from tritongen.errors import EnvironmentProblem, InvalidInputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("120s", 120.0),
        ("2m", 120.0),
        ("1.5 min", 90.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
    ],
)
def test_times_are_plain_seconds_or_have_a_unit(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "0", "-1", "2 weeks", "1e3", "s", "nan", "0ms", "9" * 400])
def test_other_times_are_told(text):
    with pytest.raises(argparse.ArgumentTypeError, match="such as 30, 500ms, 120s or 2m"):
        seconds(text)


def test_the_bounds_of_a_time_belong_to_it():
    assert seconds("2", least=2.0, most=2.0) == 2.0
    for bounds in ({"least": 2.1}, {"most": 1.9}):
        with pytest.raises(argparse.ArgumentTypeError, match="must be a day"):
            seconds("2", what="a day", **bounds)


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (forms.positive_float, "1e-9", 1e-9),
        (forms.gibibytes, "1.5", 3 << 29),
        (forms.whole, "0", 0),
        (forms.positive_int, "1", 1),
        (forms.port, "0", 0),
        (forms.port, "65535", 65535),
        (forms.address, "host:1", "host:1"),
        (forms.address, "[::1]:65535", "[::1]:65535"),
        (_drop, "0", 0.0),
        (_drop, "1", 1.0),
        (_variant, "ocr=int8", ("ocr", "int8")),
    ],
)
def test_the_least_and_the_greatest_value_of_a_form(form, text, value):
    assert form(text) == value


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        (forms.positive_float, ["0", "-1", "inf", "nan", "x", ""]),
        (forms.whole, ["-1", "1.0", "²", ""]),
        (forms.positive_int, ["0"]),
        (forms.port, ["65536", "-1"]),
        (forms.address, ["host", ":1", "host:", "host:0", "host:65536", "a/b:1", "a\x1b:1"]),
        (_drop, ["-0.1", "1.1", "nan", "x"]),
        (_variant, ["ocr", "=int8", "ocr="]),
    ],
)
def test_what_is_beyond_a_form_is_told(form, texts):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match="must be"):
            form(text)


def test_a_password_in_an_address_is_not_repeated():
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        forms.address("http://me:secret@host:1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["biuld"], "Did you mean 'build'?"),
        (["bench"], "Did you mean 'probe'?"),
        (["stop"], "Did you mean 'down'?"),
        (["serve"], "Did you mean 'up'?"),
        (["xyzzy"], "See"),
        (["build", "--chek"], "Did you mean '--check'?"),
        (["build", "--chek=1"], "Did you mean '--check'?"),
        (["build", "--xyzzy"], "See `tritongen build --help`."),
        (["build", "a", "b"], "See `tritongen build --help`."),
    ],
)
def test_a_misspelt_word_names_the_one_that_is_near(words, fix):
    with pytest.raises(InvalidInputError) as caught:
        build_parser(words[0]).parse_args(words)
    assert caught.value.code == "TG009"
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(("said", "meant"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_untrusted_is_taken_from_the_environment(said, meant, monkeypatch):
    monkeypatch.delenv(forms.UNTRUSTED, raising=False)
    if said is not None:
        monkeypatch.setenv(forms.UNTRUSTED, said)
    options = build_parser("up").parse_args(["up"])
    assert options.untrusted is meant
    if meant:
        with pytest.raises(InvalidInputError, match="a server runs the code"):
            forms.refuse_to_serve(options)
    else:
        forms.refuse_to_serve(options)


def test_the_models_are_those_named_else_those_last_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = argparse.Namespace(models=None, repository=Path("model_repository"))
    assert forms.known_models(named) is None
    with pytest.raises(InvalidInputError) as caught:
        forms.models_folder(named)
    assert caught.value.code == "TG002"
    named.models = Path("absent")
    with pytest.raises(InvalidInputError, match="does not exist"):
        forms.known_models(named)
    (tmp_path / "models").mkdir()
    file = Path("models/m.onnx")
    file.touch()
    for models, folder in ((Path("models"), Path("models")), (file, file)):
        named.models = models
        assert forms.models_folder(named) == folder
        assert forms.known_models(named) == Path("models")
    with pytest.raises(InvalidInputError, match="is not a folder"):
        forms.existing_folder(file)


def test_the_usual_repository_is_taken_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(repository=None)
    assert forms.known_repository(options) is None
    forms.DEFAULT_REPOSITORY.mkdir()
    assert forms.known_repository(options) == forms.DEFAULT_REPOSITORY
    options.repository = Path("other")
    assert forms.known_repository(options) == Path("other")


def test_where_no_file_can_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    told = {
        tmp_path: "is a folder",
        tmp_path / "file" / "page": "its folder is a file",
        tmp_path / "absent" / "page": "there is no such folder",
    }
    for path, what in told.items():
        with pytest.raises(EnvironmentProblem, match=what) as caught:
            forms.writable_file(path)
        assert (caught.value.code, caught.value.where) == ("TG004", str(path))
    for path in (tmp_path / "file", tmp_path / "new"):
        assert forms.writable_file(path) == path
