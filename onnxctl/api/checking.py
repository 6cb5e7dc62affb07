"""`check`: everything that is wrong with a model, from its bytes to the session that is to run it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnxctl.api.progress import News, silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from onnxctl.analysis.problems import Problem
    from onnxctl.child import Child
    from onnxctl.model.loading import Model
    from onnxctl.reports import CheckedFile, CheckReport, Finding
    from onnxctl.reports.check import CheckName, CheckProblem, CheckStep


def check(
    *paths: str,
    strict: bool = False,
    load: bool = True,
    timeout_s: float | None = None,
    memory_bytes: int | None = None,
    progress: News | None = None,
) -> CheckReport:
    """Every problem of every model: specification, types and shapes, stored data, and whether onnxruntime opens it.

    With strict, warnings count as errors do. load=False leaves onnxruntime out. timeout_s and memory_bytes bound the
    child processes. A single file that is no readable ONNX model raises the ModelError; among several it is a row of
    the report.
    """
    from onnxctl.analysis.onnx_opinion import OPINION_TIMEOUT_S
    from onnxctl.child import Child
    from onnxctl.errors import ModelError
    from onnxctl.memory import usual_memory_bytes
    from onnxctl.reports import CheckReport
    from onnxctl.runtime.children import child_for_models
    from onnxctl.runtime.loadable import LOADING_TIMEOUT_S

    started = time.perf_counter_ns()
    news = progress or silent
    files = []
    memory_bytes = usual_memory_bytes() if memory_bytes is None else memory_bytes
    with (
        Child(preload=("onnx", "onnx.checker"), memory_bytes=memory_bytes) as onnx_child,
        child_for_models(memory_bytes) if load else contextlib.nullcontext() as runtime_child,
    ):
        checks = _Checks(
            onnx_child, runtime_child, timeout_s or OPINION_TIMEOUT_S, timeout_s or LOADING_TIMEOUT_S, strict, news
        )
        checks.start()
        for path in paths:
            try:
                files.append(_check_file(path, checks))
            except ModelError as error:
                if len(paths) == 1:
                    raise
                files.append(_unreadable(path, error))
    return CheckReport(
        passed=all(each.passed for each in files),
        strict=strict,
        files=tuple(files),
        elapsed_ns=time.perf_counter_ns() - started,
    )


@dataclass(frozen=True, slots=True)
class _Checks:
    """What all files are checked with; without a runtime_child nothing is loaded."""

    onnx_child: Child
    runtime_child: Child | None
    opinion_timeout_s: float
    loading_timeout_s: float
    strict: bool
    news: News

    def start(self) -> None:
        self.onnx_child.start()
        if self.runtime_child is not None:
            self.runtime_child.start()


@dataclass(slots=True)
class _Found:
    """What was found so far in one file."""

    problems: list[CheckProblem] = field(default_factory=list)
    steps: list[CheckStep] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: CheckName, note: str) -> Iterator[_Step]:
        """Note how a check ended: failed where it found an error."""
        from onnxctl.reports.check import CheckStep

        step = _Step(note)
        yield step
        status: Literal["passed", "failed", "not checked"] = "not checked" if step.unchecked else "passed"
        if any(each.check == name and each.severity == "error" for each in self.problems):
            status = "failed"
        self.steps.append(CheckStep(name=name, status=status, note=step.unchecked or step.note))

    def add(self, check: CheckName, problems: Iterable[Problem], *, warnings: frozenset[str] = frozenset()) -> None:
        """Take problems over; those whose code is among the warnings as such."""
        from onnxctl.reports.check import CheckProblem

        self.problems += [
            CheckProblem(
                check=check,
                code=each.code,
                severity="warning" if each.code in warnings else "error",
                message=each.message,
                where=each.where,
                field=each.field,
                hint=each.hint,
            )
            for each in problems
        ]

    def add_findings(
        self, check: CheckName, findings: Iterable[Finding], *, errors: frozenset[str] = frozenset()
    ) -> None:
        """Take findings over; those whose code is among the errors as such."""
        from onnxctl.reports.check import CheckProblem

        self.problems += [
            CheckProblem(
                check=check,
                code=each.code,
                severity="error" if each.code in errors else each.severity,
                message=each.message,
                where=each.where,
                hint=each.hint,
            )
            for each in findings
        ]

    def has_error(self, *checks: CheckName) -> bool:
        """Whether one of these checks found an error."""
        return any(each.check in checks and each.severity == "error" for each in self.problems)

    def untold(self, problems: Iterable[Problem]) -> list[Problem]:
        """Those problems at whose places nothing as bad is told; where one has no place, if nothing is at all.

        onnx tells of a subgraph what is wrong inside it, and of a node without a name its operator only.
        """
        errors, warnings = _Places(), _Places()
        for each in self.problems:
            (errors if each.severity == "error" else warnings).add(each.where)
        return [
            each
            for each in problems
            if each.where not in errors and not (each.code in _STATED and each.where in warnings)
        ]

    def as_file(self, path: str, *, strict: bool) -> CheckedFile:
        """The row of the report."""
        from onnxctl.reports import CheckedFile

        errors = sum(each.severity == "error" for each in self.problems)
        warnings = sum(each.severity == "warning" for each in self.problems)
        return CheckedFile(
            path=path,
            passed=not errors and not (strict and warnings),
            error_count=errors,
            warning_count=warnings,
            steps=tuple(self.steps),
            problems=tuple(_with_hints(self.problems)),
        )


class _Places:
    """Places in models at which something is told; "" is one as soon as anything is."""

    def __init__(self) -> None:
        self._places: set[str] = set()

    def add(self, place: str) -> None:
        parts = place.split("/")
        self._places.update("/".join(parts[:count]) for count in range(len(parts) + 1))
        self._places.add(place.partition("(")[0])

    def __contains__(self, place: str) -> bool:
        return place in self._places


def _with_hints(problems: Iterable[CheckProblem]) -> Iterator[CheckProblem]:
    """The problems, errors first; what the catalogue says is to be done stands where nothing better is known."""
    import dataclasses

    from onnxctl.analysis.catalogue import read_catalogue

    remedies: dict[str, str] = {}
    for each in sorted(problems, key=lambda each: _SEVERITIES.index(each.severity)):
        if not each.hint and not remedies:
            remedies = {entry.code: _as_hint(entry.remedy) for entry in read_catalogue()}
        yield each if each.hint else dataclasses.replace(each, hint=remedies[each.code])


def _as_hint(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


_SEVERITIES = ("error", "warning", "info")


@dataclass(slots=True)
class _Step:
    note: str
    unchecked: str = ""


def _unreadable(path: str, error: Exception) -> CheckedFile:
    from onnxctl.analysis.problems import Problem

    found = _Found()
    with found.step("file", "readable and well-formed"):
        hint = str(getattr(error, "hint", ""))
        found.add("file", [Problem(_UNREADABLE[type(error).__name__], str(error), hint=hint)])
    return found.as_file(path, strict=False)


_UNREADABLE = {
    "ModelError": "unreadable-file",
    "UnreadableFile": "unreadable-file",
    "NotOnnx": "not-onnx",
    "CorruptModel": "corrupt-model",
    "InvalidModel": "invalid-model",
    "UnsupportedModel": "unsupported-model",
    "UnsafePath": "unsafe-path",
}
"""The code of a problem that a file can't even be opened for, by its error."""

