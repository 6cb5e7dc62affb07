"""Figures as people read them: three digits and a unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxctl.reports import Quantity

_UNITS = ("", "k", "M", "G", "T", "P", "E")
_NANOSECONDS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def format_bytes(count: int | None) -> str:
    """A size in decimal units: 978 B, 12.3 kB, 26.1 MB."""
    return "?" if count is None else _scaled(count, ("B", "kB", "MB", "GB", "TB", "PB"))


def format_count(count: int) -> str:
    """A count: 9,408 in full up to six digits, then 12.3 M."""
    if abs(count) < 1_000_000:
        return f"{count:,}"
    return _scaled(count, _UNITS)


def format_amount(count: int) -> str:
    """A count of which the size matters more than the digits: 978, 12.3 k, 4.09 G."""
    return _scaled(count, _UNITS)


def format_quantity(quantity: Quantity | None, unit: str = "", longest: int = 4) -> str:
    """An amount: a number ("4.09 G") where it is one, else its largest terms ("84.9M*batch*seq + 18.4k*batch")."""
    if quantity is None:
        return "?"
    if quantity.value is not None:
        return format_bytes(quantity.value) if unit else format_amount(quantity.value)
    terms = sorted(quantity.terms, key=lambda term: -abs(term[0]))
    text = ""
    for coefficient, factors in sorted(terms[:longest], key=lambda term: not term[1]):  # what is constant comes last
        number = _scaled(abs(coefficient), _UNITS).replace(" ", "") + unit
        amount = (
            factors if factors and abs(coefficient) == 1 and not unit else "*".join(filter(None, (number, factors)))
        )
        sign = "-" if coefficient < 0 else "+"
        text += f" {sign} {amount}" if text else amount if coefficient > 0 else f"-{amount}"
    return text + (" + …" if len(terms) > longest else "")


def format_duration(nanoseconds: float) -> str:
    """A time: 812 ns, 12.3 µs, 1.24 ms, 2.5 s, 3 min 5 s."""
    if not math.isfinite(nanoseconds):
        return "?"
    if nanoseconds >= 60e9:
        minutes, seconds = divmod(round(nanoseconds / 1e9), 60)
        return f"{minutes:,} min {seconds} s"
    for size, unit in _NANOSECONDS:
        if abs(nanoseconds) >= size * 0.9995:
            return f"{_digits(nanoseconds / size)} {unit}"
    return f"{nanoseconds:.0f} ns"


def format_change(before: float, after: float) -> str:
    """The change from before to after in percent: -12 %, -1.2 %, -0.12 %, < +0.01 %, "=" where there is none."""
    if before == after:
        return "="
    if before == 0:
        return "new"
    percent = (after - before) / before * 100
    if abs(percent) < 0.01:
        return "< +0.01 %" if percent > 0 else "> -0.01 %"
    digits = 0 if abs(percent) >= 10 else 1 if abs(percent) >= 1 else 2
    return f"{percent:+.{digits}f} %"


def format_share(share: float) -> str:
    """A share in percent: 0 %, < 0.01 %, 0.04 %, 12.3 %, 100 %."""
    percent = share * 100
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if percent >= 99.95:
        return "> 99.9 %"
    if percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2f} %"


def format_closeness(difference: float, tolerance: float) -> str:
    """How near outputs are: identical, or how far they are apart (relatively) and how far they may be."""
    if difference == 0:
        return "identical"
    return f"equal (relative difference {difference:.1e} at most, {tolerance:.1e} allowed)"


def format_rate(per_second: float, what: str) -> str:
    """How many of something a second makes."""
    return f"{_digits(per_second)} {what} per second"


def format_number(value: float | None) -> str:
    """A tensor's value: four digits."""
    return "" if value is None else f"{value:.4g}"


def count_of(count: int, singular: str, plural: str = "") -> str:
    """A count with its noun: 1 run, 3 runs."""
    return f"{format_count(count)} {singular if count == 1 else plural or singular + 's'}"


def format_dims(dims: Iterable[tuple[str, int]]) -> str:
    """Sizes of dimensions as `--dim` takes them: batch=8, seq=128."""
    return ", ".join(f"{name}={size}" for name, size in dims)


def operator_name(domain: str, op_type: str) -> str:
    """An operator as ONNX's text syntax names it: the domain is left out where it is the standard one."""
    return op_type if domain in ("", "ai.onnx") else f"{domain}.{op_type}"


def short_provider(provider: str) -> str:
    """CPU for onnxruntime's CPUExecutionProvider."""
    return provider.removesuffix("ExecutionProvider")


def _scaled(count: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if abs(count) < 999.5:
            return f"{_digits(count)} {unit}".rstrip()
        count /= 1000
    return f"{_digits(count)} {units[-1]}"


def _digits(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
