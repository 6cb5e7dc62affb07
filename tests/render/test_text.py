"""Text stays within a terminal and is never wrapped or cut in a pipe."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from onnxctl.render.document import Column, Document, Facts, Findings, Heading, Histogram, Paragraph, Styled, Table
from onnxctl.render.screen import Screen
from onnxctl.render.text import render_document
from onnxctl.reports import Finding

NAMES = ("/model/layers.0/self_attn/q_proj/MatMul_output_0", "b")
TABLE = Table(
    (Column(title="name", overflow="cut"), Column(title="count", align="right"), Column(title="why", overflow="wrap")),
    ((NAMES[0], "1,000", "because it is used by several others"), (NAMES[1], "1", "")),
)


def draw(*blocks: object, screen: Screen | None = None) -> str:
    return render_document(Document(tuple(blocks)), screen or Screen())  # type: ignore[arg-type]


def test_pipes_get_whole_rows_with_aligned_columns() -> None:
    assert draw(TABLE) == (
        "  name                                              count  why\n"
        "  /model/layers.0/self_attn/q_proj/MatMul_output_0  1,000  because it is used by several others\n"
        "  b                                                     1\n"
    )


def test_terminals_get_cut_names_and_wrapped_reasons() -> None:
    assert draw(TABLE, screen=Screen(width=50)) == (
        "  name                 count  why\n"
        "  /model/la…_output_0  1,000  because it is used\n"
        "                              by several others\n"
        "  b                        1\n"
    )


@given(
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=200), st.text(max_size=30)), min_size=1, max_size=5),
    st.integers(60, 200),
)
def test_tables_fit_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = (Column(title="a", overflow="cut"), Column(title="b", overflow="wrap"), Column(title="c", align="right"))
    drawn = draw(Table(columns, tuple(rows)), screen=Screen(width=width))
    assert max(map(cell_len, drawn.splitlines())) <= width


def test_a_very_wide_cell_does_not_push_the_others_away() -> None:
    drawn = draw(Table((Column(), Column()), (("a" * 300, "x"), ("b", "y")), titled=False))
    assert drawn.splitlines()[1] == f"  {'b':80}  y"


def test_colours_underline_and_never_carry_meaning() -> None:
    blocks = (Heading("Title", "note", level=1), Facts((("size", Styled("big", "strong")),)), Paragraph("bad", "bad"))
    coloured = draw(*blocks, screen=Screen(colour=True))
    assert "\x1b[31mbad\x1b[0m" in coloured
    assert re.sub("\x1b\\[[0-9]+m", "", coloured) == draw(*blocks)


def test_ascii_terminals_get_ascii() -> None:
    drawn = draw(Histogram("operator", (("größe", 2), ("Add", 1))), Paragraph("3 µs → …"), screen=Screen(unicode=False))
    assert drawn == ("  gr\\xf6\\xdfe  2  ########################\n  Add          1  ############\n\n3 us -> ...\n")


def test_histograms_draw_the_first_and_list_the_others() -> None:
    drawn = draw(Histogram("operator", (("Conv", 8), ("Add", 4), ("Relu", 2), ("Gemm", 1), ("Flatten", 1)), drawn=2))
    assert drawn.splitlines() == [
        "  Conv  8  ████████████████████████",
        "  Add   4  ████████████",
        "  and Relu 2, Gemm 1, Flatten 1",
    ]


def test_a_single_other_is_drawn() -> None:
    assert len(draw(Histogram("operator", (("Conv", 8), ("Add", 4)), drawn=1)).splitlines()) == 2


def test_findings_say_how_bad_where_and_what_to_do() -> None:
    finding = Finding(code="x", severity="warning", message="odd", hint="change it", where="node 'a'")
    assert draw(Findings((finding,))) == "  warning  node 'a': odd  [x]\n           change it\n"


def test_what_more_can_be_asked_is_told_to_people_only() -> None:
    document = Document((Paragraph("x"),), more="more: --nodes")
    assert "more" in render_document(document, Screen(width=80))
    assert "more" not in render_document(document, Screen())


@pytest.mark.parametrize("width", [20, 40])
def test_narrow_terminals_do_no_harm(width: int) -> None:
    assert draw(TABLE, Heading("/a/very/long/path/to/model.onnx", "1 MB", level=1), screen=Screen(width=width))
