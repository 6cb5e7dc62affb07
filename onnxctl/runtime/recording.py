"""onnxruntime's profile, read: which kernel ran when, for how long, and how much memory was in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxctl.reports import JSON

_KERNEL = "_kernel_time"
_WITH_BODIES = ("Loop", "If", "Scan", "SequenceMap")

COPIES = frozenset(("MemcpyToHost", "MemcpyFromHost"))
"""Operators that onnxruntime puts between nodes on different devices."""


_QUANTIZED = frozenset(
    "ConvInteger DynamicQuantizeLSTM DynamicQuantizeMatMul MatMulInteger MatMulIntegerToFloat "
    "QAttention QGemm QLinearConv QLinearMatMul".split()
)
"""Operators whose products are of 8-bit numbers, whatever they take and give."""

_TYPES = {"float": "float32", "double": "float64"}
"""onnxruntime's names of types that have another one elsewhere."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node of the graph that ran, and of its subgraphs: indices begin anew in each of these."""

    index: int
    name: str
    op_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRun:
    """One execution of a node; times in whole microseconds, as onnxruntime records them.

    own_us is the time without that of nodes inside (the body of a Loop). run counts runs of the model from 0.
    element_type is that of what is computed with: of the first input, int8 for quantized operators. memory_bytes were
    in use when the node was done.
    """

    node: NodeKey
    provider: str
    element_type: str
    run: int
    begin_us: int
    own_us: int
    input_bytes: int | None
    output_bytes: int | None
    parameter_bytes: int | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The kernels of some runs, in the order they began, and how long each run took."""

    run_us: tuple[int, ...]
    kernels: tuple[KernelRun, ...]


def read_events(events: JSON) -> Recording:
    """The kernels of a profile, given as the JSON array onnxruntime writes; what ran outside of any run is left out."""
    runs = sorted((each["ts"], each["ts"] + each["dur"]) for each in events if each.get("name") == "model_run")
    found = [each for each in events if each.get("cat") == "Node" and str(each.get("name", "")).endswith(_KERNEL)]
    found.sort(key=lambda each: (each["ts"], -each["dur"]))
    kernels = []
    at = 0
    for event, own_us in zip(found, _own_times(found), strict=True):
        while at < len(runs) and event["ts"] > runs[at][1]:
            at += 1
        if at < len(runs) and event["ts"] >= runs[at][0]:
            kernels.append(_kernel(event, at, own_us))
    return Recording(run_us=tuple(end - begin for begin, end in runs), kernels=tuple(kernels))


def _own_times(events: Sequence[Mapping[str, Any]]) -> list[int]:
    """Each event's time less that of the events inside it on the same thread; events in the order they began."""
    own = [int(each["dur"]) for each in events]
    around: dict[Any, list[int]] = {}
    for at, event in enumerate(events):
        stack = around.setdefault(event.get("tid"), [])
        while stack and events[stack[-1]]["ts"] + events[stack[-1]]["dur"] < event["ts"] + event["dur"]:
            stack.pop()
        if stack and events[stack[-1]]["args"].get("op_name") in _WITH_BODIES:
            own[stack[-1]] -= int(event["dur"])
        stack.append(at)
    return [max(0, each) for each in own]


def _kernel(event: Mapping[str, Any], run: int, own_us: int) -> KernelRun:
    details = event["args"]
    return KernelRun(
        node=_node_key(event),
        provider=details.get("provider", ""),
        element_type=_element_type(details),
        run=run,
        begin_us=event["ts"],
        own_us=own_us,
        input_bytes=_count(details, "activation_size"),
        output_bytes=_count(details, "output_size"),
        parameter_bytes=_count(details, "parameter_size"),
        memory_bytes=_count(details, "mem_bytes_in_use"),
    )


def _node_key(event: Mapping[str, Any]) -> NodeKey:
    details = event["args"]
    index, op_type = int(details.get("node_index", -1)), details.get("op_name", "")
    return NodeKey(index, event["name"].removesuffix(_KERNEL), op_type)


def _element_type(details: Mapping[str, Any]) -> str:
    if details.get("op_name") in _QUANTIZED:
        return "int8"
    first: Mapping[str, Any] = next(iter(details.get("input_type_shape") or ({},)))
    name = next(iter(first), "")
    return _TYPES.get(name, name)


def _count(details: Mapping[str, Any], key: str) -> int | None:
    text = str(details.get(key, ""))
    return int(text) if text.isdigit() else None


def trace_events(events: JSON, originals: Mapping[NodeKey, Sequence[str]]) -> JSON:
    """The events as a trace that Perfetto and chrome://tracing show: named by node, with what each stands for."""
    named = []
    for event in events:
        if event.get("ph") != "X":
            continue
        details = {key: value for key, value in event["args"].items() if key != "thread_scheduling_stats"}
        name = str(event["name"]).removesuffix(_KERNEL)
        if event.get("cat") == "Node":
            details["original_nodes"] = list(originals.get(_node_key(event), ()))
            name = f"{details.get('op_name', '')} {name}".strip()
        named.append({**event, "name": name, "args": details})
    return {"traceEvents": named, "displayTimeUnit": "ns"}
