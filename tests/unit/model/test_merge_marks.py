import pytest

from tritongen.model.merge_marks import merge_marks

OURS = "<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> branch\n"


@pytest.mark.parametrize(("before", "line"), [("", 1), ("a\n", 2), ("=======\n\n", 3)])
def test_the_line_of_a_conflict_is_told(before, line):
    assert (
        merge_marks(f"{before}{OURS}rest")
        == f"line {line}: the conflict of a merge is not resolved"
    )
    assert merge_marks(f"{before}{OURS}".replace("\n", "\r\n")).startswith(f"line {line}:")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "# <<<<<<< HEAD\n=======\n>>>>>>> b\n",
        "<<<<<<< HEAD\n=======\n",
        "<<<<<<< HEAD\n" * 9,
    ],
)
def test_other_texts_are_none(text):
    assert merge_marks(text) == ""
