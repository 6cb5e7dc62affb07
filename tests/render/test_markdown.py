"""Markdown shows names as they are and never lets them become markup."""

from hypothesis import given
from hypothesis import strategies as st

from onnxctl.render.document import (
    Code,
    Column,
    Document,
    Facts,
    Findings,
    Heading,
    Histogram,
    Paragraph,
    Styled,
    Table,
)
from onnxctl.render.markdown import render_document
from onnxctl.reports import Finding


def draw(*blocks: object) -> str:
    return render_document(Document(tuple(blocks)))  # type: ignore[arg-type]


def test_tables_are_githubs() -> None:
    table = Table((Column(title="name", code=True), Column(title="count", align="right")), (("a|b", "1"), ("`c`", "2")))
    assert draw(table) == "| name | count |\n| --- | ---: |\n| `a\\|b` | 1 |\n| `` `c` `` | 2 |\n"


def test_our_own_words_among_names_are_no_code() -> None:
    table = Table((Column(title="name", code=True),), (("a",), (Styled("… 3 more", "dim"),)))
    assert draw(table).splitlines()[2:] == ["| `a` |", "| … 3 more |"]


def test_prose_is_escaped() -> None:
    assert draw(Paragraph("<script>*x* [a](b) `c` | @team #1")) == (
        "&lt;script&gt;\\*x\\* \\[a\\](b) \\`c\\` \\| &#64;team \\#1\n"
    )


def test_headings_facts_and_findings() -> None:
    finding = Finding(code="x", severity="error", message="broken", hint="fix it", where="here")
    drawn = draw(Heading("Model", "1 kB", level=1), Facts((("size", "1 kB"),)), Findings((finding,)))
    assert drawn == "## Model (1 kB)\n\n- size: 1 kB\n\n- **error** here: broken. fix it (x)\n"


def test_histograms_list_everything() -> None:
    drawn = draw(Histogram("operator", tuple((f"Op{index}", 1) for index in range(20))))
    assert drawn.count("\n") == 22


def test_code_is_fenced_by_more_backticks_than_it_holds() -> None:
    assert draw(Code("a\n````\n")) == "`````\na\n````\n`````\n"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_every_row_has_as_many_cells_as_the_head(names: list[str]) -> None:
    table = Table((Column(title="a", code=True), Column(title="b")), tuple((name, name) for name in names))
    lines = draw(table).splitlines()
    assert len(lines) == 2 + len(names)
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)
