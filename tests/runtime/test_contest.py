"""Variants that take turns: every combination, each alone in its process, compared in pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from onnxctl.child import CONTINUE, Blob, Child
from onnxctl.errors import ChildCrashed, UsageError
from onnxctl.reports import JSON, RunConfig, RunManyReport, encode
from onnxctl.runtime.contest import run_contest
from onnxctl.runtime.statistics import compare_pairs, verdict_of
from onnxctl.runtime.timing import LEAST_ROUND_COUNT, Timing
from onnxctl.runtime.turns import Participant
from onnxctl.runtime.variants import MOST_VARIANTS, Axes, Variant, expand
from tests.conftest import SAMPLES
from tests.runtime.models import write_model

CNN, MLP = str(SAMPLES / "digits_cnn.onnx"), str(SAMPLES / "digits_mlp.onnx")
QUICK = {"duration_s": 0.2, "warmup_count": 1, "precision": 0.5, "timeout_s": 60.0}
TRAP = "g () => (int64[1] y) <int64[1] a = {-9223372036854775808}, int64[1] b = {-1}> { y = Div(a, b) }"


def contest(config: RunConfig, axes: Axes) -> RunManyReport:
    return run_contest(expand(config, axes), seed=1)


def test_variants_are_every_combination_called_after_what_differs() -> None:
    axes = Axes(paths=["a/m.onnx", "b/n.onnx"], intra_op_threads=[1, 2], dims={"batch": [1, 8]})
    found = expand(RunConfig(path="a/m.onnx", dims=(("seq", 4),)), axes)
    assert [each.label for each in found[:3]] == [
        "m.onnx threads=1 batch=1",
        "m.onnx threads=1 batch=8",
        "m.onnx threads=2 batch=1",
    ]
    assert len(found) == len({each.label for each in found}) == axes.count == 8
    assert found[-1].config == RunConfig(path="b/n.onnx", dims=(("seq", 4), ("batch", 8)), intra_op_threads=2)


def test_files_of_the_same_name_are_called_by_their_paths() -> None:
    found = expand(RunConfig(path="a/m.onnx"), Axes(paths=["a/m.onnx", "b/m.onnx"]))
    assert [each.label for each in found] == ["a/m.onnx", "b/m.onnx"]


def test_too_many_variants_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="variants are too many"):
        expand(RunConfig(path="m"), Axes(dims={"a": range(MOST_VARIANTS), "b": (1, 2)}))


def test_a_variant_that_does_more_is_slower_and_outputs_are_held_against_the_first() -> None:
    config = RunConfig(path=CNN, intra_op_threads=1, **QUICK)  # type: ignore[arg-type]
    report = contest(config, Axes(graph_optimizations=["all", "disable"], dims={"batch": [1, 64]}))
    small, large, plain_small, plain_large = report.variants
    assert small.ratio is None and small.outputs is None and small.label == "all batch=1"
    assert large.ratio is not None and large.ratio.verdict == "slower" and large.ratio.ratio > 2
    assert large.outputs is None, "there is nothing of this size to compare with"
    assert plain_small.outputs is not None and plain_small.outputs.status == "equal"
    assert plain_large.outputs is not None and plain_large.outputs.status == "equal"
    assert all(each.samples_ns and each.load_ns > 0 for each in report.variants)
    assert report.round_count >= LEAST_ROUND_COUNT and report.turn_count >= 3


def test_a_crash_costs_one_row(tmp_path: Path) -> None:
    trap = write_model(tmp_path, TRAP, "trap.onnx")
    config = RunConfig(path=MLP, **QUICK)  # type: ignore[arg-type]
    report = contest(config, Axes(paths=[trap, MLP, CNN]))
    crashed, first, other = report.variants
    assert crashed.error is not None and crashed.error.error == "ChildCrashed" and crashed.latency is None
    assert first.error is None and first.ratio is None and other.ratio is not None
    assert [each.code for each in report.findings if each.severity == "error"] == ["variant-failed"]
    with pytest.raises(ChildCrashed):
        contest(config, Axes(paths=[trap]))


def test_other_outputs_are_told(tmp_path: Path) -> None:
    model = onnx.load(MLP)
    tensor = next(each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT)
    changed = onnx.numpy_helper.to_array(tensor) * 1.5
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed.astype("float32"), tensor.name))
    onnx.save(model, tmp_path / "changed.onnx")
    config = RunConfig(path=MLP, **QUICK)  # type: ignore[arg-type]
    report = contest(config, Axes(paths=[MLP, str(tmp_path / "changed.onnx")]))
    assert report.variants[1].outputs is not None and report.variants[1].outputs.status == "different"
    assert "outputs-differ" in {each.code for each in report.findings}


TWO = "g (float[4] x) => (float[4] y, float[4] z) { y = Relu(x) z = Abs(x) }"
ONE = "g (float[4] x) => (float[4] z) { z = Abs(x) }"


def test_outputs_that_are_missing_or_more_are_told(tmp_path: Path) -> None:
    two, one = write_model(tmp_path, TWO, "two.onnx"), write_model(tmp_path, ONE, "one.onnx")
    for first, second, said in ((two, one, "no output 'y'"), (one, two, "another output 'y'")):
        report = contest(RunConfig(path=first, run_count=4), Axes(paths=[first, second]))
        outputs = report.variants[1].outputs
        assert outputs is not None and outputs.status == "different" and said in outputs.reason
        assert [each.equal for each in outputs.outputs] == [True], "the one they share is compared by its name"


def test_what_does_not_fit_into_memory_together_takes_turns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxctl.runtime.contest.usual_memory_bytes", lambda: 500_000_000)
    monkeypatch.setattr("onnxctl.runtime.contest._memory_needed", lambda contestant: 200_000_000)
    open_children = _Counting(monkeypatch)
    report = contest(RunConfig(path=MLP, **QUICK), Axes(intra_op_threads=[1, 2, 3]))  # type: ignore[arg-type]
    assert open_children.most == 2
    assert all(each.ratio is not None for each in report.variants[1:])
    (apart,) = [each for each in report.findings if each.code == "variants-apart"]
    assert "2 groups took turns" in apart.message


class _Counting:
    """Counts how many children of a contest live at the same time, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        counting = self

        class Counted(Child):
            def start(self) -> None:
                if self._process is None:
                    counting.now += 1
                    counting.most = max(counting.most, counting.now)
                super().start()

            def close(self) -> None:
                counting.now -= self._process is not None
                super().close()

        monkeypatch.setattr("onnxctl.runtime.contest.Child", Counted)


