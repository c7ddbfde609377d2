"""Names and messages that a stranger would choose, and what no output may hold because of them."""

import re

from hypothesis import strategies as st

PIECES = (
    "\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x7f", "\x00", "\t", "\r", "\n", "\x0b", "\x0c",
    "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\n::error::x",
    "\r\n::stop-commands::x",
    " ::add-mask::x", "::warning file=a,line=1::x", "##[error]x", "##vso[task.setvariable]x",
    "%0A::error::x",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"', "'", "\\", "&amp;", ",", ":",
    "=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(1)", "{{ 7 * 7 }}", "${x}", "name", "é",
)  # fmt: skip
names = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), min_size=1, max_size=4
).map("".join)

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_OWN_STYLE = re.compile("\x1b\\[(?:0|1|2|31|32|33|36)m")


def assert_harmless(text: str, *, commands: int = 0) -> None:
    """Assert that nothing in a text commands a terminal or a CI runner.

    Args:
        text: what was printed or written.
        commands: lines that are meant to be commands of GitHub.
    """
    found = _CONTROL.search(text)
    assert found is None, (found, text)
    lines = text.split("\n")
    assert sum(line.lstrip().startswith("::") for line in lines) == commands, text
    assert re.search(r"##\w*\[", "\n".join(line for line in lines if line[:2] != "::")) is None, (
        text
    )


def without_styles(text: str) -> str:
    """A text of a terminal without the tool's own colours."""
    return _OWN_STYLE.sub("", text)
