"""How passes are tested: a model goes through some of the pipeline with a real evaluator, and both run on the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from onnxctl.child import Child
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.saving import save
from onnxctl.passes.base import Context
from onnxctl.passes.manager import ManagerResult, optimize_graphs
from onnxctl.passes.pipeline import PIPELINE
from onnxctl.runtime.evaluate import evaluate_in_child

Feeds = Mapping[str, Any]


@dataclass(frozen=True)
class Optimized:
    """The model before and after, and what the manager says it did."""

    before: ModelProto
    after: ModelProto
    result: ManagerResult

    @property
    def operators(self) -> Counter[str]:
        """How often each operator is left, in all scopes."""
        return Counter(node.op_type for node in nodes_of(self.after))

    @property
    def reasons(self) -> list[str]:
        """Why rewrites were refused."""
        return [refusal.reason for refusal in self.result.refusals]


@dataclass(frozen=True)
class Optimizer:
    """Runs passes over a model by way of files in a folder; the child evaluates."""

    folder: Path
    child: Child

    def __call__(self, model: ModelProto | str, *passes: str, skip: Sequence[str] = ()) -> Optimized:
        """The model (or its ONNX text) after these passes, or after the whole pipeline where none is named."""
        before = onnx.parser.parse_model(model) if isinstance(model, str) else model
        source, target = self.folder / "before.onnx", self.folder / "after.onnx"
        source.write_bytes(before.SerializeToString())
        result = self.rewrite(source, target, passes or None, skip)
        after = onnx.load(target)
        onnx.checker.check_model(after)
        assert signature(after) == signature(before)
        assert target.stat().st_size <= source.stat().st_size
        return Optimized(before, after, result)

    def rewrite(
        self, source: Path, target: Path, passes: Sequence[str] | None = None, skip: Sequence[str] = ()
    ) -> ManagerResult:
        """Optimize the model of one file into another one."""
        graphs = ModelGraphs(open_model(str(source)))
        context = Context(graphs, evaluate=self._evaluate)
        result = optimize_graphs(graphs, context, passes=passes, skip=skip)
        save(graphs.model, str(target), force=True)
        return result

    def _evaluate(self, model: ModelProto) -> tuple[list[TensorProto | None], str]:
        return evaluate_in_child(self.child, model)


def run(model: ModelProto, feeds: Feeds) -> list[Any]:
    """The outputs of the model by onnxruntime as the graph stands, without its optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, dict(feeds))
    return found


def random_feeds(model: ModelProto, seed: int = 0) -> dict[str, Any]:
    """Inputs by type and shape for those that have no default; a symbol is 3."""
    random = np.random.default_rng(seed)
    defaults = {tensor.name for tensor in model.graph.initializer}
    return {value.name: _random(value, random) for value in model.graph.input if value.name not in defaults}


def _random(value: ValueInfoProto, random: np.random.Generator) -> Any:
    kind = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else 3 for dim in kind.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype == np.dtype(bool):
        return random.random(shape) < 0.5
    if dtype.kind in "iu":
        return random.integers(0, 5, shape).astype(dtype)
    return random.normal(size=shape).astype(dtype)


def assert_equal_outputs(optimized: Optimized, feeds: Feeds | None = None, tolerance: float = 0.0) -> None:
    """Both models give the same on the same inputs: to the bit, or within a relative and absolute tolerance."""
    given = random_feeds(optimized.before) if feeds is None else feeds
    for old, new in zip(run(optimized.before, given), run(optimized.after, given), strict=True):
        assert np.asarray(old).dtype == np.asarray(new).dtype
        assert np.asarray(old).shape == np.asarray(new).shape
        if tolerance:
            np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(new, old)


def nodes_of(model: ModelProto) -> list[onnx.NodeProto]:
    """Every node of the model, in subgraphs and functions too."""
    found: list[onnx.NodeProto] = []
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        found.append(node)
        for attribute in node.attribute:
            waiting += attribute.g.node
            for graph in attribute.graphs:
                waiting += graph.node
    return found


def signature(model: ModelProto) -> ModelProto:
    """What no pass may change: everything but nodes, initializers, functions and the types of values in between."""
    kept = ModelProto()
    kept.CopyFrom(model)
    for name in ("node", "initializer", "value_info"):
        kept.graph.ClearField(name)
    kept.ClearField("functions")
    return kept


PASS_NAMES = tuple(each.name for each in PIPELINE)
