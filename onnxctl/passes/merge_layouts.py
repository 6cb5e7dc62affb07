"""Rearrange a tensor in the fewest nodes: chains of Reshape, Transpose, Flatten, Squeeze and Unsqueeze.

What a chain does is one order and one grouping of the factors of its sizes (see `layout`), and needs at most a
Reshape, a Transpose and a Reshape: Reshape(1, 6, 10, 64 -> 6, 10, 64), Transpose(0, 2, 1), Reshape(-> 1, 6, 64, 10)
is Transpose(0, 1, 3, 2). A chain is replaced where that saves nodes; nodes that others read too stay, and so count as
none saved, but a chain that starts at or before them may still vanish. Exact. Sizes may be symbols. Opsets 5 on. Left
alone: sizes that are not known or whose factors don't match.
"""

from __future__ import annotations

from onnx import NodeProto

from onnxctl.model.graph import Graph
from onnxctl.model.nodes import is_standard
from onnxctl.model.types import TensorType
from onnxctl.passes.base import Context, bypass, freed_bytes, standard_nodes
from onnxctl.passes.layout import Layout, Step
from onnxctl.passes.semantics import add_integers, permutation_of

_REARRANGING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
_FIRST_OPSET_WITH_SHAPE_AS_INPUT = 5
_LONGEST_CHAIN = 8


def merge_layouts(graph: Graph, context: Context) -> int:
    """Replace chains that can be shorter; returns how many nodes were saved."""
    if graph.opset() < _FIRST_OPSET_WITH_SHAPE_AS_INPUT:
        return 0
    found = 0
    for node in standard_nodes(graph, *_REARRANGING):
        chain = _chain(graph, node)
        if len(chain) < 2:
            continue
        private = _private_count(graph, chain)
        for length in range(len(chain), 1, -1):
            steps = _steps(graph, context, chain[:length])
            saved = min(private, length) - len(steps) if steps is not None else 0
            if steps is None or saved <= 0:
                continue
            going = chain[: min(private, length)]
            if not context.afford(_added_bytes(going[0], steps), _freed_bytes(graph, context, going)):
                context.skip(node, "shapes to write down would be larger than what they replace")
            elif _replace(graph, context, going, steps, chain[length - 1].input[0]):
                found += saved
                break
    return found


def _chain(graph: Graph, node: NodeProto) -> list[NodeProto]:
    """The node, the rearranging node it reads, and so on upward."""
    chain = [node]
    while len(chain) < _LONGEST_CHAIN:
        maker = graph.producer(chain[-1].input[0])
        if maker is None or not is_standard(maker, *_REARRANGING):
            break
        chain.append(maker)
    return chain


def _private_count(graph: Graph, chain: list[NodeProto]) -> int:
    """How many nodes, from the end upward, nobody needs once the end is replaced."""
    count = 1
    while count < len(chain) and graph.only_consumer(chain[count].output[0]) is chain[count - 1]:
        count += 1
    return count


def _steps(graph: Graph, context: Context, chain: list[NodeProto]) -> list[Step] | None:
    source = context.fact(graph, chain[-1].input[0]).shape
    if source is None or 0 in source:
        return None
    layout = Layout(source)
    for node in reversed(chain):
        if node.op_type == "Transpose":
            permutation = permutation_of(graph, node)
            if permutation is None or sorted(permutation) != list(range(len(layout.shape))):
                return None
            layout.transpose(permutation)
        else:
            shape = context.fact(graph, node.output[0]).shape
            if shape is None or not layout.reshape(shape):
                return None
    return layout.steps()


def _added_bytes(end: NodeProto, steps: list[Step]) -> int:
    """What the new nodes take: eight bytes for each size, one for each axis, names, and what is around these."""
    total = 0
    for step in steps:
        total += 60 + 8 * len(step.target) if step.target is not None else 30 + len(step.permutation or ())
        total += len(end.input[0]) + len(end.output[0])
    return total


def _freed_bytes(graph: Graph, context: Context, going: list[NodeProto]) -> int:
    """What goes with the nodes, shapes that nobody else reads included."""
    shapes = [name for node in going for name in node.input[1:2]]
    return sum(node.ByteSize() for node in going) + freed_bytes(graph, context, shapes, *going)


def _replace(graph: Graph, context: Context, private: list[NodeProto], steps: list[Step], source: str) -> bool:
    end = private[0]
    if not steps:
        replaced = bypass(graph, context, end, source)
    else:
        replaced = True
        for index, step in enumerate(steps):
            last = index == len(steps) - 1
            result = end.output[0] if last else graph.fresh_name(f"{end.output[0]}_part")
            name = end.name if last else ""
            if step.permutation is not None:
                attributes = {"perm": step.permutation}
                graph.add_node("Transpose", [source], [result], before=end, name=name, attributes=attributes)
            else:
                shape = add_integers(graph, step.target or (), near="shape", before=end)
                graph.add_node("Reshape", [source, shape], [result], before=end, name=name)
            if not last:
                _note_type(graph, source, result, step)
            source = result
        graph.remove(end)
    if replaced:
        for node in private[1:]:
            graph.remove(node)
    return replaced


def _note_type(graph: Graph, source: str, result: str, step: Step) -> None:
    """The type of what the step makes, where it follows from the source's: passes behind this one ask for it."""
    element_type, shape = graph.element_type(source), graph.shape_of(source)
    if element_type is None or shape is None or (step.target is not None and -1 in step.target):
        return
    if step.permutation is not None:
        made = tuple(shape[axis] for axis in step.permutation)
    else:
        made = tuple(size or shape[axis] for axis, size in enumerate(step.target or ()))
    graph.inferred[result] = TensorType(element_type, made)
