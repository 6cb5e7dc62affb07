"""Let Attention repeat key and value heads by itself (grouped queries: Attention, opset 23).

Of K and V of rank 4 with fewer heads than Q, Attention gives each head to as many heads of Q that follow each other.
Exporters repeat them before it: (batch, heads, 1, length, size) is expanded to (batch, heads, times, length, size), and
reshaped to (batch, heads * times, length, size). Exact, and it saves the copies: every product is the same. Left alone:
an Attention with a cache or further results, repeated values that others read, shapes that are not known, and heads
that must be squeezed first where that would make the model larger.
"""

from __future__ import annotations

from typing import NamedTuple

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension, product
from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, constant_bytes, standard_nodes
from onnxctl.passes.pattern import is_private, maker
from onnxctl.passes.semantics import add_integers

_FIRST_OPSET = 23
_MOST_INPUTS = 4
_RANK = 4
_TIMES = 2
"""The axis that is expanded."""

_SQUEEZE_BYTES = 40
"""What a Squeeze takes, axes and names of values apart."""


class _Repeated(NamedTuple):
    """Heads that are repeated: the Reshape and the Expand that do it, how many heads, and how often each."""

    joined: NodeProto
    expanded: NodeProto
    heads: Dimension
    times: int


def fuse_grouped_heads(graph: Graph, context: Context) -> int:
    """Let Attentions read heads that are not repeated; returns how many do."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Attention"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    if len(node.input) > _MOST_INPUTS or any(node.output[1:]):
        return False
    key, value = (_repeated(graph, context, name) for name in node.input[1:3])
    query = context.fact(graph, node.input[0]).shape
    if key is None or value is None or query is None or key.heads != value.heads or key.times != value.times:
        return False
    if len(query) != _RANK or query[1] != product((key.heads, key.times)) or key.joined is value.joined:
        return False
    if not is_private(graph, context, [node, key.joined, key.expanded, value.joined, value.expanded]):
        context.skip(node, "others read the heads that are repeated for it")
        return False
    added = sum(_added_bytes(graph, context, each) for each in (key, value))
    freed = sum(each.joined.ByteSize() + each.expanded.ByteSize() for each in (key, value))
    if not context.afford(added, freed):
        context.skip(node, "heads that are squeezed first would make the model larger")
        return False
    for place, each in ((1, key), (2, value)):
        graph.set_input(node, place, _single_heads(graph, context, each) or _squeezed(graph, each))
        graph.remove(each.joined)
        graph.remove(each.expanded)
        _remove_unread(graph, each.expanded.input[0])
    return True


def _repeated(graph: Graph, context: Context, name: str) -> _Repeated | None:
    """The nodes that repeat the heads of the value, None where they aren't."""
    joined = maker(graph, name, "Reshape")
    expanded = None if joined is None else maker(graph, joined.input[0], "Expand")
    if joined is None or expanded is None:
        return None
    whole, parts, before = (context.fact(graph, each).shape for each in (name, *joined.input[:1], expanded.input[0]))
    if whole is None or parts is None or before is None or len(whole) != _RANK or len(parts) != _RANK + 1:
        return None
    times = parts[_TIMES]
    if not isinstance(times, int) or before != (*parts[:_TIMES], 1, *parts[_TIMES + 1 :]):
        return None
    if whole != (parts[0], product(parts[1 : _TIMES + 1]), *parts[_TIMES + 1 :]):
        return None
    return _Repeated(joined, expanded, parts[1], times)


def _single_heads(graph: Graph, context: Context, repeated: _Repeated) -> str | None:
    """The heads before they got the axis along which they are repeated; None where they always had it."""
    single = repeated.expanded.input[0]
    unsqueezed, shape = maker(graph, single, "Unsqueeze"), context.fact(graph, single).shape or ()
    wanted = (*shape[:_TIMES], *shape[_TIMES + 1 :])
    if unsqueezed is not None and context.fact(graph, unsqueezed.input[0]).shape == wanted:
        return str(unsqueezed.input[0])
    return None


def _added_bytes(graph: Graph, context: Context, repeated: _Repeated) -> int:
    """What the Attention's input takes, and the Squeeze that makes it where nothing does."""
    heads = _single_heads(graph, context, repeated)
    if heads is not None:
        return len(heads)
    names_bytes = len(repeated.joined.name) + 3 * len(repeated.expanded.input[0])
    return _SQUEEZE_BYTES + names_bytes + constant_bytes(graph, "axes", 8, 1)


def _squeezed(graph: Graph, repeated: _Repeated) -> str:
    """The name of the heads without the axis along which they would be repeated, which a new Squeeze takes away."""
    single = repeated.expanded.input[0]
    axes = add_integers(graph, [_TIMES], near="axes", before=repeated.expanded)
    heads = graph.fresh_name(single)
    graph.add_node("Squeeze", [single, axes], [heads], before=repeated.expanded, name=repeated.joined.name)
    return heads


def _remove_unread(graph: Graph, name: str) -> None:
    """Take out the Unsqueeze that nobody reads any more, for others to see that its input is read once."""
    unsqueezed = maker(graph, name, "Unsqueeze")
    if unsqueezed is not None and not graph.is_used(name):
        graph.remove(unsqueezed)
