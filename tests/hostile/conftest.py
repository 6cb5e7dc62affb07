"""The hostile corpus, written once per session, and the process that all commands on it are forks of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.corpus import MAKER, Case, make_corpus
from tests.hostile.nursery import Nursery


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Every case of the corpus; skips the test where its maker is absent."""
    if not MAKER.is_file():
        pytest.skip("no ../shared/hostile beside the project")
    return make_corpus(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What starts commands fast."""
    with Nursery() as running:
        yield running
