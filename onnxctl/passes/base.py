"""What a pass is, what it may ask for, and the rewrites that passes are made of.

A pass is a module with one function `(graph, context) -> int` and one entry in `pipeline.PIPELINE`. It rewrites one
scope (the top graph, a subgraph or a function body) and returns how many rewrites it made: 0 means that there is
nothing left for it. It never changes the inputs and outputs of the scope, may be run again at any time, and says by
`context.skip` what it looked at and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from onnx import FunctionProto, ModelProto, NodeProto, TensorProto

from onnxctl.model.dimensions import Dimension, Expression
from onnxctl.model.graph import Graph, ModelGraphs
from onnxctl.model.loading import Model
from onnxctl.model.nodes import is_standard
from onnxctl.model.propagation import Fact, Propagation, ScopeFacts
from onnxctl.model.propagation.facts import UNKNOWN
from onnxctl.model.saving import saved_bytes
from onnxctl.model.shapes import learn_types
from onnxctl.model.types import TensorType
from onnxctl.passes import effects
from onnxctl.passes.effects import function_key, functions_with, pinned_names
from onnxctl.reports import Refusal

Evaluator = Callable[[ModelProto], tuple[list[TensorProto | None], str]]
"""Runs a small model without inputs: its outputs in order (None for one that can't be had), and the reason if so."""

LOWEST_IR_FOR_PLAIN_INITIALIZERS = 4
"""Before IR version 4 every initializer had to be a graph input too, and any caller could override it."""

STRUCTURAL_VERBS = frozenset(("lift", "remove", "eliminate", "share"))
"""What the names of passes begin with that need no proof by running the model: see `Pass.is_structural`."""


class Pass(NamedTuple):
    """One entry of the pipeline.

    exact: the rewritten model computes every output bit for bit as before. by_default: runs without being asked for;
    others run at level max, or where they are named, because some runtimes are slower with what they make.
    """

    name: str
    run: Callable[[Graph, Context], int]
    summary: str
    exact: bool = True
    by_default: bool = True

    @property
    def is_structural(self) -> bool:
        """Whether it only takes away, shares or names anew what is there: nothing new is computed, or beforehand."""
        return self.exact and self.name.partition("_")[0] in STRUCTURAL_VERBS


class Context:
    """What passes share while a model is optimized.

    evaluate computes constants (None: nothing is computed). checkpoint is called before every pass and stops everything
    by raising. explain keeps the name of every node that was left alone, not just of the first. bytes_at_start is what
    `saved_bytes` says of the model, where the caller knows. trail names the pass of every run over a scope, as it
    begins.

    room_bytes is how much the model may still grow; is_short_of_room whether somebody lacked some. pinned are
    the values other parts of the model refer to by name. not_evaluable are values that `evaluate` could not compute,
    and why.
    """

    def __init__(
        self,
        graphs: ModelGraphs,
        *,
        evaluate: Evaluator | None = None,
        checkpoint: Callable[[], None] | None = None,
        explain: bool = False,
        bytes_at_start: int | None = None,
    ) -> None:
        self.graphs = graphs
        self.evaluate = evaluate
        self.checkpoint = checkpoint
        self._explain = explain
        self.trail: list[str] = []
        self.found: Propagation | None = None
        self.room_bytes: int = 0
        self.is_short_of_room = False
        self.not_evaluable: dict[str, str] = {}
        self._bytes_at_start = saved_bytes(graphs.model) if bytes_at_start is None else bytes_at_start
        self._pass_name = ""
        self._scope: Graph | None = None
        self._refusals: dict[str, dict[tuple[str, str], None]] = {}
        self.pinned = pinned_names(graphs.model.proto)
        for root in (graphs.top, *graphs.functions):
            root.pinned = self.pinned
        self.local_functions = frozenset(function_key(each) for each in graphs.model.proto.functions)
        self.opaque_functions = functions_with(graphs.model.proto, effects.is_unknown)
        self.random_functions = functions_with(graphs.model.proto, effects.is_random)

    @property
    def model(self) -> Model:
        """The model that is being optimized."""
        return self.graphs.model

    def may_have_effects(self, node: NodeProto) -> bool:
        """Whether it may do more than compute, itself or a node of its subgraphs: an operator of an unknown domain."""
        for each in effects.nodes_within([node]):
            key = function_key(each)
            if key in self.opaque_functions or (effects.is_unknown(each) and key not in self.local_functions):
                return True
        return False

    def measure_room(self) -> None:
        """Set `room_bytes`: how much the model may grow and be no larger than it was. Commit the graphs before."""
        self.room_bytes = self._bytes_at_start - saved_bytes(self.model)
        self.is_short_of_room = False

    def has_room(self, added_bytes: int, freed_bytes: int) -> bool:
        """Whether a rewrite that adds and frees so many bytes leaves the model no larger than it was at the start."""
        fits = added_bytes - freed_bytes <= max(self.room_bytes, 0)
        self.is_short_of_room = self.is_short_of_room or not fits
        return fits

    def afford(self, added_bytes: int, freed_bytes: int) -> bool:
        """As `has_room`; and if so, what the rewrite takes is accounted for."""
        if not self.has_room(added_bytes, freed_bytes):
            return False
        self.room_bytes -= added_bytes - freed_bytes
        return True

    def learn_types(self) -> None:
        """Find the types and shape-like contents of every value anew: see `model.shapes.learn_types`."""
        self.found = learn_types(self.graphs)

    def fact(self, graph: Graph, name: str) -> Fact:
        """What was known of the value when the round began, symbolic shape and contents."""
        facts = self._facts_of(graph)
        return UNKNOWN if facts is None else facts.fact(name)

    def facts_with_contents(self, graph: Graph) -> list[tuple[str, Fact]]:
        """The values of the scope whose contents were known when the round began, at least in part."""
        facts = self._facts_of(graph)
        return [] if facts is None else [each for each in facts.facts.items() if each[1].values is not None]

    def _facts_of(self, graph: Graph) -> ScopeFacts | None:
        return None if self.found is None else self.found.of(graph)

    def integers(self, graph: Graph, name: str) -> list[Dimension] | None:
        """The contents of a small integer tensor, where all are known, if only symbolically."""
        values = self.fact(graph, name).values
        if values is None or not all(isinstance(each, int | Expression) for each in values):
            return None
        return [each for each in values if isinstance(each, int | Expression)]

    def begin(self, pass_name: str) -> None:
        """A pass starts over: what it refused before no longer counts."""
        self._pass_name = pass_name
        self._refusals[pass_name] = {}

    def enter(self, graph: Graph) -> None:
        """The pass turns to this scope."""
        self._scope = graph

    def skip(self, node: NodeProto, reason: str) -> None:
        """Note that the pass looked at the node and left it alone, and why."""
        label = self._scope.node_label(node) if self._scope is not None else node.op_type
        self._refusals.setdefault(self._pass_name, {})[reason, label] = None

    def refusals(self) -> tuple[Refusal, ...]:
        """What every pass refused when it ran last: one entry for each reason, naming the first node it held for."""
        found = []
        for pass_name, reasons in self._refusals.items():
            labels: dict[str, list[str]] = {}
            for reason, label in reasons:
                labels.setdefault(reason, []).append(label)
            found += [
                Refusal(
                    pass_name=pass_name,
                    reason=reason,
                    where=where[0],
                    count=len(where),
                    nodes=tuple(where) if self._explain else (),
                )
                for reason, where in labels.items()
            ]
        return tuple(found)


# ---------------------------------------------------------------- reading


def standard_nodes(graph: Graph, *op_types: str) -> Iterator[NodeProto]:
    """The scope's nodes of these standard operators in topological order; the scope may be rewritten meanwhile.

    Left out are nodes in function bodies whose attributes come from the caller: nothing is known about them.
    """
    has_caller = in_function(graph)
    for node in graph.nodes_of(op_types):
        if graph.contains(node) and is_standard(node, *op_types):
            if has_caller and any(each.ref_attr_name for each in node.attribute):
                continue
            if not graph.may_look(node):
                return
            yield node


def in_function(graph: Graph) -> bool:
    """Whether the scope is a function body or a subgraph inside one."""
    return isinstance(graph.root.proto, FunctionProto)


def input_name(node: NodeProto, index: int) -> str:
    """The node's input number `index`, "" where it is left out."""
    return node.input[index] if index < len(node.input) else ""


def home_of_constant(graph: Graph, name: str) -> Graph | None:
    """The scope, this or one around it, whose initializer one node here reads, once, and nothing else anywhere."""
    if graph.only_consumer(name) is None:
        return None
    scope = graph
    while name not in scope.initializers:
        outer, holder = scope.parent, scope.holder
        if outer is None or holder is None or scope.defines(name) or outer.is_output(name):
            return None
        bodies = [each for each in outer.subgraphs(holder) if name in each.captured()]
        if len(bodies) != 1 or name in holder.input or len(outer.consumers(name)) != 1:
            return None
        scope = outer
    return scope


def freed_bytes(graph: Graph, context: Context, names: Iterable[str], *readers: NodeProto) -> int:
    """The bytes of what `remove_unused` takes in this scope, nodes and initializers, once these nodes are gone.

    names are the values to look behind; the nodes themselves do not count.
    """
    going = {id(reader) for reader in readers}
    waiting, freed = list(names), 0
    while waiting:
        value = waiting.pop()
        maker = graph.producer(value)
        source = graph.initializers.get(value) if maker is None else maker
        if source is None or id(source) in going or graph.is_input(value):
            continue
        made = [value] if maker is None else maker.output
        if any(graph.is_output(name) or name in context.pinned for name in made):
            continue
        if any(id(each) not in going for name in made for each in graph.consumers(name)):
            continue
        if maker is not None and context.may_have_effects(maker):
            continue
        going.add(id(source))
        freed += written_bytes(source)
        waiting += [] if maker is None else filter(None, maker.input)
    return freed


def written_bytes(*parts: NodeProto | TensorProto) -> int:
    """What nodes and initializers take in the file: each is preceded by a tag and its length."""
    sizes = [part.ByteSize() for part in parts]
    return sum(size + 2 + (size >= 1 << 7) + (size >= 1 << 14) for size in sizes)


def same_type(graph: Graph, first: str, second: str) -> bool:
    """Whether both values are known to be tensors of one element type and one shape, symbols included."""
    shape = graph.shape_of(first)
    if shape is None or None in shape or shape != graph.shape_of(second):
        return False
    element_type = graph.element_type(first)
    return element_type is not None and element_type == graph.element_type(second)


# ---------------------------------------------------------------- rewriting


def bypass(graph: Graph, context: Context, node: NodeProto, replacement: str, *, index: int = 0) -> bool:
    """Take the node out; whoever read its output number `index` reads `replacement`, a value of the same type.

    Where that output is an output of the scope its name stays: the replacement takes it over. Returns False, with the
    reason noted, where that is impossible: the replacement is no node's output, or is an output of the scope itself.
    """
    old = node.output[index]
    if not context.pinned.isdisjoint((old, replacement)):
        context.skip(node, "a quantization annotation or training refers to its value by name")
        return False
    if any(name and name != old and graph.is_used(name) for name in node.output):
        context.skip(node, "another of its outputs is used")
        return False
    if not graph.is_output(old):
        if is_shadowed(graph, old, replacement):
            context.skip(node, "a subgraph that reads its output has another value of its input's name")
            return False
        _keep_type(graph, old, replacement)
        graph.replace_uses(old, replacement)
        graph.remove(node)
        return True
    maker = graph.producer(replacement)
    if maker is None:
        context.skip(node, "makes an output of the graph directly from an input, initializer or outer value")
        return False
    if graph.is_output(replacement) or is_shadowed(graph, replacement, old):
        context.skip(node, "two outputs of the graph share one value")
        return False
    _keep_type(graph, replacement, old)
    graph.remove(node)
    graph.replace_uses(replacement, old)
    graph.set_outputs(maker, [old if name == replacement else name for name in maker.output])
    return True


def take_over(graph: Graph, node: NodeProto, value: str) -> None:
    """Take the node out: what makes `value`, by a change of its own, makes under the node's name what the node made.

    Nobody but the node, and nodes of this scope that expect the change, may read the value.
    """
    maker, result = graph.producer(value), node.output[0]
    assert maker is not None
    graph.remove(node)
    graph.replace_uses(value, result)
    graph.set_outputs(maker, [result if name == value else name for name in maker.output])


def rename(graph: Graph, name: str) -> None:
    """Give a value that now is another one a name of its own: names are what two models are compared by."""
    maker, kind, fresh = graph.producer(name), graph.tensor_type(name), graph.fresh_name(name)
    assert maker is not None
    if kind is not None:
        graph.inferred[fresh] = kind
    graph.replace_uses(name, fresh)
    graph.set_outputs(maker, [fresh if each == name else each for each in maker.output])


def is_shadowed(graph: Graph, old: str, new: str) -> bool:
    """Whether a subgraph that may read `old` has its own value named `new`."""
    return any(
        scope.defines(new) for node in graph.consumers(old) for inner in graph.subgraphs(node) for scope in inner.walk()
    )


def _keep_type(graph: Graph, old: str, new: str) -> None:
    """Let the new name have the type that was known for the old one, where nothing is known of its shape."""
    if graph.shape_of(new) is None and (kind := graph.tensor_type(old)) is not None:
        scope = graph.scope_of(new) or graph
        scope.inferred[new] = kind


def remove_unread(graph: Graph, context: Context, names: Iterable[str]) -> int:
    """Take out the nodes of this scope that nobody needs, looking from these values upward; returns how many."""
    waiting, found = list(names), 0
    while waiting:
        maker = graph.producer(waiting.pop())
        if maker is None or any(graph.is_used(made) or made in context.pinned for made in maker.output if made):
            continue
        if not context.may_have_effects(maker):
            graph.remove(maker)
            found += 1
            waiting += filter(None, maker.input)
    return found


def replace_by_constant(graph: Graph, node: NodeProto, tensor: TensorProto, *, index: int = 0) -> None:
    """Let output number `index` of the node be this constant, of the same name; the node goes if it made nothing else.

    The constant is an initializer, or a Constant node where there can be none: in function bodies, before IR version 4,
    and for outputs of the scope.
    """
    define_constant(graph, node.output[index], tensor, before=node)
    others = ["" if at == index else name for at, name in enumerate(node.output)]
    if any(name and graph.is_used(name) for name in others):
        graph.set_outputs(node, others)
    else:
        graph.remove(node)


def define_constant(graph: Graph, name: str, tensor: TensorProto, *, before: NodeProto) -> None:
    """Make the value `name` this constant: see `replace_by_constant`. Whatever made the value must go."""
    graph.inferred[name] = TensorType(tensor.data_type, tuple(tensor.dims))
    if takes_initializers(graph) and not graph.is_output(name):
        named = TensorProto()
        named.CopyFrom(tensor)
        named.name = name
        graph.set_initializer(named)
    else:
        graph.add_node("Constant", [], [name], before=before, name=before.name, attributes={"value": tensor})


def constant_bytes(graph: Graph, name: str, value_bytes: int, rank: int) -> int:
    """The bytes that `define_constant` adds to the model for a value of so many bytes, wrapping included."""
    plain = takes_initializers(graph) and not graph.is_output(name)
    return value_bytes + len(name) + 3 * rank + (12 if plain else 44)


def takes_initializers(graph: Graph) -> bool:
    """Whether constants of the scope can be initializers that are not graph inputs."""
    ir_version = graph.model.proto.ir_version
    return ir_version >= LOWEST_IR_FOR_PLAIN_INITIALIZERS and not isinstance(graph.proto, FunctionProto)
