"""Every value that crosses a border: what the verbs are asked for and what they answer.

These frozen dataclasses *are* the JSON that `--format json` prints. Names carry their units (`load_ns`, `file_bytes`).
`encode` and `decode` turn any of them into plain JSON values and back.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar

SCHEMA = 1

Severity = Literal["info", "warning", "error"]
Dim = int | str | None
"""One dimension of a shape: a size, a symbol's name, or None where the model says nothing."""


# ---------------------------------------------------------------- shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something worth telling about a model or a measurement; `code` is stable."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """The name and type of one model input or output.

    kind is "tensor", "sparse_tensor", "sequence", "optional", "map" or "unknown"; type is the type in words, as ONNX
    writes it: "float32[batch, 3, 224, 224]", "seq(map(int64, float32))". dtype and shape describe the (innermost)
    tensor; shape is None where the rank is unknown, as are its entries where nothing is said.
    """

    name: str
    kind: str
    type: str
    dtype: str | None
    shape: tuple[Dim, ...] | None
    has_default: bool = False


# ---------------------------------------------------------------- inspect


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """One file the model consists of; role is "model" or "data"; problem says why it can't be used."""

    path: str
    role: Literal["model", "data"]
    file_bytes: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCount:
    """How often an operator occurs, subgraphs and function bodies included."""

    domain: str
    op_type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeParameters:
    """Parameters (initializer and Constant elements) held in one dtype."""

    dtype: str
    tensor_count: int
    element_count: int
    byte_count: int


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
    """One stored tensor; source is "initializer", "sparse_initializer" or "constant", storage "inline" or a file."""

    scope: str
    name: str
    source: str
    dtype: str
    shape: tuple[int, ...]
    element_count: int
    byte_count: int
    storage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """One model-local function and how often nodes call it."""

    domain: str
    name: str
    overload: str
    node_count: int
    call_count: int


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
    """

    dims: tuple[tuple[str, int], ...]
    symbols: tuple[str, ...]
    macs: Quantity
    flops: Quantity
    read_bytes: Quantity
    written_bytes: Quantity
    arithmetic_intensity: float | None
    operators: tuple[OperatorCost, ...]
    nodes: tuple[NodeCost, ...]
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
class ModelSummary:
    """What `onnxctl inspect` saw; node_count includes subgraphs and function bodies, top_node_count does not."""

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
    nodes: tuple[NodeInfo, ...] | None = None
    weights: tuple[WeightInfo, ...] | None = None
    text: str | None = None


# ---------------------------------------------------------------- optimize


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeConfig:
    """What to optimize and how. passes None means the whole pipeline, external_data None "as the input has it"."""

    path: str
    output: str
    dims: tuple[tuple[str, int], ...] = ()
    passes: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    with_onnxsim: bool = False
    verify: bool = True
    seed: int = 0
    external_data: bool | None = None
    force: bool = False
    in_place: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A rewrite a pass looked at and left alone, and why; count says how many nodes shared the reason."""

    pass_name: str
    reason: str
    where: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutcome:
    """What one pass did, over all rounds."""

    name: str
    rewrite_count: int
    elapsed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """One output of the two models on the same inputs; differences are maxima over all runs.

    max_relative is the largest |a - b| / (|a| + what is typical of the output), held against the tolerance (see
    runtime/tolerance.py). tolerance 0 compares for equality; of integers that rounding decides, max_relative and
    tolerance are shares of elements.
    """

    name: str
    equal: bool
    max_absolute: float
    max_relative: float
    tolerance: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How the result was proven, or the reason why it was not; "skipped" means that nobody wanted proof."""

    status: Literal["equal", "different", "not verified", "skipped"]
    reason: str = ""
    run_count: int = 0
    seed: int = 0
    dims: tuple[tuple[tuple[str, int], ...], ...] = ()
    outputs: tuple[OutputComparison, ...] = ()
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """The figures an optimization is judged by."""

    node_count: int
    initializer_count: int
    parameter_count: int
    file_bytes: int
    operators: tuple[OperatorCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeReport:
    """What `onnxctl optimize` did; output is None where nothing was written."""

    path: str
    output: str | None
    files_written: tuple[str, ...]
    before: ModelFigures
    after: ModelFigures
    passes: tuple[PassOutcome, ...]
    refusals: tuple[Refusal, ...]
    verification: Verification
    rounds: int
    elapsed_ns: int
    findings: tuple[Finding, ...] = ()


# ---------------------------------------------------------------- run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What to run and how; times in seconds where the name says so. An empty tuple means "not said"."""

    path: str
    provider: str = "cpu"
    dims: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    warmup_count: int = 5
    run_count: int | None = None
    duration_s: float = 3.0
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStatistics:
    """Statistics of the samples, in nanoseconds; percentiles by linear interpolation between closest ranks.

    median_low_ns to median_high_ns is a 95 % confidence interval of the median that assumes no distribution.
    """

    sample_count: int
    min_ns: float
    mean_ns: float
    median_ns: float
    median_low_ns: float
    median_high_ns: float
    p90_ns: float
    p95_ns: float
    p99_ns: float
    p99_9_ns: float
    max_ns: float
    std_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSummary:
    """One input or output as it was: shape and dtype seen; minimum, maximum and mean of its finite numbers."""

    name: str
    type: str
    dtype: str | None
    shape: tuple[int, ...] | None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    nan_count: int = 0
    inf_count: int = 0
    source: str = ""
    sample: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the software a measurement was made with; date is UTC, ISO 8601."""

    cpu: str
    cpu_count: int
    memory_bytes: int
    os: str
    python: str
    onnx: str
    onnxruntime: str
    onnxctl: str
    date: str
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlacement:
    """How many nodes of the graph the session runs a provider was given."""

    provider: str
    node_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What `onnxctl run` measured: the statistics, and the raw samples they come from (one per timed run, in ns)."""

    path: str
    provider: str
    session_providers: tuple[str, ...]
    placement: tuple[NodePlacement, ...]
    seed: int
    dims: tuple[tuple[str, int], ...]
    inputs: tuple[ValueSummary, ...]
    outputs: tuple[ValueSummary, ...]
    load_ns: int
    first_run_ns: int
    warmup_count: int
    latency: LatencyStatistics
    throughput_per_second: float
    peak_memory_bytes: int
    intra_op_threads: int | None
    inter_op_threads: int | None
    environment: Environment
    findings: tuple[Finding, ...] = ()
    samples_ns: tuple[int, ...] = field(default=())


