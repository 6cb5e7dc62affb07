"""Graphs, nodes and functions in ONNX's text syntax.

What the syntax has no place for stands in comments that begin with the name of the field, beside what it belongs to:
sparse tensors, metadata and documentation (but the model's own, and a function's documentation), quantization
annotations, lists of tensors, graphs or types, and names that need quotes where the syntax takes identifiers only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    NodeProto,
    SparseTensorProto,
    StringStringEntryProto,
    TensorProto,
    ValueInfoProto,
)

from onnxctl.analysis.attributes import attribute_in_words, type_of_value
from onnxctl.analysis.text.syntax import (
    begins_a_graph,
    comment,
    float_of,
    identifier_of,
    in_one_line,
    is_identifier,
    is_writable,
    name_of,
    names_of,
    primitive,
    quoted,
    type_of,
)
from onnxctl.analysis.text.values import Values
from onnxctl.model.names import as_text

Item = TypeVar("Item")

_STEP = "  "
_UNLISTED = frozenset({AttributeProto.TENSORS, AttributeProto.GRAPHS, AttributeProto.TYPE_PROTOS})
"""Lists that the parser reads and drops."""
_SPARSE = frozenset({AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS})


class Writer:
    """Writes graphs and functions line by line; whole says that nothing is elided or cut.

    Unless whole, metadata_props are counted (unwritten_count) and not written: exporters give several to each node.
    """

    def __init__(self, values: Values, *, whole: bool) -> None:
        self._values = values
        self._whole = whole
        self.unwritten_count = 0

    # ------------------------------------------------------------ graphs

    def graph(self, graph: GraphProto, indent: str = "", name: str | None = None) -> Iterator[str]:
        """The graph; its first line is not indented, so that it can follow an attribute's name."""
        own = name_of(graph.name) if name is None else name
        inputs = ", ".join(map(self._value, graph.input))
        outputs = ", ".join(map(self._value, graph.output))
        yield f"{own} ({inputs}) => ({outputs})"
        yield from self._texts(indent + _STEP, graph.doc_string, graph.metadata_props)
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield from self._beside(indent + _STEP, value)
        yield from self._declarations(graph, indent)
        yield f"{indent}{{"
        for node in graph.node:
            yield from self._node(node, indent + _STEP)
        yield f"{indent}}}"

    def _declarations(self, graph: GraphProto, indent: str) -> Iterator[str]:
        for sparse in graph.sparse_initializer:
            line = f"# sparse_initializer {name_of(sparse.values.name)}: {self._sparse(sparse)}"
            yield indent + _STEP + in_one_line(line)
        for annotation in graph.quantization_annotation:
            pairs = "; ".join(f"{each.key}={each.value}" for each in annotation.quant_parameter_tensor_names)
            yield indent + _STEP + comment("quantization_annotation", f"{annotation.tensor_name}: {pairs}", whole=True)
        for tensor in graph.initializer:
            if tensor.doc_string:
                yield indent + _STEP + self._comment(f"doc_string of {name_of(tensor.name)}", tensor.doc_string)
        entries = [
            f"{self._tensor_type(tensor)} {name_of(tensor.name)} = {self._values.written(tensor)}"
            for tensor in graph.initializer
        ]
        entries += [self._value(value) for value in graph.value_info]
        if entries:
            yield f"{indent}<"
            yield from (f"{indent}{_STEP}{entry}{',' if more else ''}" for entry, more in _with_more(entries))
            yield f"{indent}>"

    def _value(self, value: ValueInfoProto) -> str:
        kind = type_of(value.type)
        return f"{kind} {name_of(value.name)}" if kind else name_of(value.name)

    def _beside(self, indent: str, value: ValueInfoProto) -> Iterator[str]:
        """Comments with what the syntax drops of a value."""
        whose = f" of {name_of(value.name)}"
        if value.type.WhichOneof("value") and not type_of(value.type):
            yield indent + comment(f"type{whose}", str(value.type), whole=True)
        yield from self._texts(indent, value.doc_string, value.metadata_props, whose)

    def _tensor_type(self, tensor: TensorProto) -> str:
        dims = ",".join(map(str, tensor.dims))
        return primitive(tensor.data_type) + (f"[{dims}]" if dims else "")

    def _sparse(self, sparse: SparseTensorProto) -> str:
        """A sparse tensor as a comment has it: shape, values and indices."""
        shape = ",".join(map(str, sparse.dims))
        parts = (
            f"{self._tensor_type(tensor)} {self._values.written(tensor)}" for tensor in (sparse.values, sparse.indices)
        )
        return f"{primitive(sparse.values.data_type)}[{shape}] with values {' at '.join(parts)}"

    # ------------------------------------------------------------ nodes

    def _node(self, node: NodeProto, indent: str) -> Iterator[str]:
        operator, unsaid = _operator(node)
        yield from (indent + line for line in unsaid)
        yield from self._texts(indent, node.doc_string, node.metadata_props)
        attributes: list[list[str]] = []
        for each in node.attribute:
            lines, beside = self._attribute(each, indent + _STEP)
            yield from (indent + line for line in beside)
            attributes += [lines] if lines else []
        name = f"[{name_of(node.name)}] " if node.name else ""
        head = f"{indent}{name}{names_of(node.output)} = {operator}"
        inputs = f"({names_of(node.input)})"
        if not attributes:
            yield f"{head} {inputs}"
        elif all(len(lines) == 1 for lines in attributes):
            yield f"{head} <{', '.join(lines[0] for lines in attributes)}> {inputs}"
        else:
            yield f"{head} {inputs} <"
            for (first, *rest), more in _with_more(attributes):
                lines = [f"{indent}{_STEP}{first}", *rest]
                yield from lines[:-1]
                yield lines[-1] + ("," if more else "")
            yield f"{indent}>"

    def _attribute(self, attribute: AttributeProto, indent: str) -> tuple[list[str], list[str]]:
        """The lines that write the attribute, none where the syntax can't, and comments with what they leave out."""
        kind = attribute.type or type_of_value(attribute)
        own, beside = as_text(attribute.name), []
        if attribute.doc_string:
            beside.append(self._comment(f"doc_string of {own!r}", attribute.doc_string))
        if not is_identifier(own) or kind in _UNLISTED | _SPARSE or not _can_be_written(attribute):
            return [], [*beside, self._unwritten(attribute, kind)]
        head = f"{own}: {AttributeProto.AttributeType.Name(kind).lower()} = "
        if attribute.ref_attr_name:
            return [f"{head}@{name_of(attribute.ref_attr_name)}"], beside
        if kind == AttributeProto.GRAPH:
            name = as_text(attribute.g.name)
            shown = name if begins_a_graph(name) else identifier_of(name)
            if shown != name:
                beside.append(comment(f"name of the graph {own}", name, whole=True))
            first, *rest = self.graph(attribute.g, indent, shown)
            return [head + first, *rest], beside
        if kind == AttributeProto.TENSOR:
            name = as_text(attribute.t.name)
            if name and not is_identifier(name):
                beside.append(comment(f"name of the tensor {own}", name, whole=True))
                name = ""
            if attribute.t.doc_string:
                beside.append(self._comment(f"doc_string of the tensor {own}", attribute.t.doc_string))
            shown = f" {name}" if name else ""
            return [f"{head}{self._tensor_type(attribute.t)}{shown} = {self._values.written(attribute.t)}"], beside
        return [head + _plain(attribute, kind)], beside

    def _unwritten(self, attribute: AttributeProto, kind: AttributeProto.AttributeType) -> str:
        """An attribute that the syntax can't say, as a comment."""
        own = name_of(attribute.name)
        if kind == AttributeProto.SPARSE_TENSOR:
            return in_one_line(f"# attribute {own}: {self._sparse(attribute.sparse_tensor)}")
        if kind == AttributeProto.STRING:
            return in_one_line(f"# attribute {own}: bytes {attribute.s.hex()}")
        return comment(f"attribute {own}", attribute_in_words(attribute), whole=True)

    # ------------------------------------------------------------ functions

    def function(self, function: FunctionProto) -> Iterator[str]:
        """A model-local function with its header."""
        imports = ", ".join(f"{quoted(each.domain)} : {each.version}" for each in function.opset_import)
        header = [f"domain: {quoted(function.domain)}", f"opset_import: [{imports}]"]
        if function.overload:
            header.append(f"overload: {quoted(function.overload)}")
        if function.doc_string:
            header.append(f"doc_string: {quoted(function.doc_string)}")
        yield f"<{', '.join(header)}>"
        yield from self._texts("", "", function.metadata_props)
        attributes = [name_of(name) for name in function.attribute]
        for each in function.attribute_proto:
            lines, beside = self._attribute(each, _STEP)
            yield from beside
            attributes += ["\n".join(lines)] if lines else []
        given = f" <{', '.join(attributes)}>" if attributes else ""
        yield f"{name_of(function.name)}{given} ({names_of(function.input)}) => ({names_of(function.output)})"
        for value in function.value_info:
            yield from self._beside(_STEP, value)
        if function.value_info:
            yield f"<{', '.join(map(self._value, function.value_info))}>"
        yield "{"
        for node in function.node:
            yield from self._node(node, _STEP)
        yield "}"

    # ------------------------------------------------------------ comments

    def _comment(self, what: str, text: str | bytes) -> str:
        return comment(what, text, whole=self._whole)

    def _texts(
        self, indent: str, doc_string: str, entries: Iterable[StringStringEntryProto], whose: str = ""
    ) -> Iterator[str]:
        if doc_string:
            yield indent + self._comment(f"doc_string{whose}", doc_string)
        if not self._whole:
            self.unwritten_count += sum(1 for _ in entries)
            return
        for entry in entries:
            yield indent + self._comment(f"metadata_props{whose} {quoted(entry.key)}", entry.value)


