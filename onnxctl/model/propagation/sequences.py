"""Sequences and optionals: what they hold, and how many, as long as no loop changes it.

Unknown sizes in the type of a sequence's elements may differ from one element to the next, so that each element taken
out gets fresh ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension, ceil_divide, is_known
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axis
from onnxctl.model.propagation.facts import UNKNOWN, Fact, fact_of_type, join, rename_symbols, tensor
from onnxctl.model.propagation.shaping import sizes_of


def _without_values(fact: Fact) -> Fact:
    return fact._replace(values=None)


def _sequence_of(call: Call, facts: Sequence[Fact], length: Dimension | None) -> Fact:
    if not facts:
        return Fact("sequence", length=length)
    element = _without_values(facts[0])
    for fact in facts[1:]:
        element = join(element, _without_values(fact), call.fresh)
    return Fact("sequence", element=element, length=length)


def _construct(call: Call) -> Fact:
    return _sequence_of(call, list(call.inputs), len(call.inputs))


def _empty(call: Call) -> Fact:
    return Fact("sequence", element=tensor(call.integer("dtype", TensorProto.FLOAT)), length=0)


def _insert(call: Call) -> Fact:
    element, before, added = call.fact(0).element, call.fact(0).length, call.fact(1)
    length = None if before is None else before + 1
    if before == 0:
        return _sequence_of(call, [added], length)
    if element is None:
        return Fact("sequence", element=tensor(added.dtype), length=length)
    if element.shape is None:  # nothing is known of what is in it
        return Fact("sequence", element=Fact(element.kind, element.dtype or added.dtype), length=length)
    return _sequence_of(call, [element, added], length)


def _erase(call: Call) -> Fact:
    fact = call.fact(0)
    return fact._replace(length=None if fact.length is None else fact.length - 1)


def _at(call: Call) -> Fact:
    element = call.fact(0).element
    if element is None:
        return tensor(None)
    return rename_symbols(element, lambda name: name.startswith("?"), call.fresh)


def _length(call: Call) -> Fact:
    length = call.fact(0).length
    return tensor(TensorProto.INT64, (), None if length is None else (length,))


def _concat_from_sequence(call: Call) -> Fact:
    element, length = call.fact(0).element, call.fact(0).length
    if element is None or element.shape is None:
        return tensor(None if element is None else element.dtype)
    shape = rename_symbols(element, lambda name: name.startswith("?"), call.fresh).shape or ()
    if call.integer("new_axis", 0):
        axis = normalized_axis(call.integer("axis", 0), len(shape) + 1)
        stacked = call.host.fresh(call.node.output[0], f"stacked{axis}") if length is None else length
        return tensor(element.dtype, (*shape[:axis], stacked, *shape[axis:]))
    axis = normalized_axis(call.integer("axis", 0), len(shape))
    alike = length is not None and is_known(element.shape[axis])
    joined = (
        length * shape[axis] if length is not None and alike else call.host.fresh(call.node.output[0], f"joined{axis}")
    )
    return tensor(element.dtype, (*shape[:axis], joined, *shape[axis + 1 :]))


def _split_to_sequence(call: Call) -> Fact:
    fact = call.fact(0)
    if fact.shape is None:
        return Fact("sequence", element=tensor(fact.dtype))
    axis = normalized_axis(call.integer("axis", 0), len(fact.shape))
    whole = fact.shape[axis]
    length: Dimension | None
    if not call.has(1):
        size: tuple[Dimension, ...] = (1,) if call.integer("keepdims", 1) else ()
        length = whole
    else:
        chunk = _chunk(call, whole, axis)
        size, length = (chunk,), call.length(1)
        if call.rank(1) == 0:
            parts = call.constant(1)
            length = ceil_divide(whole, parts[0]) if parts and parts[0] > 0 else None
    element = tensor(fact.dtype, fact.shape[:axis] + size + fact.shape[axis + 1 :])
    return Fact("sequence", element=element, length=length)


def _chunk(call: Call, size: Dimension, axis: int) -> Dimension:
    """The size of every part where all are alike."""
    parts = sizes_of(call, 1)
    if parts is None and call.values(1):
        parts = [each if isinstance(each, int) else None for each in call.values(1) or ()]
    if not parts or parts[0] is None or any(each != parts[0] for each in parts):
        return call.fresh(axis)
    first = parts[0]
    if call.rank(1) == 0 and not (isinstance(size, int) and isinstance(first, int) and first and size % first == 0):
        return call.fresh(axis)
    return first


def _optional(call: Call) -> Fact:
    if call.has(0):
        return Fact("optional", element=_without_values(call.fact(0)))
    declared = call.attribute("type")
    if declared is None:
        return Fact("optional")
    return Fact("optional", element=fact_of_type(declared.tp, lambda axis, _: call.fresh(axis)))


def _optional_get_element(call: Call) -> Fact:
    fact = call.fact(0)
    return fact if fact.kind != "optional" else fact.element or UNKNOWN


def _has_element(call: Call) -> Fact:
    return tensor(TensorProto.BOOL, ())


OPERATORS: Mapping[str, ShapeFunction] = {
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat_from_sequence,
    "SplitToSequence": _split_to_sequence,
    "Optional": _optional,
    "OptionalGetElement": _optional_get_element,
    "OptionalHasElement": _has_element,
}
