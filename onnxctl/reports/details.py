"""What `onnxctl inspect` shows when asked: every node, every stored tensor, the scopes, one node from close by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.cost import NodeCost, Quantity
    from onnxctl.reports.shared import OperatorCount
    from onnxctl.reports.summary import ModelSummary

Role = Literal["input", "output", "initializer", "node", "outer", "absent"]
"""What a value is to a node: a graph's input or output, an initializer, another node's, of an outer scope, left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """One node: its scope ("" for the top graph, else "If_3/then_branch", "function:domain:Name") and what it joins."""

    scope: str
    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightStatistics:
    """The values of one stored tensor; range, mean and deviation over the finite ones.

    histogram counts the finite values in bins of equal width from minimum to maximum. digest is the SHA-256 of element
    type, shape and raw bytes.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    zero_count: int
    nan_count: int
    inf_count: int
    histogram: tuple[int, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightInfo:
    """One stored tensor; source is "initializer", "sparse_initializer" or "constant", storage "inline" or a file.

    Where values were asked for: statistics, the first tensor with the same contents, or why they can't be read.
    """

    scope: str
    name: str
    source: str
    dtype: str
    shape: tuple[int, ...]
    element_count: int
    byte_count: int
    storage: str
    statistics: WeightStatistics | None = None
    same_as: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeInfo:
    """One branch of the model's tree; depth says how deep it lies within the one before.

    A "module" is a folder of node names and counts all that is in it; "graph", "subgraph" and "function" are scopes,
    and nodes, parameters and operators those of this very scope. path is as in NodeInfo, holder the operator that
    runs a subgraph, trips how often it does each time; macs include what lies within.
    """

    depth: int
    path: str
    role: Literal["graph", "module", "subgraph", "function"]
    name: str
    holder: str
    trips: Quantity | None
    node_count: int
    parameter_count: int
    macs: Quantity
    operators: tuple[OperatorCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueInfo:
    """A value that a node reads or makes, the nodes at its other end, and the contents of a small constant."""

    name: str
    type: str
    role: Role
    nodes: tuple[str, ...]
    contents: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDetail:
    """One node from close by; cost is None where it is not run."""

    node: NodeInfo
    doc_string: str
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    metadata: tuple[tuple[str, str], ...]
    cost: NodeCost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectManyReport:
    """Several models side by side, in the order they were named."""

    kind: ClassVar[Literal["inspect_many"]] = "inspect_many"

    models: tuple[ModelSummary, ...]
