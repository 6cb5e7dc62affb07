"""Cost and memory over a range of sizes, each point propagated anew: no polynomial knows where a broadcast changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from onnxctl.analysis.cost.counting import count_cost
from onnxctl.analysis.memory import count_memory
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.propagation import Propagation, propagate
from onnxctl.reports import SweepPoint


def sweep_sizes(
    graphs: ModelGraphs,
    dims: Mapping[str, int],
    sweep: Mapping[str, Sequence[int]],
    *,
    stated: Propagation,
    tell: Callable[[str], None],
) -> tuple[SweepPoint, ...]:
    """A point for every combination of the sizes, the last symbol's changing first; `dims` are the same for all.

    `stated` is what propagation finds without any sizes.
    """
    points = []
    for chosen in product(*sweep.values()):
        swept = dict(zip(sweep, chosen, strict=True))
        tell("counting for " + ", ".join(f"{name}={size}" for name, size in swept.items()))
        points.append(_point(graphs, {**dims, **swept}, swept, stated))
    return tuple(points)


def _point(graphs: ModelGraphs, dims: Mapping[str, int], swept: Mapping[str, int], stated: Propagation) -> SweepPoint:
    found = propagate(graphs, dims=dims, smallest_dimension=1)
    cost = count_cost(found, dims)
    return SweepPoint(
        dims=tuple(swept.items()),
        macs=cost.macs.value,
        flops=cost.flops.value,
        read_bytes=cost.read_bytes.value,
        written_bytes=cost.written_bytes.value,
        peak_bytes=count_memory(found, dims, stated=stated).peak_bytes,
        symbols=cost.symbols,
        contradictions=cost.contradictions,
    )
