"""Every model at hand goes through the whole pipeline and has to come out valid, equal, no larger, and settled.

The models: those of sample_models, those of the shared folder where there is one, and the backend tests of onnx. Of the
last ones a part runs by default and all of them with `-m slow`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from onnxctl.errors import OnnxctlError
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.runtime.feeds import find_feeds
from onnxctl.runtime.session import SessionSettings, open_session
from tests.conftest import sample_paths, shared_paths
from tests.passes.optimizing import Optimizer, nodes_of, signature

PART_COUNT = 12
"""The node tests run in so many parts; by default only every so many-th test of each."""

BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"
LIGHT = BACKEND / "light"

Feeds = Mapping[str, Any]


@dataclass(frozen=True)
class Expectation:
    """Inputs by name, and the outputs they have to give within a relative and absolute tolerance."""

    feeds: Feeds
    outputs: Sequence[Any]
    relative: float
    absolute: float


def check(optimize: Optimizer, source: Path, expected: Expectation | None) -> None:
    """Optimize the model of a file and hold the result against all that is promised; None: its outputs aren't known."""
    once, twice = optimize.folder / "once.onnx", optimize.folder / "twice.onnx"
    result = optimize.rewrite(source, once)
    before, after = onnx.load(source), onnx.load(once)
    assert result.settled
    assert signature(after) == signature(before)
    assert len(nodes_of(after)) <= len(nodes_of(before))
    assert _stored_bytes(once) <= _stored_bytes(source)
    if _is_valid(source):
        onnx.checker.check_model(str(once))
    if expected is not None:
        _assert_close(_run(once, expected.feeds), expected)
    optimize.rewrite(once, twice)
    assert onnx.load(twice) == after


def _run(path: Path, feeds: Feeds) -> Sequence[Any]:
    return open_session(str(path), SessionSettings(graph_optimization="disable")).run(feeds)


def _assert_close(found: Sequence[Any], expected: Expectation) -> None:
    for new, old in zip(found, expected.outputs, strict=True):
        if isinstance(old, list):
            _assert_close(new, Expectation(expected.feeds, old, expected.relative, expected.absolute))
            continue
        old_array, new_array = np.asarray(old), np.asarray(new)
        assert new_array.dtype == old_array.dtype or {new_array.dtype.kind, old_array.dtype.kind} <= {"O", "U", "S"}
        assert new_array.shape == old_array.shape
        if old_array.dtype.kind in "fc":
            scale = float(np.max(np.abs(old_array[np.isfinite(old_array)]), initial=0))
            tolerance = expected.absolute * max(scale, 1.0)
            np.testing.assert_allclose(new_array, old_array, rtol=expected.relative, atol=tolerance)
        else:
            np.testing.assert_array_equal(new_array, old_array)


def _stored_bytes(path: Path) -> int:
    model = onnx.load(path, load_external_data=False)
    names = {e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"}
    return path.stat().st_size + sum((path.parent / name).stat().st_size for name in names)


def _is_valid(path: Path) -> bool:
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError:
        return False
    return True


# ---------------------------------------------------------------- real models


def _as_before(path: Path) -> Expectation | None:
    """Generated inputs, and what the model gives for them as it is; None where it does not run."""
    model = open_model(str(path))
    try:
        session = open_session(str(path), SessionSettings(graph_optimization="disable"))
        found = find_feeds(model, ModelGraphs(model), session.run, dims={}, seed=0, failures=(OnnxctlError,))
        return Expectation(found.values, session.run(found.values), 1e-3, 1e-5)
    except OnnxctlError:
        return None


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_sample_models(optimize: Optimizer, path: Path) -> None:
    check(optimize, path, _as_before(path))


@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: path.name)
def test_shared_models(optimize: Optimizer, path: Path) -> None:
    check(optimize, path, _as_before(path))


# ---------------------------------------------------------------- the backend tests of onnx