_STORAGE_CODES = frozenset(("invalid-tensor", "invalid-sparse-tensor"))
_STATED = frozenset(("stated-shape",))
"""Runtimes warn of a shape that is stated wrongly and go by the one they infer."""


def _check_file(path: str, checks: _Checks) -> CheckedFile:
    from onnxctl.model.loading import model_file, open_model

    found = _Found()
    with model_file(path) as file:
        checks.news(f"reading {path}")
        with found.step("file", "readable and well-formed"):
            model = open_model(file)
        is_sound = _check_structure(model, found)
        checks.news(f"asking onnx about {path}")
        _check_types(model, found, checks, is_sound)
        if checks.runtime_child is not None:
            checks.news(f"loading {path}")
            _check_loading(file, found, checks.runtime_child, checks.loading_timeout_s)
    return found.as_file(path, strict=checks.strict)


def _check_structure(model: Model, found: _Found) -> bool:
    """The specification and the stored data: our own checks, which stream over the skeleton; whether a closer look can
    go on from there.
    """
    from onnxctl.analysis.structure import find_problems

    with found.step("specification", "operators, attributes, names, scopes, functions"):
        problems, findings = find_problems(model)
        broken = [each for each in problems if each.code not in _STORAGE_CODES]
        has_cycle = any(each.code == "cycle" for each in broken)
        found.add("specification", broken)
        found.add_findings(
            "specification",
            (
                each
                for each in findings
                if not each.code.startswith("external-data") and not (has_cycle and each.code == "unsorted-graph")
            ),
            errors=_VIOLATIONS,
        )
    with found.step("data", _stored_in_words(model)):
        found.add("data", (each for each in problems if each.code in _STORAGE_CODES))
        found.add_findings("data", (each for each in findings if each.code.startswith("external-data")))
    return all(each.code in _HARMLESS for each in broken)


