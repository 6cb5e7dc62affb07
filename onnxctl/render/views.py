"""Which module lays out which report; each is loaded when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxctl.render.document import Document, Facts, Heading

if TYPE_CHECKING:
    from onnxctl.reports import Report


def document_of(report: Report) -> Document:
    """The report laid out."""
    match report.kind:
        case "inspect":
            from onnxctl.render.summary import summary_document

            return summary_document(report)
        case "inspect_many":
            from onnxctl.render.comparison import comparison_document

            return comparison_document(report)
        case "optimize":
            from onnxctl.render.optimization import optimization_document

            return optimization_document(report)
        case "optimize_many":
            from onnxctl.render.optimization import many_document

            return many_document(report)
        case "run":
            from onnxctl.render.measurement import measurement_document

            return measurement_document(report)
        case "run_many":
            from onnxctl.render.contest import contest_document

            return contest_document(report)
        case "check":
            from onnxctl.render.check import check_document

            return check_document(report)
        case "diff":
            from onnxctl.render.difference import difference_document

            return difference_document(report)
        case "bisect":
            from onnxctl.render.bisection import bisection_document

            return bisection_document(report)
        case "providers":
            from onnxctl.render.providers import providers_document

            return providers_document(report)
        case "explain":
            from onnxctl.render.explanation import explanation_document

            return explanation_document(report)
        case "error":
            rows = (("error", report.error), ("message", report.message), ("hint", report.hint))
            return Document((Heading("Error", level=1), Facts(tuple(row for row in rows if row[1]))))