def test_models_slower_than_the_duration_are_run_a_few_times_only() -> None:
    config = RunConfig(path=MLP, duration_s=1e-6, precision=0.01, timeout_s=60.0)
    report = contest(config, Axes(intra_op_threads=[1, 2]))
    assert report.round_count == 3
    assert "imprecise" in {each.code for each in report.findings}


class ChildAtAPrice:
    """A child whose models are named after how long they take: "LOAD_S-RUN_MS"; runs take 10 % more or less."""

    def __init__(self, **settings: object) -> None:
        self.run_ns = 0.0
        self.made_up = random.Random(1)

    def __enter__(self) -> ChildAtAPrice:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def call(self, target: str, request: dict[str, Any], **settings: object) -> tuple[JSON, Sequence[Blob]]:
        if target == CONTINUE:
            samples = tuple(int(self.run_ns * self.made_up.uniform(0.9, 1.1)) for _ in range(request["run_count"]))
            return encode(Timing(warmup_count=0, samples_ns=samples)), ()
        load_s, run_ms = map(float, request["config"]["path"].split("-"))
        self.run_ns = run_ms * 1e6
        participant = Participant(
            load_ns=int(load_s * 1e9),
            first_run_ns=int(self.run_ns),
            warm_run_ns=self.run_ns,
            peak_memory_bytes=0,
            placement=(),
            nodes_on_cpu=(),
            outputs=None,
            verification=(),
        )
        return encode(participant), ()


