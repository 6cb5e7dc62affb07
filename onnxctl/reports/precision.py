"""What `onnxctl inspect --precision` says: in which types a model stores and computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WeightRole = Literal["weight", "scale"]
"""What a stored tensor is: a weight (or any constant), or a scale or zero point of quantized numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightPrecision:
    """The weights of one element type, or the scales and zero points; shares of all that is stored, strings left out.

    packed_bits are those of one weight where several share an element of this type, else 0; element_count counts each.
    """

    dtype: str
    role: WeightRole
    packed_bits: int
    element_count: int
    byte_count: int
    element_share: float
    byte_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MacPrecision:
    """The multiply-accumulates done in one type: "float32", "int8", "uint8 x int4", or "float32, int4 weights".

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
    """Neighbouring nodes that compute in float32 within a model of half precision; where names the first.

    alike_count islands have so many nodes, of these operators.
    """

    node_count: int
    operators: tuple[str, ...]
    where: str
    alike_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatOperator:
    """Nodes of one operator that compute in floating point within a quantized model; mac_share is of all MACs."""

    domain: str
    op_type: str
    dtype: str
    node_count: int
    mac_share: float
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

    bits_per_weight are all stored bits by the number of weights: scales and zero points add to these. assumed are the
    sizes taken for symbols that have none, for the shares of MACs. quantized shares are of all weights, by number, and
    of all bytes. half_type is "float16" or "bfloat16" where the model computes in it mostly, else "". islands that are
    alike are one, island_count counts each. float_operators are those of a quantized model.
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
    float_operators: tuple[FloatOperator, ...] = ()
