"""Random small models come out valid, no larger, settled, and equal: to the bit from exact passes, nearly from all.

`tests/passes/random_models` makes them from a seed. A failure names its seed: `grow(seed)` is the model.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxctl.passes.pipeline import PIPELINE
from tests.passes.optimizing import Optimizer, nodes_of
from tests.passes.random_models import grow
from tests.passes.random_models.builder import Array, run
from tests.passes.random_models.scopes import RandomModel

EXACT = tuple(each.name for each in PIPELINE if each.exact)
FEW, MANY = 40, 2000

TOLERANCES = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-8, np.dtype(np.float16): 2e-2}
"""Relative, and absolute beside the largest value: several roundings of each type.

Half precision is never compared to the bit: onnxruntime computes runs of nodes in float32 that a Transpose cuts short.
"""


@pytest.mark.parametrize("first_seed", range(0, 2 * FEW, FEW // 2))
def test_few(optimize: Optimizer, first_seed: int) -> None:
    check_seeds(optimize, range(first_seed, first_seed + FEW // 2))


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(1000, 1000 + MANY, MANY // 10))
def test_many(optimize: Optimizer, first_seed: int) -> None:
    check_seeds(optimize, range(first_seed, first_seed + MANY // 10))


def check_seeds(optimize: Optimizer, seeds: range) -> None:
    """Hold the models of these seeds against what is promised; odd seeds run exact passes only, on odd values too."""
    failed = []
    for seed in seeds:
        try:
            check_seed(optimize, seed)
        except Exception as error:  # noqa: BLE001 - collected, so that one failure does not hide the others
            failed.append(f"seed {seed}: {type(error).__name__}: {str(error)[:400]}")
    assert not failed, "\n".join(failed)


def check_seed(optimize: Optimizer, seed: int) -> None:
    """Optimize the model of this seed and compare; whatever is wrong is an AssertionError or some other error."""
    is_exact = seed % 2 == 1
    made = grow(seed, odd_values=is_exact)
    expected = None if made is None else _run_as_it_is(made)
    if made is None or expected is None:
        return
    source, once, twice = (optimize.folder / f"{name}.onnx" for name in ("source", "once", "twice"))
    source.write_bytes(made.model.SerializeToString())
    result = optimize.rewrite(source, once, EXACT if is_exact else None)
    assert result.settled, "not settled"
    assert once.stat().st_size <= source.stat().st_size, "larger"
    onnx.checker.check_model(str(once), full_check=True)
    optimized = onnx.load(once)
    assert len(nodes_of(optimized)) <= len(nodes_of(made.model)), "more nodes"
    with_signs = all(node.op_type != "Where" for node in nodes_of(made.model))
    for old, new in zip(expected, run(optimized, made.feeds), strict=True):
        _assert_same(np.asarray(old), np.asarray(new), is_exact=is_exact, with_signs=with_signs)
    optimize.rewrite(once, twice, EXACT if is_exact else None)
    assert onnx.load(twice) == optimized, "a second run changes it"


def _run_as_it_is(made: RandomModel) -> list[Array] | None:
    """What the model gives; None where onnxruntime runs its nodes, but not the whole."""
    try:
        return run(made.model, made.feeds)
    except Exception:  # noqa: BLE001 - whatever onnxruntime raises
        return None


def _assert_same(old: Array, new: Array, *, is_exact: bool, with_signs: bool) -> None:
    """with_signs: of zeros as well, which onnxruntime's own Where loses (test_eliminate_masks has the proof)."""
    assert new.dtype == old.dtype
    assert new.shape == old.shape
    if (is_exact and old.dtype != np.float16) or old.dtype.kind != "f":
        np.testing.assert_array_equal(new, old)
        if old.dtype.kind == "f" and with_signs:
            np.testing.assert_array_equal(np.signbit(new[~np.isnan(new)]), np.signbit(old[~np.isnan(old)]))
        return
    tolerance = TOLERANCES[old.dtype]
    scale = float(np.max(np.abs(old[np.isfinite(old)]), initial=0))
    np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance * max(scale, 1.0))
