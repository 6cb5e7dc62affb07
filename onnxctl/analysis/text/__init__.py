"""A model in ONNX's own text syntax, complete: what onnx.parser reads back is the same model.

Weights are elided unless all is wanted: a tensor of more than SHOWN_ELEMENTS elements keeps its name, type and shape,
and stands as external data without a place: `float[768,768] w = ["sha256": "9f86d0...", "elided": "2359296 bytes"]`,
where sha256 is that of the bytes raw_data would hold. One in a data file keeps its location, offset and length.

onnx.printer drops what it does not know: functions' attributes, types and documentation, the values of packed and
complex types. Hence a writer of our own; what the syntax itself has no place for becomes comments (see `writer`).
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import ModelProto

from onnxctl.analysis.text.syntax import quoted
from onnxctl.analysis.text.values import DIGESTED_BYTES, SHOWN_ELEMENTS, Values
from onnxctl.analysis.text.writer import Writer
from onnxctl.model.loading import Model
from onnxctl.model.names import as_text

__all__ = ["SHOWN_ELEMENTS", "model_text"]


def model_text(model: Model, *, whole: bool = False) -> str:
    """The model as ONNX text, weights elided unless `whole`; what is not UTF-8 becomes lone surrogates.

    Reads the weights, for their digests or as a whole. Raises ResourceLimit where the whole would be too long, what
    `Payload.check` raises where the whole is wanted and a weight can't be had.
    """
    values = Values(model, whole=whole)
    writer = Writer(values, whole=whole)
    proto = model.proto
    body = [*_header(proto), *writer.graph(proto.graph)]
    for function in proto.functions:
        body += writer.function(function)
    for training in proto.training_info:
        for what, graph in (("initialization", training.initialization), ("algorithm", training.algorithm)):
            body += (f"# training_info {what}: {line}" for line in _in_lines(writer.graph(graph)))
    return "\n".join([*_note(values, writer), *body])


def _note(values: Values, writer: Writer) -> Iterator[str]:
    if values.elided:
        digest = "their SHA-256" if values.digested else f"nothing (they have more than {DIGESTED_BYTES >> 30} GiB)"
        yield f"# Tensors of more than {SHOWN_ELEMENTS} elements are left out; {digest} stands in their place."
    if writer.unwritten_count:
        yield f"# {writer.unwritten_count} metadata_props of nodes, values and graphs are left out."


def _header(proto: ModelProto) -> Iterator[str]:
    imports = ", ".join(f"{quoted(each.domain)} : {each.version}" for each in proto.opset_import)
    fields = [f"ir_version: {proto.ir_version}", f"opset_import: [{imports}]"]
    for name in ("producer_name", "producer_version", "domain"):
        if proto.HasField(name):
            fields.append(f"{name}: {quoted(getattr(proto, name))}")
    if proto.HasField("model_version"):
        fields.append(f"model_version: {proto.model_version}")
    if proto.HasField("doc_string"):
        fields.append(f"doc_string: {quoted(proto.doc_string)}")
    if proto.metadata_props:
        entries = ", ".join(f"{quoted(each.key)}: {quoted(each.value)}" for each in proto.metadata_props)
        fields.append(f"metadata_props: [{entries}]")
    yield "<"
    yield from (f"  {field}," for field in fields[:-1])
    yield f"  {fields[-1]}"
    yield ">"


def _in_lines(parts: Iterator[str]) -> Iterator[str]:
    """Strings in a graph may hold newlines, and a comment ends at one."""
    for part in parts:
        yield from as_text(part).splitlines()
