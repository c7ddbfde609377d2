"""A file that cannot be written is named as the user named it, not by its temporary neighbour."""

from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.system.files import write_atomic


@pytest.mark.parametrize("missing", [True, False], ids=["no folder", "a folder in its place"])
def test_the_target_is_named(tmp_path: Path, missing: bool) -> None:
    target = tmp_path / ("absent/page.html" if missing else "page.html")
    if not missing:
        target.mkdir()
    with pytest.raises(EnvironmentProblem) as caught:
        write_atomic(target, b"text")
    assert caught.value.code == "TG004"
    assert caught.value.where == str(target)
    assert [path.name for path in tmp_path.iterdir()] == ([] if missing else ["page.html"])


def test_a_staged_file_is_named_by_what_it_will_be(tmp_path: Path) -> None:
    staged = tmp_path / "absent/.tritongen-7-config.pbtxt.tmp"
    with pytest.raises(EnvironmentProblem) as caught:
        write_atomic(staged, b"text")
    assert caught.value.where == str(tmp_path / "absent/config.pbtxt")
