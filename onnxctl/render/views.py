"""Which module lays out which report; each is loaded when it is used."""

from __future__ import annotations

from onnxctl.render.document import Document, Facts, Heading
from onnxctl.reports import ErrorReport, ModelSummary, OptimizeReport, ProvidersReport, Report, RunReport


def document_of(report: Report) -> Document:
    """The report laid out."""
    match report:
        case ModelSummary():
            from onnxctl.render.summary import summary_document

            return summary_document(report)
        case OptimizeReport():
            from onnxctl.render.optimization import optimization_document

            return optimization_document(report)
        case RunReport():
            from onnxctl.render.measurement import measurement_document

            return measurement_document(report)
        case ProvidersReport():
            from onnxctl.render.providers import providers_document

            return providers_document(report)
        case ErrorReport():
            rows = (("error", report.error), ("message", report.message), ("hint", report.hint))
            return Document((Heading("Error", level=1), Facts(tuple(row for row in rows if row[1]))))
