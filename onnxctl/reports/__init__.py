"""Every value that crosses a border: what the verbs are asked for and what they answer.

These frozen dataclasses *are* the JSON that `--format json` prints. Names carry their units (`load_ns`, `file_bytes`).
`encode` and `decode` turn any of them into plain JSON values and back.

Each verb has a module of its own, loaded when one of its names is first asked for: making a dataclass takes half a
millisecond, and a verb should only pay for its own. `from onnxctl.reports import X` works for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxctl.reports.bisect import *  # noqa: F403
    from onnxctl.reports.check import *  # noqa: F403
    from onnxctl.reports.compatibility import *  # noqa: F403
    from onnxctl.reports.contest import *  # noqa: F403
    from onnxctl.reports.cost import *  # noqa: F403
    from onnxctl.reports.details import *  # noqa: F403
    from onnxctl.reports.diff import *  # noqa: F403
    from onnxctl.reports.encoding import decode as decode
    from onnxctl.reports.encoding import encode as encode
    from onnxctl.reports.encoding import field_types as field_types
    from onnxctl.reports.explanation import *  # noqa: F403
    from onnxctl.reports.kinds import KINDS as KINDS
    from onnxctl.reports.kinds import Report as Report
    from onnxctl.reports.measurement import *  # noqa: F403
    from onnxctl.reports.optimization import *  # noqa: F403
    from onnxctl.reports.precision import *  # noqa: F403
    from onnxctl.reports.profile import *  # noqa: F403
    from onnxctl.reports.providers import *  # noqa: F403
    from onnxctl.reports.shared import *  # noqa: F403
    from onnxctl.reports.summary import *  # noqa: F403

SCHEMA = 1

JSON = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""

_NAMES: Mapping[str, str] = {
    "shared": "Severity Dim Finding TensorSpec OperatorCount ErrorReport",
    "summary": "SortKey InspectConfig FileInfo DtypeParameters FunctionInfo LearnedNode ModelSummary",
    "details": """Role NodeInfo WeightStatistics WeightInfo ScopeInfo ValueInfo NodeDetail
        InspectManyReport""",
    "cost": "Quantity NodeCost OperatorCost UncountedOperator CostReport LiveTensor MemoryReport SweepPoint",
    "optimization": """Level OptimizeConfig Refusal PassOutcome OutputComparison Verification ModelFigures StageTime
        SpeedComparison OptimizeReport OptimizedFile OptimizeManyReport""",
    "measurement": """GraphOptimization ProviderOption RunConfig LatencyStatistics RankedElement ValueSummary
        Environment NodePlacement NodeOnCpu DataSetCheck DevicePhases Verdict Ratio BaselineComparison Assertion
        RunReport""",
    "check": "CheckName CheckProblem CheckStep CheckedFile CheckReport",
    "contest": "VariantReport RunManyReport",
    "profile": "NodeProfile OperatorProfile ComputePeak MachinePeak ProfileReport",
    "providers": "ProviderInfo ProvidersReport",
    "diff": """TextChange InterfaceChange NodeChange WeightChange DiffCounts TopAgreement OutputDifference
        OutputsComparison DiffReport""",
    "bisect": "BisectSide ProbeConfig Probe ProbedValue PartProbe BisectedNode BisectReport",
    "explanation": "Explanation ExplainReport",
    "precision": """WeightRole WeightPrecision MacPrecision CastChain Island FloatOperator HalfTensor HalfReport
        PrecisionReport""",
    "compatibility": """TypeRule Kernel InstalledKernels RequiredVersions KernelGap ProviderCoverage ContribOperator
        CompatibilityReport""",
    "kinds": "Report KINDS",
    "encoding": "encode decode field_types",
}
_HOMES: Mapping[str, str] = {name: module for module, names in _NAMES.items() for name in names.split()}
"""The module of each name."""


def __getattr__(name: str) -> object:
    """Load the module of a name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return ["JSON", "SCHEMA", *_HOMES]
