"""Oddities of the graph's inputs and outputs: what callers will stumble over."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import ValueInfoProto

from onnxctl.analysis.findings.sightings import counted
from onnxctl.analysis.types import dimensions
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.reports import Finding

HUGE_SIZE = 1 << 31
"""A dimension this large is a mistake: no tensor of the size fits into memory."""

_FIRST_IR_WITH_DEFAULTS = 4


def interface_findings(graphs: ModelGraphs) -> Iterator[Finding]:
    """What is odd about the inputs and outputs of the top graph."""
    top = graphs.top
    yield from _overridable(top)
    yield from _unused_inputs(top)
    yield from _trivial_outputs(top)
    yield from _dimensions(top)


def _overridable(top: Graph) -> Iterator[Finding]:
    """From IR version 4 on a listed initializer may be overridden by the caller; before, all had to be listed."""
    names = [name for name in top.inputs if name in top.initializers or name in top.sparse_initializers]
    if names and top.model.proto.ir_version >= _FIRST_IR_WITH_DEFAULTS:
        yield Finding(
            code="overridable-initializer",
            severity="warning",
            message=f"{counted(names, 'initializer is also an input', 'initializers are also inputs')}: "
            "callers may override them, so nothing that depends on them can be folded",
            where=as_text(names[0]),
            hint="export with keep_initializers_as_inputs=False if nobody is meant to override them",
        )


def _unused_inputs(top: Graph) -> Iterator[Finding]:
    names = [name for name in top.inputs if not top.is_used(name) and name not in top.initializers]
    if names:
        yield Finding(
            code="unused-input",
            severity="info",
            message=f"{counted(names, 'input is', 'inputs are')} read by no node: callers must feed what is ignored",
            where=as_text(names[0]),
        )


def _trivial_outputs(top: Graph) -> Iterator[Finding]:
    names = [name for name in top.outputs if top.is_input(name) or top.constant(name) is not None]
    if names:
        yield Finding(
            code="trivial-output",
            severity="info",
            message=f"{counted(names, 'output is', 'outputs are')} an input or a constant, handed out as it is",
            where=as_text(names[0]),
        )


def _dimensions(top: Graph) -> Iterator[Finding]:
    proto = top.model.proto.graph
    inputs = [value for value in proto.input if value.name not in top.initializers]
    unnamed = [value for value in inputs if any(not each.WhichOneof("value") for each in dimensions(value.type))]
    if unnamed:
        yield Finding(
            code="unnamed-dimension",
            severity="info",
            message=f"{counted(unnamed, 'input has', 'inputs have')} a dimension with neither size nor name: no two of "
            "these are known to be equal",
            where=as_text(unnamed[0].name),
            hint="name dynamic dimensions when exporting (dynamic_axes or dynamic_shapes); --dim calls them INPUT.AXIS",
        )
    odd = [value for value in (*inputs, *proto.output) if any(map(_is_odd, _sizes(value)))]
    if odd:
        yield Finding(
            code="suspicious-dimension",
            severity="warning",
            message=f"{counted(odd, 'input or output has', 'inputs or outputs have')} a dimension of 0, or of "
            f"{HUGE_SIZE} and more",
            where=as_text(odd[0].name),
        )
    symbolic = any(each.dim_param for value in inputs for each in dimensions(value.type))
    fixed = [value for value in inputs if len(_sizes(value)) > 1 and _sizes(value)[0] == 1]
    if symbolic and fixed:
        yield Finding(
            code="fixed-batch",
            severity="info",
            message=f"{counted(fixed, 'input has', 'inputs have')} a first dimension of 1, though other dimensions "
            "are dynamic: the model may not take batches",
            where=as_text(fixed[0].name),
            hint="make the batch dimension dynamic when exporting, if batches are wanted",
        )


def _sizes(value: ValueInfoProto) -> list[int | None]:
    """The dimensions' sizes, None for symbols and unknown ones."""
    return [each.dim_value if each.HasField("dim_value") else None for each in dimensions(value.type)]


def _is_odd(size: int | None) -> bool:
    return size is not None and (size == 0 or size >= HUGE_SIZE)
