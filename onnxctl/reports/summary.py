"""What `onnxctl inspect` is asked for, and what it says of a model on the first screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.compatibility import CompatibilityReport
    from onnxctl.reports.cost import CostReport, MemoryReport, SweepPoint
    from onnxctl.reports.details import NodeDetail, NodeInfo, ScopeInfo, WeightInfo
    from onnxctl.reports.precision import PrecisionReport
    from onnxctl.reports.shared import Finding, OperatorCount, TensorSpec


SortKey = Literal["macs", "flops", "bytes", "params", "name", "order"]
"""What lists can be sorted by; "order" is that of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectConfig:
    """What to tell of a model beyond the summary.

    values reads the weights, for their statistics. node names a node, or one of its outputs, depth how far into its
    modules the tree goes. dims gives symbols a size, sweep several. operators (domain or None, op_type), match (a
    regular expression), sort and top choose what the lists hold.
    """

    nodes: bool = False
    weights: bool = False
    values: bool = False
    text: bool = False
    whole_text: bool = False
    cost: bool = False
    memory: bool = False
    tree: bool = False
    depth: int = 3
    findings: bool = False
    precision: bool = False
    compatibility: bool = False
    node: str | None = None
    dims: tuple[tuple[str, int], ...] = ()
    sweep: tuple[tuple[str, tuple[int, ...]], ...] = ()
    operators: tuple[tuple[str | None, str], ...] = ()
    match: str | None = None
    sort: SortKey | None = None
    top: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """One file the model consists of; role is "model" or "data"; problem says why it can't be used."""

    path: str
    role: Literal["model", "data"]
    file_bytes: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeParameters:
    """Parameters (initializer and Constant elements) held in one dtype."""

    dtype: str
    tensor_count: int
    element_count: int
    byte_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """One model-local function and how often nodes call it."""

    domain: str
    name: str
    overload: str
    node_count: int
    call_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedNode:
    """A node of ai.onnx.ml that holds what it has learned in its attributes: numbers and strings in lists and tensors.

    Of a tree ensemble, how many trees, nodes that decide and leaves these are.
    """

    scope: str
    name: str
    op_type: str
    number_count: int
    string_count: int
    tree_count: int = 0
    inner_node_count: int = 0
    leaf_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """What `onnxctl inspect` saw; node_count includes subgraphs and function bodies, top_node_count does not.

    parameters are what tensors hold, learned what the nodes of ai.onnx.ml do in their attributes.
    looked_closer says whether findings are all there are, or those that a look at the messages shows.
    """

    kind: ClassVar[Literal["inspect"]] = "inspect"

    path: str
    files: tuple[FileInfo, ...]
    total_bytes: int
    ir_version: int
    opset_imports: tuple[tuple[str, int], ...]
    producer_name: str
    producer_version: str
    domain: str
    model_version: int
    doc_string: str
    graph_name: str
    metadata: tuple[tuple[str, str], ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    node_count: int
    top_node_count: int
    subgraph_count: int
    functions: tuple[FunctionInfo, ...]
    operators: tuple[OperatorCount, ...]
    parameters: tuple[DtypeParameters, ...]
    parameter_count: int
    parameter_bytes: int
    initializer_count: int
    learned: tuple[LearnedNode, ...] = ()
    findings: tuple[Finding, ...] = ()
    looked_closer: bool = False
    nodes: tuple[NodeInfo, ...] | None = None
    weights: tuple[WeightInfo, ...] | None = None
    text: str | None = None
    cost: CostReport | None = None
    memory: MemoryReport | None = None
    sweep: tuple[SweepPoint, ...] | None = None
    tree: tuple[ScopeInfo, ...] | None = None
    node: NodeDetail | None = None
    precision: PrecisionReport | None = None
    compatibility: CompatibilityReport | None = None
