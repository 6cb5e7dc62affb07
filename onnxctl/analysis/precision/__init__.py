"""In which types a model stores its weights and does its arithmetic, and what half precision would make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from onnx import TensorProto

from onnxctl.analysis.cost.walk import Row, count_nodes
from onnxctl.analysis.precision.half import look_at_half
from onnxctl.analysis.precision.mixed import cast_chains, find_islands, half_type
from onnxctl.analysis.precision.quantization import Arithmetic, arithmetic_of, quantized_weights, unpacked_counts
from onnxctl.analysis.weights import count_parameters, weights_of
from onnxctl.model.dimensions import evaluate, symbols
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.nodes import is_standard
from onnxctl.model.propagation import Propagation
from onnxctl.reports import MacPrecision, PrecisionReport, WeightPrecision

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
    islands = sorted(find_islands(walked), key=lambda each: -each.node_count) if mostly else []
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
        islands=tuple(islands[:_SHOWN]),
        island_count=len(islands),
        half=look_at_half(graphs.model, news),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


# ---------------------------------------------------------------- weights


class _Stored:
    """The stored weights by type, and how much of them is quantized."""

    def __init__(self, graphs: ModelGraphs) -> None:
        weights = [each for each in weights_of(graphs.model) if each.data_type != TensorProto.STRING]
        elements = sum(weight.element_count for weight in weights)
        stored_bytes = sum(weight.byte_count for weight in weights)
        unpacked = unpacked_counts(graphs)
        counts = {id(each): unpacked.get((each.scope, each.name), each.element_count) for each in weights}
        self.bits_per_weight = 8 * stored_bytes / sum(counts.values()) if elements else None
        self.rows = tuple(
            WeightPrecision(
                dtype=row.dtype,
                element_count=row.element_count,
                byte_count=row.byte_count,
                element_share=_share(row.element_count, elements),
                byte_share=_share(row.byte_count, stored_bytes),
            )
            for row in count_parameters(weights)
        )
        names = quantized_weights(graphs)
        quantized = [weight for weight in weights if (weight.scope, weight.name) in names]
        self.quantized_element_share = _share(sum(counts[id(each)] for each in quantized), sum(counts.values()))
        self.quantized_byte_share = _share(sum(each.byte_count for each in quantized), stored_bytes)


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
        sums: dict[Arithmetic, _Sum] = {}
        for row in counted:
            assert row.work is not None
            entry = sums.setdefault(arithmetic_of(row.graph, row.node, found.of(row.graph)), _Sum())
            entry.node_count += 1
            entry.macs += max(evaluate(row.work.macs, sizes), 0)
        self.rows = tuple(self._rows(sums))

    def _rows(self, sums: dict[Arithmetic, _Sum]) -> Iterator[MacPrecision]:
        total = sum(each.macs for each in sums.values())
        for kind, entry in sorted(sums.items(), key=lambda item: -item[1].macs):
            yield MacPrecision(
                type=kind.type, scheme=kind.scheme, node_count=entry.node_count, share=_share(entry.macs, total)
            )
