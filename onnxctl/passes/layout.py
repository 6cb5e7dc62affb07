"""How Reshapes and Transposes in a row rearrange a tensor, and the fewest nodes that do the same.

Every size is taken apart into atoms, as far as the Reshapes cut it: from (batch, 56, 56) to (batch, 8, 7, 8, 7) the
atoms are batch, 8, 7, 8 and 7. A Transpose permutes groups of atoms, a Reshape groups them anew, so that any chain is
one order of the atoms and one grouping. Atoms that are neighbours before and after are one block; a Transpose of
whole blocks, with a Reshape before it if blocks end within the sizes of the source, and one after it if they end
within those of the result, is the least that can be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from onnxctl.model.dimensions import Dimension, exact_quotient, product
from onnxctl.passes.semantics import reshape_target

Groups = list[list[int]]
"""For each axis the atoms that make up its size, outer first; none for an axis of size 1."""


class Step(NamedTuple):
    """One node: a Reshape to `target` (as Reshape takes it) or a Transpose by `permutation`."""

    target: tuple[int, ...] | None = None
    permutation: tuple[int, ...] | None = None


class Layout:
    """The arrangement of a tensor's elements after some steps, in terms of the shape they began with."""

    def __init__(self, shape: Sequence[Dimension]) -> None:
        self.sizes: list[Dimension] = []
        self.shape = tuple(shape)
        self._source_shape = tuple(shape)
        self._source: Groups = []
        for size in shape:
            self._source.append([] if size == 1 else [len(self.sizes)])
            if size != 1:
                self.sizes.append(size)
        self._result: Groups = [list(group) for group in self._source]

    def transpose(self, permutation: Sequence[int]) -> None:
        """Put the axes in another order."""
        self._result = [self._result[axis] for axis in permutation]
        self.shape = tuple(self.shape[axis] for axis in permutation)

    def reshape(self, shape: Sequence[Dimension]) -> bool:
        """Group the atoms anew; False where the sizes don't divide each other, and the layout is then of no use."""
        waiting = [atom for group in self._result for atom in group]
        groups: Groups = []
        for size in shape:
            group: list[int] = []
            while size != 1:
                if not waiting or size == 0:
                    return False
                atom = waiting[0]
                rest = exact_quotient(size, self.sizes[atom])
                if rest is None:
                    if not self._cut(atom, size, waiting):
                        return False
                    rest = 1
                group.append(waiting.pop(0))
                size = rest
            groups.append(group)
        self._result, self.shape = groups, tuple(shape)
        return not waiting

    def _cut(self, atom: int, size: Dimension, waiting: list[int]) -> bool:
        """Make two of the atom, the outer one of this size."""
        inner = exact_quotient(self.sizes[atom], size)
        if inner is None:
            return False
        self.sizes[atom] = size
        self.sizes.append(inner)
        for groups in (self._source, self._result, [waiting]):
            for group in groups:
                if atom in group:
                    group.insert(group.index(atom) + 1, len(self.sizes) - 1)
        return True

    # ------------------------------------------------------------ the fewest steps

    def steps(self) -> list[Step] | None:
        """The fewest steps from source to result: none where nothing changes, None where they can't be written."""
        source = [atom for group in self._source for atom in group]
        result = [atom for group in self._result for atom in group]
        if source == result:
            return [] if self.shape == self._source_shape else self._written([self.shape])
        permutation = self._permutation_of_axes()
        if permutation is not None:
            return [Step(permutation=permutation)]
        blocks = _blocks(source, result)
        plans = []
        if all(_is_within_one(group, blocks) for group in self._result):
            plans.append(self._reshape_first(source))
        if all(_is_within_one(group, blocks) for group in self._source):
            plans.append(self._transpose_first(result))
        plans.append(self._reshape_twice(source, result, blocks))
        return next((plan for plan in plans if plan is not None), None)

    def _permutation_of_axes(self) -> tuple[int, ...] | None:
        """The Transpose that does it all: every axis of the result is an axis of the source."""
        if len(self._source) != len(self._result):
            return None
        left = list(enumerate(self._source))
        permutation = []
        for group in self._result:
            found = next((entry for entry in left if entry[1] == group), None)
            if found is None:
                return None
            left.remove(found)
            permutation.append(found[0])
        return tuple(permutation)

    def _transpose_first(self, result: list[int]) -> list[Step] | None:
        order = sorted(range(len(self._source)), key=lambda axis: _place(self._source, axis, result))
        shape = [self._source_shape[axis] for axis in order]
        target = reshape_target(tuple(shape), self.shape)
        return None if target is None else [Step(permutation=tuple(order)), Step(target=tuple(target))]

    def _reshape_first(self, source: list[int]) -> list[Step] | None:
        order = sorted(range(len(self._result)), key=lambda axis: _place(self._result, axis, source))
        shape = tuple(self.shape[axis] for axis in order)
        target = reshape_target(self._source_shape, shape)
        if target is None:
            return None
        return [Step(target=tuple(target)), Step(permutation=tuple(map(order.index, range(len(order)))))]

    def _reshape_twice(self, source: list[int], result: list[int], blocks: dict[int, int]) -> list[Step] | None:
        before, after = (list(dict.fromkeys(blocks[atom] for atom in order)) for order in (source, result))
        members = {block: [atom for atom in source if blocks[atom] == block] for block in before}
        sizes = {block: product(self.sizes[atom] for atom in atoms) for block, atoms in members.items()}
        first = reshape_target(self._source_shape, tuple(sizes[block] for block in before))
        second = reshape_target(tuple(sizes[block] for block in after), self.shape)
        if first is None or second is None:
            return None
        permutation = tuple(before.index(block) for block in after)
        return [Step(target=tuple(first)), Step(permutation=permutation), Step(target=tuple(second))]

    def _written(self, shapes: Sequence[Sequence[Dimension]]) -> list[Step] | None:
        target = reshape_target(self._source_shape, tuple(shapes[0]))
        return None if target is None else [Step(target=tuple(target))]


def _blocks(source: list[int], result: list[int]) -> dict[int, int]:
    """The block of each atom, named by the block's first atom."""
    follows = dict(pairwise(result))
    blocks: dict[int, int] = {}
    for index, atom in enumerate(source):
        previous = source[index - 1] if index else None
        joined = previous is not None and follows.get(previous) == atom
        blocks[atom] = blocks[previous] if joined and previous is not None else atom
    return blocks


def _is_within_one(group: list[int], blocks: dict[int, int]) -> bool:
    return len({blocks[atom] for atom in group}) <= 1


def _place(groups: Groups, axis: int, order: list[int]) -> int:
    """Where the axis stands by the order of atoms; axes of size 1 stay behind the axis before them."""
    while axis >= 0 and not groups[axis]:
        axis -= 1
    return order.index(groups[axis][0]) if axis >= 0 else -1
