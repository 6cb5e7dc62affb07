"""Operators that work element by element, with numpy's broadcasting or (before opset 7) the first input's shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from onnx import TensorProto

from onnxctl.model.propagation import arithmetic
from onnxctl.model.propagation.arithmetic import Binary, Unary
from onnxctl.model.propagation.call import Call, ShapeFunction, same_as
from onnxctl.model.propagation.facts import MAXIMUM_ELEMENTS, Element, Fact, Values, static_shape, tensor


def expanded(values: Values, shape: tuple[int, ...], target: tuple[int, ...]) -> list[Element] | None:
    """Contents broadcast from one shape to another, row-major; None where they would be too many."""
    if shape == target:
        return list(values)
    if math.prod(target) > MAXIMUM_ELEMENTS:
        return None
    if len(values) == 1:
        return list(values) * math.prod(target)
    padded = (1,) * (len(target) - len(shape)) + shape
    indices = [0]
    stride = len(values)
    for size, wanted in zip(padded, target, strict=True):
        stride //= size
        step = stride if size != 1 else 0
        indices = [base + step * at for base in indices for at in range(wanted)]
    return [values[index] for index in indices]


def combined(call: Call, shape: tuple[int, ...], rule: Callable[[Sequence[Element]], Element]) -> list[Element] | None:
    """The rule applied to the inputs' contents, element by element."""
    columns = []
    for fact in call.inputs:
        own = static_shape(fact.shape)
        if fact.values is None or own is None:
            return None
        column = expanded(fact.values, own, shape)
        if column is None:
            return None
        columns.append(column)
    return [rule(row) for row in zip(*columns, strict=True)]


def _unary(rule: Unary) -> ShapeFunction:
    def shape_function(call: Call) -> Fact:
        fact = call.fact(0)
        values = None if fact.values is None else [rule(each, fact.dtype) for each in fact.values]
        return tensor(fact.dtype, fact.shape, values)

    return shape_function


def _binary(rule: Binary | None, dtype: int | None = None) -> ShapeFunction:
    def shape_function(call: Call) -> Fact:
        first, second = call.fact(0), call.fact(1)
        shape = first.shape if call.opset < 7 else call.broadcast(first.shape, second.shape)
        operand = first.dtype if first.dtype is not None else second.dtype
        values = None
        if rule is not None and first.values is not None and second.values is not None and call.opset >= 7:
            sizes = static_shape(shape)
            if sizes is not None:
                values = combined(call, sizes, lambda row: rule(row[0], row[1], operand))
        return tensor(dtype if dtype is not None else operand, shape, values)

    return shape_function


def _variadic(rule: Binary | None) -> ShapeFunction:
    def shape_function(call: Call) -> Fact:
        dtype = next((fact.dtype for fact in call.inputs if fact.dtype is not None), None)
        shapes = [fact.shape for fact in call.inputs]
        shape = call.broadcast(*shapes) if call.opset >= 8 else next((s for s in shapes if s is not None), None)
        sizes = static_shape(shape)
        values = None
        if rule is not None and sizes is not None:

            def fold(row: Sequence[Element]) -> Element:
                total = row[0]
                for each in row[1:]:
                    total = rule(total, each, dtype)
                return total

            values = combined(call, sizes, fold)
        return tensor(dtype, shape, values)

    return shape_function


def _modulo(call: Call) -> Fact:
    toward_zero = call.integer("fmod", 0) == 1
    return _one(_binary(lambda a, b, dtype: arithmetic.modulo(a, b, dtype, sign_of_dividend=toward_zero)), call)


def _one(rule: ShapeFunction, call: Call) -> Fact:
    result = rule(call)
    assert isinstance(result, Fact)
    return result


def _where(call: Call) -> Fact:
    condition, chosen, other = call.fact(0), call.fact(1), call.fact(2)
    shape = call.broadcast(condition.shape, chosen.shape, other.shape)
    dtype = chosen.dtype if chosen.dtype is not None else other.dtype
    sizes = static_shape(shape)
    values = None
    if condition.values is not None and sizes is not None:
        values = combined(call, sizes, _choose)
    return tensor(dtype, shape, values)


def _choose(row: Sequence[Element]) -> Element:
    condition, chosen, other = row
    if condition is True:
        return chosen
    if condition is False:
        return other
    return chosen if chosen == other else None


def _identity(call: Call) -> Fact:
    return call.fact(0)


