"""Which of two is faster: runs take turns, a planted difference is found, and none is claimed where there is none."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

from onnxctl.errors import ModelError
from onnxctl.reports import RunConfig, SpeedComparison, decode, encode
from onnxctl.runtime.session import Session, open_session
from onnxctl.runtime.speed import (
    MINIMUM_PAIR_COUNT,
    MOST_ROUND_COUNT,
    WARMUP_COUNT,
    compare_speed,
    compare_speed_in_child,
    time_pairs,
)
from onnxctl.runtime.statistics import compare_pairs, verdict_of
from onnxctl.runtime.timing import LEAST_ROUND_COUNT
from tests.conftest import SAMPLES
from tests.runtime.models import write_model

BLOCK = str(SAMPLES / "transformer_block.onnx")


class FakeMachine:
    """Time passes only when something runs, and a little when somebody looks at the clock."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.order: list[str] = []
        self.noise = random.Random(1)

    def clock(self) -> int:
        self.now_ns += 10
        return self.now_ns

    def run(self, name: str, mean_ns: float) -> None:
        self.order.append(name)
        drift = 1 + self.now_ns / 1e11
        self.now_ns += int(mean_ns * drift * self.noise.lognormvariate(0, 0.05))


def pairs_of(machine: FakeMachine, after_ns: float, duration_s: float = 0.5) -> list[tuple[float, float]]:
    return time_pairs(
        lambda: machine.run("before", 1e6),
        lambda: machine.run("after", after_ns),
        generator=random.Random(2),
        duration_s=duration_s,
        clock=machine.clock,
    )


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "no measurable difference"), (0.96, "faster"), (1.04, "slower")])
def test_a_difference_is_found_in_noise_and_drift(factor: float, verdict: str) -> None:
    machine = FakeMachine()
    estimate = compare_pairs([pairs_of(machine, factor * 1e6) for _ in range(MOST_ROUND_COUNT)])
    assert verdict_of(estimate) == verdict
    assert estimate.ratio == pytest.approx(factor, rel=0.02)


def test_both_take_turns_in_random_order_after_a_warm_up() -> None:
    machine = FakeMachine()
    pairs = pairs_of(machine, 1e6)
    turns = machine.order[2 * WARMUP_COUNT :]
    assert len(turns) == 2 * len(pairs)
    firsts = [turns[at] for at in range(0, len(turns), 2)]
    assert all({turns[at], turns[at + 1]} == {"before", "after"} for at in range(0, len(turns), 2))
    assert 0.3 < firsts.count("before") / len(firsts) < 0.7


def test_slow_models_are_run_a_few_times_all_the_same() -> None:
    machine = FakeMachine()
    assert len(pairs_of(machine, 1e6, duration_s=1e-9)) == MINIMUM_PAIR_COUNT
    assert len(machine.order) == 2 * (MINIMUM_PAIR_COUNT + 1), "one run of each to warm up"


def test_what_opens_slowly_is_opened_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Session] = []

    def open_slowly(*arguments: Any, **named: Any) -> Session:
        opened.append(dataclasses.replace(open_session(*arguments, **named), load_ns=20_000_000_000))
        return opened[-1]

    monkeypatch.setattr("onnxctl.runtime.opening.open_session", open_slowly)
    monkeypatch.setattr("onnxctl.runtime.speed.open_session", open_slowly)
    request = {"config": encode(RunConfig(path=BLOCK)), "after": BLOCK, "duration_s": 0.3}
    answer, _ = compare_speed(request, (), lambda news: None)
    assert decode(SpeedComparison, answer).round_count == LEAST_ROUND_COUNT
    assert len(opened) == 1 + 2 * LEAST_ROUND_COUNT


def test_real_models_are_compared(tmp_path: Path) -> None:
    slow = write_model(
        tmp_path, "g (float[200, 200] x) => (y) { a = MatMul(x, x) \n b = MatMul(a, x) \n y = MatMul(b, a) }"
    )
    fast = write_model(tmp_path, "g (float[200, 200] x) => (y) { y = Relu(x) }", "fast.onnx")
    found = compare_speed_in_child(slow, fast, dims={}, seed=3, duration_s=0.6)
    assert (found.ratio.verdict, found.seed) == ("faster", 3)
    assert LEAST_ROUND_COUNT <= found.round_count <= MOST_ROUND_COUNT
    assert found.provider == "CPUExecutionProvider"
    assert found.before.median_ns > found.after.median_ns
    assert compare_speed_in_child(BLOCK, BLOCK, dims={"batch": 2}, seed=0, duration_s=0.3).dims[0] == ("batch", 2)


def test_a_model_that_does_not_run_cannot_be_compared(tmp_path: Path) -> None:
    wrong = write_model(tmp_path, "g (float[2] x) => (y) <int64[1] far = {7}> { y = Gather(x, far) }")
    with pytest.raises(ModelError):
        compare_speed_in_child(wrong, wrong, dims={}, seed=0, duration_s=0.1)
