"""Inputs that once broke something, and random damage to sample models: nothing but model errors."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import sample_paths
from tests.fuzz.checks import run

CRASHES = sorted((Path(__file__).parent / "crashes").glob("*"))


@pytest.mark.parametrize("path", CRASHES, ids=lambda path: path.name)
def test_what_once_broke_something(path: Path) -> None:
    run(path.read_bytes())


def damaged(data: bytes, generator: random.Random) -> bytes:
    """The bytes with a few of them flipped, cut out, repeated or replaced."""
    copy = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        at, length = generator.randrange(len(copy)), generator.randint(1, 8)
        match generator.randrange(4):
            case 0:
                copy[at] ^= 1 << generator.randrange(8)
            case 1:
                del copy[at : at + length]
            case 2:
                copy[at:at] = copy[at : at + length]
            case _:
                copy[at : at + length] = generator.randbytes(length)
        if not copy:
            break
    return bytes(copy)


def check_damage(count: int) -> None:
    """Damage small sample models so many times in all."""
    generator = random.Random(2026)
    seeds = [data for data in (path.read_bytes() for path in sample_paths()) if len(data) < 30_000]
    for index in range(count):
        run(damaged(seeds[index % len(seeds)], generator))


def test_damaged_models_give_model_errors() -> None:
    check_damage(400)


@pytest.mark.slow
def test_ten_thousand_damaged_models_give_model_errors() -> None:
    check_damage(10_000)
