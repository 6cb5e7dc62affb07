"""Rebuild the sample models from their sources: all of them, or the named ones.

With --check nothing is written: models from text or from a fixed recipe must come out byte for byte as they are in the
folder; learned ones, whose last digits depend on the processor, must have the same structure and answer as well.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER / "sources"
TEXT = tuple(sorted(path.stem for path in SOURCES.glob("*.onnxtxt")))
EXACT = ("digits_sample", "external_data", "transformer_block")
LEARNED = ("digits_mlp", "digits_cnn", "int8_qdq", "tree_ensemble")  # int8_qdq is made from digits_cnn
ALLOWED_LOSS = 0.034  # of accuracy: one iris flower in 30, twelve digits in 360


def rebuilt(name: str) -> dict[str, bytes]:
    """Return the contents of the files that belong to the name, by their paths in the folder."""
    if name in TEXT:
        assemble = importlib.import_module("sources.assemble")
        model = assemble.model_from_text((SOURCES / f"{name}.onnxtxt").read_text(encoding="utf-8"))
        return {f"{name}.onnx": assemble.to_bytes(model)}
    contents: dict[str, bytes] = importlib.import_module(f"sources.{name}").files()
    return contents


def structure(model: Any) -> list[object]:
    """Return what must not depend on learned numbers: interface, nodes, and the shapes of the weights."""
    graph = model.graph
    return [
        [(entry.domain, entry.version) for entry in model.opset_import],
        [str(value) for value in (*graph.input, *graph.output)],
        [(node.name, node.domain, node.op_type, list(node.input), list(node.output)) for node in graph.node],
        [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in graph.initializer],
    ]


def difference(name: str, contents: dict[str, bytes]) -> str | None:
    """Say how the rebuilt files differ from those in the folder; None where they are as good as the same."""
    for path, content in contents.items():
        if not (FOLDER / path).is_file():
            return f"{path} is missing"
        present = (FOLDER / path).read_bytes()
        if present == content:
            continue
        if name not in LEARNED:
            return f"{path} has other bytes"
        import onnx

        old, new = onnx.load_from_string(present), onnx.load_from_string(content)
        if structure(old) != structure(new):
            return f"{path} has another structure"
        accuracy = importlib.import_module(f"sources.{name}").accuracy
        before, after = accuracy(old), accuracy(new)
        if after < before - ALLOWED_LOSS:
            return f"{path} had accuracy {before:.4f} and would have {after:.4f}"
    return None


def write(contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_bytes(content)


def main() -> int:
    known = (*TEXT, *EXACT, *LEARNED)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(known)}")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a model differs from its source")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no such sample: {', '.join(unknown)} (known: {', '.join(known)})")
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # sums in the same order each time

    differences = 0
    for name in options.names or known:
        contents = rebuilt(name)
        if not options.check:
            write(contents)
            sys.stdout.write(f"{name}: written\n")
            continue
        found = difference(name, contents)
        differences += found is not None
        sys.stdout.write(f"{name}: {found or 'as its source'}\n")
    return 1 if differences else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        sys.stderr.write(f"build.py: {error.name} is missing; pip install 'onnxctl[samples,cpu]'\n")
        sys.exit(4)
