"""The stored tensors of two models: which is which, and what became of its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from onnxctl.analysis.difference.numbering import Number, NumberedScope
from onnxctl.analysis.difference.tensors import (
    has_equal_bytes,
    is_same_place,
    is_sampled_whole,
    measure_distance,
)
from onnxctl.errors import ModelError
from onnxctl.model.names import as_text
from onnxctl.model.tensors import Tensor
from onnxctl.reports import WeightChange


class Stored(NamedTuple):
    """A stored tensor of one model: where it is, and the number of its type, shape and samples."""

    scope: str
    name: str
    tensor: Tensor
    content: Number
    is_initializer: bool

    @property
    def label(self) -> str:
        """How reports name it."""
        return f"{self.scope}/{as_text(self.name)}" if self.scope else as_text(self.name)

    @property
    def type(self) -> str:
        """Element type and shape in words."""
        return f"{self.tensor.dtype.name}[{', '.join(map(str, self.tensor.shape))}]"


def stored_tensors(scopes: Iterator[NumberedScope]) -> dict[tuple[str, str], Stored]:
    """Every stored tensor of the scopes, by scope and name."""
    return {
        (scope.graph.path, name): Stored(
            scope.graph.path, name, tensor, scope.exact[name], name in scope.graph.initializers
        )
        for scope in scopes
        for name, tensor in scope.constants.items()
    }


@dataclass(slots=True)
class WeightTally:
    """What became of the weights, counted; `changes` are those that differ."""

    changes: list[WeightChange] = field(default_factory=list)
    equal: int = 0
    renamed: int = 0
    stored_otherwise: int = 0
    same_place: int = 0
    whole: int = 0
    sampled: int = 0
    compared_bytes: int = 0

    def compare(self, a: Stored, b: Stored, *, quick: bool) -> None:
        """Compare two tensors that stand for each other; quick: equal samples are enough."""
        try:
            change = self._difference(a, b, quick)
        except ModelError as error:
            self.changes.append(_change("not compared", a, b, message=error.message))
            return
        if change is not None:
            self.changes.append(change)
            return
        self.equal += 1
        self.renamed += a.name != b.name
        self.stored_otherwise += a.is_initializer != b.is_initializer

    def _difference(self, a: Stored, b: Stored, quick: bool) -> WeightChange | None:
        if a.tensor.payload is not None:
            a.tensor.payload.check()
        if b.tensor.payload is not None:
            b.tensor.payload.check()
        if is_same_place(a.tensor, b.tensor):
            self.same_place += 1
            return None
        if a.content == b.content:
            if not is_sampled_whole(a.tensor):
                if quick:
                    self.sampled += 1
                    return None
                self.compared_bytes += a.tensor.byte_count + b.tensor.byte_count
                if not has_equal_bytes(a.tensor, b.tensor):
                    return self._changed(a, b)
            self.whole += 1
            return None
        return self._changed(a, b)

    def _changed(self, a: Stored, b: Stored) -> WeightChange | None:
        """The change of values, None where only the way they are stored differs."""
        distance = measure_distance(a.tensor, b.tensor)
        if distance is None:
            return _change("changed", a, b)
        self.compared_bytes += a.tensor.byte_count + b.tensor.byte_count
        return WeightChange(
            status="changed",
            before=a.label,
            after=b.label,
            before_type=a.type,
            after_type=b.type,
            changed_count=distance.changed_count,
            element_count=a.tensor.element_count,
            max_absolute=distance.max_absolute,
            max_relative=distance.max_relative,
            cosine=distance.cosine,
        )

    def add_alone(self, stored: Stored, *, is_before: bool) -> None:
        """Note a tensor that only one of the models has."""
        self.changes.append(_change("removed", stored, None) if is_before else _change("added", None, stored))


def _change(status: str, a: Stored | None, b: Stored | None, message: str = "") -> WeightChange:
    return WeightChange(
        status=status,  # type: ignore[arg-type]
        before=None if a is None else a.label,
        after=None if b is None else b.label,
        before_type=None if a is None else a.type,
        after_type=None if b is None else b.type,
        element_count=(a or b).tensor.element_count,  # type: ignore[union-attr]
        message=message,
    )
