"""What `onnxctl inspect` says of a model, on the first screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.compatibility import CompatibilityReport
    from onnxctl.reports.cost import CostReport, MemoryReport, SweepPoint
    from onnxctl.reports.details import NodeDetail, NodeInfo, ScopeInfo, WeightInfo
    from onnxctl.reports.precision import PrecisionReport
    from onnxctl.reports.shared import Finding, OperatorCount, TensorSpec


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
class ModelSummary:
    """What `onnxctl inspect` saw; node_count includes subgraphs and function bodies, top_node_count does not.

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
