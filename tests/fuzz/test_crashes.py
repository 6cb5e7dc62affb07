"""Inputs that once broke something, and random damage to models, of bytes and of fields: nothing but our own errors."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from onnx import ModelProto

import onnxctl
from onnxctl.errors import ModelError, ResourceLimit
from tests.fuzz.checks import run
from tests.fuzz.mutation import damaged, mutated
from tests.fuzz.seeds import small_operator_tests, small_samples
from tests.fuzz.verbs import run_verbs

CRASHES = sorted((Path(__file__).parent / "crashes").glob("*"))


@pytest.mark.parametrize("path", CRASHES, ids=lambda path: path.name)
def test_what_once_broke_something(path: Path) -> None:
    run(path.read_bytes())
    for other in small_samples():
        run_verbs(path.read_bytes(), other)


def check_damage(count: int) -> None:
    """Damage the bytes of small sample models so many times in all, and open them."""
    generator = random.Random(2026)
    seeds = small_samples()
    for index in range(count):
        run(damaged(seeds[index % len(seeds)], seeds[(index + 1) % len(seeds)], generator))


def check_mutations(seeds: list[bytes], count: int) -> None:
    """Change fields of the models so many times in all, and let every verb have a look."""
    generator = random.Random(2026)
    models = [ModelProto.FromString(data) for data in seeds]
    for index in range(count):
        run_verbs(mutated(models[index % len(models)], generator), seeds[(index + 1) % len(seeds)])


def test_damaged_models_give_model_errors() -> None:
    check_damage(400)


def test_models_that_are_nearly_right_give_reports_or_errors_of_ours() -> None:
    check_mutations(small_samples(), 150)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_flips_cuts_and_splices_of_five_models_are_inspected(tmp_path: Path) -> None:
    generator = random.Random(25)
    seeds = small_samples()[:5]
    path = tmp_path / "model.onnx"
    opened = 0
    for index in range(10_000):
        path.write_bytes(damaged(seeds[index % 5], seeds[generator.randrange(5)], generator))
        try:
            onnxctl.inspect(str(path), nodes=True, weights=True, text=True, cost=True, memory=True, findings=True)
        except (ModelError, ResourceLimit):
            continue
        opened += 1
    assert 500 < opened < 9_500, "the damage is too large, or too small, to test anything"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_models_that_are_nearly_right() -> None:
    check_mutations(small_samples(), 3_000)
    check_mutations(small_operator_tests(), 7_000)
