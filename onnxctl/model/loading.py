"""Opening: a file becomes a `Model`, the skeleton ModelProto and the payloads its tensors refer to."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, SparseTensorProto, TensorProto

from onnxctl.errors import (
    CorruptModel,
    InvalidModel,
    ModelError,
    OnnxctlError,
    StorageError,
    UnreadableFile,
    UnsafePath,
)
from onnxctl.model import sniff, wire
from onnxctl.model.fields import MAXIMUM_NESTING, MemorySource
from onnxctl.model.files import DataFile, FileSource, check_location, model_folders, open_regular, source_of
from onnxctl.model.names import as_text
from onnxctl.model.tensors import DTYPES, Payload, Tensor, raw_byte_count

if TYPE_CHECKING:
    from onnxctl.model.arrays import Array
    from onnxctl.model.derivation import Derivation

STANDARD_INPUT = "-"
"""The path that means: read the model from standard input."""

_MOST_DERIVATION_STEPS = 16
"""What takes more is computed at once: nobody computes a long way again and again."""


class Model:
    """An open model: `proto` is its skeleton, `payloads` the weights left on disk.

    A tensor whose values are on disk refers to its payload by a marker in its external_data; `tensor` follows it.
    """

    def __init__(self, proto: ModelProto, path: str, source: FileSource, payloads: list[Payload]) -> None:
        self.proto = proto
        self.path = path
        self.source = source
        self.payloads = payloads
        self._spool: DataFile | None = None
        self._spool_size = 0

    @property
    def data_files(self) -> list[DataFile]:
        """The external data files that tensors name, each once."""
        return list(
            {id(p.file): p.file for p in self.payloads if p.file.location and p.file is not self._spool}.values()
        )

    def payload(self, proto: TensorProto) -> Payload | None:
        """Where the tensor's values lie, or None where they are in the message itself."""
        for entry in proto.external_data:
            if entry.key == wire.MARK:
                return self.payloads[int(entry.value)]
        return None

    def tensor(self, proto: TensorProto) -> Tensor:
        """The tensor with its payload."""
        return Tensor(proto, self.payload(proto))

    def new_tensor(self, name: str, array: Array) -> TensorProto:
        """A TensorProto with these values; large ones go to an anonymous temporary file and not to memory."""
        from onnxctl.model.arrays import byte_view, element_type, native_dtype, new_inline_tensor

        is_large = array.dtype != object and array.nbytes >= wire.PAYLOAD_THRESHOLD_BYTES
        number = element_type(array.dtype) if is_large else 0
        if (native := native_dtype(number)) is not None:
            proto = TensorProto(name=name, data_type=number, dims=array.shape)
            self._mark(proto, self._spooled(byte_view(array.astype(native, order="C", copy=False))))
            return proto
        proto = new_inline_tensor(name, array)
        if len(proto.raw_data) >= wire.PAYLOAD_THRESHOLD_BYTES:
            data = proto.raw_data
            proto.ClearField("raw_data")
            self._mark(proto, self._spooled(memoryview(data)))
        return proto

    def derived_tensor(self, name: str, derivation: Derivation) -> TensorProto:
        """A TensorProto with the values that the derivation describes; large ones are not computed now."""
        from onnxctl.model.arrays import native_dtype
        from onnxctl.model.derivation import depth

        data_type = derivation.sources[0].proto.data_type
        dtype = native_dtype(data_type)
        length = math.prod(derivation.shape) * (0 if dtype is None else dtype.itemsize)
        if length < wire.PAYLOAD_THRESHOLD_BYTES or depth(derivation) > _MOST_DERIVATION_STEPS:
            return self.new_tensor(name, derivation.values())
        proto = TensorProto(name=name, data_type=data_type, dims=derivation.shape)
        self._mark(proto, Payload(DataFile(""), wire.RAW_DATA, 0, length, derivation=derivation))
        return proto

    def _spooled(self, data: memoryview) -> Payload:
        """The bytes at the end of a temporary file. Raises StorageError where they don't fit."""
        try:
            if self._spool is None:
                with tempfile.TemporaryFile() as file:
                    self._spool = DataFile("", opened=source_of(file, "(temporary file)"))
            source, offset = self._spool.source(), self._spool_size
            view = data
            while len(view):
                written = os.pwrite(source.descriptor, view, self._spool_size)
                view, self._spool_size = view[written:], self._spool_size + written
        except OSError as error:
            raise StorageError(
                f"writing a temporary file failed: {error.strerror or error}",
                hint="name another folder for temporary files with TMPDIR=FOLDER",
            ) from error
        source.size = self._spool_size
        return Payload(self._spool, wire.RAW_DATA, offset, len(data))

    def _mark(self, proto: TensorProto, payload: Payload) -> None:
        proto.data_location = TensorProto.EXTERNAL
        proto.external_data.add(key=wire.MARK, value=str(len(self.payloads)))
        self.payloads.append(payload)


