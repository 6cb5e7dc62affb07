"""A model as a tree: the modules its node names tell of, the subgraphs within nodes, and the functions.

Modules are the folders of node names ("/encoder/layer.0/attention/MatMul", as TorchScript and TensorFlow exports have
them), or what torch.onnx's newer exporter writes into a node's metadata ("pkg.torch.onnx.name_scopes").
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from onnx import FunctionProto, NodeProto

from onnxctl.analysis.cost.counting import quantity
from onnxctl.analysis.cost.walk import Row, count_nodes
from onnxctl.analysis.scopes import scope_of
from onnxctl.analysis.weights import weights_of_scope
from onnxctl.model.dimensions import Dimension
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.names import as_text
from onnxctl.model.nodes import shown_domain
from onnxctl.model.propagation import Propagation
from onnxctl.reports import OperatorCount, Quantity, ScopeInfo

_NAME_SCOPES = "pkg.torch.onnx.name_scopes"


def scope_tree(graphs: ModelGraphs, found: Propagation, *, depth: int) -> tuple[ScopeInfo, ...]:
    """The tree, outer before inner, functions last; of modules, those nested at most `depth` deep.

    A scope's MACs are those of one run of the model, as far as they can be counted: of a function, of all its calls.
    """
    return tuple(_Tree(graphs, found, depth).rows())


@dataclass(slots=True)
class _Module:
    """A folder of node names: the nodes right in it, and the folders."""

    name: str
    rows: list[Row] = field(default_factory=list)
    parts: dict[str, _Module] = field(default_factory=dict)

    def all_rows(self) -> Iterator[Row]:
        """The nodes in it, however deep."""
        yield from self.rows
        for part in self.parts.values():
            yield from part.all_rows()


class _Tree:
    def __init__(self, graphs: ModelGraphs, found: Propagation, depth: int) -> None:
        self._graphs = graphs
        self._found = found
        self._depth = depth
        self._of_scope: dict[int, list[Row]] = {}
        for row in count_nodes(found.top):
            self._of_scope.setdefault(id(row.graph), []).append(row)

    def rows(self) -> Iterator[ScopeInfo]:
        """Every row."""
        for root in (self._graphs.top, *self._graphs.functions):
            yield from self._scope(root, 0)

    def _scope(self, graph: Graph, depth: int) -> Iterator[ScopeInfo]:
        rows = [row for inner in graph.walk() for row in self._of_scope.get(id(inner), ())]
        yield self._info(graph, depth, rows)
        if graph.parent is None:
            yield from self._modules(_modules(self._of_scope.get(id(graph), [])), graph, depth + 1, "")
        for node in graph.nodes:
            for inner in graph.subgraphs(node):
                yield from self._scope(inner, depth + 1)

    def _info(self, graph: Graph, depth: int, rows: list[Row]) -> ScopeInfo:
        proto, holder = graph.proto, graph.holder
        scopes = self._found.of(graph)
        trips = None if holder is None or scopes is None or holder.op_type == "If" else quantity(scopes.trip_count)
        operators = Counter((shown_domain(node.domain), as_text(node.op_type)) for node in graph.nodes)
        return ScopeInfo(
            depth=depth,
            path=as_text(graph.path),
            role="function" if isinstance(proto, FunctionProto) else "subgraph" if holder is not None else "graph",
            name=as_text(proto.name) if holder is None else _own_path(graph),
            holder="" if holder is None else as_text(holder.op_type),
            trips=trips,
            node_count=len(graph.nodes),
            parameter_count=sum(each.element_count for each in weights_of_scope(scope_of("", proto))),
            macs=_macs(rows),
            operators=_counts(operators),
        )

    def _modules(self, module: _Module, graph: Graph, depth: int, path: str) -> Iterator[ScopeInfo]:
        for part in module.parts.values():
            while len(part.parts) == 1 and not part.rows:
                only = next(iter(part.parts.values()))
                part = _Module(f"{part.name}/{only.name}", only.rows, only.parts)
            inner_path = f"{path}/{part.name}" if path else part.name
            rows = list(part.all_rows())
            operators = Counter((shown_domain(row.node.domain), as_text(row.node.op_type)) for row in rows)
            yield ScopeInfo(
                depth=depth,
                path=inner_path,
                role="module",
                name=part.name,
                holder="",
                trips=None,
                node_count=len(rows),
                parameter_count=sum({key: count for row in rows for key, count in row.weights.items()}.values()),
                macs=_macs(rows),
                operators=_counts(operators),
            )
            if depth < self._depth:
                yield from self._modules(part, graph, depth + 1, inner_path)


def _own_path(graph: Graph) -> str:
    """How a subgraph is called within the scope that its node stands in: "If_33/then_branch"."""
    outer = "" if graph.parent is None else graph.parent.path
    return as_text(graph.path.removeprefix(f"{outer}/" if outer else ""))


def _modules(rows: list[Row]) -> _Module:
    """The folders that the names of these nodes make; none where most nodes are in no folder."""
    root = _Module("")
    placed = 0
    for row in rows:
        module = root
        for name in _folders(row.node):
            module = module.parts.setdefault(name, _Module(name))
        module.rows.append(row)
        placed += module is not root
    if 2 * placed < len(rows):
        return _Module("")
    while len(root.parts) == 1 and not root.rows:
        root = next(iter(root.parts.values()))
    return root


def _folders(node: NodeProto) -> list[str]:
    """The modules that the node is in, outermost first."""
    for entry in node.metadata_props:
        if entry.key == _NAME_SCOPES:
            return _scopes_in(as_text(entry.value))
    return [part for part in as_text(node.name).split("/")[:-1] if part]


def _scopes_in(text: str) -> list[str]:
    """The folders in a list like "['', 'model', 'model.layer.0', 'conv']", whose last entry is the node's own."""
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    if not isinstance(scopes, list) or not all(isinstance(each, str) for each in scopes) or len(scopes) < 2:
        return []
    folders, outer = [], ""
    for scope in scopes[:-1]:
        own = scope.removeprefix(f"{outer}.") if outer else scope
        if own:
            folders.append(own)
        outer = scope
    return folders


def _macs(rows: list[Row]) -> Quantity:
    total: Dimension = 0
    for row in rows:
        total = total + (row.work.macs if row.work is not None else 0)
    return quantity(total)


def _counts(operators: Mapping[tuple[str, str], int]) -> tuple[OperatorCount, ...]:
    rows = (
        OperatorCount(domain=domain, op_type=op_type, count=count) for (domain, op_type), count in operators.items()
    )
    return tuple(sorted(rows, key=lambda row: (-row.count, row.domain, row.op_type)))
