"""What the lists of `inspect` hold: chosen by operator and by name, sorted, and cut off at the top."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from onnxctl.errors import UsageError
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import is_standard, shown_domain
from onnxctl.reports import (
    CostReport,
    InspectConfig,
    NodeCost,
    NodeInfo,
    OperatorCost,
    OperatorCount,
    Quantity,
    SortKey,
    WeightInfo,
)

_SEEN_THROUGH = ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
"""Between a stored tensor and the node that it is meant for, as exporters and quantizers leave them there."""

T = TypeVar("T")
_Keys = dict[SortKey, Callable[[T], int | str]]


class Selection:
    """The choice that an InspectConfig makes. Raises UsageError for a pattern that is no regular expression."""

    def __init__(self, config: InspectConfig) -> None:
        self._operators = config.operators
        self._sort = config.sort
        self._top = config.top
        try:
            self._pattern = None if config.match is None else re.compile(config.match)
        except re.error as error:
            hint = "names with dots or brackets need a backslash before these"
            raise UsageError(f"--match {config.match}: {error}", hint=hint) from error

    def check_operators(self, present: Iterable[OperatorCount]) -> None:
        """Raises UsageError where an operator asked for is not in the model."""
        known = [(each.domain, each.op_type) for each in present]
        for domain, op_type in self._operators:
            if not any(_is_operator(each, domain, op_type) for each in known):
                close = difflib.get_close_matches(op_type, {name for _, name in known}, 3, 0.5)
                hint = f"it has: {', '.join(close)}" if close else "onnxctl inspect MODEL lists its operators"
                shown = op_type if domain is None else f"{domain}:{op_type}"
                raise UsageError(f"the model has no operator {shown!r}", hint=hint)

    def nodes(self, nodes: Sequence[NodeInfo], sizes: dict[str, int]) -> tuple[NodeInfo, ...]:
        """The nodes chosen; `sizes` are the elements of initializers by name."""

        def parameters(node: NodeInfo) -> int:
            return sum(sizes.get(name, 0) for name in dict.fromkeys(node.inputs))

        chosen = [
            each
            for each in nodes
            if self._is_wanted(each.domain, each.op_type) and self._fits(each.name, *each.inputs, *each.outputs)
        ]
        return self._sorted(chosen, {"params": parameters, "name": lambda each: each.name})

    def cost(self, cost: CostReport) -> tuple[tuple[OperatorCost, ...], tuple[NodeCost, ...] | None]:
        """The rows of operators and of nodes chosen; totals stay those of the whole model."""
        operators = [each for each in cost.operators if self._is_wanted(each.domain, each.op_type)]
        by_name: _Keys[OperatorCost] = {"name": lambda each: each.op_type}
        nodes = None if cost.nodes is None else self._costs(cost.nodes)
        return self._sorted(operators, {**_COST_KEYS, **by_name}), nodes

    def _costs(self, nodes: Sequence[NodeCost]) -> tuple[NodeCost, ...]:
        chosen = [each for each in nodes if self._is_wanted(each.domain, each.op_type) and self._fits(each.name)]
        by_name: _Keys[NodeCost] = {"name": lambda each: each.name}
        return self._sorted(chosen, {**_COST_KEYS, **by_name})

    def weights(self, weights: Sequence[WeightInfo], graphs: ModelGraphs) -> tuple[WeightInfo, ...]:
        """The stored tensors chosen by name, and by the operators that read them."""
        keys: _Keys[WeightInfo] = {
            "bytes": lambda each: each.byte_count,
            "params": lambda each: each.element_count,
            "name": lambda each: each.name,
        }
        chosen = [each for each in weights if self._fits(each.name)]
        if self._operators:
            read = self._read_by_operators(graphs)
            chosen = [each for each in chosen if (each.scope, each.name) in read]
        return self._sorted(chosen, keys)

    def _read_by_operators(self, graphs: ModelGraphs) -> set[tuple[str, str]]:
        """What nodes of the operators read, by scope and name: right away, or dequantized, cast or seen otherwise."""
        read: set[tuple[str, str]] = set()
        for scope in graphs.scopes():
            for node in scope.nodes:
                domain = shown_domain(node.domain)
                if self._is_wanted(domain, as_text(node.op_type)):
                    for name in filter(None, node.input):
                        read.update(_sources(scope, name))
        return read

    def _is_wanted(self, domain: str, op_type: str) -> bool:
        return not self._operators or any(_is_operator((domain, op_type), *each) for each in self._operators)

    def _fits(self, *names: str) -> bool:
        return self._pattern is None or any(map(self._pattern.search, names))

    def _sorted(self, rows: list[T], keys: _Keys[T]) -> tuple[T, ...]:
        """The rows by the sort key, the largest first but names from the start of the alphabet; cut off at the top."""
        key = None if self._sort is None else keys.get(self._sort)
        if key is not None:
            rows = sorted(rows, key=key, reverse=self._sort != "name")
        return tuple(rows[: self._top])


def _sources(scope: Graph, name: str) -> Iterator[tuple[str, str]]:
    """The value, and what it is a view or a copy in another type of, by scope and name."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        owner = scope.scope_of(name)
        if owner is None or name in seen:
            continue
        seen.add(name)
        yield as_text(owner.path), as_text(name)
        producer = owner.producer(name)
        if producer is not None and is_standard(producer, *_SEEN_THROUGH):
            waiting += filter(None, producer.input)


def size_order(amount: Quantity | None) -> int:
    """A number to sort amounts by: the value, or the largest coefficient; -1 for what is not known."""
    if amount is None:
        return -1
    if amount.value is not None:
        return amount.value
    return max((abs(coefficient) for coefficient, _ in amount.terms), default=0)


def _is_operator(operator: tuple[str, str], domain: str | None, op_type: str) -> bool:
    return operator[1] == op_type and domain in (None, operator[0])


_COST_KEYS: _Keys[OperatorCost | NodeCost] = {
    "macs": lambda each: size_order(each.macs),
    "flops": lambda each: size_order(each.flops),
    "bytes": lambda each: size_order(each.read_bytes) + size_order(each.written_bytes),
    "params": lambda each: each.parameter_count,
}
"""What rows with costs can be sorted by, whether they stand for an operator or a node."""
