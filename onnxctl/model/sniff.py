"""What a file that is no ONNX model is instead, told from its first bytes; no other format's reader is used."""

from __future__ import annotations

from onnxctl.errors import NotOnnx

SNIFF_BYTES = 512

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the model itself", "run `git lfs pull` in its repository"),
    (0, b"PK\x03\x04", "a zip archive (a PyTorch .pt file is one)", "unpack it, or export the model to ONNX"),
    (0, b"\x1f\x8b", "gzip-compressed", "unpack it with gunzip"),
    (0, b"BZh", "bzip2-compressed", "unpack it with bunzip2"),
    (0, b"\xfd7zXZ", "xz-compressed", "unpack it with unxz"),
    (0, b"\x28\xb5\x2f\xfd", "zstandard-compressed", "unpack it with unzstd"),
    (0, b"\x80\x02", "a Python pickle", "export the model to ONNX; a pickle from elsewhere is not safe to open"),
    (0, b"\x80\x03", "a Python pickle", "export the model to ONNX; a pickle from elsewhere is not safe to open"),
    (0, b"\x80\x04", "a Python pickle", "export the model to ONNX; a pickle from elsewhere is not safe to open"),
    (0, b"\x80\x05", "a Python pickle", "export the model to ONNX; a pickle from elsewhere is not safe to open"),
    (4, b"TFL3", "a TFLite model", "convert it with tf2onnx"),
    (4, b"ORTM", "a model in ORT format, onnxruntime's own", "use the ONNX file it was made from"),
    (8, b'{"', "a safetensors file: weights without a graph", "export the model to ONNX"),
    (0, b"\x89HDF", "an HDF5 file (Keras)", "convert it with tf2onnx"),
    (0, b"GGUF", "a GGUF file", "export the model to ONNX"),
)


def refuse_other_formats(head: bytes, size: int, path: str) -> None:
    """Raises NotOnnx where the first bytes are empty or those of another well-known format."""
    if size == 0:
        raise NotOnnx(f"{path}: the file is empty", hint="download or export it again")
    for offset, magic, what, hint in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            raise NotOnnx(f"{path}: this is {what}", hint=hint)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise NotOnnx(f"{path}: this is an HTML page, perhaps an error or login page", hint="download the file again")
    if text.startswith((b"{", b"[")) and _is_text(head):
        raise NotOnnx(f"{path}: this is JSON text, perhaps an error message", hint="look at it, and download again")


def unrecognised(head: bytes, path: str) -> NotOnnx:
    """The error for a file that failed to parse and looks like no format known here."""
    what = "this is text, not an ONNX model" if _is_text(head) else "not an ONNX model, nor any format known here"
    return NotOnnx(f"{path}: {what}", hint="check where the file came from")


def looks_like_text(head: bytes) -> bool:
    """Whether the bytes are printable text, which no serialized model begins with."""
    return _is_text(head)


def _is_text(head: bytes) -> bool:
    if not head or b"\0" in head:
        return False
    printable = sum(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return printable == len(head)
