"""What must hold for any bytes at all: they give a model or one of our model errors, and nothing else.

The scanner and the loader end in a result or a ModelError; where there is a skeleton, putting the payloads back gives
a message equal to the original's; every tensor can be checked and small ones read; the structure check and the
summary end the same way.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from onnxctl.analysis.structure import check_structure
from onnxctl.analysis.summary import summarize
from onnxctl.errors import ModelError, ResourceLimit
from onnxctl.model import wire
from onnxctl.model.loading import open_model, tensors_of_model


class Memory:
    """Bytes as a Source."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size, "read outside of the file"
        return self.data[offset : offset + length]


def check_scanner(data: bytes, threshold: int = 16) -> None:
    """Skeleton and payloads make the original, as the protobuf library understands it."""
    skeleton = wire.scan(Memory(data), threshold)
    places = [
        wire.Inline(index, cut.field, cut.length, cut.location_written) for index, cut in enumerate(skeleton.cuts)
    ]
    parts = []
    for piece in wire.expand(skeleton.data, places.__getitem__):
        if isinstance(piece, wire.PayloadReference):
            cut = skeleton.cuts[piece.number]
            parts.append(data[cut.offset : cut.offset + cut.length])
        else:
            parts.append(piece)
    try:
        original = ModelProto.FromString(data)
    except DecodeError:
        return
    # NaN is unequal to itself: compare what serializing gives
    assert ModelProto.FromString(b"".join(parts)).SerializeToString() == original.SerializeToString()


def check_loader(data: bytes, folder: Path) -> None:
    """Open, check and summarize; every failure is a ModelError, or a limit of functions that expand too far."""
    path = folder / "model.onnx"
    path.write_bytes(data)
    model = open_model(str(path))
    for proto in tensors_of_model(model.proto):
        tensor = model.tensor(proto)
        tensor.check()
        if tensor.element_count < 1 << 16:
            tensor.numpy()
    summarize(model, nodes=True, weights=True, findings=check_structure(model))


def run(data: bytes) -> None:
    """One input, all checks."""
    with contextlib.suppress(ModelError):
        check_scanner(data)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, contextlib.suppress(ModelError, ResourceLimit):
        check_loader(data, Path(folder))
