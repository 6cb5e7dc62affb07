"""Coverage-guided fuzzing of opening models; what is checked of each input is in `checks`.

    pip install atheris
    python -m tests.fuzz.fuzz_loading -max_total_time=600 CORPUS_FOLDER

A crash is written to the current folder; its bytes belong into tests/fuzz/crashes, where `test_crashes` keeps them.
"""

from __future__ import annotations

import sys


def main() -> None:
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with atheris.instrument_imports(include=["onnxctl"]):
        from tests.fuzz.checks import run
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
