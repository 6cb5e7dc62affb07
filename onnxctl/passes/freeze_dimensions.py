"""Gives symbolic dimensions a size, everywhere a symbol is named: interface, value_info, and the types in subgraphs.

An input's dimension without a name goes by that of the input: "x.0" is the first of input x.

Not part of the pipeline: it changes the model's interface, and runs only where somebody asks for it (`--dim batch=1`).
Sizes that follow from the graph alone are not looked for; a symbol that another symbol equals at run time stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import GraphProto, TensorShapeProto

from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.types import innermost_tensor, unknown_dimension, unnamed_dimensions


def freeze_dimensions(graphs: ModelGraphs, dims: Mapping[str, int]) -> int:
    """Replace each symbol in `dims` by its size; how many dimensions became fixed.

    Raises UsageError for a symbol that no type of the model names, and that is no unnamed dimension of an input.
    """
    unnamed = unnamed_dimensions(graphs.model.proto.graph)
    shapes = [shape for scope in graphs.scopes() for shape in _shapes(scope)]
    symbols = dict.fromkeys(dim.dim_param for shape in shapes for dim in shape.dim if dim.dim_param)
    for name in dims:
        if name not in symbols and name not in unnamed:
            raise unknown_dimension(name, [*symbols, *unnamed])
    frozen = 0
    for shape in shapes:
        for dim in shape.dim:
            if dim.dim_param in dims and dim.HasField("dim_param"):
                dim.dim_value = dims[dim.dim_param]
                frozen += 1
    for name in dims.keys() & unnamed.keys() - symbols.keys():
        unnamed[name].dim_value = dims[name]
        frozen += 1
    return frozen


def _shapes(scope: Graph) -> Iterator[TensorShapeProto]:
    values = list(scope.proto.value_info)
    if isinstance(scope.proto, GraphProto):
        values = [*scope.proto.input, *scope.proto.output, *values]
    for value in values:
        tensor = innermost_tensor(value.type)
        if tensor is not None:
            yield tensor.shape
