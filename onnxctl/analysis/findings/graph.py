"""What stands in the graph and does nothing, or could stand there better: told by the graph's index alone."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto

from onnxctl.analysis.findings.sightings import counted, place_of
from onnxctl.analysis.functions import called_key, function_key, in_words
from onnxctl.analysis.weights import weights_of
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import DEFAULT_DOMAINS, is_standard
from onnxctl.reports import Finding

LARGE_CONSTANT_BYTES = 1 << 20


def graph_findings(graphs: ModelGraphs) -> Iterator[Finding]:
    """Dead nodes, unused weights, functions and imports, and names that are hard to tell apart."""
    scopes = list(graphs.scopes())
    yield from _dead_nodes(scopes)
    yield from _unused_initializers(scopes)
    yield from _large_constants(graphs)
    yield from _unfused_normalizations(scopes)
    yield from _similar_names(scopes)
    yield from _unused_functions(graphs)
    yield from _unused_imports(graphs, scopes)


def _dead_nodes(scopes: list[Graph]) -> Iterator[Finding]:
    dead = [scope.node_label(node) for scope in scopes for node in _dead_nodes_of(scope)]
    if dead:
        yield Finding(
            code="dead-node",
            severity="warning",
            message=f"no output depends on {counted(dead, 'node')}",
            where=as_text(dead[0]),
            hint="`onnxctl optimize` removes them (pass remove_unused)",
        )


def _dead_nodes_of(scope: Graph) -> list[NodeProto]:
    """The nodes whose results reach no output of the scope, in the order they stand in."""
    live: set[int] = set()
    nodes = scope.nodes
    for node in reversed(nodes):
        for name in node.output:
            if name and (scope.is_output(name) or any(id(each) in live for each in scope.consumers(name))):
                live.add(id(node))
                break
    return [node for node in nodes if id(node) not in live]


def _unused_initializers(scopes: list[Graph]) -> Iterator[Finding]:
    unused = [(scope, name) for scope in scopes for name in scope.initializers if not scope.is_used(name)]
    if unused:
        total = sum(scope.model.tensor(scope.initializers[name]).byte_count for scope, name in unused)
        yield Finding(
            code="unused-initializer",
            severity="warning",
            message=f"{counted(unused, 'initializer is', 'initializers are')} read by no node ({total:,} bytes)",
            where=place_of(*unused[0]),
            hint="`onnxctl optimize` removes them (pass remove_unused)",
        )


def _large_constants(graphs: ModelGraphs) -> Iterator[Finding]:
    large = [
        weight
        for weight in weights_of(graphs.model)
        if weight.source == "constant" and weight.byte_count >= LARGE_CONSTANT_BYTES
    ]
    if large:
        total = sum(weight.byte_count for weight in large)
        yield Finding(
            code="large-constant",
            severity="info",
            message=f"{counted(large, 'Constant node holds', 'Constant nodes hold')} weights ({total:,} bytes) that "
            "belong among the initializers",
            where=as_text(large[0].name),
            hint="`onnxctl optimize` moves them (pass lift_constants)",
        )


_ABSORBING = ("Conv", "ConvTranspose", "Gemm")


def _unfused_normalizations(scopes: list[Graph]) -> Iterator[Finding]:
    found = [
        scope.node_label(node)
        for scope in scopes
        for node in scope.nodes
        if is_standard(node, "BatchNormalization") and _could_be_absorbed(scope, node)
    ]
    if found:
        yield Finding(
            code="unfused-batch-normalization",
            severity="info",
            message=f"{counted(found, 'BatchNormalization follows', 'BatchNormalizations follow')} a convolution or "
            "matrix product with constant weights, and could be part of these weights",
            where=as_text(found[0]),
            hint="`onnxctl optimize` takes them in (pass fuse_batch_normalization)",
        )


def _could_be_absorbed(scope: Graph, node: NodeProto) -> bool:
    product = scope.producer(node.input[0])
    return (
        product is not None
        and is_standard(product, *_ABSORBING)
        and scope.only_consumer(node.input[0]) is node
        and scope.constant(product.input[1]) is not None
        and all(scope.constant(name) is not None for name in node.input[1:])
        and sum(bool(name) for name in node.output) == 1
    )


def _similar_names(scopes: list[Graph]) -> Iterator[Finding]:
    for scope in scopes:
        names = dict.fromkeys((*scope.inputs, *scope.initializers))
        names.update(dict.fromkeys(name for node in scope.nodes for name in node.output if name))
        seen: dict[str, str] = {}
        for name in map(as_text, names):
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                yield Finding(
                    code="names-differ-by-case",
                    severity="info",
                    message=f"the values {other!r} and {name!r} differ by upper and lower case only: tools that make "
                    "files or identifiers of names mix them up",
                    where=place_of(scope, name),
                )
                return


def _unused_functions(graphs: ModelGraphs) -> Iterator[Finding]:
    """Functions that neither the graph nor a function it calls, directly or not, calls."""
    functions = {
        function_key(each): scope for each, scope in zip(graphs.model.proto.functions, graphs.functions, strict=True)
    }
    called, waiting = set(), [graphs.top]
    while waiting:
        for scope in waiting.pop().walk():
            for node in scope.nodes:
                key = called_key(node)
                if key in functions and key not in called:
                    called.add(key)
                    waiting.append(functions[key])
    unused = [key for key in functions if key not in called]
    if unused:
        yield Finding(
            code="unused-function",
            severity="info",
            message=f"{counted(unused, 'model-local function is', 'model-local functions are')} never called",
            where=f"function:{in_words(unused[0])}",
            hint="`onnxctl optimize` removes them (pass remove_unused)",
        )


def _unused_imports(graphs: ModelGraphs, scopes: list[Graph]) -> Iterator[Finding]:
    used = {node.domain for scope in scopes for node in scope.nodes}
    imports = (as_text(each.domain) for each in graphs.model.proto.opset_import)
    unused = [domain for domain in imports if domain not in used and domain not in DEFAULT_DOMAINS]
    if unused:
        shown = ", ".join(map(repr, unused[:5]))
        yield Finding(
            code="unused-opset-import",
            severity="info",
            message=f"no node uses {counted(unused, 'imported operator domain')}: {shown}",
            hint="a runtime may refuse a model for a domain or version that nothing in it needs",
        )
