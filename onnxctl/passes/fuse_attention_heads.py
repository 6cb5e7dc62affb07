"""Let Attention split and join heads by itself (Attention, opset 23), and RotaryEmbedding between the two.

For Q, K, V of rank 3, (batch, length, heads * size), Attention does what exporters write around it: Reshape to (batch,
length, heads, size), Transpose to (batch, heads, length, size), and back behind it; so does RotaryEmbedding for what it
turns (ONNX operator documentation). The numbers of heads become their attributes. Exact: every element goes where it
went. Left alone: an Attention with a cache or further results, values that others read too, and shapes or numbers of
heads that are not known.
"""

from __future__ import annotations

from typing import NamedTuple

from onnx import NodeProto

from onnxctl.model.dimensions import Dimension, product
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute
from onnxctl.passes.base import Context, standard_nodes
from onnxctl.passes.pattern import is_private, maker
from onnxctl.passes.semantics import permutation_of

_FIRST_OPSET = 23
_RANK = 4
_SWAPPED = (0, 2, 1, 3)
_MOST_INPUTS = 4


class _Heads(NamedTuple):
    """What splits so many heads off the last axis: Reshape, Transpose, and a RotaryEmbedding if there is one."""

    reshaped: NodeProto
    swapped: NodeProto
    turned: NodeProto | None
    head_count: int

    @property
    def nodes(self) -> list[NodeProto]:
        return [self.reshaped, self.swapped, *([] if self.turned is None else [self.turned])]


def fuse_attention_heads(graph: Graph, context: Context) -> int:
    """Let Attentions read and make tensors of rank 3; returns how many."""
    if graph.opset() < _FIRST_OPSET:
        return 0
    return sum(_fuse(graph, context, node) for node in standard_nodes(graph, "Attention"))


def _fuse(graph: Graph, context: Context, node: NodeProto) -> bool:
    if len(node.input) > _MOST_INPUTS or any(node.output[1:]) or attribute(node, "q_num_heads", 0):
        return False
    before = [_split(graph, context, name) for name in node.input[:3]]
    back = graph.only_consumer(node.output[0])
    joined = None if back is None else graph.only_consumer(back.output[0])
    if back is None or joined is None or any(each is None for each in before):
        return False
    if maker(graph, back.output[0], "Transpose") is None or permutation_of(graph, back) != _SWAPPED:
        return False
    if maker(graph, joined.output[0], "Reshape") is None or joined.input[0] != back.output[0]:
        return False
    whole, parts = context.fact(graph, joined.output[0]).shape, context.fact(graph, back.output[0]).shape
    if whole is None or parts is None or not _joins(parts, whole):
        context.skip(node, "the heads of its result are not joined, or shapes are not known")
        return False
    heads = [each for each in before if each is not None]
    inner = list({id(each): each for one in heads for each in one.nodes}.values())
    if not is_private(graph, context, [joined, back, node, *inner]):
        context.skip(node, "others read its heads, or its result before they are joined")
        return False
    inputs = [_of_rank_three(graph, each) for each in heads]
    kept = {each.name: attribute(node, each.name) for each in node.attribute}
    kept |= {"q_num_heads": heads[0].head_count, "kv_num_heads": heads[1].head_count}
    graph.add_node(
        "Attention", [*inputs, *node.input[3:]], list(joined.output), before=joined, name=node.name, attributes=kept
    )
    for each in (joined, back, node, *inner):
        graph.remove(each)
    return True


def _of_rank_three(graph: Graph, heads: _Heads) -> str:
    """What the heads are before they are split, turned where they are."""
    whole = str(heads.reshaped.input[0])
    if heads.turned is None:
        return whole
    turned, result = heads.turned, graph.fresh_name(heads.turned.output[0])
    attributes = {each.name: attribute(turned, each.name) for each in turned.attribute} | {
        "num_heads": heads.head_count
    }
    inputs = [whole, *turned.input[1:]]
    graph.add_node("RotaryEmbedding", inputs, [result], before=turned, name=turned.name, attributes=attributes)
    return result


def _split(graph: Graph, context: Context, name: str) -> _Heads | None:
    """How heads are made of the last axis of a tensor of rank 3."""
    turned = maker(graph, name, "RotaryEmbedding")
    swapped = maker(graph, name if turned is None else turned.input[0], "Transpose")
    reshaped = None if swapped is None else maker(graph, swapped.input[0], "Reshape")
    if swapped is None or reshaped is None or permutation_of(graph, swapped) != _SWAPPED:
        return None
    whole, parts = context.fact(graph, reshaped.input[0]).shape, context.fact(graph, reshaped.output[0]).shape
    if whole is None or parts is None or not _joins(parts, whole):
        return None
    count = parts[2]
    return _Heads(reshaped, swapped, turned, count) if isinstance(count, int) else None


def _joins(parts: tuple[Dimension, ...], whole: tuple[Dimension, ...]) -> bool:
    """Whether (batch, length, heads, size) joined along the last two axes is (batch, length, heads * size)."""
    if len(parts) != _RANK or len(whole) != _RANK - 1:
        return False
    return parts[:2] == whole[:2] and product(parts[2:]) == whole[2]