@pytest.mark.parametrize(
    ("paths", "duration_s", "round_count"),
    [
        (["0.01-1", "0.01-1"], 2.0, 8),  # what opens at once is opened as often as it is good for
        (["20-700", "2-70"], 2.0, 3),  # opening takes ten times as long as measuring: not more often than needed
        (["20-700", "2-70"], 30.0, 5),  # who asks for a longer time gets more rounds
        (["20-10", "0-10", "0-10", "0-10"], 16.0, 6),  # the time of all is there for the one that opens slowly
        (["0-4000", "0-4000"], 3.0, 3),  # a run takes longer than all were to
        (["0-20", "0-400"], 3.0, 4),  # the slow one has had its time
    ],
)
def test_what_opens_slowly_is_opened_less_often(
    paths: list[str], duration_s: float, round_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxctl.runtime.contest.Child", ChildAtAPrice)
    config = RunConfig(path=paths[0], duration_s=duration_s, precision=0.0)
    variants = [Variant(f"{number}: {path}", replace(config, path=path)) for number, path in enumerate(paths)]
    news: list[str] = []
    report = run_contest(variants, seed=1, progress=news.append)
    assert report.round_count == round_count
    assert news[-1].startswith(f"round {round_count} of ")
    for each in report.variants:
        assert each.latency is not None and each.latency.sample_count >= round_count
        assert sum(each.samples_ns) <= max(1.2 * duration_s * 1e9, round_count * 3 * max(each.samples_ns))


def test_what_is_asked_wrongly_ends_it_all() -> None:
    with pytest.raises(UsageError, match="bach"):
        contest(RunConfig(path=MLP, **QUICK), Axes(dims={"bach": [1, 2]}))  # type: ignore[arg-type]


# ---------------------------------------------------------------- is it true?

TRIALS = 100


def simulated_rounds(
    slower_by: float, generator: random.Random, round_count: int = 6
) -> list[list[tuple[float, float]]]:
    """Turns as measured on a small busy machine: luck of each process, moods of the machine, and rare long turns."""
    rounds = []
    for _ in range(round_count):
        luck = [generator.gauss(0, 0.004) for _ in range(2)]
        pairs = []
        for _ in range(20):
            mood = generator.gauss(0, 0.05)
            turn = [
                (1 + mood) * (1 + each) * generator.lognormvariate(0, 0.012) * (3 if generator.random() < 0.02 else 1)
                for each in luck
            ]
            pairs.append((turn[0], turn[1] * (1 + slower_by)))
        rounds.append(pairs)
    return rounds


@pytest.mark.parametrize(
    ("slower_by", "verdict"), [(0.0, "no measurable difference"), (0.03, "slower"), (-0.03, "faster")]
)
def test_equal_ones_are_called_equal_and_three_percent_are_found(slower_by: float, verdict: str) -> None:
    generator = random.Random(7)
    estimates = [compare_pairs(simulated_rounds(slower_by, generator)) for _ in range(TRIALS)]
    assert sum(verdict_of(each) == verdict for each in estimates) >= 0.95 * TRIALS


def test_of_three_rounds_equal_ones_are_called_equal_too_and_ten_percent_are_found() -> None:
    generator = random.Random(7)
    for slower_by, verdict in ((0.0, "no measurable difference"), (0.1, "slower"), (-0.1, "faster")):
        estimates = [compare_pairs(simulated_rounds(slower_by, generator, LEAST_ROUND_COUNT)) for _ in range(TRIALS)]
        assert sum(verdict_of(each) == verdict for each in estimates) >= 0.95 * TRIALS
