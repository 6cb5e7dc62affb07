"""The lists that `onnxctl inspect` shows when asked: every node, every stored tensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """One node: its scope ("" for the top graph, else "If_3/then_branch", "function:domain:Name") and what it joins."""

    scope: str
    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightStatistics:
    """The values of one stored tensor; range, mean and deviation over the finite ones.

    histogram counts the finite values in bins of equal width from minimum to maximum. digest is the SHA-256 of element
    type, shape and raw bytes.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    zero_count: int
    nan_count: int
    inf_count: int
    histogram: tuple[int, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightInfo:
    """One stored tensor; source is "initializer", "sparse_initializer" or "constant", storage "inline" or a file."""

    scope: str
    name: str
    source: str
    dtype: str
    shape: tuple[int, ...]
    element_count: int
    byte_count: int
    storage: str
