"""The reports that commands print, each with its `kind` in the JSON envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from onnxctl.reports.bisect import BisectReport
from onnxctl.reports.check import CheckReport
from onnxctl.reports.contest import RunManyReport
from onnxctl.reports.details import InspectManyReport
from onnxctl.reports.diff import DiffReport
from onnxctl.reports.explanation import ExplainReport
from onnxctl.reports.measurement import RunReport
from onnxctl.reports.optimization import OptimizeManyReport, OptimizeReport
from onnxctl.reports.providers import ProvidersReport
from onnxctl.reports.shared import ErrorReport
from onnxctl.reports.summary import ModelSummary

Report = (
    ModelSummary
    | InspectManyReport
    | OptimizeReport
    | OptimizeManyReport
    | RunReport
    | RunManyReport
    | ProvidersReport
    | CheckReport
    | DiffReport
    | BisectReport
    | ExplainReport
    | ErrorReport
)

KINDS: Mapping[type, str] = {each: each.kind for each in get_args(Report)}
"""Each report's `kind` in the JSON envelope."""
