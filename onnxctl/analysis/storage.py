"""The tensors of a model and the files they lie in: what a tensor says of itself, and whether its data can be had.

A tensor that contradicts itself is an InvalidModel. External data that is missing, unsafe or of the wrong size is a
Finding: the model can be described without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from onnx import AttributeProto, GraphProto, SparseTensorProto, TensorProto

from onnxctl.analysis.problems import Problem, Refuse, raise_problem
from onnxctl.analysis.scopes import Scope
from onnxctl.errors import InvalidModel, ModelError, UnreadableFile, UnsafePath
from onnxctl.model.files import DataFile
from onnxctl.model.loading import Model, tensors_of_graph
from onnxctl.model.names import as_text
from onnxctl.model.tensors import Payload
from onnxctl.reports import Finding

CHECKSUM_BYTES = 16 << 20
"""Data files up to this size are hashed by `inspect` where a checksum is given."""

INDEX_BYTES = 16 << 20
"""Indices of sparse tensors up to this size are looked at."""


def check_storage(
    model: Model, scopes: Iterable[Scope], refuse: Refuse = raise_problem, *, hash_all: bool = False
) -> list[Finding]:
    """What is wrong with external data. A tensor that contradicts itself goes to `refuse`.

    scopes are all of the model. Where checksums are given, data files of up to CHECKSUM_BYTES are hashed, with hash_all
    those of any size.
    """
    for scope in scopes:
        if isinstance(scope.body, GraphProto):
            for proto in scope.body.initializer:
                _check_tensor(model, proto, refuse)
            for sparse in scope.body.sparse_initializer:
                _check_sparse(model, sparse, refuse)
        for _, attribute in scope.held:
            _check_attribute(model, attribute, refuse)
    for function in model.proto.functions:
        for attribute in function.attribute_proto:
            _check_attribute(model, attribute, refuse)
    for training in model.proto.training_info:
        for graph in (training.initialization, training.algorithm):
            for proto in tensors_of_graph(graph):
                _check_tensor(model, proto, refuse)
    return [*_external_findings(model), *_checksum_findings(model, hash_all)]


def require_storage(model: Model) -> None:
    """Raises what `Payload.check` raises where external data can't be had, InvalidModel where a checksum is wrong."""
    for payload in model.payloads:
        payload.check()
    for file, checksum in _checksums(model):
        if not _has_checksum(file, checksum):
            raise InvalidModel(_wrong_checksum(file))


# ---------------------------------------------------------------- tensors


def _check_attribute(model: Model, attribute: AttributeProto, refuse: Refuse) -> None:
    if attribute.HasField("t"):
        _check_tensor(model, attribute.t, refuse)
    for proto in attribute.tensors:
        _check_tensor(model, proto, refuse)
    if attribute.HasField("sparse_tensor"):
        _check_sparse(model, attribute.sparse_tensor, refuse)
    for sparse in attribute.sparse_tensors:
        _check_sparse(model, sparse, refuse)


def _check_tensor(model: Model, proto: TensorProto, refuse: Refuse) -> None:
    try:
        model.tensor(proto).check()
    except InvalidModel as error:
        refuse(Problem("invalid-tensor", error.message, as_text(proto.name), hint=error.hint))


def _check_sparse(model: Model, sparse: SparseTensorProto, refuse: Refuse) -> None:
    try:
        _require_sparse(model, sparse)
    except InvalidModel as error:
        refuse(Problem("invalid-sparse-tensor", error.message, as_text(sparse.values.name), hint=error.hint))