@dataclass(frozen=True)
class BackendCase:
    """One backend test: its model and first data set; random ones have outputs nobody can expect."""

    name: str
    model: ModelProto
    feeds: Feeds
    outputs: Sequence[Any]
    relative: float
    absolute: float


@pytest.fixture(scope="session")
def node_cases() -> list[BackendCase]:
    """The node tests, made by onnx in five seconds; in the order of their names."""
    from onnx.backend.test.loader import load_model_tests

    cases = []
    for test in sorted(load_model_tests(kind="node"), key=lambda each: each.name):
        assert test.model is not None and test.data_sets is not None
        inputs, outputs = test.data_sets[0]
        names = [value.name for value in test.model.graph.input]
        feeds = {name: _array(value) for name, value in zip(names, inputs, strict=False)}
        cases.append(BackendCase(test.name, test.model, feeds, [*map(_array, outputs)], test.rtol, test.atol))
    return cases


def _folder_cases(*kinds: str) -> list[Path]:
    return sorted(path.parent for kind in kinds for path in (BACKEND / kind).rglob("model.onnx"))


def _folder_case(folder: Path) -> BackendCase:
    model = onnx.load(folder / "model.onnx")
    data = folder / "test_data_set_0"
    defaults = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in defaults]
    feeds = {value.name: _read(data / f"input_{i}.pb", value) for i, value in enumerate(inputs)}
    outputs = [_read(data / f"output_{i}.pb", value) for i, value in enumerate(model.graph.output)]
    return BackendCase(folder.name, model, feeds, outputs, 1e-3, 1e-7)


def _read(path: Path, value: onnx.ValueInfoProto) -> Any:
    if value.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    if value.type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(path.read_bytes()))
    return _array(onnx.TensorProto.FromString(path.read_bytes()))


def _array(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list):
        return [_array(each) for each in value]
    return value if value is None else np.asarray(value)


def _check_backend(optimize: Optimizer, case: BackendCase) -> None:
    source = optimize.folder / "source.onnx"
    source.write_bytes(case.model.SerializeToString())
    expected = Expectation(case.feeds, case.outputs, case.relative, case.absolute)
    try:
        _assert_close(_run(source, case.feeds), expected)
    except Exception as error:  # noqa: BLE001 - whatever onnxruntime raises, or a value that differs already
        pytest.skip(f"onnxruntime does not pass this test: {str(error)[:200]}")
    check(optimize, source, expected)


@pytest.mark.parametrize("folder", _folder_cases("simple"), ids=lambda folder: folder.name)
def test_backend_simple(optimize: Optimizer, folder: Path) -> None:
    _check_backend(optimize, _folder_case(folder))


@pytest.mark.parametrize("part", range(PART_COUNT))
def test_backend_nodes_in_part(optimize: Optimizer, node_cases: list[BackendCase], part: int) -> None:
    _check_all(optimize, node_cases[part :: PART_COUNT**2])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PART_COUNT))
def test_backend_nodes(optimize: Optimizer, node_cases: list[BackendCase], part: int) -> None:
    _check_all(optimize, node_cases[part::PART_COUNT])


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder", _folder_cases("pytorch-converted", "pytorch-operator"), ids=lambda folder: folder.name
)
def test_backend_pytorch(optimize: Optimizer, folder: Path) -> None:
    _check_backend(optimize, _folder_case(folder))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in LIGHT.glob("*.onnx")))
def test_backend_light(optimize: Optimizer, name: str) -> None:
    check(optimize, LIGHT / f"{name}.onnx", _as_before(LIGHT / f"{name}.onnx"))


def _check_all(optimize: Optimizer, cases: Sequence[BackendCase]) -> None:
    passed, failed = 0, []
    for case in cases:
        try:
            _check_backend(optimize, case)
            passed += 1
        except pytest.skip.Exception:
            continue
        except Exception as error:  # noqa: BLE001 - collected, so that one failure does not hide the others
            failed.append(f"{case.name}: {type(error).__name__}: {str(error)[:300]}")
    assert not failed, "\n".join(failed)
    assert passed > len(cases) // 2
