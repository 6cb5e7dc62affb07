"""Proof: the result is compared with the original, and a pass that is at fault is found and left out.

Passes are deterministic, so the model can be had again as it was after any of their runs. Between the original and a
wrong result lies a run before which all is right and after which it is not; bisection finds it, and the rewrite
within it, in some ten comparisons. The pass is left out, the others run anew, and that result is proven in its turn.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from onnx import GraphProto, ModelProto, TensorProto

from onnxctl.analysis.scopes import Scope, walk_scopes
from onnxctl.api.workshop import Plan, Rewritten, Workshop
from onnxctl.errors import MachineError, ModelError
from onnxctl.model.names import node_label
from onnxctl.model.saving import Staged, Target
from onnxctl.passes.manager import Limit
from onnxctl.reports import Finding, Verification

MOST_LEFT_OUT = 8
"""So many passes may turn out to be at fault; a model on which more do is not written."""

BISECTION_LIMIT_S = 600.0
"""After this time no further comparison is begun to find a fault."""


class Proven(NamedTuple):
    """A result on disk and what is known of it. Where the verification says "different" it must not be published."""

    rewritten: Rewritten
    staged: Staged
    verification: Verification
    findings: tuple[Finding, ...]


class _Fault(NamedTuple):
    """What is wrong with a result, in words, and how it was noticed. run_count is how many runs of passes made it."""

    noticed_by: Literal["passes", "interface", "growth", "comparison"]
    reason: str
    run_count: int | None = None
    verification: Verification | None = None


class _Culprit(NamedTuple):
    """The pass at fault, and the node it rewrote ("" where that can't be told)."""

    pass_name: str
    node: str = ""


def prove(shop: Workshop, plan: Plan, target: Target, obstacle: str = "") -> Proven:
    """The result of the plan, proven as far as that is possible; the caller discards or commits `Proven.staged`.

    obstacle is why the original can't be run, where that is known beforehand: then only structural passes run, as they
    do where it turns out to be so. Passes at fault are left out, with a finding each. Raises ModelError where no pass
    was found that leaves no valid graph.
    """
    findings: list[Finding] = []
    unproven: Verification | None = None
    if obstacle:
        unproven = Verification(status="not verified", reason=obstacle, seed=shop.config.seed)
        plan = _structural(plan, findings)
    while True:
        attempt = _attempt(shop, plan, target, unproven)
        if isinstance(attempt, Proven):
            if attempt.verification.status != "not verified" or plan.passes == "structural":
                return attempt._replace(findings=tuple(findings))
            attempt.staged.discard()
            unproven = attempt.verification
            plan = _structural(plan, findings)
            continue
        culprit = _find_culprit(shop, plan, attempt) if len(plan.left_out) < MOST_LEFT_OUT else None
        if culprit is None:
            return _wrong_result(shop, plan, target, attempt, findings)
        findings.append(_rolled_back(culprit, attempt))
        if plan.with_onnxsim:  # which is the first to be suspected
            plan = plan._replace(with_onnxsim=False)
        else:
            plan = plan._replace(left_out=plan.left_out | {culprit.pass_name})


def _attempt(shop: Workshop, plan: Plan, target: Target, unproven: Verification | None) -> Proven | _Fault:
    """One result, or what is wrong with it. unproven is the verdict where there is nothing to compare it with."""
    shop.news("simplifying")
    try:
        with shop.watch.stage("simplifying"):
            rewritten = shop.rewrite(plan)
    except ModelError as error:
        return _Fault("passes", error.message)
    run_count = len(rewritten.result.runs)
    if rewritten.intrusion:
        return _Fault("interface", rewritten.intrusion, run_count)
    if rewritten.growth:
        return _Fault("growth", rewritten.growth, run_count)
    shop.news("writing the result")
    with shop.watch.stage("writing"):
        staged = shop.stage(rewritten, target)
    with contextlib.ExitStack() as undo:
        undo.callback(staged.discard)
        verification = unproven or _verified(shop, staged.path)
        if verification.status == "different":
            return _Fault("comparison", verification.reason, run_count, verification)
        undo.pop_all()
    return Proven(rewritten, staged, verification, ())


def _verified(shop: Workshop, candidate: str) -> Verification:
    if not shop.config.verify:
        return Verification(status="skipped", reason="--no-verify", seed=shop.config.seed)
    shop.news("verifying")
    with shop.watch.stage("verifying"):
        return shop.compare(candidate)


def _structural(plan: Plan, findings: list[Finding]) -> Plan:
    """The plan with structural passes only, and the finding that says why."""
    findings.append(
        Finding(
            code="structural-passes-only",
            severity="warning",
            message="only structural passes ran, since the result can't be compared with the original",
            hint="--no-verify runs all passes without proof; --input gives data that the model runs on",
        )
    )
    return plan._replace(passes="structural", with_onnxsim=False)


def _wrong_result(shop: Workshop, plan: Plan, target: Target, fault: _Fault, findings: list[Finding]) -> Proven:
    """The result that must not be published, for the report to tell of it."""
    rewritten = shop.rewrite(plan)
    wrong = fault.verification or Verification(status="different", reason=fault.reason, seed=shop.config.seed)
    return Proven(rewritten, shop.stage(rewritten, target, flush=False), wrong, tuple(findings))


def _rolled_back(culprit: _Culprit, fault: _Fault) -> Finding:
    what = f"its rewrite of node {culprit.node!r}" if culprit.node else "what it did"
    effect = "let the model grow" if fault.noticed_by == "growth" else "made a wrong result"
    return Finding(
        code="pass-rolled-back",
        severity="warning",
        message=f"{culprit.pass_name} was left out, since {what} {effect}: {fault.reason}",
        hint="the result was made and proven without this pass; please report the model it fails on",
        where=f"{culprit.pass_name}: {culprit.node}" if culprit.node else culprit.pass_name,
    )


# ---------------------------------------------------------------- bisection


class _InconclusiveError(Exception):
    """A comparison gave no verdict, or there is no time for it."""


def _find_culprit(shop: Workshop, plan: Plan, fault: _Fault) -> _Culprit | None:
    """The pass at fault; None where it can't be found. onnxsim goes first, since it can't be stopped halfway."""
    if plan.with_onnxsim:
        from onnxctl.passes.simplify_with_onnxsim import NAME

        return _Culprit(NAME)
    shop.news("looking for the pass at fault")
    with shop.watch.stage("finding the fault"), tempfile.TemporaryDirectory(prefix="onnxctl-") as folder:
        return _Search(shop, plan, fault, folder).find()


class _Search:
    """The search for the run of a pass that makes a result wrong, and for the rewrite within it."""

    def __init__(self, shop: Workshop, plan: Plan, fault: _Fault, folder: str) -> None:
        self._shop = shop
        self._plan = plan
        self._fault = fault
        self._target = Target(os.path.join(folder, "model.onnx"), 0o600)
        self._deadline = time.monotonic() + BISECTION_LIMIT_S

    def find(self) -> _Culprit | None:
        """The pass, and its node as far as that can be told."""
        try:
            if self._is_wrong(Limit(0)):
                return None
            number = _first_wrong(lambda count: self._is_wrong(Limit(count)), self._fault.run_count)
            self._is_wrong(Limit(number))
            pass_name = self._shop.trail[number - 1]
        except (_InconclusiveError, MachineError):
            return None
        try:
            return _Culprit(pass_name, self._node(number))
        except (_InconclusiveError, MachineError, ModelError):
            return _Culprit(pass_name)

    def _node(self, number: int) -> str:
        """The node that run looked at when it went wrong; where it does not go by looks, the first it changed."""
        if self._is_wrong(Limit(number, 0)):
            before = self._shop.rewrite(self._plan, Limit(number - 1)).model.proto
            return _first_change(before, self._shop.rewrite(self._plan, Limit(number)).model.proto)
        looks = _first_wrong(lambda count: self._is_wrong(Limit(number, count)))
        return self._shop.rewrite(self._plan, Limit(number, looks)).result.last_look

    def _is_wrong(self, limit: Limit) -> bool:
        """Whether the fault is there already when the passes stop at the limit."""
        if time.monotonic() > self._deadline:
            raise _InconclusiveError
        try:
            rewritten = self._shop.rewrite(self._plan, limit)
        except ModelError:
            return True
        if self._fault.noticed_by == "growth":
            return bool(rewritten.growth)
        if rewritten.intrusion or self._fault.noticed_by != "comparison":
            return bool(rewritten.intrusion)
        with self._shop.stage(rewritten, self._target, flush=False) as staged:
            status = self._shop.compare(staged.path).status
        if status not in ("equal", "different"):
            raise _InconclusiveError
        return status == "different"


def _first_wrong(is_wrong: Callable[[int], bool], known_wrong: int | None = None) -> int:
    """The least count for which is_wrong holds, where it holds from there on; it must not for 0.

    Doubles the count until it holds where none is known for which it does.
    """
    right, wrong = 0, known_wrong or 1
    while known_wrong is None and not is_wrong(wrong):
        right, wrong = wrong, 2 * wrong
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if is_wrong(middle):
            wrong = middle
        else:
            right = middle
    return wrong


def _first_change(before: ModelProto, after: ModelProto) -> str:
    """The first node of the one model that the other does not have as it is; "" where all are there."""
    kept = {node.SerializeToString() for scope in walk_scopes(after) for node in scope.body.node}
    for scope in walk_scopes(before):
        for node in scope.body.node:
            if node.SerializeToString() not in kept:
                return node_label(scope.path, node)
    return _reader_of_changed_initializer(before, after)


def _reader_of_changed_initializer(before: ModelProto, after: ModelProto) -> str:
    kept = {tensor.SerializeToString() for scope in walk_scopes(after) for tensor in _initializers_of(scope)}
    changed = {
        tensor.name
        for scope in walk_scopes(before)
        for tensor in _initializers_of(scope)
        if tensor.SerializeToString() not in kept
    }
    for scope in walk_scopes(before):
        for node in scope.body.node:
            if not changed.isdisjoint(node.input):
                return node_label(scope.path, node)
    return ""


def _initializers_of(scope: Scope) -> Sequence[TensorProto]:
    """The initializers of a graph; a function has none."""
    return scope.body.initializer if isinstance(scope.body, GraphProto) else ()