_HARMLESS = frozenset(("unlike-branches", "unknown-operator"))
"""Problems that keep nobody from following the types of everything else."""

_VIOLATIONS = frozenset(("unsorted-graph", "shadowed-name"))
"""Findings that runtimes get along with, but which break the specification: onnx.checker refuses the model."""


def _stored_in_words(model: Model) -> str:
    files = len(model.data_files)
    beside = f" and {files} data file{'s' if files > 1 else ''}" if files else ""
    return f"sizes and places of all tensors in the model{beside}; checksums where given"


def _check_types(model: Model, found: _Found, checks: _Checks, is_sound: bool) -> None:
    """onnx.checker and strict inference where they can go, our own propagation, and what a closer look finds."""
    from onnxctl.analysis.findings import look_closer
    from onnxctl.analysis.onnx_opinion import ask_onnx
    from onnxctl.analysis.problems import Problem
    from onnxctl.analysis.type_constraints import find_wrong_types
    from onnxctl.analysis.typing_check import find_contradictions
    from onnxctl.model.graph import ModelGraphs
    from onnxctl.model.propagation import propagate

    with found.step("types", "strict inference by onnx, onnx.checker, and symbolic propagation") as step:
        opinion = ask_onnx(model, checks.onnx_child, timeout_s=checks.opinion_timeout_s)
        step.unchecked = opinion.unasked
        if opinion.checker and not found.has_error("specification", "data"):  # otherwise it is told already
            hint = "runtimes can be more lenient than the specification"
            found.add("specification", [Problem("onnx-checker", _in_one_line(opinion.checker), hint=hint)])
        if not is_sound:
            found.add("types", found.untold(opinion.types))
            return
        graphs = ModelGraphs(model)
        propagation = propagate(graphs)
        contradictions = list(find_contradictions(graphs, propagation))
        stated = [each for each in contradictions if each.code in _STATED]
        for problems in (find_wrong_types(graphs, propagation), stated, opinion.types, contradictions):
            found.add("types", found.untold(problems), warnings=_STATED)
    with found.step("findings", "waste, leftovers, surprises"):
        findings = look_closer(graphs, propagation)
        found.add_findings("findings", (each for each in findings if each.code not in _TOLD_BY_TYPES))


_TOLD_BY_TYPES = frozenset(("stated-shape", "shape-contradiction"))
"""Findings of which only the first is told; `find_contradictions` tells them all."""


def _in_one_line(text: str) -> str:
    return "onnx.checker: " + " ".join(text.replace("==> Context: ", "(").split())


def _check_loading(file: str, found: _Found, child: Child, timeout_s: float) -> None:
    from onnxctl.analysis.problems import Problem
    from onnxctl.errors import ChildCrashed, MissingPackage, ModelError, ResourceLimit
    from onnxctl.runtime.loadable import open_in_child

    with found.step("onnxruntime", "") as step:
        if found.has_error("data"):
            step.unchecked = "its data can't be had as the model describes it"
            return
        try:
            step.note = f"opened by {open_in_child(child, file, timeout_s=timeout_s)}"
        except (MissingPackage, ResourceLimit) as error:
            step.unchecked = error.message
            found.add("onnxruntime", [Problem("not-loaded", error.message, hint=error.hint)], warnings=_NOT_LOADED)
        except (ChildCrashed, ModelError) as error:
            message = error.message.removeprefix(f"{file}: ")
            if any(each.message == message for each in found.problems):
                step.unchecked = "it can't be opened as it is"
                return
            hint = "what is wrong with the model itself may be why" if found.has_error("specification", "types") else ""
            found.add("onnxruntime", [Problem("not-loadable", message, hint=error.hint or hint)])
            step.note = "a session on the CPU"


_NOT_LOADED = frozenset(("not-loaded",))
