"""From which onnxruntime on its own operators exist, from contrib_releases.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

_TABLE = Path(__file__).with_suffix(".toml")

OLDEST_ASKED = "1.16"
"""The oldest release in the table: what it has may be older."""


def read_contrib_releases() -> Mapping[tuple[str, str], str]:
    """The first release that has each operator, by domain and name."""
    with _TABLE.open("rb") as file:
        table = tomllib.load(file)
    return {
        (domain, name): release
        for domain, releases in table.items()
        for release, names in releases.items()
        for name in names
    }