def _cast(call: Call) -> Fact:
    if call.op_type == "CastLike":
        target = call.dtype(1)
    else:
        found = call.attribute("to")
        if found is not None and found.s:  # opset 1 names the type
            target = TensorProto.DataType.Value(found.s.decode())
        else:
            target = call.integer("to", 0) or None
    fact = call.fact(0)
    values = None
    if fact.values is not None:
        values = [arithmetic.cast(each, fact.dtype, target) for each in fact.values]
    return tensor(target, fact.shape, values)


def _clip(call: Call) -> Fact:
    fact = call.fact(0)
    values = fact.values
    if values is not None and call.opset >= 11:
        for index, rule in ((1, arithmetic.maximum), (2, arithmetic.minimum)):
            if call.has(index):
                bound = call.values(index)
                values = None if not bound or values is None else tuple(rule(v, bound[0], fact.dtype) for v in values)
    else:
        values = None
    return tensor(fact.dtype, fact.shape, values)


def _relu(call: Call) -> Fact:
    fact = call.fact(0)
    zero: Element = 0.0 if fact.dtype == TensorProto.FLOAT else 0
    values = None if fact.values is None else [arithmetic.maximum(each, zero, fact.dtype) for each in fact.values]
    return tensor(fact.dtype, fact.shape, values)


def _to_bool(call: Call) -> Fact:
    return tensor(TensorProto.BOOL, call.shape(0))


def _dropout(call: Call) -> list[Fact]:
    fact = call.fact(0)
    mask = TensorProto.BOOL if call.opset >= 10 else fact.dtype
    return [Fact(fact.kind, fact.dtype, fact.shape), tensor(mask, fact.shape)]


def _bit_cast(call: Call) -> Fact:
    return tensor(call.integer("to", 0) or None, call.shape(0))


def _random(call: Call) -> Fact:
    """RandomNormalLike, RandomUniformLike, Bernoulli, EyeLike: the input's shape, the type of the attribute dtype."""
    return tensor(call.integer("dtype", 0) or call.dtype(0), call.shape(0))


_SAME = (
    "Acos Acosh Asin Asinh Atan Atanh BitwiseNot Celu Cos Cosh CumProd CumSum Elu Erf Exp Gelu HardSigmoid HardSwish "
    "Hardmax LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish PRelu Reciprocal "
    "ReverseSequence Scatter ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign "
    "SwiGLU Swish Tan Tanh TensorScatter ThresholdedRelu Trilu InstanceNormalization GroupNormalization"
)

OPERATORS: Mapping[str, ShapeFunction] = {
    **dict.fromkeys(_SAME.split(), same_as(0)),
    "Abs": _unary(arithmetic.absolute),
    "Neg": _unary(arithmetic.negate),
    "Floor": _unary(arithmetic.floor),
    "Ceil": _unary(arithmetic.ceil),
    "Round": _unary(arithmetic.round_half_to_even),
    "Sqrt": _unary(arithmetic.square_root),
    "Not": _unary(arithmetic.negate_bool),
    "Relu": _relu,
    "Clip": _clip,
    "Identity": _identity,
    "Cast": _cast,
    "CastLike": _cast,
    "BitCast": _bit_cast,
    "IsNaN": _to_bool,
    "IsInf": _to_bool,
    "RegexFullMatch": _to_bool,
    "Dropout": _dropout,
    "Add": _binary(arithmetic.add),
    "Sub": _binary(arithmetic.subtract),
    "Mul": _binary(arithmetic.multiply),
    "Div": _binary(arithmetic.divide),
    "Pow": _binary(arithmetic.power),
    "Mod": _modulo,
    **dict.fromkeys(("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"), _binary(None)),
    "And": _binary(arithmetic.logical_and, TensorProto.BOOL),
    "Or": _binary(arithmetic.logical_or, TensorProto.BOOL),
    "Xor": _binary(arithmetic.logical_xor, TensorProto.BOOL),
    "Equal": _binary(arithmetic.equal, TensorProto.BOOL),
    "Less": _binary(arithmetic.less, TensorProto.BOOL),
    "LessOrEqual": _binary(arithmetic.less_or_equal, TensorProto.BOOL),
    "Greater": _binary(arithmetic.greater, TensorProto.BOOL),
    "GreaterOrEqual": _binary(arithmetic.greater_or_equal, TensorProto.BOOL),
    "Min": _variadic(arithmetic.minimum),
    "Max": _variadic(arithmetic.maximum),
    "Sum": _variadic(arithmetic.add),
    "Mean": _variadic(None),
    "Where": _where,
    **dict.fromkeys(("RandomNormalLike", "RandomUniformLike", "Bernoulli", "EyeLike"), _random),
}
