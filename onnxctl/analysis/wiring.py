"""How the nodes of a graph hang together: names, order, operators, and the element types that follow from them.

One walk over each scope checks that every value is made exactly once and before it is read, that every node follows its
operator's rule, and that what a scope says of its outputs agrees with what its nodes make.
Source: the ONNX IR specification, https://github.com/onnx/onnx/blob/main/docs/IR.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from onnx import FunctionProto, GraphProto, NodeProto, ValueInfoProto

from onnxctl.analysis.operator_table import ONNX_DOMAINS, OperatorRule
from onnxctl.analysis.operators import RUNTIME_DOMAINS, OperatorRules
from onnxctl.analysis.scopes import GRAPH, GRAPHS, as_text, attribute_graphs, node_label
from onnxctl.errors import InvalidModel
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import Finding, Severity

FunctionKey = tuple[str, str, str]
"""A function's domain ("" for ai.onnx), name and overload."""

_Types = dict[str, int]
"""Element type (TensorProto.DataType) by value name; 0 where it is not known or the value is no tensor."""


class _Early(NamedTuple):
    """A name read before it is made, and by whom: "node 'n2' reads"."""

    name: str
    who: str


class _Scope(NamedTuple):
    """What a scope leaves to the one around it: names it did not find, and the element types of its outputs."""

    unmade: list[_Early]
    output_types: list[int]


class _Seen:
    """How often something was seen, and at which node first."""

    def __init__(self, first: str) -> None:
        self.first = first
        self.count = 0


