"""What models say of themselves, and their inputs and outputs, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

from onnx import ModelProto, ValueInfoProto

from onnxctl.analysis.types import type_in_words
from onnxctl.model.names import as_text
from onnxctl.model.nodes import shown_domain
from onnxctl.reports import InterfaceChange, TextChange

_FIELDS = ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string")


def header_changes(a: ModelProto, b: ModelProto) -> Iterator[TextChange]:
    """The fields of the header that differ, opset imports and metadata one by one."""
    before, after = _header(a), _header(b)
    for field in {**before, **after}:
        if before.get(field) != after.get(field):
            yield TextChange(field=field, before=before.get(field), after=after.get(field))


def _header(proto: ModelProto) -> Mapping[str, str]:
    found = {field: _text(getattr(proto, field)) for field in _FIELDS if proto.HasField(field)}
    found["graph name"] = as_text(proto.graph.name)
    for each in proto.opset_import:
        shown = shown_domain(each.domain)
        found[f"opset_import {shown}"] = str(each.version)
    for entry in proto.metadata_props:
        found[f"metadata {as_text(entry.key)}"] = as_text(entry.value)
    return found


def _text(value: str | bytes | int) -> str:
    return str(value) if isinstance(value, int) else as_text(value)


class NamePair(NamedTuple):
    """An input or output of both models; a None is missing on that side."""

    before: str | None
    after: str | None


def pair_values(a: Sequence[ValueInfoProto], b: Sequence[ValueInfoProto]) -> list[NamePair]:
    """The values of both sides: of one name, or else, in order, of one type, or in order where all have a partner."""
    names_a, names_b = [value.name for value in a], [value.name for value in b]
    left = [value for value in a if value.name not in names_b]
    right = [value for value in b if value.name not in names_a]
    pairs = [NamePair(name, name) for name in dict.fromkeys(names_a) if name in names_b]
    if len(left) == len(right) and [type_in_words(v.type) for v in left] != [type_in_words(v.type) for v in right]:
        return [*pairs, *(NamePair(one.name, two.name) for one, two in zip(left, right, strict=True))]
    for value in left:
        kind = type_in_words(value.type)
        partner = next((each for each in right if type_in_words(each.type) == kind), None)
        if partner is not None:
            right.remove(partner)
        pairs.append(NamePair(value.name, partner.name if partner is not None else None))
    return [*pairs, *(NamePair(None, value.name) for value in right)]


def interface_changes(
    role: Literal["input", "output"],
    a: Sequence[ValueInfoProto],
    b: Sequence[ValueInfoProto],
    pairs: Sequence[NamePair],
) -> Iterator[InterfaceChange]:
    """What differs between the inputs or the outputs of the top graphs, their order included."""
    types_a = {value.name: type_in_words(value.type) for value in a}
    types_b = {value.name: type_in_words(value.type) for value in b}
    for before, after in pairs:
        kind_a = None if before is None else types_a[before]
        kind_b = None if after is None else types_b[after]
        if (before, kind_a) != (after, kind_b):
            yield _change(role, before, after, kind_a, kind_b)
    common_a = [pair.after for value in a for pair in pairs if pair.before == value.name and pair.after is not None]
    common_b = [value.name for value in b if value.name in set(common_a)]
    if common_a != common_b:
        first = next(x or y for x, y in zip_longest(common_a, common_b, fillvalue="") if x != y)
        is_order = sorted(common_a) == sorted(common_b)
        note = "are in another order" if is_order else "are not listed as often"
        yield _change(role, first, first, types_b[first], types_b[first], f"the {role}s {note}")


def _change(
    role: Literal["input", "output"],
    before: str | None,
    after: str | None,
    before_type: str | None,
    after_type: str | None,
    note: str = "",
) -> InterfaceChange:
    return InterfaceChange(
        role=role,
        before=None if before is None else as_text(before),
        after=None if after is None else as_text(after),
        before_type=before_type,
        after_type=after_type,
        note=note,
    )
