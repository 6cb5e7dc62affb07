"""Which provider runs which node, and why nodes were left to the CPU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onnxctl.reports import NodeOnCpu, NodePlacement, OperatorCount

_CPU_PROVIDER = "CPUExecutionProvider"
_PREFERRED_ON_CPU = "it only handles shapes: onnxruntime keeps it on the CPU"

_NO_KERNEL = re.compile(r"kernel not found in registries for Op type: (?P<op_type>\S+) node name: (?P<name>.*)$", re.M)
_FORCED = re.compile(r"Force fallback to CPU execution for node: (?P<name>.*?) because (?P<reason>.*)$", re.M)

_SHAPES_ONLY = frozenset(("Shape", "Size", "Constant", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"))
"""Operators that compute nothing wherever they run."""


@dataclass(frozen=True, slots=True)
class AssignedNode:
    """One node of the graph the session runs, as a provider was given it."""

    name: str
    op_type: str
    domain: str


@dataclass(frozen=True, slots=True)
class ProviderNodes:
    """The nodes one provider was given; provider is onnxruntime's name."""

    provider: str
    nodes: tuple[AssignedNode, ...]


def describe_placement(placement: Sequence[ProviderNodes]) -> tuple[NodePlacement, ...]:
    """How many nodes of which operators each provider runs."""
    return tuple(
        NodePlacement(provider=each.provider, node_count=len(each.nodes), operators=_operators(each.nodes))
        for each in placement
    )


def _operators(nodes: Sequence[AssignedNode]) -> tuple[OperatorCount, ...]:
    counts = Counter((node.domain, node.op_type) for node in nodes)
    return tuple(
        OperatorCount(domain=domain, op_type=op_type, count=count) for (domain, op_type), count in counts.most_common()
    )


def nodes_left_to_cpu(placement: Sequence[ProviderNodes], asked: Sequence[str], log: str) -> tuple[NodeOnCpu, ...]:
    """The nodes that fell to the CPU although another provider was asked for first; log tells why, where it does.

    asked are onnxruntime's names of the chain; nothing is "left" where the CPU comes first.
    """
    if not asked or asked[0] == _CPU_PROVIDER:
        return ()
    reasons = _reasons(log)
    found = []
    for each in placement:
        for node in each.nodes if each.provider == _CPU_PROVIDER else ():
            reason = reasons.get(node.name, "")
            computes = node.op_type not in _SHAPES_ONLY and reason != _PREFERRED_ON_CPU
            found.append(
                NodeOnCpu(name=node.name, op_type=node.op_type, domain=node.domain, computes=computes, reason=reason)
            )
    return tuple(found)


def _reasons(log: str) -> dict[str, str]:
    reasons = {match["name"].strip(): f"no {match['op_type']} kernel for it" for match in _NO_KERNEL.finditer(log)}
    return reasons | {match["name"].strip(): _PREFERRED_ON_CPU for match in _FORCED.finditer(log)}
