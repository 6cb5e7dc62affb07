"""Costs against published figures: torchvision's model tables (GFLOPS there are GMACs), and TinyBERT's for BERT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto

from tests.analysis.cost.counted import cost_of
from tests.analysis.cost.networks import bert_base, mobilenet_v2, resnet50, vgg19


@pytest.mark.parametrize(
    ("network", "published_gmacs", "parameters"),
    [(resnet50, 4.09, 25.5e6), (mobilenet_v2, 0.30, 3.47e6), (vgg19, 19.63, 143.7e6)],
)
def test_networks_of_pictures(
    network: Callable[[], ModelProto], published_gmacs: float, parameters: float, tmp_path: Path
) -> None:
    model = network()
    one = cost_of(model, tmp_path, batch=1)
    assert one.macs.value == pytest.approx(published_gmacs * 1e9, rel=0.005)
    assert sum(each.parameter_count for each in one.operators) == pytest.approx(parameters, rel=0.005)
    free = cost_of(model, tmp_path)
    assert free.macs.value is None
    assert free.macs.terms == ((one.macs.value, "batch"),)
    assert free.uncounted == one.uncounted == ()
    assert cost_of(model, tmp_path, batch=8).macs.value == 8 * (one.macs.value or 0)


def test_bert_in_symbols_and_at_128_tokens(tmp_path: Path) -> None:
    model = bert_base()
    matrices = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert set(cost_of(model, tmp_path).macs.terms) == {(matrices, "batch*seq"), (12 * 2 * 768, "batch*seq^2")}
    published_flops = 22.5e9  # Jiao et al. 2020, TinyBERT, table 1: BERT-base at 128 tokens
    at_128 = cost_of(model, tmp_path, batch=1, seq=128)
    assert at_128.macs.value == pytest.approx(11.2e9, rel=0.005)
    assert at_128.flops.value == pytest.approx(published_flops, rel=0.01)
