"""Topological order."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping


def topological_order(before: Mapping[int, Collection[int]], positions: Mapping[int, tuple[float, int]]) -> list[int]:
    """The keys of `before`, each after those it maps to; of several that may come next, the one of least position.

    Keys on a cycle, and those after one, are left out. Kahn's algorithm.
    """
    waiting = {key: len(earlier) for key, earlier in before.items()}
    followers: dict[int, list[int]] = {}
    for key, earlier in before.items():
        for each in earlier:
            followers.setdefault(each, []).append(key)
    ready = [(positions[key], key) for key, count in waiting.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, key = heapq.heappop(ready)
        order.append(key)
        for follower in followers.get(key, ()):
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (positions[follower], follower))
    return order
