"""Pad once: a Pad of a Pad, and a Pad before Conv, AveragePool or MaxPool, which pad by themselves.

Pad(Pad(x, a), b) = Pad(x, a + b) where both fill with the same constant and none crops. Conv(Pad(x, p)) = Conv(x)
with p added to its pads, AveragePool likewise where it counts what is padded (count_include_pad, ceil_mode = 0):
where Pad fills spatial axes alone with a constant 0. MaxPool(Pad(x, p)) = MaxPool(x) with p added where Pad fills with
-inf or the least number of the type, or with a number that x is nowhere below: a 0 behind Relu. Exact, but for the
order of sums in a Conv that some runtimes change with its pads. Opsets 2 on. Left alone: other modes and values,
negative pads, computed pads, pads of batch or channels, auto_pad, ceil_mode, pooling that would be padded by its
kernel's size or more, a MaxPool whose indices are asked for, and pads that would be larger than what they replace.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxctl.model.arrays import numpy_dtype
from onnxctl.model.attributes import set_attribute
from onnxctl.model.graph import Graph
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.passes.base import Context, freed_bytes, input_name, standard_nodes, written_bytes
from onnxctl.passes.pattern import maker
from onnxctl.passes.semantics import add_integers, integers, integers_bytes, normalized, rank_of, scalar

_FIRST_OPSET_WITH_PADS_AS_INPUT = 11
_NEVER_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Exp", "Abs")


def merge_pads(graph: Graph, context: Context) -> int:
    """Move what a Pad adds into the node after it; returns how many Pads went."""
    found = 0
    for node in standard_nodes(graph, "Conv", "AveragePool", "MaxPool", "Pad"):
        pad = graph.producer(node.input[0])
        if pad is None or not is_standard(pad, "Pad"):
            continue
        reason = _merge(graph, context, pad, node)
        if reason:
            context.skip(node, reason)
        found += not reason
    return found


def _merge(graph: Graph, context: Context, pad: NodeProto, node: NodeProto) -> str:
    """Let the node read what the Pad reads, with the Pad's pads added to its own; returns why not, or ""."""
    pads = _pads(graph, pad)
    fill = _fill(graph, pad)
    if pads is None or fill is None:
        return "the Pad's mode, value or widths are not constant"
    if min(pads) < 0:
        return "the Pad crops"
    if graph.only_consumer(pad.output[0]) is not node:
        return "others read the padded tensor too"
    merged = NodeProto()
    merged.CopyFrom(node)
    merged.input[0] = pad.input[0]
    total: list[int] = []  # what a Pad of opset 11 on states as an input
    if node.op_type == "Pad":
        own = _pads(graph, node)
        if own is None or min(own) < 0 or _fill(graph, node) != fill or len(own) != len(pads):
            return "the two Pads differ in mode or value, or one crops"
        total = [first + second for first, second in zip(pads, own, strict=True)]
        if graph.opset() < _FIRST_OPSET_WITH_PADS_AS_INPUT:
            set_attribute(merged, "pads", total)
            total = []
        else:
            merged.input[1:] = node.input[2:3]
    else:
        is_neutral = _is_below(graph, pad.input[0], fill) if node.op_type == "MaxPool" else fill == 0
        reason = _pad_inside(merged, pads) if is_neutral else "the Pad fills with a number that counts"
        if reason:
            return reason
    added = written_bytes(merged) + (integers_bytes(graph, len(total), near="pads") if total else 0)
    superfluous = {*pad.input[1:], *node.input} - {pad.output[0], *merged.input}
    freed = written_bytes(pad, node) + freed_bytes(graph, context, sorted(superfluous), pad, node)
    if not context.afford(added, freed):
        return "its pads would be larger than the Pad that goes"
    if total:
        merged.input.insert(1, add_integers(graph, total, near="pads", before=node))
    graph.insert(merged, before=node)
    graph.remove(node)
    graph.remove(pad)
    return ""


def _pad_inside(node: NodeProto, pads: list[int]) -> str:
    rank = len(pads) // 2
    if rank < 3 or any(pads[:2]) or any(pads[rank : rank + 2]):
        return "the Pad widens the batch or the channels"
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return "the pads of the second node follow from auto_pad"
    own = list(attribute(node, "pads") or [0] * (2 * rank - 4))
    if len(own) != 2 * rank - 4:
        return "its pads do not fit the rank"
    total = [first + second for first, second in zip(own, pads[2:rank] + pads[rank + 2 :], strict=True)]
    if node.op_type != "Conv":
        reason = _why_not_pooled(node, own, total)
        if reason:
            return reason
    if node.op_type == "AveragePool":
        set_attribute(node, "count_include_pad", 1)
    if attribute(node, "auto_pad") is not None:
        set_attribute(node, "auto_pad", b"NOTSET")
    set_attribute(node, "pads", total)
    return ""


def _why_not_pooled(node: NodeProto, own: list[int], total: list[int]) -> str:
    if attribute(node, "ceil_mode", 0):
        return "which windows it has past the end depends on what is padded (ceil_mode)"
    if node.op_type == "AveragePool" and any(own) and not attribute(node, "count_include_pad", 0):
        return "AveragePool does not count what it pads"
    if node.op_type == "MaxPool" and any(node.output[1:]):
        return "the indices that it gives count what is padded"
    if any(width >= size for width, size in zip(total, list(attribute(node, "kernel_shape")) * 2, strict=True)):
        return f"{node.op_type} can't be padded by its kernel's size"
    return ""


def _is_below(graph: Graph, name: str, fill: float) -> bool:
    """Whether no element of the value is known to be able to be below the number."""
    element_type = graph.element_type(name)
    if element_type is None:
        return False
    dtype = numpy_dtype(element_type)
    if dtype.kind == "f" and fill <= float(np.finfo(dtype).min):
        return True
    if dtype.kind in "iu" and fill <= int(np.iinfo(dtype).min):
        return True
    if maker(graph, name, *_NEVER_NEGATIVE) is not None:
        return fill <= 0
    clip = maker(graph, name, "Clip")
    low = None if clip is None else attribute(clip, "min", scalar(graph, input_name(clip, 1)))
    return low is not None and fill <= float(low)


def _pads(graph: Graph, node: NodeProto) -> list[int] | None:
    """What the Pad adds: at the begin of each axis, then at the end of each."""
    given = attribute(node, "pads")
    if given is not None:
        return [int(width) for width in given]
    found = integers(graph, input_name(node, 1))
    if found is None or not input_name(node, 3):
        return found or None
    rank, axes = rank_of(graph, node.input[0]), integers(graph, input_name(node, 3))
    if rank is None or axes is None:
        return None
    places = normalized(axes, rank)
    if places is None or len(found) != 2 * len(places):
        return None
    pads = [0] * (2 * rank)
    for index, axis in enumerate(places):
        pads[axis], pads[axis + rank] = found[index], found[index + len(places)]
    return pads


def _fill(graph: Graph, node: NodeProto) -> float | None:
    """The constant the Pad fills with; None for other modes."""
    if attribute(node, "mode", b"constant") != b"constant":
        return None
    name = input_name(node, 2)
    return scalar(graph, name) if name else float(attribute(node, "value", 0.0))
