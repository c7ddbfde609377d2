"""Whatever stands in a table, its lines fit and no word is lost."""

from hypothesis import given
from hypothesis import strategies as st

from tritongen.cli.table import cells_of, fitted, joined_rows, wrapped

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)


@given(TEXTS, st.integers(2, 40))
def test_wrapped_lines_fit_and_hold_every_word(text, width):
    text = text.strip()
    lines = wrapped(text, width)
    assert all(cells_of(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1)
    )
)
def test_a_table_fits_what_its_columns_can_be_narrowed_to(rows):
    columns = len(rows[0])
    width = 26 * columns
    shown, widths = fitted(rows, width, (), cells_of)
    for row in rows:
        for line in joined_rows([row[index] for index in shown], widths, cells_of, wrapped):
            assert cells_of(line) <= width