# ---------------------------------------------------------------- providers


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """One execution provider: whether onnxruntime was built with it, whether it works here, and what to do if not."""

    name: str
    provider: str
    built_in: bool
    usable: bool
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidersReport:
    """The execution providers, and the onnxruntime that has them (version "" when none is installed)."""

    onnxruntime_version: str
    distributions: tuple[tuple[str, str], ...]
    providers: tuple[ProviderInfo, ...]
    findings: tuple[Finding, ...] = ()


# ---------------------------------------------------------------- errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """An error as a report, so that `--format json` is valid JSON whatever happens."""

    error: str
    message: str
    hint: str
    exit_code: int


Report = ModelSummary | OptimizeReport | RunReport | ProvidersReport | ErrorReport

KINDS: Mapping[type, str] = {
    ModelSummary: "inspect",
    OptimizeReport: "optimize",
    RunReport: "run",
    ProvidersReport: "providers",
    ErrorReport: "error",
}
"""Each report's `kind` in the JSON envelope."""


# ---------------------------------------------------------------- to and from JSON values

T = TypeVar("T")
JSON = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""


def encode(value: object) -> JSON:
    """The value as JSON values: dataclasses become objects, tuples lists; NaN and infinities become strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [encode(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")


def decode(kind: type[T], value: JSON) -> T:
    """The inverse of `encode`: a `kind` built from JSON values.

    Raises TypeError or KeyError where the value doesn't have the shape of the type.
    """
    return typing.cast(T, _decode(kind, value))


def _decode(kind: Any, value: JSON) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(arguments, value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in value)
        return tuple(_decode(each, item) for each, item in zip(arguments, value, strict=True))
    if origin is Literal:
        if value not in arguments:
            raise TypeError(f"{value!r} is none of {arguments}")
        return value
    if kind is float and (isinstance(value, int) or value in ("NaN", "Infinity", "-Infinity")):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _decode_union(kinds: tuple[Any, ...], value: JSON) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return _decode(kind, value)
        except (TypeError, KeyError, AttributeError, ValueError):
            continue
    raise TypeError(f"{value!r} is none of {kinds}")
