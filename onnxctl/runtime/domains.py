"""What an input may hold: deduced from the operators that read it, then from its name, then from its type alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from onnxctl.runtime.trace import Use
from onnxctl.runtime.value_rules import RULES, Domain, constant_number


def domain_of(uses: Sequence[Use], default: Domain, by_name: Domain | None) -> Domain:
    """The domain of an input from its uses; by_name is what its name suggests, default what its type does."""
    spoken = [domain for use in uses if (domain := _ask(use)) is not None]
    ranges = [domain for domain in spoken if domain.kind == "integers"]
    others = [domain for domain in spoken if domain.kind != "integers"]
    narrow = min(ranges, key=lambda domain: domain.high, default=None)
    if narrow is not None and len(ranges) > 1:
        low = max(domain.low for domain in ranges)
        narrow = replace(narrow, low=min(low, narrow.high))
    if others:
        listed = [domain for domain in others if domain.kind == "listed"]
        return (listed or others)[0]
    if by_name is not None:
        if narrow is None:
            return by_name
        low, high = max(by_name.low, narrow.low), min(by_name.high, narrow.high)
        return replace(by_name, low=min(low, high), high=high)
    return narrow or default


def _ask(use: Use) -> Domain | None:
    rule = RULES.get((use.node.op_type, use.index))
    try:
        domain = rule(use) if rule is not None else None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None  # attributes missing, of the wrong type or taken from a function's caller
    if domain is None or (use.origin.scale == 1 and use.origin.offset == 0):
        return domain
    if domain.kind != "integers" or use.origin.scale == 0:
        return None
    ends = [(end - use.origin.offset) / use.origin.scale for end in (domain.low, domain.high)]
    low, high = math.ceil(min(ends)), math.floor(max(ends))
    return replace(domain, low=low, high=high) if low <= high else None


# ---------------------------------------------------------------- names and types

_WORDS = ("apple", "river", "seven", "north", "quiet", "green", "paper", "stone")


def domain_by_name(name: str, dtype: str, shape: Sequence[int], sequence: int) -> Domain | None:
    """What the name of an input suggests; sequence is the size chosen for sequence axes."""
    lower = name.lower()
    whole = dtype.startswith(("int", "uint"))
    if "mask" in lower and dtype != "string":
        return Domain(kind="constant", low=1, high=1, words="ones (a mask, by its name)")
    if whole and ("position" in lower or re.search(r"\bpos(_ids)?\b", lower)):
        high = max(shape[-1] - 1, 0) if shape else 0
        return Domain(kind="ascending", low=0, high=high, words="0, 1, 2, ... (positions, by the name)")
    if whole and ("token_type" in lower or "segment_id" in lower):
        return Domain(kind="constant", low=0, high=0, words="zeros (token types, by the name)")
    if whole and re.fullmatch(r"sr|.*sampl(e|ing)_?rate.*", lower):
        return Domain(kind="constant", low=16000, high=16000, words="16000 (a sample rate, by its name)")
    if whole and len(shape) <= 1 and re.search(r"len(gth)?s?(_|\b)|_lens?$", lower):
        return Domain(kind="constant", low=sequence, high=sequence, words=f"{sequence} (a length, by its name)")
    return None


def domain_by_type(dtype: str, *, brightest: float | None, is_signal: bool, is_quantized: bool) -> Domain:
    """What the element type suggests where nothing else does. brightest is the top of a picture's range, else None."""
    if dtype == "string":
        return Domain(kind="choice", listed=_WORDS, words="words")
    if dtype == "bool":
        return Domain(kind="coin", words="true or false")
    if dtype.startswith("complex"):
        return Domain(kind="normal", words="normal, mean 0, deviation 1, both parts")
    if dtype.startswith(("int", "uint")):
        if brightest or is_quantized:
            low, high = _integer_range(dtype)
            return Domain(kind="integers", low=low, high=high, words=f"integers {low}..{high}")
        high = min(9, _integer_range(dtype)[1])
        return Domain(kind="integers", low=0, high=high, words=f"integers 0..{high}")
    if brightest:
        return Domain(kind="uniform", low=0, high=brightest, words=f"uniform 0..{brightest:g} (image-like)")
    if is_signal:
        return Domain(kind="uniform", low=-1, high=1, words="uniform -1..1 (signal-like)")
    return Domain(kind="normal", words="normal, mean 0, deviation 1")


def _integer_range(dtype: str) -> tuple[int, int]:
    """The range of the type, at most that of 8 bits: room for sums of products."""
    bits = min(int(dtype.lstrip("uint")), 8)
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def brightest_pixel(uses: Iterable[Use]) -> float:
    """The top of the range that the model itself scales pictures down from (/ 255, - 127.5), else 1."""
    for use in uses:
        number = constant_number(use, 1 - use.index) if use.index < 2 and use.node.op_type in _SCALING else None
        if number is None or number == 0:
            continue
        if use.node.op_type == "Div" and use.index == 0 and number >= 2:
            return number
        if use.node.op_type == "Mul" and 0 < number <= 0.5:
            return 1 / number
        if use.node.op_type == "Sub" and use.index == 0 and number >= 2:
            return 255.0
    return 1.0


_SCALING = frozenset(("Div", "Mul", "Sub"))


def reads_quantized(uses: Iterable[Use]) -> bool:
    """Whether an operator on quantized numbers reads the input."""
    return any(
        "Quantize" in use.node.op_type or "QLinear" in use.node.op_type or "Integer" in use.node.op_type for use in uses
    )
