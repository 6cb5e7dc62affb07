"""What `onnxctl diff` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from onnxctl.reports.shared import Dim


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChange:
    """A field of the model's header: "ir_version", "opset_import ai.onnx", "metadata author". None: not there."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceChange:
    """An input or output that is new, gone, of another type, renamed or, as `note` says, made otherwise."""

    role: Literal["input", "output"]
    before: str | None
    after: str | None
    before_type: str | None
    after_type: str | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A node that is new, gone, replaced by one of another operator, or has other attributes or inputs.

    `details` tell each change, what a node was put or taken out between, and what operator has replaced it.
    """

    status: Literal["added", "removed", "changed", "replaced"]
    op_type: str
    domain: str
    before: str | None
    after: str | None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightChange:
    """A stored tensor that is new, gone, or has other values, and how far these are apart where the shapes agree.

    max_relative is max_absolute over the largest magnitude before. "not compared": its data can't be had.
    """

    status: Literal["added", "removed", "changed", "not compared"]
    before: str | None
    after: str | None
    before_type: str | None
    after_type: str | None
    changed_count: int | None = None
    element_count: int | None = None
    max_absolute: float | None = None
    max_relative: float | None = None
    cosine: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffCounts:
    """How much was alike, and how it was compared. Renames are no differences.

    Of the equal weights, same_place_weights were the same bytes of the same file, whole_weights were compared byte by
    byte, sampled_weights by samples only. stored_otherwise counts initializers that were Constant nodes or inversely.
    """

    nodes_before: int
    nodes_after: int
    matched_nodes: int
    renamed_nodes: int
    renamed_values: int
    weights_before: int
    weights_after: int
    equal_weights: int
    renamed_weights: int
    stored_otherwise: int
    same_place_weights: int
    whole_weights: int
    sampled_weights: int
    compared_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopAgreement:
    """How often the k largest elements of a row are the same, of row_count rows; same_order: in the same order."""

    k: int
    row_count: int
    same_set: float
    same_order: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDifference:
    """One output of both models on the same inputs, over all runs; cosine is the smallest of the runs.

    max_relative is the largest |a - b| / (|a| + what is typical of the output), held against the tolerance. top is
    left out for values within a model.
    """

    before: str
    after: str
    equal: bool
    max_absolute: float
    max_relative: float
    mean_absolute: float | None
    cosine: float | None
    top: tuple[TopAgreement, ...]
    tolerance: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputsComparison:
    """Both models run on the same inputs, without graph optimizations; not verified where that could not be done."""

    status: Literal["equal", "different", "not verified"]
    reason: str
    run_count: int
    seed: int
    dims: tuple[tuple[str, Dim], ...]
    outputs: tuple[OutputDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffReport:
    """What differs between two models. "not compared": nothing differs, but for some weights the data can't be had.

    With outputs compared, they count too. full: people shall be shown all of it.
    """

    kind: ClassVar[Literal["diff"]] = "diff"

    before: str
    after: str
    verdict: Literal["same", "different", "not compared"]
    header: tuple[TextChange, ...]
    interface: tuple[InterfaceChange, ...]
    nodes: tuple[NodeChange, ...]
    weights: tuple[WeightChange, ...]
    counts: DiffCounts
    outputs: OutputsComparison | None
    full: bool
    elapsed_ns: int
