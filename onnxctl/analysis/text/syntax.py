"""The small pieces of ONNX's text syntax: names, strings, numbers, types, and comments for what it has no place for.

Source: the parser itself, https://github.com/onnx/onnx/blob/main/onnx/defs/parser.cc. In its strings only backslash and
quote are escaped; every other character stands for itself, and NUL ends the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

import numpy as np
from onnx import TensorProto, TensorShapeProto, TypeProto

from onnxctl.model.names import as_text

LONGEST_COMMENT = 160
"""Longer comments are cut, unless everything is to be written: exporters add a kilobyte to each node."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PRIMITIVES = {
    number: "float" if name == "FLOAT" else name.lower() for name, number in TensorProto.DataType.items() if number
}
_KEYWORDS = frozenset({*_PRIMITIVES.values(), "seq", "map", "optional", "sparse_tensor", "opaque"})
_NUMBERS = frozenset({"inf", "infinity", "nan"})


def is_identifier(name: str) -> bool:
    """Whether the name can stand without quotes, and where the syntax allows none."""
    return _IDENTIFIER.fullmatch(name) is not None


def begins_a_graph(name: str) -> bool:
    """Whether a subgraph of that name is recognised as one, and not taken for a type, a number or a string."""
    return is_identifier(name) and name not in _KEYWORDS and name.lower() not in _NUMBERS


def identifier_of(name: str) -> str:
    """An identifier near the name, for where the syntax takes nothing else."""
    near = re.sub(r"\W", "_", name, flags=re.ASCII)
    return near if begins_a_graph(near) else f"_{near}"


def quoted(text: str | bytes) -> str:
    """The text as a string literal."""
    return '"' + as_text(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_writable(text: str | bytes) -> bool:
    """Whether the parser can be given the text: UTF-8 without NUL."""
    try:
        whole = text if isinstance(text, str) else text.decode("utf-8")
        whole.encode("utf-8")
    except UnicodeError:
        return False
    return "\0" not in whole


def name_of(name: str | bytes) -> str:
    """A name, quoted where it has to be."""
    text = as_text(name)
    return text if is_identifier(text) and text not in _KEYWORDS else quoted(text)


def names_of(names: Iterable[str | bytes]) -> str:
    """Names with commas between them."""
    return ", ".join(map(name_of, names))


def float_of(value: float) -> str:
    """A float32 in the fewest digits that read back as the same one; always with a point or an exponent."""
    if math.isnan(value):
        return "-nan" if math.copysign(1.0, value) < 0 else "nan"
    text = str(np.float32(value))
    return text if "." in text or "e" in text or "inf" in text else f"{text}.0"


def comment(what: str, text: str | bytes, *, whole: bool) -> str:
    """A comment line that names a field and gives its contents as a JSON string; cut, where not all is wanted."""
    written = json.dumps(as_text(text))
    if not whole and len(written) > LONGEST_COMMENT:
        written = f"{written[:LONGEST_COMMENT]}... ({len(text)} characters)"
    return in_one_line(f"# {what}: {written}")


def in_one_line(text: str) -> str:
    """The text of a comment with newlines escaped: a comment ends at one, and names may hold them."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


# ---------------------------------------------------------------- types


def primitive(number: int) -> str:
    """The element type's name in the syntax, "" for a number that has none."""
    return _PRIMITIVES.get(number, "")


def type_of(kind: TypeProto) -> str:
    """The type; "" where there is none, or the syntax has no name for it."""
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return _tensor_type(kind.tensor_type)
    if which == "sparse_tensor_type":
        inner = _tensor_type(kind.sparse_tensor_type)
        return f"sparse_tensor({inner})" if inner else ""
    if which == "sequence_type":
        return _wrapped("seq({})", kind.sequence_type.elem_type)
    if which == "optional_type":
        return _wrapped("optional({})", kind.optional_type.elem_type)
    if which == "map_type":
        key = primitive(kind.map_type.key_type)
        return _wrapped(f"map({key}, {{}})", kind.map_type.value_type) if key else ""
    return ""


def _wrapped(form: str, inner: TypeProto) -> str:
    written = type_of(inner)
    return form.replace("{}", written) if written else ""


def _tensor_type(tensor: TypeProto.Tensor | TypeProto.SparseTensor) -> str:
    name = primitive(tensor.elem_type)
    if not name:
        return ""
    if not tensor.HasField("shape"):
        return f"{name}[]"
    dims = ",".join(_dimension(dim) for dim in tensor.shape.dim)
    return f"{name}[{dims}]" if dims else name


def _dimension(dim: TensorShapeProto.Dimension) -> str:
    if dim.HasField("dim_value"):
        return str(dim.dim_value)
    text = as_text(dim.dim_param)
    if not text:
        return "?"
    return text if is_identifier(text) else quoted(text)
