"""What a quantized model still computes in floating point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnx import NodeProto

from onnxctl.analysis.cost.catalogue import MOVES
from onnxctl.analysis.precision.mixed import Walked
from onnxctl.analysis.precision.quantization import arithmetic_of
from onnxctl.model.graph import Graph
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS, is_standard, shown_domain
from onnxctl.model.propagation import ScopeFacts
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import FloatOperator


@dataclass(slots=True)
class _Seen:
    where: str
    node_count: int = 0
    mac_share: float = 0.0


def float_operators(walked: Walked, share_of: Callable[[NodeProto], float]) -> Iterator[FloatOperator]:
    """The operators that compute on floating-point numbers none of which are quantized; the most MACs first."""
    seen: dict[tuple[str, str, str], _Seen] = {}
    for scope, facts in walked:
        for node in scope.nodes:
            dtype = _float_type(node, facts)
            if dtype and not _is_quantized(scope, node, facts) and not _rescales(scope, node):
                domain = shown_domain(node.domain)
                entry = seen.setdefault((domain, as_text(node.op_type), dtype), _Seen(as_text(scope.node_label(node))))
                entry.node_count += 1
                entry.mac_share += share_of(node)
    for (domain, op_type, dtype), entry in sorted(seen.items(), key=lambda item: _order(item[1])):
        yield FloatOperator(
            domain=domain,
            op_type=op_type,
            dtype=dtype,
            node_count=entry.node_count,
            mac_share=entry.mac_share,
            where=entry.where,
        )


def _is_quantized(scope: Graph, node: NodeProto, facts: ScopeFacts) -> bool:
    """Whether it computes on quantized numbers, or on the result of a node that does before that is quantized again."""
    if arithmetic_of(scope, node, facts).scheme != "none":
        return True
    before = scope.producer(node.input[0]) if node.input else None
    after = [each.op_type for name in node.output for each in scope.consumers(name)]
    if before is None or not after or set(after) != {"QuantizeLinear"}:
        return False
    return arithmetic_of(scope, before, facts).scheme == "QDQ"


def _order(entry: _Seen) -> tuple[float, int]:
    return -entry.mac_share, -entry.node_count


def _float_type(node: NodeProto, facts: ScopeFacts) -> str:
    """The type of a node's input and output where both are floating-point numbers and it computes; else ""."""
    if "uantize" in node.op_type or (node.domain in DEFAULT_DOMAINS and node.op_type in MOVES):
        return ""
    read, made = (
        [dtype_name(each) for name in names if name and (each := facts.element_type(name))]
        for names in (node.input, node.output)
    )
    floats = [each for each in read if each.startswith(("float", "bfloat"))]
    return floats[0] if floats and any(each.startswith(("float", "bfloat")) for each in made) else ""


def _rescales(scope: Graph, node: NodeProto) -> bool:
    """Whether a Mul turns the sums of an integer product back into numbers, or makes the factor for that."""
    if not is_standard(node, "Mul"):
        return False
    readers = [each for name in node.output for each in scope.consumers(name)]
    return _takes_sums(scope, node) or (bool(readers) and all(_takes_sums(scope, each) for each in readers))


def _takes_sums(scope: Graph, node: NodeProto) -> bool:
    """Whether the node multiplies what a Cast makes of an integer product."""
    if not is_standard(node, "Mul"):
        return False
    for name in node.input:
        cast = scope.producer(name)
        product = scope.producer(cast.input[0]) if cast is not None and is_standard(cast, "Cast") else None
        if product is not None and is_standard(product, "MatMulInteger", "ConvInteger"):
            return True
    return False
