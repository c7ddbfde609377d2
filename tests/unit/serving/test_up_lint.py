"""What `up` refuses of a hand-written repository: errors of `check` that nobody ignores."""

from pathlib import Path

import pytest

from support.lint import BASE, PYTHON_MODEL
from tritongen.errors import InvalidInputError
from tritongen.serving.server_spec import ServedRepository
from tritongen.serving.up import lint_findings

UNTYPED = BASE.replace('name: "IN" data_type: TYPE_FP32', 'name: "IN"')


def repository(folder: Path, config: str, intent: str = "") -> ServedRepository:
    (folder / "m" / "1").mkdir(parents=True)
    (folder / "m" / "1" / "model.py").write_bytes(PYTHON_MODEL)
    (folder / "m" / "config.pbtxt").write_text(config)
    if intent:
        (folder / "tritongen.yaml").write_text(intent)
    return ServedRepository.read(folder)


def test_an_error_is_refused(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        lint_findings(repository(tmp_path, UNTYPED), keep_going=False)
    assert caught.value.code == "TG424"


@pytest.mark.parametrize(
    ("comment", "intent"),
    [
        ("# tritongen: ignore TG424 (our backend completes it)\n", ""),
        ("", "check: {ignore: [TG424]}\n"),
        ("", "models: {m: {check: {ignore: [TG42]}}}\n"),
    ],
)
def test_an_ignored_error_is_not(tmp_path, comment, intent):
    assert lint_findings(repository(tmp_path, comment + UNTYPED, intent), keep_going=False) == ()


def test_what_check_does_not_select_is_refused_all_the_same(tmp_path):
    with pytest.raises(InvalidInputError):
        lint_findings(repository(tmp_path, UNTYPED, "check: {select: [TG5]}\n"), keep_going=False)
