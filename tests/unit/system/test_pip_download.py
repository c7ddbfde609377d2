"""A download that failed is told by what pip said of it."""

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.system import pip_download
from tritongen.system.pip_download import PinnedWheel, download_wheel, explain_failure

WHEEL = PinnedWheel("the embedded Triton", "tritonx", "1.2", ("0" * 64,), instead=", or use Docker")


@pytest.mark.parametrize(
    ("output", "code", "says", "lines"),
    [
        ("a\n\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES from the file\n" + "x\n" * 9, "TG802",
         "the downloaded the embedded Triton is not the expected file", 6),
        ("a\nb\nc\nOSError: No space left on device", "TG005", "no space left", 3),
        ("python: No module named pip", "TG801", "has no pip", 0),
        ("ERROR: no such distribution  \n" * 9, "TG801", "pip could not download tritonx 1.2", 8),
    ],
)  # fmt: skip
def test_what_pip_said_decides(output, code, says, lines):
    with pytest.raises(EnvironmentProblem) as caught:
        explain_failure(WHEEL, output)
    assert caught.value.code == code
    assert says in caught.value.what
    assert len(caught.value.details) == lines
    assert all(line == line.rstrip() for line in caught.value.details)
    assert code != "TG801" or lines or caught.value.fix.endswith("ensurepip, or use Docker.")


def test_a_wheel_from_a_folder_is_held_against_its_hash(tmp_path):
    """pip itself, without a network: an index that is a folder, and a wheel with another hash."""
    index, work = tmp_path / "index", tmp_path / "work"
    index.mkdir()
    work.mkdir()
    (index / "tritonx-1.2-py3-none-any.whl").write_bytes(b"no wheel")
    options = ("--no-index", "--find-links", str(index))
    wheel = PinnedWheel("x", "tritonx", "1.2", ("0" * 64,), options=options)
    with pytest.raises(EnvironmentProblem) as caught:
        download_wheel(wheel, work, lambda _what, _done, _total: None)
    assert caught.value.code in {"TG801", "TG802"}
    assert (work / "requirements.txt").read_text().startswith("tritonx==1.2 --hash=sha256:0000")


def test_the_bytes_of_a_folder_are_those_of_all_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"123")
    (tmp_path / "two").write_bytes(b"4567")
    (tmp_path / "a/gone").symlink_to(tmp_path / "absent")
    assert pip_download._size(tmp_path) == 7
