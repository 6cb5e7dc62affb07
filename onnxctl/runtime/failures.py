"""onnxruntime's errors in our words: which class they belong to, without the C++ around the sentence that matters."""

from __future__ import annotations

import re

from onnxctl.errors import (
    CorruptModel,
    InvalidModel,
    OnnxctlError,
    ResourceLimit,
    UnreadableFile,
    UnsafePath,
    UnsupportedModel,
)

_LONGEST = 600
_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_PREFIX = re.compile(
    r"Load model from .*? failed:|Exception during (?:initialization|loading): |This is an invalid model\. |"
    r"Exception from \S+:\d+:\s"
)
_SOURCE = re.compile(r"(?:/\S*/)?\b\w+\.(?:cc|cpp|h|cu):\d+ ")
_CONDITION = re.compile(r"^[^.]{1,200}? was false\. (?=\S)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_MEMORY = re.compile(
    r"bad_alloc|MemoryError|out of memory|Failed to allocate memory|Available memory of \d+ is smaller|"
    r"byte limit for|exceeds the supported maximum of \d+ bytes",
    re.I,
)
_NO_KERNEL = re.compile(r"Could not find an implementation for|not currently registered or supported")
_UNKNOWN_OPERATOR = re.compile(r"No Op registered for|is not a registered function/op|No schema registered")
_TOO_NEW = re.compile(r"Unsupported model IR version|Current official support for domain|is under development")
_OUTSIDE = re.compile(r"escapes model directory|[Aa]bsolute path not allowed")
_MISSING = re.compile(r"External data path does not exist|File doesn't exist|NO_SUCHFILE")


def cleaned(text: str) -> str:
    """onnxruntime's message as one line, without its error code, source lines and C++ signatures."""
    text = _PREFIX.sub("", _CODE.sub("", text))
    parts = _SOURCE.split(text)
    if len(parts) > 1:
        parts[1:] = [_without_signature(part) for part in parts[1:]]
        text = " ".join(part for part in parts if part.strip())
    text = _CONDITION.sub("", " ".join(_PREFIX.sub("", text).split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _without_signature(text: str) -> str:
    """What follows "file.cc:12 ": a message after the name or the whole signature of a C++ function."""
    head = re.match(r"[\w:~<>,&* ]*?\boperator\(\)|[^(]*?(?=\()", text)
    word = re.match(r"\w+ ", text)
    if head is None or (word is not None and "::" not in head.group() and not head.group().startswith("void ")):
        return text[word.end() :] if word is not None else text  # a bare function name
    rest = text[head.end() :]
    while rest.startswith("("):
        rest = rest[_closing(rest, "(", ")") :]
        rest = re.sub(r"^ ?const\b", "", rest)
    if rest.startswith(" [with"):
        rest = rest[_closing(rest, "[", "]") :]
    return rest.strip()


def _closing(text: str, opening: str, closing: str) -> int:
    """The index after the bracket that closes the first one opened; the whole length where none does."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == opening) - (character == closing)
        if character == closing and depth == 0:
            return index + 1
    return len(text)


def load_failure(error: BaseException, path: str, provider: str) -> OnnxctlError:
    """Why onnxruntime refused to open the model on the provider, as the error it is."""
    raw = f"{type(error).__name__}: {error}"
    text = cleaned(str(error)) or type(error).__name__
    if _MEMORY.search(raw):
        return ResourceLimit(f"{path}: not enough memory to load the model: {text}")
    if _OUTSIDE.search(raw):
        return UnsafePath(f"{path}: {text}", hint="external data must lie in the model's own folder")
    if _MISSING.search(raw):
        return UnreadableFile(f"{path}: {text}")
    if _UNKNOWN_OPERATOR.search(raw):
        return UnsupportedModel(
            f"{path}: onnxruntime does not know an operator of this model: {text}",
            hint="operators of other domains need their own library; `onnxctl inspect` lists the domains",
        )
    if _TOO_NEW.search(raw):
        return UnsupportedModel(
            f"{path}: this onnxruntime is older than the model: {text}",
            hint="update it, or convert to an earlier opset",
        )
    if _NO_KERNEL.search(raw):
        return UnsupportedModel(
            f"{path}: onnxruntime has no kernel for the model on {provider}: {text}",
            hint="" if provider == "cpu" else "try --provider cpu",
        )
    if "NOT_IMPLEMENTED" in raw:
        return UnsupportedModel(f"{path}: onnxruntime does not support this model: {text}")
    if type(error).__name__ == "InvalidProtobuf":
        return CorruptModel(f"{path}: onnxruntime can't parse it: {text}")
    if provider != "cpu" and "Load model from" not in raw:  # the graph itself was accepted
        return UnsupportedModel(f"{path}: {provider} can't take this model: {text}", hint="try --provider cpu")
    return InvalidModel(f"{path}: onnxruntime refuses the model: {text}")


def run_failure(error: BaseException, path: str) -> OnnxctlError:
    """Why onnxruntime could not run the model on the inputs it was given."""
    raw = f"{type(error).__name__}: {error}"
    text = cleaned(str(error)) or type(error).__name__
    if _MEMORY.search(raw) or text.endswith("Integer overflow"):  # of a size in bytes
        return ResourceLimit(f"{path}: not enough memory to run the model: {text}")
    return UnsupportedModel(
        f"{path}: onnxruntime can't run the model on the inputs made for it: {text}",
        hint="other sizes may fit: --dim NAME=SIZE",
    )


# ---------------------------------------------------------------- a provider that does not come up

_LIBRARY_MISSING = re.compile(
    r"(?:error: |dlopen\()?([\w.+-]+\.(?:so[\w.]*|dylib|dll))[:,]? (?:cannot open|image not found|not found)"
)
_WINDOWS_LIBRARY = re.compile(r"LoadLibrary failed with error (\d+)")
_NO_DEVICE = re.compile(
    r"no CUDA-capable device is detected|CUDA driver version is insufficient for CUDA runtime version|"
    r"no (?:\w+ )*(?:device|adapter|GPU)s? (?:was |were |is |are )?(?:found|detected|available)|No valid adapter",
    re.I,
)


def provider_failure(log: str) -> str:
    """Why a provider did not come up, from what onnxruntime wrote: a library missing, no device; "" for no reason."""
    log = _COLOUR.sub("", log)
    missing = _LIBRARY_MISSING.search(log)
    if missing is not None:
        return f"library missing: {missing[1]}"
    windows = _WINDOWS_LIBRARY.search(log)
    if windows is not None:
        return f"library missing (Windows error {windows[1]})"
    device = _NO_DEVICE.search(log)
    if device is not None:
        return f"no device: {device[0]}"
    return cleaned(re.sub(r"^.*?\[[A-Z]:onnxruntime:[^\]]*\] ", "", log.strip().split("\n")[0])) if log.strip() else ""
