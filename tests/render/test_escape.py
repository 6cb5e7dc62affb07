"""Whatever a model's strings hold, what is shown is harmless and says what was there."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxctl.render.document import Code, Document
from onnxctl.render.escape import LONGEST_TEXT, cut_apart, cut_middle, escape, escape_lines
from onnxctl.render.formats import FORMATS
from onnxctl.render.screen import Screen
from onnxctl.render.text import render_document
from tests.render.filling import REPORT_TYPES, filled

DANGEROUS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u115f\u1160\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e01ef]"
)
ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("conv1/weight", "conv1/weight"),
        ("[bold red]x[/]", "[bold red]x[/]"),
        (":smile:", ":smile:"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b31m", "\\u009b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\u200b\u2028\u2029\ufeff", "a\\u200b\\u2028\\u2029\\ufeff"),
        ("\u3164\ufe0f", "\\u3164\\ufe0f"),
        ("\ud800", "\\ud800"),
        (b"caf\xe9.onnx".decode(errors="surrogateescape"), "caf\\xe9.onnx"),
        ("\U000e0041", "\\U000e0041"),
        ("größe 模型 é", "größe 模型 é"),
    ],
)
def test_escape_shows(raw: str, shown: str) -> None:
    assert escape(raw) == shown


@given(ANY_TEXT)
def test_escaped_text_is_harmless_and_printable_text_is_untouched(text: str) -> None:
    shown = escape(text)
    assert not DANGEROUS.search(shown)
    assert "\n" not in shown
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in shown)
    if text.isascii() and text.isprintable() and len(text) <= LONGEST_TEXT:
        assert shown == text


def test_long_names_lose_their_middle() -> None:
    shown = escape("a" * 1000 + "b" * 1000)
    assert len(shown) == LONGEST_TEXT + 1
    assert shown.startswith("aaa")
    assert shown.endswith("bbb")
    assert "…" in shown


@given(ANY_TEXT)
def test_lines_stay_lines(text: str) -> None:
    shown = escape_lines(text)
    assert shown.count("\n") == text.count("\n")
    assert not DANGEROUS.search(shown)


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc…fg"),
        ("/model/layers.0/q_proj/MatMul_output_0", 20, "/model/lay…_output_0"),
        ("模型模型模型", 7, "模…型"),
        ("abc", 1, "…"),
    ],
)
def test_cut_middle(text: str, width: int, cut: str) -> None:
    assert cut_middle(text, width) == cut


@settings(deadline=None)
@given(ANY_TEXT, st.sampled_from(REPORT_TYPES), st.sampled_from(["text", "markdown", "json"]))
def test_no_field_of_any_report_reaches_a_format_raw(text: str, kind: type, name: str) -> None:
    for screen in (Screen(), Screen(width=80), Screen(unicode=False)):
        drawn = FORMATS[name](filled(kind, text), screen)
        assert not DANGEROUS.search(drawn)
        assert drawn.isascii() or (screen.unicode and name != "json") or name == "markdown"


@settings(deadline=None)
@given(ANY_TEXT)
def test_only_our_own_colours_reach_a_colour_terminal(text: str) -> None:
    for kind in REPORT_TYPES:
        drawn = FORMATS["text"](filled(kind, text), Screen(width=80, colour=True))
        assert not DANGEROUS.search(re.sub("\x1b\\[[0-9]+m", "", drawn))


@pytest.mark.parametrize("kind", REPORT_TYPES)
def test_markup_is_shown_literally(kind: type) -> None:
    assert "[bold red]" in FORMATS["text"](filled(kind, "[bold red]"), Screen())


def test_code_keeps_its_lines() -> None:
    drawn = render_document(Document((Code("a {\n\tb\x1b\n}\n"),)), Screen(width=20))
    assert drawn == "a {\n    b\\x1b\n}\n"


def test_names_that_a_cut_makes_alike_lose_their_common_start() -> None:
    names = [f"/model/encoder/layer.{index}/intermediate/dense/MatMul" for index in (0, 1, 11)]
    assert len({cut_middle(name, 26) for name in names}) == 1
    cuts = cut_apart([*names, "short", "/one/that/is/alone/and/long/in/here"], 26)
    assert len(set(cuts)) == 5 and all(len(cut) <= 26 for cut in cuts)
    assert all(f"layer.{index}/" in cut for index, cut in zip((0, 1, 11), cuts, strict=False))
    assert cut_apart(["same" * 20] * 2, 10) == [cut_middle("same" * 20, 10)] * 2