def _require_sparse(model: Model, sparse: SparseTensorProto) -> None:
    """Raises InvalidModel where the indices do not fit the values or the shape.

    Indices are int64 of shape [count] (positions in the flattened tensor) or [count, rank], in ascending order.
    """
    model.tensor(sparse.values).check()
    model.tensor(sparse.indices).check()
    name, dims = as_text(sparse.values.name), tuple(sparse.dims)
    count, shape = math.prod(sparse.values.dims), tuple(sparse.indices.dims)
    what = f"sparse tensor {name!r}"
    if any(dim <= 0 for dim in dims) or len(sparse.values.dims) != 1:
        raise InvalidModel(f"{what} of dims {list(dims)[:8]} has values of dims {list(sparse.values.dims)[:8]}")
    if sparse.indices.data_type != TensorProto.INT64 or shape not in ((count,), (count, len(dims))):
        raise InvalidModel(f"{what} has {count} values, but indices of dims {list(shape)[:8]}")
    indices = model.tensor(sparse.indices)
    external = indices.payload is not None and indices.payload.file.location
    if external or not count or indices.byte_count > INDEX_BYTES:
        return
    import numpy as np

    found, limits = indices.numpy(), np.array(dims if len(shape) == 2 else math.prod(dims), dtype=object)
    if (found < 0).any() or (found >= limits).any():
        raise InvalidModel(f"{what} has an index outside of its dims {list(dims)[:8]}")


# ---------------------------------------------------------------- external data


def _external_findings(model: Model) -> Iterator[Finding]:
    """One finding for each data file and kind of trouble: thousands of tensors may lie in one file that is missing."""
    troubles: dict[tuple[int, str], list[ModelError]] = {}
    for payload in model.payloads:
        if not payload.file.location:
            continue
        try:
            payload.check()
        except ModelError as error:
            code = _external_code(error)
            troubles.setdefault((id(payload.file), code), []).append(error)
        if payload.other_keys:
            yield Finding(
                code="external-data-unknown-key",
                severity="warning",
                message=f"tensor {as_text(payload.tensor_name)!r}: external_data has keys that ONNX does not have: "
                + ", ".join(map(repr, payload.other_keys[:5])),
            )
    for (_, code), errors in troubles.items():
        more = f" (and {len(errors) - 1} more tensors)" if len(errors) > 1 else ""
        yield Finding(code=code, severity="error", message=errors[0].message + more, hint=errors[0].hint)


def _external_code(error: ModelError) -> str:
    if isinstance(error, UnsafePath):
        return "external-data-unsafe"
    return "external-data-missing" if isinstance(error, UnreadableFile) else "external-data-invalid"


def _checksum_findings(model: Model, hash_all: bool) -> Iterator[Finding]:
    for file, checksum in _checksums(model):
        try:
            size = file.source().size
            is_hashed = hash_all or size <= CHECKSUM_BYTES
            right = not is_hashed or _has_checksum(file, checksum)
        except ModelError:
            continue  # told already
        if not right:
            yield Finding(code="external-data-checksum", severity="error", message=_wrong_checksum(file))
        elif not is_hashed:
            yield Finding(
                code="external-data-checksum-unchecked",
                severity="info",
                message=f"the checksum given for external data {as_text(file.location)!r} was not checked: "
                f"it has {size} bytes, {CHECKSUM_BYTES} is the most that is hashed here",
                hint="`onnxctl check` hashes files of any size",
            )


def _checksums(model: Model) -> list[tuple[DataFile, str]]:
    """Each data file and each checksum that some tensor gives for it."""
    given = {(id(p.file), p.checksum): (p.file, p.checksum) for p in model.payloads if p.checksum and p.problem is None}
    return list(given.values())


def _has_checksum(file: DataFile, checksum: str) -> bool:
    """Whether the SHA-1 of the whole file is the one given, as the ONNX specification defines the key "checksum"."""
    import hashlib

    digest = hashlib.sha1(usedforsecurity=False)
    whole = Payload(file, 0, 0, file.source().size)
    for chunk in whole.chunks():
        digest.update(chunk)
    return digest.hexdigest() == checksum.lower()


def _wrong_checksum(file: DataFile) -> str:
    return f"external data {as_text(file.location)!r} does not have the checksum (SHA-1) that the model gives for it"
