"""If, Loop, Scan and SequenceMap: bodies are walked with what is known of their inputs, loops to a fixed point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import TensorProto

from onnxctl.model.dimensions import Dimension, positive_part
from onnxctl.model.propagation.arithmetic import as_dimension
from onnxctl.model.propagation.call import Call, ShapeFunction, normalized_axis
from onnxctl.model.propagation.facts import UNKNOWN, Fact, join, tensor

MAXIMUM_ROUNDS = 6
"""A loop's body is walked at most so often; what still changes then is unknown. Two or three rounds are usual."""


def _if(call: Call) -> list[Fact]:
    condition = call.values(0)
    decided = condition[0] if condition else None
    branches = [
        call.host.run_body(call.node, name, None, 1 if decided is None else int(decided is wanted))
        for name, wanted in (("then_branch", True), ("else_branch", False))
    ]
    if isinstance(decided, bool):
        return branches[0 if decided else 1] or []
    first, second = branches
    if first is None or second is None:
        return []
    return [
        join(one, other, lambda axis, output=output: call.fresh(axis, output))  # type: ignore[misc]
        for output, (one, other) in enumerate(zip(first, second, strict=False))
    ]


def _fixed_point(
    call: Call, leading: Sequence[Fact], state: list[Fact], following: Sequence[Fact], trips: Dimension, skipped: int
) -> tuple[list[Fact], list[Fact]] | None:
    """The loop's state, joined over all rounds, and the outputs of the body then; `skipped` outputs come before it."""
    for round_count in range(MAXIMUM_ROUNDS):
        results = call.host.run_body(call.node, "body", [*leading, *state, *following], trips)
        if results is None or len(results) < skipped + len(state):
            return None
        last = round_count == MAXIMUM_ROUNDS - 2
        joined = [
            Fact(old.kind) if last and old != new else join(old, new, lambda axis, at=at: _carried(call, at, axis))  # type: ignore[misc]
            for at, (old, new) in enumerate(zip(state, results[skipped:], strict=False))
        ]
        if joined == state:
            return state, results
        state = joined
    return None


def _carried(call: Call, index: int, axis: int) -> Dimension:
    first = next((name for name in call.node.output if name), "")
    return call.host.fresh(f"{first}:carried{index}", axis)


def _loop(call: Call) -> list[Fact]:
    initial = [call.fact(index) for index in range(2, len(call.inputs))]
    limit = call.values(0) if call.has(0) else None
    bound = as_dimension(limit[0]) if limit else None
    counter, condition = tensor(TensorProto.INT64, ()), tensor(TensorProto.BOOL, (), (True,))
    starts = call.values(1) if call.has(1) else (True,)
    unknown_trips = call.host.fresh(next((name for name in call.node.output if name), ""), "trips")
    if starts and starts[0] is False:
        bound = 0
    trips = unknown_trips if bound is None or not starts or starts[0] is None else positive_part(_number(bound))
    found = _fixed_point(call, [counter, condition], initial, [], trips, 1)
    if found is None:
        return []
    state, results = found
    # the body's own condition is true whenever it runs; what it gives on is False in the end where it may end early
    if trips != 0 and results[0].values != (True,):
        trips = unknown_trips
        call.host.run_body(call.node, "body", [counter, condition, *state], trips)
    ran = isinstance(trips, int) and trips > 0
    finals = results[1 : 1 + len(state)] if ran else state
    stacked = [_stacked(each, trips, 0) for each in results[1 + len(state) :]]
    return [call.host.without_locals(call.node, each, output) for output, each in enumerate([*finals, *stacked])]


def _number(bound: Dimension) -> Dimension:
    return int(bound) if isinstance(bound, bool) else bound  # of a trip count that is no integer


def _stacked(fact: Fact, trips: Dimension, axis: int) -> Fact:
    if fact.shape is None:
        return tensor(fact.dtype)
    axis = normalized_axis(axis, len(fact.shape) + 1)
    return tensor(fact.dtype, (*fact.shape[:axis], trips, *fact.shape[axis:]))


def _scan(call: Call) -> list[Fact]:
    if call.opset < 9:
        return _batched_scan(call)
    scanned = call.integer("num_scan_inputs", 0)
    state_count = len(call.inputs) - scanned
    axes = call.integers("scan_input_axes") or [0] * scanned
    trips: Dimension | None = None
    slices = []
    for fact, axis in zip(call.inputs[state_count:], axes, strict=True):
        if fact.shape is None:
            slices.append(tensor(fact.dtype))
            continue
        axis = normalized_axis(axis, len(fact.shape))
        trips = fact.shape[axis] if trips is None else call.equal(trips, fact.shape[axis])
        slices.append(tensor(fact.dtype, fact.shape[:axis] + fact.shape[axis + 1 :]))
    if trips is None:
        trips = call.host.fresh(next((name for name in call.node.output if name), ""), "trips")
    found = _fixed_point(call, [], list(call.inputs[:state_count]), slices, trips, 0)
    if found is None:
        return []
    state, results = found
    output_axes = call.integers("scan_output_axes") or [0] * (len(results) - state_count)
    stacked = [_stacked(each, trips, axis) for each, axis in zip(results[state_count:], output_axes, strict=True)]
    finals = results[:state_count] if isinstance(trips, int) and trips > 0 else state
    return [call.host.without_locals(call.node, each, output) for output, each in enumerate([*finals, *stacked])]


def _batched_scan(call: Call) -> list[Fact]:
    """Opset 8: sequence lengths come first, every other value has the batch before (and scanned ones the sequence)."""
    scanned = call.integer("num_scan_inputs", 0)
    values = call.inputs[1:]
    state_count = len(values) - scanned
    shapes = [fact.shape for fact in values[state_count:]]
    known = next((shape for shape in shapes if shape is not None and len(shape) >= 2), None)
    if known is None:
        return []
    batch, trips = known[0], known[1]
    inner = [
        tensor(fact.dtype, None if fact.shape is None else fact.shape[1 if index < state_count else 2 :])
        for index, fact in enumerate(values)
    ]
    found = _fixed_point(call, [], inner[:state_count], inner[state_count:], trips, 0)
    if found is None:
        return []
    state, results = found
    finals = [tensor(each.dtype, None if each.shape is None else (batch, *each.shape)) for each in state]
    stacked = [
        tensor(each.dtype, None if each.shape is None else (batch, trips, *each.shape))
        for each in results[state_count:]
    ]
    return [call.host.without_locals(call.node, each, output) for output, each in enumerate([*finals, *stacked])]


def _sequence_map(call: Call) -> list[Fact]:
    inputs = [(fact.element or UNKNOWN) if fact.kind == "sequence" else fact for fact in call.inputs]
    length = call.fact(0).length
    trips = length
    if trips is None:
        trips = call.host.fresh(next((name for name in call.node.output if name), ""), "trips")
    results = call.host.run_body(call.node, "body", [fact._replace(values=None) for fact in inputs], trips)
    if results is None:
        return [Fact("sequence", length=length)] * call.output_count
    return [
        Fact("sequence", element=call.host.without_locals(call.node, each, output)._replace(values=None), length=length)
        for output, each in enumerate(results)
    ]


OPERATORS: Mapping[str, ShapeFunction] = {"If": _if, "Loop": _loop, "Scan": _scan, "SequenceMap": _sequence_map}
