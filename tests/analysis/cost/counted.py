"""Costs of models that tests write down: by one operator, or as ONNX text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto, helper, parser

from onnxctl.analysis.cost.counting import count_cost
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.propagation import propagate
from onnxctl.reports import CostReport


def cost_of(model: ModelProto, folder: Path, **dims: int) -> CostReport:
    """The cost of a model, saved and opened again."""
    path = folder / "counted.onnx"
    path.write_bytes(model.SerializeToString())
    graphs = ModelGraphs(open_model(str(path)))
    return count_cost(propagate(graphs, dims=dims, smallest_dimension=1), dims, nodes=True)


def model_of(text: str, opset: int = 20) -> ModelProto:
    """A model from its graph in ONNX's text syntax."""
    return parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}, "local" : 1]>\n{text}')


def one_operator(
    op_type: str, shapes: list[tuple[int, ...] | None], *, opset: int = 23, domain: str = "", **attributes: Any
) -> ModelProto:
    """A model of one node whose inputs have these shapes; None leaves an input out."""
    names = [f"x{index}" if shape is not None else "" for index, shape in enumerate(shapes)]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
        if shape is not None
    ]
    node = helper.make_node(op_type, names, ["y"], domain=domain, **attributes)
    graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=10)