def _operator(node: NodeProto) -> tuple[str, list[str]]:
    """The operator with its domain and overload, and comments where these are no identifiers."""
    domain, op_type, overload = as_text(node.domain), as_text(node.op_type), as_text(node.overload)
    parts = [*(domain.split(".") if domain else ()), op_type]
    unsaid = []
    if not all(map(is_identifier, parts)):
        unsaid.append(comment("operator", f"{domain}.{op_type}" if domain else op_type, whole=True))
        parts = [part if is_identifier(part) else identifier_of(part) for part in parts]
    if overload and not is_identifier(overload):
        unsaid.append(comment("overload", overload, whole=True))
        overload = identifier_of(overload)
    return ".".join(parts) + (f":{overload}" if overload else ""), unsaid


def _can_be_written(attribute: AttributeProto) -> bool:
    return all(map(is_writable, (attribute.s, *attribute.strings)))


def _plain(attribute: AttributeProto, kind: AttributeProto.AttributeType) -> str:
    """A number, a string, a type, or a list of numbers or strings."""
    if kind == AttributeProto.FLOAT:
        return float_of(attribute.f)
    if kind == AttributeProto.INT:
        return str(attribute.i)
    if kind == AttributeProto.STRING:
        return quoted(attribute.s)
    if kind == AttributeProto.TYPE_PROTO:
        return type_of(attribute.tp)
    items: Iterable[str] = ()
    if kind == AttributeProto.FLOATS:
        items = map(float_of, attribute.floats)
    elif kind == AttributeProto.INTS:
        items = map(str, attribute.ints)
    elif kind == AttributeProto.STRINGS:
        items = map(quoted, attribute.strings)
    return f"[{', '.join(items)}]"


def _with_more(items: list[Item]) -> Iterator[tuple[Item, bool]]:
    """Each item, and whether more follow."""
    return ((item, index < len(items) - 1) for index, item in enumerate(items))
