"""Types and shapes of every value, by propagation of symbols (`model.propagation`), where passes look for them.

What is found goes to `Graph.inferred` of each scope and never into the model: a saved model gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxctl.model.dimensions import Dimension
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.propagation import Propagation, propagate
from onnxctl.model.propagation.facts import Fact
from onnxctl.model.types import TensorType

_LARGEST_SIZE = 2**63 - 1


def learn_types(graphs: ModelGraphs) -> Propagation:
    """Fill `Graph.inferred` of every scope anew, and return all that propagation finds.

    Sizes that follow from the model's symbols are written out as symbols ("batch*seq"): equal texts are equal sizes. So
    is a number that no dimension holds.
    """
    found = propagate(graphs, assume_equal=False)
    for scope in graphs.scopes():
        facts = found.of(scope)
        scope.inferred = {} if facts is None else _tensor_types(scope, facts.facts)
    return found


def _tensor_types(scope: Graph, facts: Mapping[str, Fact]) -> dict[str, TensorType]:
    """The types of the scope's values; not of the model's inputs, which state theirs."""
    is_top = scope.proto is scope.model.proto.graph
    return {
        name: TensorType(fact.dtype, None if fact.shape is None else tuple(map(_size_or_symbol, fact.shape)))
        for name, fact in facts.items()
        if fact.kind == "tensor" and not (is_top and scope.is_input(name)) and name not in scope.initializers
    }


def _size_or_symbol(dim: Dimension) -> int | str:
    return dim if isinstance(dim, int) and abs(dim) <= _LARGEST_SIZE else str(dim)


def state_input_shapes(model: Model, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write down, in the model in memory, the shapes that its inputs were seen to have."""
    for value in model.proto.graph.input:
        shape = shapes.get(value.name)
        if shape is not None and value.type.HasField("tensor_type"):
            del value.type.tensor_type.shape.dim[:]
            value.type.tensor_type.shape.SetInParent()
            for size in shape:
                value.type.tensor_type.shape.dim.add(dim_value=size)
