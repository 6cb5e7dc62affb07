"""Write a decoder-only transformer of any size whose weights are holes in a sparse file: instant, and no disk is used.

    python benchmarks/make_model.py OUT.onnx [--layers 12] [--width 768] [--vocabulary 50257] [--external]

The graph is written as exporters write it (Shape, Gather, Concat and Reshape chains around attention), about 75 nodes a
layer. Weights go into the model, or with --external into OUT.onnx.data beside it. Needs onnx.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


@dataclass(slots=True)
class Writer:
    """Collects nodes and weights; `node` returns the name of the value it makes."""

    nodes: list[NodeProto] = field(default_factory=list)
    small: list[TensorProto] = field(default_factory=list)
    weights: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        name = f"{op_type.lower()}_{len(self.nodes)}"
        made = [f"{name}_out{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op_type, inputs, made, name=name, **attributes))
        return made[0]

    def constant(self, values: object, dtype: type = np.int64) -> str:
        name = f"constant_{len(self.small)}"
        self.small.append(numpy_helper.from_array(np.array(values, dtype=dtype), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        self.weights.append((name, shape))
        return name


def layer_norm(w: Writer, x: str, label: str, width: int) -> str:
    """Layer normalization from its primitives."""
    centred = w.node("Sub", x, w.node("ReduceMean", x, axes=[-1]))
    variance = w.node("ReduceMean", w.node("Pow", centred, w.constant(2.0, np.float32)), axes=[-1])
    scaled = w.node("Div", centred, w.node("Sqrt", w.node("Add", variance, w.constant(1e-5, np.float32))))
    return w.node("Add", w.node("Mul", scaled, w.weight(f"{label}.scale", width)), w.weight(f"{label}.bias", width))


def dense(w: Writer, x: str, label: str, wide: int, narrow: int) -> str:
    """x @ weight + bias."""
    product = w.node("MatMul", x, w.weight(f"{label}.weight", wide, narrow))
    return w.node("Add", product, w.weight(f"{label}.bias", narrow))


def size_of(w: Writer, x: str, axis: int) -> str:
    """One dimension of x, as a vector of one element."""
    return w.node("Unsqueeze", w.node("Gather", w.node("Shape", x), w.constant(axis)), w.constant([0]))


def attention(w: Writer, x: str, label: str, width: int, heads: int) -> str:
    """Causal multi-head self-attention."""

    def split(part: str) -> str:
        value = dense(w, x, f"{label}.{part}", width, width)
        batch, sequence = size_of(w, value, 0), size_of(w, value, 1)
        shape = w.node("Concat", batch, sequence, w.constant([heads]), w.constant([width // heads]), axis=0)
        return w.node("Transpose", w.node("Reshape", value, shape), perm=[0, 2, 1, 3])

    query, key, value = split("query"), split("key"), split("value")
    scores = w.node("MatMul", query, w.node("Transpose", key, perm=[0, 1, 3, 2]))
    scores = w.node("Div", scores, w.constant((width // heads) ** 0.5, np.float32))
    mixed = w.node("Transpose", w.node("MatMul", w.node("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    shape = w.node("Concat", size_of(w, x, 0), size_of(w, x, 1), w.constant([width]), axis=0)
    return dense(w, w.node("Reshape", mixed, shape), f"{label}.output", width, width)


def gelu(w: Writer, x: str) -> str:
    """x * (1 + erf(x / sqrt 2)) / 2 from its primitives."""
    erf = w.node("Erf", w.node("Div", x, w.constant(2**0.5, np.float32)))
    half = w.node("Mul", x, w.node("Add", erf, w.constant(1.0, np.float32)))
    return w.node("Mul", half, w.constant(0.5, np.float32))


def decoder(layers: int, width: int, vocabulary: int, heads: int = 12) -> tuple[ModelProto, Writer]:
    """The model without its weights, and the weights' names and shapes."""
    w = Writer()
    x = w.node("Gather", w.weight("embedding", vocabulary, width), "input_ids")
    for index in range(layers):
        normed = layer_norm(w, x, f"layer{index}.norm1", width)
        x = w.node("Add", x, attention(w, normed, f"layer{index}.attention", width, heads))
        normed = layer_norm(w, x, f"layer{index}.norm2", width)
        hidden = gelu(w, dense(w, normed, f"layer{index}.up", width, 4 * width))
        x = w.node("Add", x, dense(w, hidden, f"layer{index}.down", 4 * width, width))
    logits = w.node("MatMul", layer_norm(w, x, "norm", width), w.weight("head", width, vocabulary))
    w.nodes[-1].output[0] = "logits"
    assert logits
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", vocabulary])
    graph = helper.make_graph(w.nodes, "decoder", [ids], [out], w.small)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), w


def varint(value: int) -> bytes:
    """The protobuf encoding of a length."""
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


def write_inline(model: ModelProto, weights: list[tuple[str, tuple[int, ...]]], path: Path) -> None:
    """Write the weights as raw_data of initializers inside the model; their bytes stay unwritten."""
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    parts = []
    for name, shape in weights:
        size = 4 * int(np.prod(shape))
        head = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT).SerializeToString()
        body = head + b"\x4a" + varint(size)  # field 9, raw_data
        parts.append((b"\x2a" + varint(len(body) + size) + body, size))  # field 5, initializer
    total = len(graph) + sum(len(head) + size for head, size in parts)
    with path.open("wb") as file:
        file.write(model.SerializeToString() + b"\x3a" + varint(total) + graph)  # field 7, graph
        for head, size in parts:
            file.write(head)
            file.seek(size, 1)
        file.truncate()


def write_external(model: ModelProto, weights: list[tuple[str, tuple[int, ...]]], path: Path) -> None:
    """Write the weights as external data into one sparse file."""
    at = 0
    for name, shape in weights:
        size = 4 * int(np.prod(shape))
        tensor = model.graph.initializer.add(name=name, dims=shape, data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", f"{path.name}.data"), ("offset", str(at)), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        at += -(-size // 4096) * 4096
    path.write_bytes(model.SerializeToString())
    with path.with_name(f"{path.name}.data").open("wb") as file:
        file.truncate(at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--external", action="store_true")
    options = parser.parse_args()
    model, writer = decoder(options.layers, options.width, options.vocabulary)
    write = write_external if options.external else write_inline
    write(model, writer.weights, options.output)


if __name__ == "__main__":
    main()
