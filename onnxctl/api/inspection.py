"""`inspect`: what is in a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxctl.reports import ModelSummary


def inspect(
    path: str, *, nodes: bool = False, weights: bool = False, text: bool = False, dims: Mapping[str, int] | None = None
) -> ModelSummary:
    """What is in a model: its interface, operators, parameters and oddities; weights are not read.

    nodes, weights and text ask for every node, every stored tensor, and the graph in ONNX's text syntax (weights
    elided). dims gives symbolic dimensions a size. Raises UsageError for a symbol the model does not have, ModelError
    for a file that can't be described.
    """
    from onnxctl.analysis.structure import check_structure
    from onnxctl.analysis.summary import summarize
    from onnxctl.model.loading import model_file, open_model

    with model_file(path) as file:
        model = open_model(file)
        findings = check_structure(model)
        summary = summarize(model, nodes=nodes, weights=weights, text=text, dims=dims, findings=findings)
    return dataclasses.replace(summary, path=path)
