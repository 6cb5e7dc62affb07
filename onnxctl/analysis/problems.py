"""What breaks the ONNX specification, as a value: a check either raises the first, or gathers them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NoReturn

from onnxctl.errors import InvalidModel


class Problem(NamedTuple):
    """One broken rule. where names the node, value or scope, field the protobuf field or attribute, as far as known.

    subject stands before the message where that does not say what it is about: "node 'conv1'".
    """

    code: str
    message: str
    where: str = ""
    field: str = ""
    hint: str = ""
    subject: str = ""


class Trouble(NamedTuple):
    """What is wrong with a node, told by who does not know where the node stands."""

    code: str
    message: str
    field: str = ""


Refuse = Callable[[Problem], None]
"""Called with every broken rule. What returns goes on with the check as if the thing were not there."""


def raise_problem(problem: Problem) -> NoReturn:
    """Raises the problem as InvalidModel: for a check that ends with the first."""
    message = f"{problem.subject}: {problem.message}" if problem.subject else problem.message
    raise InvalidModel(message, hint=problem.hint)
