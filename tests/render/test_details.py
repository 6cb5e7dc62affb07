"""Nodes, weights, trees and single nodes as people read them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import onnxctl
from onnxctl.render.details import draw_histogram
from onnxctl.render.screen import Screen
from onnxctl.render.text import render
from onnxctl.reports import WeightStatistics
from tests.conftest import SAMPLES, sample_paths


def shown(name: str, screen: Screen | None = None, **options: Any) -> str:
    return render(onnxctl.inspect(str(SAMPLES / f"{name}.onnx"), **options), screen or Screen())


def statistics(*bins: int, low: float = 0.0, high: float = 1.0) -> WeightStatistics:
    return WeightStatistics(
        minimum=low, maximum=high, mean=0, std=0, zero_count=0, nan_count=0, inf_count=0, histogram=bins, digest=""
    )


@pytest.mark.parametrize(
    ("bins", "drawn"),
    [
        ((0, 1, 2, 4, 8, 16, 32, 64), " ▁▁▁▁▂▄█"),
        ((5,) * 8, "████████"),
        ((1_000_000, 1, 0, 0, 0, 0, 0, 0), "█▁      "),
        ((1, 0, 0) * 8, "████████"),
    ],
)
def test_histograms_are_eight_blocks_and_hide_nothing(bins: tuple[int, ...], drawn: str) -> None:
    assert draw_histogram(statistics(*bins)) == drawn


def test_a_constant_has_no_shape_to_draw() -> None:
    assert draw_histogram(statistics(9, *(0,) * 7, low=3, high=3)) == ""
    assert draw_histogram(statistics(*(0,) * 8, low=math.nan, high=math.nan)) == ""


def test_without_unicode_heights_are_characters() -> None:
    text = shown("digits_cnn", Screen(unicode=False), values=True)
    assert text.isascii()
    line = next(line for line in text.splitlines() if "output_weight" in line)
    assert line.endswith("..+##%-.")


def test_weights_are_told_with_their_values_or_without() -> None:
    read, listed = shown("digits_cnn", values=True), shown("digits_cnn", weights=True)
    assert "Weights  13 tensors, 24.9 kB" in read
    assert "Weights  13 tensors, 24.9 kB" in listed
    assert "std" in read and "std" not in listed
    assert "inline" in listed
    assert "Weights  2 of 13 tensors" in shown("digits_cnn", weights=True, top=2)


def test_a_narrow_terminal_leaves_columns_out_instead_of_breaking_lines() -> None:
    for width in (60, 80, 100, 140):
        lines = shown("digits_cnn", Screen(width=width), values=True).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) == 3 + 1 + 13
    assert "  mean  " in shown("digits_cnn", Screen(width=140), values=True)
    assert "  mean  " not in shown("digits_cnn", Screen(width=80), values=True)


def test_trees_are_drawn_with_their_branches() -> None:
    branches = [line[2:].split("   ")[0].rstrip() for line in shown("if_branches", tree=True).splitlines()[4:]]
    assert branches == [
        "if_branches",
        "├ If choose/then_branch",
        "└ If choose/else_branch",
        "  ├ If choose_shift/then_branch",
        "  └ If choose_shift/else_branch",
    ]
    assert "└ Loop add_up/body, length times" in shown("loop_sum", tree=True)
    assert "function onnxctl.samples:SoftClip" in shown("local_function", tree=True)


def test_a_node_from_close_by() -> None:
    text = shown("digits_cnn", node="conv2")
    assert "Conv  conv2" in text
    assert "kernel_shape  [3, 3]" in text
    assert "conv2_weight" in text and "float32[32, 16, 3, 3]" in text and "initializer" in text
    assert "73.7k*batch" in text
    assert "constant = 1.414214" in shown("transformer_block", node="/gelu/Div")


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_every_view_of_every_sample_fits_its_terminal(path: Path) -> None:
    report = onnxctl.inspect(str(path), nodes=True, values=True, cost=True, memory=True, tree=True)
    assert max(map(len, render(report, Screen(width=80)).splitlines())) <= 80
    assert render(report, Screen())