class Wiring:
    """Checks the scopes of one root, the top graph or a function body, and gathers what is odd in them.

    calls counts the nodes that call model-local functions. `unsorted` says whether some scope needs sorting; whether it
    has a cycle only a sort can tell.
    """

    def __init__(self, rules: OperatorRules, functions: frozenset[FunctionKey]) -> None:
        self.rules = rules
        self.functions = functions
        self.calls: Counter[FunctionKey] = Counter()
        self.unsorted = False
        self.findings: list[Finding] = []
        self._plain: dict[tuple[str, str], OperatorRule] = {}
        self._unruled: dict[tuple[str, str], _Seen] = {}
        self._deprecated: dict[str, _Seen] = {}

    def check(self, path: str, root: GraphProto | FunctionProto) -> None:
        """Raises InvalidModel for the first thing in the root or the scopes inside it that breaks the specification."""
        for early in self._scope(path, root, ()).unmade:
            raise InvalidModel(f"{early.who} {as_text(early.name)!r}, which nothing makes")
        self._tell_operators()

    # ------------------------------------------------------------ one scope

    def _scope(self, path: str, body: GraphProto | FunctionProto, outer: tuple[_Types, ...]) -> _Scope:
        types = _interface(path, body)
        early: list[_Early] = []
        for node in body.node:
            self._node(path, node, types, outer, early)
        late = [each for each in early if each.name in types]
        if late:
            self.unsorted = True
            self._find(
                "unsorted-graph",
                f"the nodes are not topologically sorted: {late[0].who} {as_text(late[0].name)!r} before it is made",
                where=path,
                hint="`onnxctl optimize` writes them in order",
            )
        for name in _output_names(body):
            if name not in types:
                scope = f"{path!r}" if path else "the graph"
                raise InvalidModel(f"{scope} has the output {as_text(name)!r}, which nothing in it makes")
        self._tell_names(path, body, types, outer)
        unmade = [each for each in early if each.name not in types]
        return _Scope(unmade, _checked_output_types(path, body, types))

    def _node(self, path: str, node: NodeProto, types: _Types, outer: tuple[_Types, ...], early: list[_Early]) -> None:
        rule = self._plain.get((node.domain, node.op_type)) or self._rule(path, node)
        inputs, outputs = list(node.input), list(node.output)
        try:
            self.rules.check_node(node, rule, inputs, outputs)
        except InvalidModel as error:
            raise InvalidModel(f"node {node_label(path, node)!r}: {error.message}", hint=error.hint) from error
        unmade = [
            _Early(name, f"node {node_label(path, node)!r} reads")
            for name in inputs
            if name not in types and name and not (outer and _visible(name, outer))
        ]
        made: list[int] = []
        if rule is None or rule.has_subgraphs:
            made = self._subgraphs(path, node, types, outer, unmade)
        for each in unmade:
            if each.name in outputs:
                raise InvalidModel(f"the graph has a cycle: {each.who} {as_text(each.name)!r}, which it makes itself")
            early.append(each)
        if rule is not None and not made:
            made = [_follow(source, inputs, types, outer) if source < 0 else source for source in rule.output_types]
        for position, name in enumerate(outputs):
            if not name:
                continue
            if name in types:
                raise InvalidModel(f"node {node_label(path, node)!r} makes {as_text(name)!r}, which is there already")
            types[name] = made[min(position, len(made) - 1)] if made else 0

    def _subgraphs(
        self, path: str, node: NodeProto, types: _Types, outer: tuple[_Types, ...], unmade: list[_Early]
    ) -> list[int]:
        """Check the node's subgraphs. The element types of an If's outputs, as its branches have them; else nothing."""
        branches: dict[str, list[int]] = {}
        for attribute in node.attribute:
            if attribute.type not in (GRAPH, GRAPHS, 0):
                continue
            for inner_path, graph in attribute_graphs(path, node, attribute):
                inner = self._scope(inner_path, graph, (types, *outer))
                unmade += inner.unmade
                branches[attribute.name] = inner.output_types
        if node.op_type != "If" or len(branches) != 2:
            return []
        then, other = branches.values()
        if len(then) != len(other) or len(then) < len(node.output):
            raise InvalidModel(
                f"node {node_label(path, node)!r}: the branches of the If have {len(then)} and {len(other)} outputs, "
                f"the node {len(node.output)}"
            )
        for position, (one, two) in enumerate(zip(then, other, strict=True)):
            if one and two and one != two:
                raise InvalidModel(
                    f"node {node_label(path, node)!r}: the branches of the If give output {position} different types, "
                    f"{dtype_name(one)} and {dtype_name(two)}"
                )
        return [one or two for one, two in zip(then, other, strict=True)]

    # ------------------------------------------------------------ operators

    def _rule(self, path: str, node: NodeProto) -> OperatorRule | None:
        op_type, domain = node.op_type, node.domain
        if not op_type:
            raise InvalidModel(f"node {node_label(path, node)!r} has no op_type")
        if domain == "ai.onnx":
            domain = ""
        if domain not in self.rules.opsets:
            raise InvalidModel(
                f"node {node_label(path, node)!r}: its domain {_shown(domain)!r} is not among the opset_imports"
            )
        if self.functions and (key := (domain, op_type, node.overload)) in self.functions:
            self.calls[key] += 1
            return None
        rule = self.rules.rule(domain, op_type)
        if rule is None:
            self._unruled.setdefault((domain, op_type), _Seen(node_label(path, node))).count += 1
        elif rule.deprecated:
            self._deprecated.setdefault(rule.op_type, _Seen(node_label(path, node))).count += 1
            return None
        if not self.functions:
            self._plain[node.domain, op_type] = rule
        return rule

    def _tell_operators(self) -> None:
        for (domain, op_type), seen in self._unruled.items():
            name, shown = as_text(op_type), _shown(domain)
            if name in _RISKY_OPERATORS:
                self._find("native-operator", f"op_type {name} of {shown} {_RISKY_OPERATORS[name]}", where=seen.first)
            elif domain in ONNX_DOMAINS:
                if not self.rules.is_too_new(domain):
                    opset = self.rules.opsets[domain]
                    self._find(
                        "unknown-operator",
                        f"op_type {name!r} ({seen.count} nodes) is not in opset {opset} of {shown}",
                        severity="error",
                        where=seen.first,
                        hint="another opset may have it, or the operator needs a domain of its own",
                    )
            elif domain not in RUNTIME_DOMAINS:
                self._find(
                    "custom-operator",
                    f"op_type {name!r} ({seen.count} nodes) of the domain {shown!r} needs a runtime that knows it",
                    where=seen.first,
                )
        for name, seen in self._deprecated.items():
            self._find(
                "deprecated-operator",
                f"op_type {name} ({seen.count} nodes) was removed from ONNX before the opset this model imports",
                where=seen.first,
            )

    # ------------------------------------------------------------ findings

    def _tell_names(
        self, path: str, body: GraphProto | FunctionProto, types: _Types, outer: tuple[_Types, ...]
    ) -> None:
        names = [node.name for node in body.node]
        distinct = set(names)
        distinct.discard("")
        twice = len(names) - names.count("") - len(distinct)
        if twice:
            name = next(name for name, count in Counter(names).items() if name and count > 1)
            self._find(
                "duplicate-node-name",
                f"{twice + 1} nodes or more have the same name as another, {as_text(name)!r} first",
                where=path,
            )
        hidden = [name for name in types if outer and _visible(name, outer)]
        if hidden:
            self._find(
                "shadowed-name", f"{as_text(hidden[0])!r} is made here and in an outer scope as well", where=path
            )
        foreign = next((name for names in (types, distinct) for name in names if not isinstance(name, str)), None)
        if foreign is not None:
            self._find("invalid-utf8", f"the name {as_text(foreign)!r} is not UTF-8", where=path)

    def _find(
        self, code: str, message: str, *, severity: Severity = "warning", where: str = "", hint: str = ""
    ) -> None:
        self.findings.append(Finding(code=code, severity=severity, message=message, where=where, hint=hint))


