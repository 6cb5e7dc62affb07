"""Leave out initial states that are zero: LSTM, GRU and RNN start from zero by themselves.

RNN(x, W, R, B, lengths, h) = RNN(x, W, R, B, lengths) where h is zero everywhere; for the cell state of LSTM
likewise. Exact. All opsets. Left alone: states that are not known to be zero; peephole weights (input 7 of LSTM),
which are no state.
"""

from __future__ import annotations

from onnxctl.model.graph import Graph
from onnxctl.passes.base import Context, input_name, standard_nodes
from onnxctl.passes.uniform import uniform_value

_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


def eliminate_zero_states(graph: Graph, context: Context) -> int:
    """Take initial states of zeros out of recurrent nodes; returns how many."""
    found = 0
    for node in standard_nodes(graph, *_STATES):
        names = list(node.input)
        for index in _STATES[node.op_type]:
            name = input_name(node, index)
            if not name:
                continue
            value = uniform_value(graph, name)
            if value is not None and value == 0:
                names[index] = ""
                found += 1
            else:
                context.skip(node, "its initial state is not known to be zero")
        while names and not names[-1]:
            names.pop()
        if names != list(node.input):
            graph.set_inputs(node, names)
    return found
