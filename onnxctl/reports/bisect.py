"""What `onnxctl bisect` is asked for and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.diff import NodeChange, OutputDifference, WeightChange
    from onnxctl.reports.measurement import GraphOptimization


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectSide:
    """One of the two that are held against each other: a model, a provider, and onnxruntime's graph optimizations."""

    path: str
    provider: str
    graph_optimization: GraphOptimization


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """How both sides are run: generated inputs (`attempt` among the habitual sizes, None to find one), what is
    compared (names of either side), and the tolerance, None for the one that fits the first model. rows are values of
    the first side whose leading dimensions the second takes together.
    """

    before: BisectSide
    after: BisectSide
    dims: tuple[tuple[str, int], ...]
    seed: int
    inputs: tuple[tuple[str, str], ...]
    attempt: int | None
    input_names: tuple[tuple[str, str], ...]
    output_names: tuple[tuple[str, str], ...]
    tolerance: float | None
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came of running both: how far each value is apart, or why the second side gave none."""

    failure: str
    attempt: int
    dims: tuple[tuple[str, int], ...]
    tolerance: float
    values: tuple[OutputDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedValue:
    """A value that a part of a model was fed: element_type is TensorProto's number."""

    name: str
    element_type: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartProbe:
    """What came of running a part of either model on the values that the first makes: see `Probe`."""

    failure: str
    inputs: tuple[ProbedValue, ...]
    values: tuple[OutputDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectedNode:
    """A node that lies between the last equal values and the first that differ."""

    side: Literal["before", "after"]
    op_type: str
    domain: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectReport:
    """Where two models, providers or optimization levels begin to differ.

    first_values are the values behind the last equal cut through the graph, those that differ first; nodes make them,
    from `inputs`, which are equal on both sides. node_changes and weight_changes tell how these nodes of two models
    differ as such, also inside the bodies of control flow and functions. reproduced: these nodes alone, fed the same
    values, differ as well. node_count counts the nodes of the first model, cut_count the places where both could be
    compared, probe_count how often both sides were run. failure tells why the second side gave no values, where that is
    the difference.
    """

    kind: ClassVar[Literal["bisect"]] = "bisect"

    before: BisectSide
    after: BisectSide
    verdict: Literal["same", "different"]
    first_values: tuple[OutputDifference, ...]
    nodes: tuple[BisectedNode, ...]
    node_changes: tuple[NodeChange, ...]
    weight_changes: tuple[WeightChange, ...]
    inputs: tuple[ProbedValue, ...]
    failure: str
    reproduced: bool | None
    outputs: tuple[OutputDifference, ...]
    node_count: int
    cut_count: int
    probe_count: int
    tolerance: float
    seed: int
    dims: tuple[tuple[str, int], ...]
    files_written: tuple[str, ...]
    elapsed_ns: int
