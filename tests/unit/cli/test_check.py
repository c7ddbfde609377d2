"""`tritongen check`: which findings are told, and how many are not."""

import json
from pathlib import Path

import pytest

from support.lint import BASE, PYTHON_MODEL
from tritongen.cli.main import main

SLOW = "dynamic_batching { max_queue_delay_microseconds: 2000000 }"  # TG654, a warning
BROKEN = BASE.replace('name: "IN" data_type: TYPE_FP32 dims: [ 4 ]', 'name: "IN" dims: [ 4 ]')
HEADER = "# tritongen: ignore"


class Repository:
    """A hand-written repository with one model, and what `check` prints of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder / "repo"
        self._capsys = capsys
        self.write(f"{BASE}{SLOW}\n")

    def write(self, config: str) -> None:
        model = self.folder / "m"
        (model / "1").mkdir(parents=True, exist_ok=True)
        (model / "1" / "model.py").write_bytes(PYTHON_MODEL)
        (model / "config.pbtxt").write_text(config)

    def intent(self, text: str, folder: Path | None = None) -> None:
        place = folder or self.folder
        place.mkdir(exist_ok=True)
        (place / "tritongen.yaml").write_text(text)

    def run(self, *options: str) -> tuple[int, str]:
        code = main(["check", str(self.folder), *options])
        shown = self._capsys.readouterr()
        return code, shown.out + shown.err

    def check(self, *options: str) -> tuple[int, list[tuple[str, int]], int]:
        """Exit code, (code, line) of each finding, and how many are ignored."""
        code, text = self.run("--format", "json", *options)
        document = json.loads(text)
        found = [(item["code"], item["line"]) for item in document["findings"]]
        return code, found, document["ignored"]


@pytest.fixture
def repository(tmp_path, capsys, monkeypatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository(tmp_path, capsys)


def test_without_a_choice_all_is_told(repository):
    assert repository.check() == (0, [("TG654", 6)], 0)
    code, text = repository.run()
    assert (code, text.splitlines()[-1]) == (0, "0 errors, 1 warning, 0 remarks")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--select", "TG6"], True),
        (["--select", "TG5,tg654"], True),
        (["--select", "TG5", "--select", "TG65"], True),
        (["--select", "TG5"], False),
        (["--ignore", "TG5"], True),
        (["--ignore", "TG5,TG65"], False),
        (["--select", "TG654", "--ignore", "TG6"], True),
        (["--select", "TG6", "--ignore", "TG654"], False),
        (["--select", "TG654", "--ignore", "TG654"], False),
    ],
)
def test_the_longer_code_wins(repository, options, told):
    assert repository.check(*options) == (0, [("TG654", 6)] * told, 1 - told)


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_an_unknown_code_is_refused_with_the_nearest(repository, option):
    code, text = repository.run(option, "TG6,TG5311")
    assert code == 2
    assert "there is no code 'TG5311'; near it: TG531" in text


def test_ignored_errors_pass_and_are_counted(repository):
    repository.write(BROKEN)
    assert repository.check()[0] == 1
    code, text = repository.run("--ignore", "TG424")
    assert (code, text) == (0, "nothing to report; 1 ignored, 1 of them errors\n")


@pytest.mark.parametrize("form", ["sarif", "github"])
def test_every_format_leaves_out_what_is_ignored(repository, form):
    assert "TG654" in repository.run("--format", form)[1]
    assert "TG654" not in repository.run("--format", form, "--ignore", "TG654")[1]


@pytest.mark.parametrize(
    "config",
    [
        f"{BASE}{SLOW}  {HEADER} TG654 (a night job)\n",
        f"{BASE}{HEADER} TG654 (a night job)\n{SLOW}\n",
        f"{BASE}{HEADER} TG654 (a night job)\n# seconds do not matter\n\n{SLOW}\n",
        f"{HEADER} tg654 (a night job)\n{BASE}{SLOW}\n",
        f"# by hand\n\n#tritongen:ignore TG65(a night job)\n{BASE}{SLOW}\n",
    ],
    ids=["same line", "line above", "over other comments", "top of file", "terse"],
)
def test_a_comment_with_a_reason_ignores(repository, config):
    repository.write(config)
    assert repository.check() == (0, [], 1)


def test_a_comment_for_another_line_is_unused(repository):
    repository.write(f"{BASE}{SLOW}\n{HEADER} TG654 (too late)\nversion_policy {{ }}\n")
    assert repository.check() == (0, [("TG654", 6), ("TG656", 7)], 0)


def test_a_comment_without_a_reason_ignores_and_is_told(repository):
    repository.write(f"{BASE}{SLOW} {HEADER} TG654\n")
    assert repository.check() == (0, [("TG655", 6)], 1)
    assert repository.check("--strict")[0] == 1


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("ignore TG9999 (why)", "there is no code 'TG9999'"),
        ("ignore (why)", "there is no code ''"),
        ("ignore TG654 because", "there is no code 'TG654 BECAUSE'"),
        ("noqa", "'noqa' is nothing that tritongen can do"),
    ],
)
def test_a_comment_that_cannot_be_read_is_told(repository, comment, said):
    repository.write(f"{BASE}# tritongen: {comment}\n")
    assert repository.check() == (0, [("TG657", 6)], 0)
    assert said in repository.run()[1]


def test_a_text_is_no_comment(repository):
    repository.write(
        f'{BASE}parameters {{ key: "a" value {{ string_value: "{HEADER} TG6 (x)" }} }}\n'
    )
    assert all(code not in {"TG655", "TG656"} for code, _ in repository.check()[1])


def test_each_code_of_an_ignore_must_occur(repository):
    repository.write(f"{BASE}{SLOW} {HEADER} TG654, TG606 (both)\n")
    assert repository.check() == (0, [("TG656", 6)], 1)


def test_a_file_that_does_not_parse_still_ignores(repository):
    repository.write(f"{BASE}no_such_field: 1 {HEADER} TG461 (of our fork)\n")
    assert repository.check() == (0, [], 1)


def test_the_file_of_the_repository_chooses(repository):
    repository.intent("check: {select: [TG4, 'TG65 (advice)'], ignore: [TG654 (a night job)]}\n")
    assert repository.check() == (0, [], 1)
    assert repository.check("--select", "TG6") == (0, [], 1)
    repository.intent("check: {select: [TG4]}\n")
    assert repository.check() == (0, [], 1)
    assert repository.check("--select", "TG6") == (0, [("TG654", 6)], 0)


def test_the_file_ignores_of_one_model(repository):
    repository.intent("models:\n  m: {check: {ignore: [TG654 (a night job), TG606]}}\n")
    code, found, ignored = repository.check()
    assert (code, found, ignored) == (0, [("TG656", 2)], 1)
    repository.intent("models:\n  other: {check: {ignore: [TG654]}}\n")
    assert repository.check() == (0, [("TG654", 6), ("TG656", 2)], 0)


def test_a_file_elsewhere_is_named_from_here(repository, tmp_path):
    repository.intent("check: {ignore: [TG606]}\n", tmp_path / "models")
    assert repository.check() == (0, [("TG654", 6)], 0)
    code, text = repository.run("--models", "models", "--format", "github")
    assert code == 0
    assert f"file={tmp_path}/models/tritongen.yaml,line=1,title=TG656" in text


@pytest.mark.parametrize("where", ["check: {KEY}", "models: {m: {check: {KEY}}}"])
def test_unknown_codes_in_the_file_are_refused(repository, where):
    key = "ignore: [TG5311]"
    repository.intent(where.replace("KEY", key))
    code, text = repository.run()
    assert code == 2
    assert "ignore[0]: there is no code 'TG5311'; near it: TG531" in text


def test_other_faults_of_the_file_are_not_its_business(repository):
    repository.intent("target: {cpus: -1}\ncheck: {ignore: [TG654]}\n")
    assert repository.check() == (0, [], 1)
