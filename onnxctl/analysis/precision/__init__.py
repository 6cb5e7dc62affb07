"""In which types a model stores its weights and does its arithmetic, and what half precision would make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from onnxctl.analysis.cost.walk import Row, count_nodes
from onnxctl.analysis.precision.half import look_at_half
from onnxctl.analysis.precision.mixed import cast_chains, find_islands, group_islands, half_type
from onnxctl.analysis.precision.quantization import Arithmetic, arithmetic_of
from onnxctl.analysis.precision.quantized_weights import quantized_tensors
from onnxctl.analysis.precision.unquantized import float_operators
from onnxctl.analysis.weights import weights_of
from onnxctl.model.dimensions import evaluate, symbols
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.nodes import is_standard
from onnxctl.model.propagation import Propagation
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import MacPrecision, PrecisionReport, WeightPrecision, WeightRole

ASSUMED_SIZE = 64
"""What symbols without a size are taken for where shares of MACs are formed."""

_SHOWN = 10
"""Chains and islands that are listed."""


def look_at_precision(graphs: ModelGraphs, found: Propagation, news: Callable[[str], None]) -> PrecisionReport:
    """The report for the sizes that propagation was given. Reads the weights in chunks; news tells of which."""
    stored = _Stored(graphs)
    rows = count_nodes(found.top)
    macs = _Macs(rows, found)
    walked = [(scope, facts) for scope in graphs.scopes() if (facts := found.of(scope)) is not None]
    chains = list(cast_chains(walked))
    mostly = half_type(walked)
    islands = list(find_islands(walked)) if mostly else []
    groups = group_islands(islands)
    quantized = stored.quantized_byte_share > 0 or any(row.scheme != "none" for row in macs.rows)
    return PrecisionReport(
        bits_per_weight=stored.bits_per_weight,
        weights=stored.rows,
        quantized_element_share=stored.quantized_element_share,
        quantized_byte_share=stored.quantized_byte_share,
        macs=macs.rows,
        assumed=macs.assumed,
        uncounted_node_count=sum(row.work is None for row in rows),
        cast_count=sum(is_standard(node, "Cast") for scope, _ in walked for node in scope.nodes),
        cast_chains=tuple(chains[:_SHOWN]),
        cast_chain_count=len(chains),
        half_type=mostly,
        islands=tuple(groups[:_SHOWN]),
        island_count=len(islands),
        float_operators=tuple(float_operators(walked, macs.share_of)) if quantized else (),
        half=look_at_half(graphs.model, news),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


# ---------------------------------------------------------------- weights


class _Stored:
    """The stored weights by type, and how much of them is quantized; scales and zero points apart."""

    def __init__(self, graphs: ModelGraphs) -> None:
        tensors = quantized_tensors(graphs)
        groups: dict[_Group, _Amount] = {}
        for weight in weights_of(graphs.model):
            if weight.data_type == TensorProto.STRING:
                continue
            stored = tensors.get((weight.scope, weight.name))
            role: WeightRole = "weight" if stored is None else stored.role
            bits, count = (0, 0) if stored is None else (stored.bits, stored.weight_count)
            count = count or weight.element_count
            amount = groups.setdefault(_Group(role, dtype_name(weight.data_type), bits), _Amount())
            amount.element_count += count
            amount.byte_count += weight.byte_count
            if stored is not None and role == "weight":
                amount.quantized_count += count
                amount.quantized_bytes += weight.byte_count
        self._summarize(groups)

    def _summarize(self, groups: dict[_Group, _Amount]) -> None:
        stored_bytes = sum(each.byte_count for each in groups.values())
        elements = sum(each.element_count for each in groups.values())
        weights = sum(each.element_count for group, each in groups.items() if group.role == "weight")
        self.bits_per_weight = 8 * stored_bytes / weights if weights else None
        self.quantized_element_share = _share(sum(each.quantized_count for each in groups.values()), weights)
        self.quantized_byte_share = _share(sum(each.quantized_bytes for each in groups.values()), stored_bytes)
        ordered = sorted(groups.items(), key=lambda item: (item[0].role == "scale", -item[1].byte_count, item[0]))
        self.rows = tuple(
            WeightPrecision(
                dtype=group.dtype,
                role=group.role,
                packed_bits=group.bits,
                element_count=each.element_count,
                byte_count=each.byte_count,
                element_share=_share(each.element_count, elements),
                byte_share=_share(each.byte_count, stored_bytes),
            )
            for group, each in ordered
        )


class _Group(NamedTuple):
    role: WeightRole
    dtype: str
    bits: int


@dataclass(slots=True)
class _Amount:
    """What the tensors of a group hold, and how much of that is quantized weights."""

    element_count: int = 0
    byte_count: int = 0
    quantized_count: int = 0
    quantized_bytes: int = 0


# ---------------------------------------------------------------- arithmetic


@dataclass(slots=True)
class _Sum:
    node_count: int = 0
    macs: int = 0


class _Macs:
    """The multiply-accumulates by type and scheme, symbols without a size taken for ASSUMED_SIZE."""

    def __init__(self, rows: Iterable[Row], found: Propagation) -> None:
        counted = [row for row in rows if row.work is not None and row.work.macs != 0]
        names = {each.name for row in counted if row.work is not None for each in symbols(row.work.macs)}
        self.assumed = tuple((name, ASSUMED_SIZE) for name in sorted(names))
        sizes = dict(self.assumed)
        self._of_node: dict[int, int] = {}
        sums: dict[Arithmetic, _Sum] = {}
        for row in counted:
            assert row.work is not None
            entry = sums.setdefault(arithmetic_of(row.graph, row.node, found.of(row.graph)), _Sum())
            macs = max(evaluate(row.work.macs, sizes), 0)
            entry.node_count += 1
            entry.macs += macs
            self._of_node[id(row.node)] = self._of_node.get(id(row.node), 0) + macs
        self._total = sum(each.macs for each in sums.values())
        self.rows = tuple(self._rows(sums))

    def share_of(self, node: NodeProto) -> float:
        """The node's share of all multiply-accumulates."""
        return _share(self._of_node.get(id(node), 0), self._total)

    def _rows(self, sums: dict[Arithmetic, _Sum]) -> Iterator[MacPrecision]:
        for kind, entry in sorted(sums.items(), key=lambda item: -item[1].macs):
            yield MacPrecision(
                type=kind.type, scheme=kind.scheme, node_count=entry.node_count, share=_share(entry.macs, self._total)
            )
