"""Symbolic shapes, types and shape-like contents of every value, for models with dynamic dimensions.

    found = propagate(graphs, dims={"batch": 8})
    found.top.shape("logits")             # (8, seq, 30522): a tuple of int and Expression, None if the rank is unknown
    found.top.element_type("logits")      # TensorProto.FLOAT
    found.top.values("new_shape")         # (8, seq, 12, 64): contents of a small tensor, row-major, None where unknown
    found.top.integers("new_shape")       # the same, only where no element is unknown
    found.top.fact("logits")              # all of it: kind, dtype, shape, values, element (of sequences and optionals)
    for scope in found.top.scopes_in(node):   # subgraphs of If, Loop, Scan; the body of a called function
        scope.trip_count, scope.fact(...), scope.attribute(node, "axis")
    found.of(graph)                       # for rewriting a scope: what holds whoever calls it
    found.assumptions                     # equalities that were taken for granted, and contradictions

A dimension nobody knows is a symbol of its own (`unknown`, printed with a question mark), the same one wherever the
value's size goes, so that products and quotients stay exact.
"""

from onnxctl.model.propagation.facts import Element, Fact, Ratio, Shape, Values, byte_count
from onnxctl.model.propagation.scopes import Assumption, Propagation, ScopeFacts
from onnxctl.model.propagation.walk import propagate

__all__ = [
    "Assumption",
    "Element",
    "Fact",
    "Propagation",
    "Ratio",
    "ScopeFacts",
    "Shape",
    "Values",
    "byte_count",
    "propagate",
]
