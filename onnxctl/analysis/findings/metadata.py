"""What exporters wrote beside the graph: how much of it, and whether it says where somebody works."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from onnx import ModelProto, StringStringEntryProto

from onnxctl.analysis.scopes import walk_scopes
from onnxctl.model.names import as_text, node_label
from onnxctl.reports import Finding

BULKY_BYTES = 1 << 16

_HOME = re.compile(r"(?:/home/|/Users/|\b[A-Za-z]:[\\/]+Users[\\/]+)[^\s/\\\"':,;<>]+|(?<![\w/.])/root/[^\s\"':,;<>]+")
_SHOWN_CHARACTERS = 80


def metadata_findings(proto: ModelProto) -> Iterator[Finding]:
    """Traces of somebody's home folder, and metadata of so many bytes that it slows loading down."""
    total, traces = 0, 0
    home, where = "", ""
    for place, text in _texts(proto):
        total += len(text.encode("utf-8", "surrogateescape"))
        traces += 'File "' in text
        if not home and (found := _HOME.search(text)) is not None:
            home, where = found[0][:_SHOWN_CHARACTERS], place
    if home:
        yield Finding(
            code="private-metadata",
            severity="warning",
            message=f"the metadata names somebody's home folder: {home!r}",
            where=where,
            hint="remove doc_string and metadata_props before publishing the model",
        )
    if total >= BULKY_BYTES:
        what = f", {traces} stack traces among them" if traces else ""
        yield Finding(
            code="bulky-metadata",
            severity="info",
            message=f"metadata and documentation of nodes and values take {total:,} bytes{what}",
            hint="runtimes don't need them: export without, or clear metadata_props and doc_string",
        )


def _texts(proto: ModelProto) -> Iterator[tuple[str, str]]:
    """Every text about the model, its functions, nodes and values, with the place it stands at."""
    yield "", as_text(proto.doc_string)
    yield from _entries("", proto.metadata_props)
    for scope in walk_scopes(proto):
        body = scope.body
        yield scope.path, as_text(body.doc_string)
        yield from _entries(scope.path, body.metadata_props)
        for node in body.node:
            if node.metadata_props or node.doc_string:
                label = node_label(scope.path, node)
                yield label, as_text(node.doc_string)
                yield from _entries(label, node.metadata_props)
        for value in body.value_info:
            yield as_text(value.name), as_text(value.doc_string)
            yield from _entries(as_text(value.name), value.metadata_props)


def _entries(place: str, entries: Iterable[StringStringEntryProto]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        yield place, as_text(entry.key)
        yield place, as_text(entry.value)