@contextlib.contextmanager
def model_file(path: str) -> Iterator[str]:
    """The path as it is; for "-" that of a temporary file, in a folder of its own, with what standard input holds.

    Errors raised inside name "<stdin>" and not the temporary file. Raises UnreadableFile where standard input is a
    terminal.
    """
    if path != STANDARD_INPUT:
        yield path
        return
    if sys.stdin.isatty():
        raise UnreadableFile("standard input is a terminal", hint="pipe a model in: cat model.onnx | onnxctl inspect -")
    with tempfile.TemporaryDirectory(prefix="onnxctl-") as folder:
        spooled = os.path.join(folder, "stdin.onnx")
        with open(spooled, "xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        try:
            yield spooled
        except OnnxctlError as error:  # nobody knows the temporary file by its name
            raise type(error)(error.message.replace(spooled, "<stdin>"), hint=error.hint) from error


def open_model(path: str) -> Model:
    """Open a model file without reading its weights.

    Raises UnreadableFile, NotOnnx, CorruptModel or InvalidModel. External data that is missing or unsafe is no error
    here but where somebody reads it (`Payload.check`).
    """
    source = open_regular(path)
    head = source.read(0, min(source.size, sniff.SNIFF_BYTES))
    sniff.refuse_other_formats(head, source.size, path)
    try:
        skeleton = wire.scan(source)
        proto = _parsed(skeleton.data)
    except (CorruptModel, InvalidModel) as error:
        if sniff.looks_like_text(head) or not _begins_like_a_model(head):
            raise sniff.unrecognised(head, path) from error
        raise type(error)(f"{path}: {error.message}", hint=error.hint) from error
    if not proto.ListFields():
        raise sniff.unrecognised(head, path)
    own = DataFile("", opened=source)
    payloads = [Payload(own, cut.field, cut.offset, cut.length, cut.location_written) for cut in skeleton.cuts]
    model = Model(proto, path, source, payloads)
    if _has_external(model, skeleton):
        _mark_external(model, model_folders(path))
    return model


def _has_external(model: Model, skeleton: wire.Skeleton) -> bool:
    """Whether some tensor may be external data; sure only of a False. Looks where most are before it looks at all."""
    initializers = model.proto.graph.initializer
    if any(each.data_location == TensorProto.EXTERNAL and model.payload(each) is None for each in initializers):
        return True
    return b"location" in skeleton.data or skeleton.data.count(_EXTERNAL) > len(skeleton.cuts)


def no_model() -> Model:
    """A model with nothing in it, which stands for a file that does not exist."""
    return Model(ModelProto(), os.devnull, FileSource(os.open(os.devnull, os.O_RDONLY), os.devnull), [])


_EXTERNAL = b"\x70\x01"
"""data_location = EXTERNAL on the wire; every payload taken out has it once."""


def _begins_like_a_model(head: bytes) -> bool:
    """Whether the first tag is a field that ModelProto has, with its wire type."""
    tag = head[0]
    known = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2}
    return known.get(tag >> 3) == tag & 7


def _parsed(data: bytes) -> ModelProto:
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise CorruptModel(_diagnosis(data)) from error
    return proto


def _diagnosis(data: bytes) -> str:
    """Why the protobuf library refused bytes whose large messages scanned well."""
    try:
        wire.scan(MemorySource(data), threshold=1)
    except ModelError as error:
        return error.message
    return f"not a well-formed protobuf, or messages nested more than {MAXIMUM_NESTING} deep"


# ---------------------------------------------------------------- every tensor of a model


