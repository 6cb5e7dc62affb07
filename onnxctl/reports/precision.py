"""What `onnxctl inspect --precision` says: in which types a model stores and computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightPrecision:
    """The weights of one element type; shares of all weights, strings left out."""

    dtype: str
    element_count: int
    byte_count: int
    element_share: float
    byte_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MacPrecision:
    """The multiply-accumulates done in one type: "float32", "int8", or "float32, int4 weights".

    scheme says how they come to be quantized, "none" where they are not: "QDQ" between DequantizeLinear and
    QuantizeLinear, "QOperator" in an operator of its own, "weights" where weights alone are.
    """

    type: str
    scheme: Literal["none", "QDQ", "QOperator", "weights"]
    node_count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CastChain:
    """A value that is cast away from its type and back; where names the Cast back."""

    types: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """Neighbouring nodes that compute in float32 within a model of half precision; where names the first."""

    node_count: int
    operators: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfTensor:
    """What float16 would make of a tensor's values: infinities, zeros, and denormals, which have fewer digits."""

    scope: str
    name: str
    dtype: str
    element_count: int
    overflow_count: int
    zero_count: int
    denormal_count: int
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfReport:
    """What float16 would make of all float32, float64 and bfloat16 weights; worst are the tensors hit most.

    unread_count are tensors whose data can't be had.
    """

    tensor_count: int
    element_count: int
    overflow_count: int
    zero_count: int
    denormal_count: int
    unread_count: int
    worst: tuple[HalfTensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionReport:
    """In which types the model stores and computes.

    assumed are the sizes taken for symbols that have none, for the shares of MACs. quantized shares are of all weights,
    by parameters and by bytes. half_type is "float16" or "bfloat16" where the model computes in it mostly, else "".
    """

    bits_per_weight: float | None
    weights: tuple[WeightPrecision, ...]
    quantized_element_share: float
    quantized_byte_share: float
    macs: tuple[MacPrecision, ...]
    assumed: tuple[tuple[str, int], ...]
    uncounted_node_count: int
    cast_count: int
    cast_chains: tuple[CastChain, ...]
    cast_chain_count: int
    half_type: str
    islands: tuple[Island, ...]
    island_count: int
    half: HalfReport | None
