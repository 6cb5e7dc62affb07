"""Give trained-looking values to what an untrained export has zeros and ones for: biases, scales, running statistics.

    python benchmarks/perturb_weights.py OUT_DIR MODEL.onnx ...

Every float initializer of two elements or more that is all zeros gets small random numbers, every one that is all ones
gets random numbers near one, in subgraphs too. The same files give the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, TensorProto, numpy_helper

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
SEED = 7


def perturb(graph: GraphProto, random: np.random.Generator) -> int:
    """Change the graph's initializers; returns how many."""
    changed = 0
    for tensor in graph.initializer:
        if tensor.data_type not in FLOATS or not tensor.dims:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < 2 or not ((values == 0).all() or (values == 1).all()):
            continue
        new = (
            random.normal(0, 0.02, values.shape) if (values == 0).all() else 1 + random.uniform(-0.1, 0.1, values.shape)
        )
        tensor.CopyFrom(numpy_helper.from_array(new.astype(values.dtype), tensor.name))
        changed += 1
    for node in graph.node:
        changed += sum(perturb(each.g, random) for each in node.attribute if each.type == AttributeProto.GRAPH)
    return changed


def main() -> None:
    """Perturb the models named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path in map(Path, sys.argv[2:]):
        model = onnx.load(path)
        changed = perturb(model.graph, np.random.default_rng(SEED))
        onnx.save(model, folder / path.name)
        sys.stdout.write(f"{path.name}: {changed} initializers\n")


if __name__ == "__main__":
    main()
