"""What a model costs: arithmetic, bytes moved, memory held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """An amount: a value where all sizes are known, else a polynomial, as text and as (coefficient, factors) terms."""

    value: int | None
    expression: str
    terms: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """What one node computes and moves; None where that can't be known, with the reason."""

    scope: str
    name: str
    op_type: str
    domain: str
    macs: Quantity | None
    flops: Quantity | None
    read_bytes: Quantity | None
    written_bytes: Quantity | None
    parameter_count: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """The cost of all nodes of one operator that could be counted."""

    domain: str
    op_type: str
    count: int
    macs: Quantity
    flops: Quantity
    read_bytes: Quantity
    written_bytes: Quantity
    parameter_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UncountedOperator:
    """Nodes whose work is not in the totals, and why."""

    domain: str
    op_type: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What running the model once costs; FLOPs count a multiply-accumulate as two.

    arithmetic_intensity is FLOPs per byte read or written. symbols are those the polynomials still hold; contradictions
    are dimensions that had to be equal and are not. complete is False where the model is too large to walk whole.
    nodes are None where nobody asked for them.
    """

    dims: tuple[tuple[str, int], ...]
    symbols: tuple[str, ...]
    macs: Quantity
    flops: Quantity
    read_bytes: Quantity
    written_bytes: Quantity
    arithmetic_intensity: float | None
    node_count: int
    operators: tuple[OperatorCost, ...]
    nodes: tuple[NodeCost, ...] | None
    uncounted: tuple[UncountedOperator, ...]
    contradictions: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTensor:
    """A tensor that is held at the peak."""

    name: str
    byte_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReport:
    """Peak activation memory, at which node, and what is held there (the largest); inputs and weights not included.

    peak_bytes is None where symbols still need a size, or the sizes of unknown_count values depend on the data.
    """

    dims: tuple[tuple[str, int], ...]
    peak_bytes: int | None
    peak_node: str
    live: tuple[LiveTensor, ...]
    input_bytes: int | None
    output_bytes: int | None
    symbols: tuple[str, ...]
    unknown_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """Cost and peak memory for one choice of sizes; None where these leave `symbols` without one."""

    dims: tuple[tuple[str, int], ...]
    macs: int | None
    flops: int | None
    read_bytes: int | None
    written_bytes: int | None
    peak_bytes: int | None
    symbols: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
