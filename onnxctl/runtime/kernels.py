"""The kernels of the installed onnxruntime: which operator, versions and types each execution provider implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxctl.child import Answer, Blob, Child, Progress
from onnxctl.errors import ChildCrashed
from onnxctl.reports import JSON, InstalledKernels, Kernel, TypeRule, decode, encode

LISTING_TIMEOUT_S = 60.0
_OPEN = 2**31 - 1
"""How onnxruntime writes the last version of a kernel that has none."""


def list_kernels(child: Child) -> InstalledKernels:
    """The kernels of the onnxruntime that the child finds. Raises MissingPackage where there is none.

    None are listed where onnxruntime crashes over the question, as some builds for other providers do.
    """
    try:
        answer, _ = child.call(
            "onnxctl.runtime.kernels:describe_kernels", {}, timeout_s=LISTING_TIMEOUT_S, doing="listing kernels"
        )
    except ChildCrashed:
        answer, _ = child.call(
            "onnxctl.runtime.kernels:describe_build", {}, timeout_s=LISTING_TIMEOUT_S, doing="asking onnxruntime"
        )
    return decode(InstalledKernels, answer)


def describe_build(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: onnxruntime's version and providers, without their kernels."""
    return encode(_build(())), ()


def _build(kernels: Sequence[Kernel]) -> InstalledKernels:
    from onnxctl.runtime import library

    onnxruntime = library.load_onnxruntime()
    return InstalledKernels(
        version=onnxruntime.__version__,
        providers=tuple(onnxruntime.get_available_providers()),
        kernels=tuple(kernels),
    )


def describe_kernels(request: JSON, blobs: Sequence[Blob], progress: Progress) -> Answer:
    """Child target: the kernels as JSON, their type constraints resolved to positions of inputs and outputs."""
    from onnxctl.runtime import library

    onnxruntime = library.load_onnxruntime()
    state = onnxruntime.capi.onnxruntime_pybind11_state
    schemas: dict[tuple[str, str], list[Any]] = {}
    for schema in state.get_all_operator_schema():
        schemas.setdefault((schema.domain, schema.name), []).append(schema)
    kernels = [_kernel(each, schemas.get((each.domain, each.op_name), [])) for each in state.get_all_opkernel_def()]
    return encode(_build(kernels)), ()


def _kernel(definition: Any, schemas: Sequence[Any]) -> Kernel:
    first, last = definition.version_range
    fitting = [each for each in schemas if each.since_version <= last]
    schema = max(fitting, key=lambda each: each.since_version, default=None)
    rules = []
    if schema is not None:
        for name, types in definition.type_constraints.items():
            places = [(False, i) for i, each in enumerate(schema.inputs) if name in (each.typeStr, each.name)]
            places += [(True, i) for i, each in enumerate(schema.outputs) if name in (each.typeStr, each.name)]
            rules += [TypeRule(is_output=out, position=i, types=tuple(types)) for out, i in places]
    return Kernel(
        domain=definition.domain,
        op_type=definition.op_name,
        provider=definition.provider,
        first_version=first,
        last_version=None if last == _OPEN else last,
        rules=tuple(rules),
    )
