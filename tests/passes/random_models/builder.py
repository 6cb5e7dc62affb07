"""Small random models, made from a seed: odd shapes, all kinds of scopes, and the shapes of inputs only half told.

A model is grown node by node. Every node is run by itself in onnxruntime as it is added, so that its output's type and
shape are known, and left out again where onnxruntime refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = NDArray[Any]

OPSETS = (11, 13, 17, 18, 20, 22, 23)
FLOATS, INTEGERS = (np.float32, np.float16, np.float64), (np.int64, np.int32)
KINDS = (*FLOATS, *INTEGERS, np.bool_)
LARGEST_VALUE = 2000


class RefusedError(Exception):
    """onnxruntime does not run the node that was to be added."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the model, with what it is for the model's own feeds."""

    name: str
    array: Array
    is_constant: bool = False


class Builder:
    """A model as it grows: `values` can be read, `add` appends a node that reads some of them."""

    def __init__(self, seed: int, *, odd_values: bool) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = int(self.random.choice(OPSETS))
        self._odd_values = odd_values
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[Value] = []
        self.values: list[Value] = []
        self._count = 0

    # ------------------------------------------------ choosing

    def chance(self, probability: float) -> bool:
        """True as often as this."""
        return bool(self.random.random() < probability)

    def choose(self, options: Sequence[Any]) -> Any:
        """One of them."""
        return options[int(self.random.integers(len(options)))]

    def pick(self, kinds: Sequence[Any] = KINDS, ranks: Sequence[int] = range(6)) -> Value:
        """A value of one of these element types and ranks, the latest ones most often; a new input if there is none."""
        fitting = [each for each in self.values if each.array.dtype in kinds and each.array.ndim in ranks]
        if not fitting or self.chance(0.08):
            return self.input(self.shape(self.choose(ranks)), self.choose(kinds))
        return fitting[-1 - min(int(self.random.exponential(1.5)), len(fitting) - 1)]

    def shape(self, rank: int) -> list[int]:
        """Sizes from 1 to 4, and now and then a 0."""
        return [0 if self.chance(0.015) else int(self.random.integers(1, 5)) for _ in range(rank)]

    def array(self, shape: Sequence[int], kind: Any) -> Array:
        """Random contents; where odd values are wanted, among them infinities, NaN and both zeros."""
        if np.dtype(kind).kind == "b":
            return self.random.random(shape) < 0.5
        if np.dtype(kind).kind == "i":
            return self.random.integers(-4, 5, shape).astype(kind)
        found = np.asarray(self.random.normal(size=shape))
        if self._odd_values and self.chance(0.3):
            odd = self.random.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], size=shape)
            found = np.where(self.random.random(shape) < 0.4, odd, found)
        return found.astype(kind)

    # ------------------------------------------------ adding

    def name(self) -> str:
        """A name that is not used yet."""
        self._count += 1
        return f"v{self._count}"

    def input(self, shape: Sequence[int], kind: Any) -> Value:
        """A new input of the model."""
        value = Value(self.name(), self.array(shape, kind))
        self.inputs.append(value)
        self.values.append(value)
        return value

    def constant(self, content: Any, kind: Any = np.int64) -> Value:
        """A constant, as an initializer or as a Constant node. It is not among the values that recipes pick."""
        value = Value(self.name(), np.asarray(content, kind), is_constant=True)
        tensor = numpy_helper.from_array(value.array, value.name)
        if self.chance(0.3):
            self.nodes.append(helper.make_node("Constant", [], [value.name], value=tensor))
        else:
            self.initializers.append(tensor)
        return value

    def parameter(self, shape: Sequence[int], kind: Any) -> Value:
        """A constant of random contents."""
        return self.constant(self.array(shape, kind), kind)

    def add(
        self, operator: str, inputs: Sequence[Value | None], *, output_count: int = 1, **attributes: Any
    ) -> list[Value]:
        """Append a node; its outputs, which recipes may pick from now on. Raises RefusedError."""
        names = [self.name() for _ in range(output_count)]
        node = helper.make_node(operator, ["" if each is None else each.name for each in inputs], names, **attributes)
        arrays = self._run(node, [each for each in inputs if each is not None])
        made = [Value(name, array) for name, array in zip(names, arrays, strict=True)]
        if any(each.array.size > LARGEST_VALUE for each in made):
            raise RefusedError("too large")
        self.nodes.append(node)
        self.values += made
        return made

    def one(self, operator: str, *inputs: Value | None, **attributes: Any) -> Value:
        """As `add`, for a node with one output."""
        return self.add(operator, inputs, **attributes)[0]

    def _run(self, node: NodeProto, inputs: Sequence[Value]) -> list[Array]:
        distinct = {each.name: each for each in inputs}
        constants = [numpy_helper.from_array(each.array, each.name) for each in distinct.values() if each.is_constant]
        variables = [each for each in distinct.values() if not each.is_constant]
        outputs = [ValueInfoProto(name=name) for name in node.output]
        graph = helper.make_graph([node], "one", [described(each) for each in variables], outputs, constants)
        try:
            model = onnx.shape_inference.infer_shapes(self.model_of(graph), strict_mode=True)
            return run(model, {each.name: each.array for each in variables})
        except Exception as error:  # whatever onnx and onnxruntime raise, the node is no good
            raise RefusedError(str(error)) from error

    def model_of(self, graph: GraphProto) -> ModelProto:
        """A model of this graph in the builder's operator set."""
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def described(value: Value, shape: Sequence[int | str] | None = None) -> ValueInfoProto:
    """What an input says of itself: its type, and its own shape, or this one."""
    kind = helper.np_dtype_to_tensor_dtype(value.array.dtype)
    return helper.make_tensor_value_info(value.name, kind, value.array.shape if shape is None else shape)


def run(model: ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """The outputs of the model by onnxruntime as the graph stands."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(None, feeds)
    return found
