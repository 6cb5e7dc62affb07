"""What training left in a model that is meant for inference."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto

from onnxctl.analysis.findings.sightings import counted
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import attribute, is_standard
from onnxctl.reports import Finding

_TRAINING_DOMAINS = frozenset({"ai.onnx.training", "ai.onnx.preview.training"})
_LOSSES = ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")


def leftover_findings(graphs: ModelGraphs) -> Iterator[Finding]:
    """Nodes that behave as in training, and operators only training needs."""
    training, foreign, idle = [], [], []
    for scope in graphs.scopes():
        for node in scope.nodes:
            if _is_training(scope, node):
                training.append(scope.node_label(node))
            elif is_standard(node, "Dropout") and not _mode_is_given(scope, node):
                idle.append(scope.node_label(node))
            elif _is_for_training(node):
                foreign.append(scope.node_label(node))
    if training:
        yield Finding(
            code="training-mode",
            severity="warning",
            message=f"{counted(training, 'node is', 'nodes are')} in training mode: Dropout drops at random, "
            "BatchNormalization uses the batch's own statistics",
            where=as_text(training[0]),
            hint="call model.eval() before exporting",
        )
    if idle:
        yield Finding(
            code="idle-dropout",
            severity="info",
            message=f"{counted(idle, 'Dropout drops', 'Dropouts drop')} nothing in inference: left over from training",
            where=as_text(idle[0]),
            hint="`onnxctl optimize` removes them",
        )
    if foreign:
        yield Finding(
            code="training-operator",
            severity="warning",
            message=f"{counted(foreign, 'node computes', 'nodes compute')} a loss, a gradient or an optimizer's step",
            where=as_text(foreign[0]),
            hint="export the model without its training part",
        )


def _is_training(scope: Graph, node: NodeProto) -> bool:
    """Dropout has had a mode of its own since opset 12, BatchNormalization since 14; before 7 both had is_test."""
    opset = scope.opset()
    if is_standard(node, "Dropout"):
        if opset < 7:
            return not attribute(node, "is_test", 0)
        if opset < 12 or len(node.input) < 3 or not node.input[2]:
            return False
        mode = scope.constant_values(node.input[2], at_most=1)
        return mode is not None and bool(mode.all())
    if is_standard(node, "BatchNormalization"):
        if opset < 7:
            return not attribute(node, "is_test", 0)
        if opset < 14:
            return any(node.output[1:])
        return bool(attribute(node, "training_mode", 0))
    return False


def _mode_is_given(scope: Graph, node: NodeProto) -> bool:
    """Whether it is only told when the model runs if a Dropout drops."""
    return len(node.input) > 2 and bool(node.input[2]) and scope.constant(node.input[2]) is None


def _is_for_training(node: NodeProto) -> bool:
    if node.domain in _TRAINING_DOMAINS or is_standard(node, *_LOSSES):
        return True
    return node.domain == "com.microsoft" and node.op_type.endswith(("Grad", "Optimizer"))
