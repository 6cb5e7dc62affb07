"""Which module lays out which report."""

from __future__ import annotations

from onnxctl.render.document import Document, Facts, Heading
from onnxctl.render.measurement import measurement_document
from onnxctl.render.optimization import optimization_document
from onnxctl.render.providers import providers_document
from onnxctl.render.summary import summary_document
from onnxctl.reports import ErrorReport, ModelSummary, OptimizeReport, ProvidersReport, Report, RunReport


def document_of(report: Report) -> Document:
    """The report laid out."""
    match report:
        case ModelSummary():
            return summary_document(report)
        case OptimizeReport():
            return optimization_document(report)
        case RunReport():
            return measurement_document(report)
        case ProvidersReport():
            return providers_document(report)
        case ErrorReport():
            rows = (("error", report.error), ("message", report.message), ("hint", report.hint))
            return Document((Heading("Error", level=1), Facts(tuple(row for row in rows if row[1]))))
