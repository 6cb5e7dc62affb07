"""Operators as plain loops over numbers that count what they do: slow, obvious, and held against onnx's own results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Tally:
    """Arithmetic that is counted: multiply-accumulates, and all other operations."""

    macs: int = 0
    others: int = 0

    def mac(self, total: float, first: float, second: float) -> float:
        self.macs += 1
        return total + first * second

    def add(self, first: float, second: float) -> float:
        self.others += 1
        return first + second

    def times(self, first: float, second: float) -> float:
        self.others += 1
        return first * second

    def divide(self, first: float, second: float) -> float:
        self.others += 1
        return first / second

    def larger(self, first: float, second: float) -> float:
        self.others += 1
        return max(first, second)

    def exp(self, value: float) -> float:
        self.others += 1
        return math.exp(value)

    def tanh(self, value: float) -> float:
        self.others += 1
        return math.tanh(value)

    def sigmoid(self, value: float) -> float:
        return self.divide(1, self.add(1, self.exp(self.times(-1, value))))

    def dot(self, first: Iterable[float], second: Iterable[float]) -> float:
        total = 0.0
        for one, other in zip(first, second, strict=True):
            total = self.mac(total, one, other)
        return total


def indices(*sizes: int) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, sizes))


# ---------------------------------------------------------------- matrices


def matmul(tally: Tally, first: Array, second: Array) -> Array:
    left = first if first.ndim > 1 else first[None, :]
    right = second if second.ndim > 1 else second[:, None]
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, (*batch, *left.shape[-2:]))
    right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
    result = np.zeros((*batch, left.shape[-2], right.shape[-1]))
    for *at, row, column in indices(*result.shape):
        result[(*at, row, column)] = tally.dot(left[tuple(at)][row], right[tuple(at)][:, column])
    if first.ndim == 1:
        result = result[..., 0, :]
    return result[..., 0] if second.ndim == 1 else result


def gemm(tally: Tally, first: Array, second: Array, bias: Array | None, *, alpha: float, beta: float) -> Array:
    result = np.zeros((first.shape[0], second.shape[1]))
    spread = None if bias is None else np.broadcast_to(bias, result.shape)
    for row, column in indices(*result.shape):
        value = tally.dot(first[row], second[:, column])
        value = tally.times(alpha, value) if alpha != 1 else value
        if spread is not None:
            added = spread[row, column]
            value = tally.add(value, tally.times(beta, added) if beta != 1 else added)
        result[row, column] = value
    return result


def einsum(tally: Tally, equation: str, first: Array, second: Array) -> Array:
    inputs, output = equation.split("->")
    terms = inputs.split(",")
    sizes = {
        label: size
        for term, array in zip(terms, (first, second), strict=True)
        for label, size in zip(term, array.shape, strict=True)
    }
    labels = list(sizes)
    result = np.zeros(tuple(sizes[label] for label in output))
    for values in indices(*sizes.values()):
        at = dict(zip(labels, values, strict=True))
        place = tuple(at[label] for label in output)
        one, other = (
            array[tuple(at[label] for label in term)] for term, array in zip(terms, (first, second), strict=True)
        )
        result[place] = tally.mac(result[place], one, other)
    return result


# ---------------------------------------------------------------- windows


def convolution(
    tally: Tally, data: Array, weight: Array, bias: Array | None, *, strides: list[int], pads: list[int],
    dilations: list[int], group: int,
) -> Array:  # fmt: skip
    rank = data.ndim - 2
    padded = np.pad(data, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    kernel, per_group = weight.shape[2:], weight.shape[1]
    sizes = [
        (padded.shape[2 + axis] - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1 for axis in range(rank)
    ]
    result = np.zeros((data.shape[0], weight.shape[0], *sizes))
    for image, channel, *at in indices(*result.shape):
        first = channel // (weight.shape[0] // group) * per_group
        total = 0.0
        for inner, *offset in indices(per_group, *kernel):
            place = [at[axis] * strides[axis] + offset[axis] * dilations[axis] for axis in range(rank)]
            total = tally.mac(total, padded[(image, first + inner, *place)], weight[(channel, inner, *offset)])
        result[(image, channel, *at)] = total if bias is None else tally.add(total, bias[channel])
    return result


def transposed_convolution(
    tally: Tally, data: Array, weight: Array, bias: Array | None, *, strides: list[int], group: int
) -> Array:
    rank = data.ndim - 2
    kernel, per_group = weight.shape[2:], weight.shape[1]
    sizes = [(data.shape[2 + axis] - 1) * strides[axis] + kernel[axis] for axis in range(rank)]
    result = np.zeros((data.shape[0], per_group * group, *sizes))
    for image, channel, *at in indices(*data.shape):
        first = channel // (data.shape[1] // group) * per_group
        for inner, *offset in indices(per_group, *kernel):
            place = (image, first + inner, *(at[axis] * strides[axis] + offset[axis] for axis in range(rank)))
            result[place] = tally.mac(result[place], data[(image, channel, *at)], weight[(channel, inner, *offset)])
    if bias is not None:
        for place in indices(*result.shape):
            result[place] = tally.add(result[place], bias[place[1]])
    return result


def max_pool(tally: Tally, data: Array, *, kernel: list[int], strides: list[int]) -> Array:
    rank = data.ndim - 2
    sizes = [(data.shape[2 + axis] - kernel[axis]) // strides[axis] + 1 for axis in range(rank)]
    result = np.zeros((*data.shape[:2], *sizes))
    for image, channel, *at in indices(*result.shape):
        value = -math.inf
        for offset in indices(*kernel):
            place = (image, channel, *(at[axis] * strides[axis] + offset[axis] for axis in range(rank)))
            value = tally.larger(value, data[place])
        result[(image, channel, *at)] = value
    return result


# ---------------------------------------------------------------- recurrent networks, attention


def lstm(tally: Tally, data: Array, weight: Array, recurrence: Array, bias: Array) -> Array:
    """One direction; gates in the order input, output, forget, cell. The hidden states of all steps."""
    steps, batch, _ = data.shape
    hidden = recurrence.shape[1]
    state, cell = np.zeros((batch, hidden)), np.zeros((batch, hidden))
    result = np.zeros((steps, batch, hidden))
    for step, row in indices(steps, batch):
        before, values = state[row].copy(), {}
        for gate, unit in indices(4, hidden):
            at = gate * hidden + unit
            value = tally.dot(data[step, row], weight[at])
            for one, other in zip(before, recurrence[at], strict=True):
                value = tally.mac(value, one, other)
            values[gate, unit] = tally.add(tally.add(value, bias[at]), bias[4 * hidden + at])
        for unit in range(hidden):
            opened, shown, kept = (tally.sigmoid(values[gate, unit]) for gate in range(3))
            new = tally.times(opened, tally.tanh(values[3, unit]))
            cell[row, unit] = tally.add(tally.times(kept, cell[row, unit]), new)
            state[row, unit] = tally.times(shown, tally.tanh(cell[row, unit]))
        result[step, row] = state[row]
    return result


def gru(tally: Tally, data: Array, weight: Array, recurrence: Array, bias: Array) -> Array:
    """One direction, linear_before_reset = 1; gates in the order update, reset, hidden."""
    steps, batch, _ = data.shape
    hidden = recurrence.shape[1]
    state = np.zeros((batch, hidden))
    result = np.zeros((steps, batch, hidden))
    for step, row in indices(steps, batch):
        before = state[row].copy()
        for unit in range(hidden):
            fed, back = {}, {}
            for gate in range(3):
                at = gate * hidden + unit
                fed[gate] = tally.add(tally.dot(data[step, row], weight[at]), bias[at])
                back[gate] = tally.add(tally.dot(before, recurrence[at]), bias[3 * hidden + at])
            update = tally.sigmoid(fed[0] + back[0])  # one sum of four terms: it is among the bias additions
            reset = tally.sigmoid(fed[1] + back[1])
            new = tally.tanh(fed[2] + tally.times(reset, back[2]))
            rest = tally.add(1, -update)
            state[row, unit] = tally.add(tally.times(rest, new), tally.times(update, before[unit]))
        result[step, row] = state[row]
    return result


def attention(tally: Tally, query: Array, key: Array, value: Array) -> Array:
    """Scaled dot-product attention of [batch, heads, sequence, width], without a mask."""
    batch, heads, rows, width = query.shape
    positions = key.shape[2]
    result = np.zeros((batch, heads, rows, value.shape[3]))
    for image, head, row in indices(batch, heads, rows):
        scores = [
            tally.times(tally.dot(query[image, head, row], key[image, head, at]), 1 / math.sqrt(width))
            for at in range(positions)
        ]
        most, total = -math.inf, 0.0
        for score in scores:
            most = tally.larger(most, score)
        powers = [tally.exp(tally.add(score, -most)) for score in scores]
        for power in powers:
            total = tally.add(total, power)
        shares = [tally.divide(power, total) for power in powers]
        for column in range(value.shape[3]):
            result[image, head, row, column] = tally.dot(shares, value[image, head, :, column])
    return result
