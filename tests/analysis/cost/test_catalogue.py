"""No operator is forgotten: each is counted, moves data only, runs a body, or is named as not counted."""

from __future__ import annotations

import onnx
import pytest

from onnxctl.analysis.cost.catalogue import FORMULAS, MOVES, UNCOUNTED
from onnxctl.analysis.cost.elementwise import ELEMENTWISE
from onnxctl.analysis.cost.products import PRODUCTS
from onnxctl.analysis.cost.reductions import REDUCTIONS

CONTROL = {"If", "Loop", "Scan", "SequenceMap"}


def operators(domain: str) -> set[str]:
    return {each.name for each in onnx.defs.get_all_schemas_with_history() if each.domain == domain}


@pytest.mark.parametrize("domain", ["", "ai.onnx.ml"])
def test_every_operator_has_its_place(domain: str) -> None:
    places = set(FORMULAS[domain]) | (UNCOUNTED | CONTROL if not domain else set())
    assert operators(domain) - places == set()


def test_no_place_is_of_an_operator_that_does_not_exist() -> None:
    assert (MOVES | UNCOUNTED) - operators("") == set()
    assert set(FORMULAS["ai.onnx.ml"]) - operators("ai.onnx.ml") == set()


def test_no_operator_has_two_places() -> None:
    groups = [set(MOVES), set(UNCOUNTED), set(ELEMENTWISE), set(PRODUCTS), set(REDUCTIONS)]
    everywhere = [name for group in groups for name in group]
    assert sorted(everywhere) == sorted(set(everywhere))
