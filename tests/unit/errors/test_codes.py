"""Every code stands once, with a title and a cure."""

import re
from collections import Counter
from pathlib import Path

import tritongen.errors.codes as registry
from tritongen.errors import CODES

FOLDER = Path(registry.__file__).parent


def test_no_code_is_given_twice():
    written = re.findall(
        r'\bCode\(\s*"(TG\d{3})"',
        "".join(path.read_text() for path in sorted(FOLDER.glob("codes_*.py"))),
    )
    assert [item for item, count in Counter(written).items() if count > 1] == []
    assert set(CODES) <= set(written)


def test_every_code_says_what_is_wrong_and_what_to_do():
    for entry in CODES.values():
        assert entry.title
        assert entry.cure.endswith((".", "`", "?", "…")), entry.id
