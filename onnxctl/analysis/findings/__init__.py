"""What is worth telling about a model beyond its validity: waste, leftovers, surprises and things that give away more.

`check_structure` finds what a look at each message shows. These findings need the graph's index, propagated shapes or
some bytes of weights, and so are looked for when somebody asks. Every code is explained in `catalogue.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxctl.analysis.findings.graph import graph_findings
from onnxctl.analysis.findings.interface import interface_findings
from onnxctl.analysis.findings.leftovers import leftover_findings
from onnxctl.analysis.findings.metadata import metadata_findings
from onnxctl.analysis.findings.values import value_findings
from onnxctl.analysis.findings.weights import weight_findings
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.propagation import Propagation, propagate
from onnxctl.reports import Finding, Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first."""


def look_closer(graphs: ModelGraphs, found: Propagation | None = None) -> tuple[Finding, ...]:
    """Everything found by looking closer than `check_structure`; of weights, only possible duplicates are read.

    found is what propagation found, if somebody has it already.
    """
    return tuple(_all(graphs, propagate(graphs) if found is None else found))


def worst_first(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings by severity, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _all(graphs: ModelGraphs, found: Propagation) -> Iterator[Finding]:
    yield from interface_findings(graphs)
    yield from graph_findings(graphs)
    yield from value_findings(graphs, found)
    yield from leftover_findings(graphs)
    yield from weight_findings(graphs.model)
    yield from metadata_findings(graphs.model.proto)
