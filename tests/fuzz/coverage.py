"""Coverage-guided fuzzing: of opening models (`checks`), or of whole verbs on models that are nearly right (`verbs`).

    pip install atheris '.[test]'
    python -m tests.fuzz.coverage loading -max_total_time=600 CORPUS_FOLDER
    python -m tests.fuzz.coverage verbs -max_total_time=600 -timeout=60 CORPUS_FOLDER

A crash is written to the current folder; its bytes belong into tests/fuzz/crashes, where `test_crashes` keeps them.
"""

from __future__ import annotations

import random
import sys

SHORTEST_MODEL = 8
"""What is not longer, as the one byte that an empty corpus begins with, is replaced by a sample model."""


def main() -> None:
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    what, arguments = sys.argv[1], [sys.argv[0], *sys.argv[2:]]
    with atheris.instrument_imports(include=["onnxctl"]):
        from tests.fuzz.checks import run
        from tests.fuzz.mutation import mutated_bytes
        from tests.fuzz.seeds import small_samples
        from tests.fuzz.verbs import run_verbs

    if what == "loading":
        atheris.Setup(arguments, run)
    else:
        seeds = small_samples()

        def mutate(data: bytes, maximum_size: int, seed: int) -> bytes:
            model = data if len(data) > SHORTEST_MODEL else seeds[seed % len(seeds)]
            changed = mutated_bytes(model, random.Random(seed))
            return changed if len(changed) <= maximum_size else data

        arguments.insert(1, f"-max_len={max(map(len, seeds)) * 2}")
        atheris.Setup(arguments, lambda data: run_verbs(data, seeds[len(data) % len(seeds)]), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
