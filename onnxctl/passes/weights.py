"""Weights that fusions change: read one at a time, computed in float64, rounded once, put back under their own name.

Only a weight that one node reads is changed, so that the model never grows by a second copy. float16 and bfloat16
weights are computed in float64 too and rounded once at the end.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxctl.model.arrays import Array
from onnxctl.model.derivation import Stretch, multiply, scale, stretch_index
from onnxctl.model.graph import Graph
from onnxctl.model.loading import Model
from onnxctl.model.tensors import Tensor
from onnxctl.passes.base import Context, home_of_constant, takes_initializers

FLOAT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})

TENSOR_HEADER_BYTES = 24
"""What an initializer takes beside its name and values, at most: dims, element type, and the tags of all fields."""


def private_weight(graph: Graph, context: Context, name: str, reader: NodeProto) -> Tensor | None:
    """The float constant, where it is an initializer, here or in a scope around, that only this node reads, once.

    None where a change would be seen elsewhere: by other nodes, the caller, annotations or training.
    """
    if name in context.pinned or graph.only_consumer(name) is not reader or home_of_constant(graph, name) is None:
        return None
    tensor = graph.constant(name)
    return tensor if tensor is not None and tensor.proto.data_type in FLOAT_TYPES else None


def float_values(graph: Graph, name: str, *, at_most: int = 1 << 20) -> Array | None:
    """A float constant of at most so many elements, as float64; None where it is not constant or not finite."""
    tensor = graph.constant(name) if name else None
    if tensor is None or tensor.proto.data_type not in FLOAT_TYPES or tensor.element_count > at_most:
        return None
    values = tensor.numpy().astype(np.float64)
    return values if bool(np.isfinite(values).all()) else None


def scaled_weight(model: Model, weight: Tensor, factor: Array, stretch: Stretch | None = None) -> TensorProto | None:
    """The weight, or a stretch of it, times the factor (see `derivation.scale`), computed when somebody reads it.

    None where a finite element would become infinite. Only factors above 1 can do that; only for them is it read now.
    """
    if not bool((np.abs(factor) <= 1).all()) and not _stays_finite(weight.numpy()[stretch_index(stretch)], factor):
        return None
    return model.derived_tensor(weight.name, scale(weight, factor, stretch))


def _stays_finite(array: Array, factor: Array) -> bool:
    if array.dtype == np.float32 and array.size:
        largest = max(float(array.max()), -float(array.min())) * float(np.abs(factor).max())
        if largest <= float(np.finfo(np.float32).max):
            return True
    result = multiply(array, factor, np.empty_like(array))
    return bool(np.array_equal(np.isfinite(result), np.isfinite(array)))


def put_weight(graph: Graph, tensor: TensorProto) -> None:
    """Put the tensor in the place of the initializer of its name, in whatever scope that is; or here, as a new one."""
    (graph.scope_of(tensor.name) or graph).set_initializer(tensor)


def add_weight(graph: Graph, context: Context, wanted: str, array: Array, *, freed_bytes: int = 0) -> str:
    """The name of a new initializer with these values; "" where the scope takes none or the model would grow.

    freed_bytes is what else the rewrite makes superfluous.
    """
    if not takes_initializers(graph):
        return ""
    name = graph.fresh_name(wanted)
    if not context.afford(array.nbytes + 2 * len(name) + TENSOR_HEADER_BYTES, freed_bytes):
        return ""
    graph.set_initializer(graph.model.new_tensor(name, array))
    return name


def bytes_with_constants(graph: Graph, node: NodeProto) -> int:
    """The bytes of the node and of the initializers that only it reads: what is freed when it goes."""
    homes = [(home_of_constant(graph, name), name) for name in node.input]
    own = [name for home, name in homes if home is not None and not home.is_input(name)]
    tensors = [tensor for name in own if (tensor := graph.constant(name)) is not None]
    return int(node.ByteSize()) + sum(tensor.byte_count + len(tensor.name) for tensor in tensors)
