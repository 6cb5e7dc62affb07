"""The hostile corpus, written once per session."""

from __future__ import annotations

import pytest

from tests.hostile.corpus import MAKER, Case, make_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Every case of the corpus; skips the test where its maker is absent."""
    if not MAKER.is_file():
        pytest.skip("no ../shared/hostile beside the project")
    return make_corpus(tmp_path_factory.mktemp("hostile"))
