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
from onnxctl.analysis.problems import Problem, Refuse, Trouble, raise_problem
from onnxctl.analysis.scopes import GRAPH, GRAPHS, attribute_graphs
from onnxctl.model.names import as_text, node_label
from onnxctl.model.tensors import dtype_name
from onnxctl.reports import Finding, Severity

FunctionKey = tuple[str, str, str]
"""A function's domain ("" for ai.onnx), name and overload."""

_Types = dict[str, int]
"""Element type (TensorProto.DataType) by value name; 0 where it is not known or the value is no tensor."""


class _Early(NamedTuple):
    """A name read before it is made, and the label of the node that reads it."""

    name: str
    who: str

    @property
    def message(self) -> str:
        return f"node {self.who!r} reads {as_text(self.name)!r}"


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

    What breaks the specification goes to `refuse`, which by default raises the first as InvalidModel.
    calls counts the nodes that call model-local functions. `unsorted` says whether some scope needs sorting; whether it
    has a cycle only a sort can tell.
    """

    def __init__(self, rules: OperatorRules, functions: frozenset[FunctionKey], refuse: Refuse = raise_problem) -> None:
        self.rules = rules
        self._refuse = refuse
        self._troubles: list[Trouble] = []
        self.functions = functions
        self.calls: Counter[FunctionKey] = Counter()
        self.unsorted = False
        self.findings: list[Finding] = []
        self._plain: dict[tuple[str, str], OperatorRule] = {}
        self._unruled: dict[tuple[str, str], _Seen] = {}
        self._deprecated: dict[str, _Seen] = {}

    def check(self, path: str, root: GraphProto | FunctionProto) -> None:
        """Check the root and the scopes inside it."""
        for early in self._scope(path, root, ()).unmade:
            self._refuse(Problem("undefined-value", f"{early.message}, which nothing makes", early.who, "input"))
        self._tell_operators()

    # ------------------------------------------------------------ one scope

    def _scope(self, path: str, body: GraphProto | FunctionProto, outer: tuple[_Types, ...]) -> _Scope:
        types = self._interface(path, body)
        early: list[_Early] = []
        for node in body.node:
            self._node(path, node, types, outer, early)
        late = [each for each in early if each.name in types]
        if late:
            self.unsorted = True
            self._find(
                "unsorted-graph",
                f"the nodes are not topologically sorted: {late[0].message} before it is made",
                where=path,
                hint="`onnxctl optimize` writes them in order",
            )
        for name in _output_names(body):
            if name not in types:
                scope = f"{path!r}" if path else "the graph"
                message = f"{scope} has the output {as_text(name)!r}, which nothing in it makes"
                self._refuse(Problem("undefined-output", message, as_text(name), "output"))
        self._tell_names(path, body, types, outer)
        unmade = [each for each in early if each.name not in types]
        return _Scope(unmade, self._output_types(path, body, types))

    def _node(self, path: str, node: NodeProto, types: _Types, outer: tuple[_Types, ...], early: list[_Early]) -> None:
        rule = self._plain.get((node.domain, node.op_type)) or self._rule(path, node)
        inputs, outputs = list(node.input), list(node.output)
        self.rules.check_node(node, rule, inputs, outputs, self._troubles)
        if self._troubles:
            self._refuse_troubles(path, node)
        unmade = [
            _Early(name, node_label(path, node))
            for name in inputs
            if name not in types and name and not (outer and _visible(name, outer))
        ]
        made: list[int] = []
        if rule is None or rule.has_subgraphs:
            made = self._subgraphs(path, node, types, outer, unmade)
        for each in unmade:
            if each.name in outputs:
                message = f"the graph has a cycle: {each.message}, which it makes itself"
                self._refuse(Problem("cycle", message, each.who, "input"))
            else:
                early.append(each)
        if rule is not None and not made:
            made = [_follow(source, inputs, types, outer) if source < 0 else source for source in rule.output_types]
        for position, name in enumerate(outputs):
            if not name:
                continue
            if name in types:
                message = f"node {node_label(path, node)!r} makes {as_text(name)!r}, which is there already"
                self._refuse(Problem("duplicate-definition", message, node_label(path, node), f"output[{position}]"))
            types[name] = made[min(position, len(made) - 1)] if made else 0

    def _refuse_troubles(self, path: str, node: NodeProto) -> None:
        label, troubles = node_label(path, node), self._troubles.copy()
        self._troubles.clear()
        for each in troubles:
            self._refuse(Problem(each.code, each.message, label, each.field, subject=f"node {label!r}"))

    def _refuse_node(self, code: str, path: str, node: NodeProto, message: str, field: str = "") -> None:
        label = node_label(path, node)
        self._refuse(Problem(code, message, label, field, subject=f"node {label!r}"))

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
            message = f"the branches of the If have {len(then)} and {len(other)} outputs, the node {len(node.output)}"
            self._refuse_node("unlike-branches", path, node, message, "output")
            return []
        for position, (one, two) in enumerate(zip(then, other, strict=True)):
            if one and two and one != two:
                message = (
                    f"the branches of the If give output {position} different types, "
                    f"{dtype_name(one)} and {dtype_name(two)}"
                )
                self._refuse_node("unlike-branches", path, node, message, f"output[{position}]")
        return [one or two for one, two in zip(then, other, strict=True)]

    # ------------------------------------------------------------ operators

    def _rule(self, path: str, node: NodeProto) -> OperatorRule | None:
        op_type, domain = node.op_type, node.domain
        if not op_type:
            message = f"node {node_label(path, node)!r} has no op_type"
            self._refuse(Problem("missing-operator", message, node_label(path, node), "op_type"))
            return None
        if domain == "ai.onnx":
            domain = ""
        if domain not in self.rules.opsets:
            message = f"its domain {_shown(domain)!r} is not among the opset_imports"
            self._refuse_node("domain-not-imported", path, node, message, "domain")
            return None
        if self.functions and (key := (domain, op_type, node.overload)) in self.functions:
            self.calls[key] += 1
            return None
        rule = self.rules.rule(domain, op_type)
        if rule is None:
            self._unruled.setdefault((domain, op_type), _Seen(node_label(path, node))).count += 1
        elif rule.deprecated:
            self._deprecated.setdefault(rule.op_type, _Seen(node_label(path, node))).count += 1
            return None
        if rule is not None and not self.functions:
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
                    hint="`onnxctl run --custom-ops FILE` loads a library that has it",
                )
        for name, seen in self._deprecated.items():
            self._find(
                "deprecated-operator",
                f"op_type {name} ({seen.count} nodes) was removed from ONNX before the opset this model imports",
                where=seen.first,
            )

    # ------------------------------------------------------------ what a scope says of itself

    def _interface(self, path: str, body: GraphProto | FunctionProto) -> _Types:
        """The element types of the scope's inputs and initializers; no two may have the same name."""
        types: _Types = {}
        if isinstance(body, FunctionProto):
            for name in body.input:
                self._define(path, name, 0, "input", types)
            return types
        for value in body.input:
            self._define(path, value.name, value.type.tensor_type.elem_type, "input", types)
        inputs, own = types.copy(), _Types()
        for tensor in body.initializer:
            self._define(path, tensor.name, tensor.data_type, "initializer", own)
        for sparse in body.sparse_initializer:
            self._define(path, sparse.values.name, sparse.values.data_type, "initializer", own)
        for name in inputs.keys() & own.keys():
            if inputs[name] and inputs[name] != own[name]:
                message = (
                    f"initializer {as_text(name)!r} is {dtype_name(own[name])}, but the input of that name "
                    f"{dtype_name(inputs[name])}"
                )
                self._refuse(Problem("type-conflict", message, as_text(name), "elem_type"))
        return types | own

    def _define(self, path: str, name: str, data_type: int, what: str, types: _Types) -> None:
        where = f" of {path!r}" if path else ""
        if not name:
            self._refuse(Problem("missing-name", f"an {what}{where} has no name", path, what))
        elif name in types:
            message = f"{what} {as_text(name)!r}{where} is given twice: readers would differ on which one counts"
            self._refuse(Problem("duplicate-definition", message, as_text(name), what))
        types[name] = data_type

    def _output_types(self, path: str, body: GraphProto | FunctionProto, types: _Types) -> list[int]:
        """The element types of the scope's outputs, which may not be said to be other than what its nodes make."""
        if isinstance(body, FunctionProto):
            return []
        return [self._output_type(path, value, types.get(value.name, 0)) for value in body.output]

    def _output_type(self, path: str, value: ValueInfoProto, made: int) -> int:
        stated: int = value.type.tensor_type.elem_type
        if stated and made and stated != made:
            where = f" of {path!r}" if path else ""
            message = (
                f"output {as_text(value.name)!r}{where} is declared {dtype_name(stated)}, "
                f"but made as {dtype_name(made)}"
            )
            self._refuse(Problem("type-conflict", message, as_text(value.name), "elem_type"))
        return stated or made

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
            self._find("invalid-utf8", f"the name '{as_text(foreign)}' is not UTF-8", where=path)

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


def _output_names(body: GraphProto | FunctionProto) -> list[str]:
    if isinstance(body, FunctionProto):
        return list(body.output)
    return [value.name for value in body.output]
