"""Costs as people read them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import onnxctl
from onnxctl.render.markdown import render as render_markdown
from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.render.units import format_amount, format_quantity
from onnxctl.reports import Quantity
from tests.conftest import SAMPLES


def shown(name: str, screen: Screen | None = None, **options: Any) -> str:
    return render(onnxctl.inspect(str(SAMPLES / f"{name}.onnx"), **options), screen or Screen())


def polynomial(*terms: tuple[int, str]) -> Quantity:
    return Quantity(value=None, expression="", terms=terms)


@pytest.mark.parametrize(
    ("quantity", "unit", "words"),
    [
        (Quantity(value=4_087_136_256, expression=""), "", "4.09 G"),
        (Quantity(value=0, expression=""), "", "0"),
        (Quantity(value=1234, expression=""), "B", "1.23 kB"),
        (polynomial((4_087_140_352, "batch")), "", "4.09G*batch"),
        (polynomial((18_432, "batch*seq^2"), (84_934_656, "batch*seq")), "", "84.9M*batch*seq + 18.4k*batch*seq^2"),
        (polynomial((1, "n"), (3, "")), "", "n + 3"),
        (polynomial((1, "n")), "B", "1B*n"),
        (polynomial((6203, "seq"), (-6184, "max(seq - 512, 0)")), "B", "6.20kB*seq - 6.18kB*max(seq - 512, 0)"),
        (polynomial((-5, "n"), (2, "")), "", "-5*n + 2"),
        (polynomial(*((10**n, f"s{n}") for n in range(6))), "", "100k*s5 + 10.0k*s4 + 1.00k*s3 + 100*s2 + …"),
        (None, "", "?"),
    ],
)
def test_amounts(quantity: Quantity | None, unit: str, words: str) -> None:
    assert format_quantity(quantity, unit) == words


def test_amounts_are_short() -> None:
    words = [format_amount(count) for count in (0, 978, 9_780, 737_280, 4_090_000_000)]
    assert words == ["0", "978", "9.78 k", "737 k", "4.09 G"]


def test_totals_come_first_and_then_the_operators() -> None:
    text = shown("digits_cnn", cost=True, dims={"batch": 8})
    lines = text.splitlines()
    assert lines[2] == "Cost  of one run with batch=8; a MAC is two FLOPs"
    assert [line.split()[0] for line in lines[3:7]] == ["MACs", "FLOPs", "parameters", "bytes"]
    assert "FLOPs per byte" in text
    assert lines[10].split() == ["operator", "nodes", "MACs", "FLOPs", "bytes"]
    assert lines[11].split()[:4] == ["Conv", "2", "664", "k"]


def test_symbols_stay_symbols() -> None:
    text = shown("transformer_block", cost=True)
    assert "49.2k*batch*sequence + 128*batch*sequence^2" in text
    assert "█" not in text


def test_what_is_not_counted_is_said() -> None:
    report = onnxctl.inspect(str(SAMPLES / "strings.onnx"), cost=True)
    assert report.cost is not None
    assert "not counted: " in render(report, Screen())
    doubtful = dataclasses.replace(report.cost, contradictions=("Add: 3 is not 5",), complete=False)
    text = render(dataclasses.replace(report, cost=doubtful), Screen())
    assert "contradiction: Add: 3 is not 5" in text
    assert "too large to walk whole" in text


def test_memory_says_where_the_peak_is_and_what_is_missing() -> None:
    text = shown("digits_cnn", memory=True, dims={"batch": 1})
    assert "peak     8.19 kB" in text
    assert "at       norm1" in text
    assert "it depends on batch: say --dim batch=1" in shown("digits_cnn", memory=True)


def test_a_series_is_a_table_with_bars_but_not_in_markdown() -> None:
    report = onnxctl.inspect(str(SAMPLES / "digits_cnn.onnx"), sweep={"batch": [1, 2, 4]})
    lines = render(report, Screen(width=80)).splitlines()
    assert [line.count("█") for line in lines[-3:]] == [5, 10, 20]
    assert [line.split()[0] for line in lines[-3:]] == ["1", "2", "4"]
    markdown = render_markdown(report, Screen())
    assert "| 4 |" in markdown
    assert "█" not in markdown


def test_a_series_asks_for_the_other_sizes() -> None:
    assert "give these a size as well: batch" in shown("transformer_block", sweep={"sequence": [4]})


@pytest.mark.parametrize("name", ["digits_cnn", "transformer_block", "int8_qdq"])
@pytest.mark.parametrize("options", [{"cost": True}, {"memory": True, "dims": {"batch": 1}}, {}])
def test_a_small_terminal_shows_all_of_it(name: str, options: dict[str, Any]) -> None:
    """23 lines, so that the prompt fits below."""
    lines = shown(name, Screen(width=80), **options).splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= max(80, len(str(SAMPLES)) + 40)
