"""Every combination of what was asked for more than once, and what each is called."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from onnxctl.errors import UsageError
from onnxctl.reports import GraphOptimization, RunConfig

MOST_VARIANTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What is varied; an empty axis leaves the config as it is. chains are chains of providers."""

    paths: Sequence[str] = ()
    chains: Sequence[tuple[str, ...]] = ()
    intra_op_threads: Sequence[int] = ()
    graph_optimizations: Sequence[GraphOptimization] = ()
    dims: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many combinations there are."""
        total = 1
        for axis in (self.paths, self.chains, self.intra_op_threads, self.graph_optimizations, *self.dims.values()):
            total *= max(len(axis), 1)
        return total


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination, called after what differs."""

    label: str
    config: RunConfig


def expand(config: RunConfig, axes: Axes) -> tuple[Variant, ...]:
    """Every combination of the axes, the last axis varying fastest. Raises UsageError for more than MOST_VARIANTS."""
    if axes.count > MOST_VARIANTS:
        raise UsageError(f"{axes.count} variants are too many", hint=f"ask for {MOST_VARIANTS} at most")
    names = _short_names(axes.paths)
    series = [[(name, size) for size in sizes] for name, sizes in axes.dims.items()]
    found = [
        _Choice(path, chain, threads, level, dims)
        for path in axes.paths or [config.path]
        for chain in axes.chains or [config.providers]
        for threads in tuple(axes.intra_op_threads) or (config.intra_op_threads,)
        for level in axes.graph_optimizations or [config.graph_optimization]
        for dims in itertools.product(*series)
    ]
    labels = _numbered([_label(each, axes, names) for each in found])
    return tuple(Variant(label, _applied(each, config)) for label, each in zip(labels, found, strict=True))


def _numbered(labels: Sequence[str]) -> list[str]:
    """The labels, those that were there before followed by a number."""
    return [
        f"{label} ({labels[: index + 1].count(label)})" if label in labels[:index] else label
        for index, label in enumerate(labels)
    ]


@dataclass(frozen=True, slots=True)
class _Choice:
    path: str
    chain: tuple[str, ...]
    threads: int | None
    level: GraphOptimization
    dims: tuple[tuple[str, int], ...]


def _label(choice: _Choice, axes: Axes, names: Mapping[str, str]) -> str:
    parts = [
        names[choice.path] if len(axes.paths) > 1 else "",
        ",".join(choice.chain) if len(axes.chains) > 1 else "",
        f"threads={choice.threads}" if len(axes.intra_op_threads) > 1 else "",
        choice.level if len(axes.graph_optimizations) > 1 else "",
        *(f"{name}={size}" for name, size in choice.dims),
    ]
    return " ".join(filter(None, parts)) or names.get(choice.path, choice.path)


def _applied(choice: _Choice, config: RunConfig) -> RunConfig:
    return replace(
        config,
        path=choice.path,
        providers=choice.chain,
        intra_op_threads=choice.threads,
        graph_optimization=choice.level,
        dims=(*config.dims, *choice.dims),
    )


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The files' names where these tell them apart, else the paths."""
    names = {path: os.path.basename(path) for path in paths}
    return names if len(set(names.values())) == len(names) else {path: path for path in paths}