def tensors_of_model(model: ModelProto) -> Iterator[TensorProto]:
    """Every TensorProto of a model: initializers, values and indices of sparse ones, attributes, wherever they are."""
    yield from tensors_of_graph(model.graph)
    for function in model.functions:
        yield from tensors_of_nodes(function)
        for attribute in function.attribute_proto:
            yield from tensors_of_attribute(attribute)
    for training in model.training_info:
        yield from tensors_of_graph(training.initialization)
        yield from tensors_of_graph(training.algorithm)


def tensors_of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    """Every TensorProto of a graph and the graphs inside it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from _tensors_of_sparse(sparse)
    yield from tensors_of_nodes(graph)


def tensors_of_nodes(body: GraphProto | FunctionProto) -> Iterator[TensorProto]:
    """Every TensorProto in the attributes of the nodes, and in the graphs inside them."""
    for node in body.node:
        for attribute in node.attribute:
            if _holds_messages(attribute):
                yield from tensors_of_attribute(attribute)


def _holds_messages(attribute: AttributeProto) -> bool:
    """Whether there is more in it than plain values, as most have: a walk looks at every attribute."""
    has = attribute.HasField
    one = has("t") or has("g") or has("sparse_tensor")
    return one or bool(attribute.tensors or attribute.graphs or attribute.sparse_tensors)


def tensors_of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    """Every TensorProto in the attribute, and in the graphs inside it."""
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    if attribute.HasField("sparse_tensor"):
        yield from _tensors_of_sparse(attribute.sparse_tensor)
    for sparse in attribute.sparse_tensors:
        yield from _tensors_of_sparse(sparse)
    if attribute.HasField("g"):
        yield from tensors_of_graph(attribute.g)
    for graph in attribute.graphs:
        yield from tensors_of_graph(graph)


def _tensors_of_sparse(sparse: SparseTensorProto) -> Iterator[TensorProto]:
    yield sparse.values
    yield sparse.indices


# ---------------------------------------------------------------- external data


def _mark_external(model: Model, folders: tuple[str, str]) -> None:
    """Replace the external_data of every tensor by a marker, so that it is a lazy tensor like any other."""
    files: dict[str, DataFile] = {}
    for proto in tensors_of_model(model.proto):
        if proto.data_location != TensorProto.EXTERNAL or model.payload(proto) is not None:
            continue
        payload = _external_payload(proto, files, folders)
        del proto.external_data[:]
        model._mark(proto, payload)


def _external_payload(proto: TensorProto, files: dict[str, DataFile], folders: tuple[str, str]) -> Payload:
    entries = [(as_text(entry.key), as_text(entry.value)) for entry in proto.external_data]
    locations = [value for key, value in entries if key == "location"]
    location = locations[0] if locations else ""
    file = files.setdefault(location, DataFile(location or "(none)", folders))
    dtype = DTYPES.get(proto.data_type)
    count = 1
    for dim in proto.dims:
        count *= max(dim, 0)
    expected = raw_byte_count(count, dtype.bits) if dtype else 0
    payload = Payload(file, wire.RAW_DATA, 0, expected, tensor_name=proto.name)
    try:
        if len(locations) > 1:
            raise UnsafePath(f"external_data names more than one location: {locations}")
        if not location or location in (".", "./"):
            raise InvalidModel("external_data names no file: its location is missing or empty")
        check_location(location)
        values = dict(entries)
        payload.offset = _count(values, "offset", 0)
        payload.length = _count(values, "length", expected)
        payload.checksum = values.get("checksum", "")
        payload.other_keys = tuple(key for key in values if key not in _EXTERNAL_DATA_KEYS)
        if len(values) != len(entries):
            raise InvalidModel("external_data gives a key twice")
        if dtype and payload.length != expected:
            raise InvalidModel(
                f"external_data has length = {payload.length}, but dims = {list(proto.dims)[:8]} of {dtype.name} "
                f"need {expected} bytes"
            )
    except ModelError as error:
        payload.problem = type(error)(f"tensor {proto.name!r}: {error.message}", hint=error.hint)
    return payload


_EXTERNAL_DATA_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})


def _count(values: dict[str, str], key: str, default: int) -> int:
    text = values.get(key, "")
    if text == "":
        return default
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise InvalidModel(f"external_data has {key} = {text!r}, which is no possible number of bytes")
    return int(text)