_RISKY_OPERATORS = {
    "EPContext": "holds, or names a file of, native code for one accelerator",
    "PyOp": "asks the runtime to run Python code",
}


def _shown(domain: str) -> str:
    return as_text(domain) or "ai.onnx"


def _visible(name: str, outer: Iterable[_Types]) -> bool:
    return any(name in scope for scope in outer)


def _follow(source: int, inputs: Sequence[str], types: _Types, outer: tuple[_Types, ...]) -> int:
    """The element type of the input number -1 - source, wherever its value is made."""
    if -source > len(inputs):
        return 0
    name = inputs[-1 - source]
    if name in types:
        return types[name]
    return next((scope[name] for scope in outer if name in scope), 0)


# ---------------------------------------------------------------- what a scope says of itself


def _interface(path: str, body: GraphProto | FunctionProto) -> _Types:
    """The element types of the scope's inputs and initializers. Raises InvalidModel where two have the same name."""
    types: _Types = {}
    if isinstance(body, FunctionProto):
        for name in body.input:
            _define(path, name, 0, "input", types)
        return types
    for value in body.input:
        _define(path, value.name, value.type.tensor_type.elem_type, "input", types)
    inputs, own = types.copy(), _Types()
    for tensor in body.initializer:
        _define(path, tensor.name, tensor.data_type, "initializer", own)
    for sparse in body.sparse_initializer:
        _define(path, sparse.values.name, sparse.values.data_type, "initializer", own)
    for name in inputs.keys() & own.keys():
        if inputs[name] and inputs[name] != own[name]:
            raise InvalidModel(
                f"initializer {as_text(name)!r} is {dtype_name(own[name])}, but the input of that name "
                f"{dtype_name(inputs[name])}"
            )
    return types | own


def _define(path: str, name: str, data_type: int, what: str, types: _Types) -> None:
    where = f" of {path!r}" if path else ""
    if not name:
        raise InvalidModel(f"an {what}{where} has no name")
    if name in types:
        raise InvalidModel(f"{what} {as_text(name)!r}{where} is given twice: readers would differ on which one counts")
    types[name] = data_type


def _output_names(body: GraphProto | FunctionProto) -> list[str]:
    if isinstance(body, FunctionProto):
        return list(body.output)
    return [value.name for value in body.output]


def _checked_output_types(path: str, body: GraphProto | FunctionProto, types: _Types) -> list[int]:
    """The element types of the scope's outputs. Raises InvalidModel where it says other than what its nodes make."""
    if isinstance(body, FunctionProto):
        return []
    return [_checked_output_type(path, value, types.get(value.name, 0)) for value in body.output]


def _checked_output_type(path: str, value: ValueInfoProto, made: int) -> int:
    stated: int = value.type.tensor_type.elem_type
    if stated and made and stated != made:
        where = f" of {path!r}" if path else ""
        raise InvalidModel(
            f"output {as_text(value.name)!r}{where} is declared {dtype_name(stated)}, but made as {dtype_name(made)}"
        )
    return stated or made
