"""The catalogue of codes: what each finding and problem means and what to do about it, from catalogue.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

from onnxctl.errors import UsageError, did_you_mean
from onnxctl.reports import Explanation

_CATALOGUE = Path(__file__).with_suffix(".toml")


def read_catalogue() -> tuple[Explanation, ...]:
    """Every code that onnxctl can tell, in the catalogue's order."""
    with _CATALOGUE.open("rb") as file:
        entries = tomllib.load(file)
    return tuple(
        Explanation(
            code=code,
            severity=entry["severity"],
            title=entry["title"],
            explanation=" ".join(entry["explanation"].split()),
            remedy=" ".join(entry["remedy"].split()),
            example=entry["example"],
        )
        for code, entry in entries.items()
    )


def explain_code(code: str) -> Explanation:
    """One entry. Raises UsageError for a code that does not exist, with those that are spelt alike."""
    catalogue = {entry.code: entry for entry in read_catalogue()}
    if code not in catalogue:
        hint = f"{did_you_mean(code, catalogue)}`onnxctl explain` lists all codes"
        raise UsageError(f"there is no finding with the code {code!r}", hint=hint)
    return catalogue[code]
