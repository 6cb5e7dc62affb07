"""Damage, of bytes and of fields.

A message is taken apart by its descriptors, some of its fields change, and it is whole again. What comes out always
parses, so that it gets past the reader and into what works on graphs: names that point elsewhere, attributes of another
type, shapes that contradict, nodes in a ring, tensors whose sizes lie.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 13, 17, 64, 255, 65536, -1, -2, -65, 1 << 30, (1 << 31) - 1, -(1 << 31))
LARGE_NUMBERS = (1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, -(1 << 63))
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    " ",
    "ai.onnx",
    "com.microsoft",
    "Add",
    "If",
    "Loop",
    "Constant",
    "x" * 300,
    "\u202eevil\x1b[31m",
    "a/../b",
)
PAYLOADS = (b"", b"\0", b"\xff" * 4, b"\0" * 64, b"\x7f\x80\xc3\x28")


def damaged(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The bytes after one to four flips, cuts, repetitions, overwritten places and splices with other bytes."""
    copy = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        if not copy:
            break
        at, length = generator.randrange(len(copy)), generator.randint(1, 8)
        match generator.randrange(5):
            case 0:
                copy[at] ^= 1 << generator.randrange(8)
            case 1:
                del copy[at : at + length]
            case 2:
                copy[at:at] = copy[at : at + length]
            case 3:
                copy[at : at + length] = generator.randbytes(length)
            case _:
                start = generator.randrange(len(other))
                copy[at : at + length] = other[start : start + generator.randint(1, 200)]
    return bytes(copy)


def mutated(model: ModelProto, generator: random.Random) -> bytes:
    """The model with one to six changes somewhere in it, in bytes."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for _ in range(generator.randint(1, 6)):
        messages = list(walk(copy))
        _change(generator.choice(messages), messages, generator)
    return copy.SerializeToString()


def mutated_bytes(data: bytes, generator: random.Random) -> bytes:
    """The same for a model in bytes; what does not parse stays as it is."""
    try:
        return mutated(ModelProto.FromString(data), generator)
    except DecodeError:
        return data


def walk(message: Message) -> Iterator[Message]:
    """The message and all that are set inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                yield from walk(child)


def _change(message: Message, messages: Sequence[Message], generator: random.Random) -> None:
    present: Sequence[Any] = [field for field, _ in message.ListFields()]
    fields: Sequence[Any] = present if present and generator.random() < 0.8 else message.DESCRIPTOR.fields
    if not fields:
        return
    field = generator.choice(fields)
    if generator.random() < 0.1:
        message.ClearField(field.name)
    elif field.is_repeated:
        _change_list(getattr(message, field.name), field, messages, generator)
    elif field.message_type is not None:
        donor = _like(field, messages, generator)
        getattr(message, field.name).SetInParent() if donor is None else getattr(message, field.name).CopyFrom(donor)
    else:
        setattr(message, field.name, _scalar(field, messages, generator))


def _change_list(values: Any, field: FieldDescriptor, messages: Sequence[Message], generator: random.Random) -> None:
    at = generator.randrange(len(values)) if len(values) else 0
    choice = generator.randrange(4)
    if choice == 0 and len(values):
        del values[at]
    elif choice == 1 and len(values):  # twice, or in another order
        kept = [*values[:at], values[at], values[at], *values[at + 1 :]]
        if generator.random() < 0.5:
            generator.shuffle(kept)
        copies = [_copy(each) for each in kept]
        del values[:]
        values.extend(copies)
    elif field.message_type is not None:
        donor = _like(field, messages, generator)
        added = values.add()
        if donor is not None:
            added.CopyFrom(_copy(donor))
    elif choice == 2 and len(values):
        values[at] = _scalar(field, messages, generator)
    else:
        values.append(_scalar(field, messages, generator))


def _copy(value: Any) -> Any:
    if not isinstance(value, Message):
        return value
    copy = type(value)()
    copy.CopyFrom(value)
    return copy


def _like(field: FieldDescriptor, messages: Sequence[Message], generator: random.Random) -> Message | None:
    """Some message of the field's type from elsewhere in the model, as long as it is small."""
    alike = [each for each in messages if each.DESCRIPTOR is field.message_type and each.ByteSize() < 4096]
    return _copy(generator.choice(alike)) if alike else None


def _scalar(field: FieldDescriptor, messages: Sequence[Message], generator: random.Random) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return generator.choice(PAYLOADS)
        names = [name for each in generator.choices(messages, k=8) for name in _texts(each)]
        return generator.choice(names if names and generator.random() < 0.8 else TEXTS)
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return generator.choice(REALS)
    if field.enum_type is not None:
        return generator.choice(field.enum_type.values).number
    if kind == FieldDescriptor.CPPTYPE_INT64:
        return generator.choice(NUMBERS + LARGE_NUMBERS)
    if kind == FieldDescriptor.CPPTYPE_UINT64:
        return abs(generator.choice(NUMBERS + LARGE_NUMBERS))
    return generator.choice(NUMBERS)


def _texts(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from value if field.is_repeated else (value,)
