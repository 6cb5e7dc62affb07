"""What propagation claims is what really comes out: of onnx's own node tests, and of real models in onnxruntime.

Dimensions are made symbolic first, and each claim is evaluated at the sizes that were really used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from onnxctl.model.dimensions import Expression, evaluate, is_known, symbols
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.model.propagation import Fact, Propagation, propagate
from tests.conftest import sample_paths, shared_paths

BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"
Sizes = Mapping[str, int]


def found_in(model: ModelProto, folder: Path) -> tuple[ModelGraphs, Propagation]:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    graphs = ModelGraphs(open_model(str(path)))
    return graphs, propagate(graphs)


def without_statements(model: ModelProto) -> ModelProto:
    """The model without what it says of any value but its inputs, so that every claim is our own."""
    bare = ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for output in bare.graph.output:
        output.ClearField("type")
    return bare


def decided(item: object, sizes: Sizes) -> Any:
    """The number claimed at these sizes, None where nothing is."""
    if isinstance(item, Expression):
        known = is_known(item) and all(each.name in sizes for each in symbols(item))
        return evaluate(item, sizes) if known else None
    return item if isinstance(item, bool | int | float) else None


def lies(fact: Fact | None, seen: Any, sizes: Sizes) -> list[str]:
    """What the fact says that is not so."""
    if fact is not None and fact.kind == "optional":
        fact = fact.element
    if fact is None or fact.kind == "unknown" or seen is None:
        return []
    if isinstance(seen, list):
        if fact.kind != "sequence":
            return [f"kind {fact.kind}"]
        if fact.length is not None and decided(fact.length, sizes) not in (None, len(seen)):
            return [f"length {fact.length}, seen {len(seen)}"]
        return [lie for each in seen for lie in lies(fact.element, each, sizes)]
    if isinstance(seen, dict):
        return [] if fact.kind == "map" else [f"kind {fact.kind}"]
    wrong = []
    text = seen.dtype == object or seen.dtype.kind in "US"
    dtype = TensorProto.STRING if text else onnx.helper.np_dtype_to_tensor_dtype(seen.dtype)
    if fact.dtype not in (None, dtype):
        wrong.append(f"element type {fact.dtype}, seen {dtype}")
    if fact.shape is not None:
        claimed = [decided(each, sizes) for each in fact.shape]
        if len(claimed) != seen.ndim or any(a not in (None, b) for a, b in zip(claimed, seen.shape, strict=True)):
            wrong.append(f"shape {fact.shape}, seen {seen.shape}")
    for item, value in zip(fact.values or (), seen.reshape(-1).tolist(), strict=False):
        claim = decided(item, sizes)
        if claim is not None and claim != value and (claim == claim or value == value):
            wrong.append(f"contents {fact.values}, seen {seen.reshape(-1)[:8]}")
            break
    return wrong


def is_fully_claimed(fact: Fact | None, sizes: Sizes) -> bool:
    if fact is not None and fact.kind in ("optional", "sequence"):
        return is_fully_claimed(fact.element, sizes)
    if fact is None or fact.dtype is None or fact.shape is None:
        return False
    return all(decided(each, sizes) is not None for each in fact.shape)


# ---------------------------------------------------------------- the node tests of onnx

_FALSE_STATEMENTS = {"test_loop16_seq_none"}
"""Its subgraph declares a sequence of scalars and makes one of vectors."""

_DEPENDS_ON_DATA = (
    "compress",
    "image_decoder",
    "nonmaxsuppression",
    "nonzero",
    "string_split",
    "strnormalizer",
    "unique",
    "split_to_sequence_2",
    "sequence_map",
    "sequence_insert",
    "identity_sequence",
    "loop13_seq",
    "range_bfloat16",
    "causal_conv_with_state",
)
"""Where the shape follows from the data, or is stated nowhere (sequences), or from floats we don't follow."""


def _array(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list):
        return [_array(each) for each in value]
    return value if value is None else np.asarray(value)


@pytest.fixture(scope="module")
def node_tests() -> list[tuple[str, ModelProto, list[Any], list[Any]]]:
    from onnx.backend.test.loader import load_model_tests

    cases = []
    for test in sorted(load_model_tests(kind="node"), key=lambda each: each.name):
        assert test.model is not None and test.data_sets is not None
        inputs, outputs = test.data_sets[0]
        cases.append((test.name, test.model, [*map(_array, inputs)], [*map(_array, outputs)]))
    return cases


def _fixed(model: ModelProto, inputs: list[Any], *, symbolic: bool) -> tuple[ModelProto, Sizes]:
    """The model with small inputs as constants and, if wanted, with a symbol for every size but 1."""
    bare, sizes = without_statements(model), dict[str, int]()
    for value, seen in list(zip(list(bare.graph.input), inputs, strict=False)):
        if not isinstance(seen, np.ndarray) or not value.type.HasField("tensor_type"):
            continue
        small = seen.size <= (64 if seen.dtype.kind in "iub" else 8)
        if small and seen.ndim <= 1 and seen.dtype.kind in "iubf":
            bare.graph.initializer.append(numpy_helper.from_array(seen, value.name))
            bare.graph.input.remove(value)
        elif symbolic:
            for dim, size in zip(value.type.tensor_type.shape.dim, seen.shape, strict=True):
                if size > 1:
                    dim.dim_param = f"d{size}"
                    sizes[f"d{size}"] = size
    return bare, sizes


@pytest.mark.parametrize("part", range(6))
def test_node_tests_with_symbolic_sizes(node_tests: list[Any], part: int, tmp_path: Path) -> None:
    wrong, claimed, count = [], 0, 0
    for name, model, inputs, outputs in node_tests[part::6]:
        fixed, sizes = _fixed(model, inputs, symbolic=True)
        graphs, found = found_in(fixed, tmp_path)
        for output, seen in zip(graphs.top.outputs, outputs, strict=True):
            if name not in _FALSE_STATEMENTS:
                wrong += [f"{name}: {lie}" for lie in lies(found.top.fact(output), seen, sizes)]
            claimed += is_fully_claimed(found.top.fact(output), sizes)
            count += 1
    assert not wrong
    assert count > 300
    assert claimed > 0.9 * count


@pytest.mark.parametrize("part", [3, *(pytest.param(part, marks=pytest.mark.slow) for part in (0, 1, 2, 4, 5))])
def test_node_tests_with_their_own_sizes_are_known(node_tests: list[Any], part: int, tmp_path: Path) -> None:
    wrong, unknown = [], []
    for name, model, inputs, outputs in node_tests[part::6]:
        fixed, sizes = _fixed(model, inputs, symbolic=False)
        graphs, found = found_in(fixed, tmp_path)
        for output, seen in zip(graphs.top.outputs, outputs, strict=True):
            if name not in _FALSE_STATEMENTS:
                wrong += [f"{name}: {lie}" for lie in lies(found.top.fact(output), seen, sizes)]
            if not is_fully_claimed(found.top.fact(output), sizes) and not any(
                part in name for part in _DEPENDS_ON_DATA
            ):
                unknown.append(name)
    assert not wrong
    assert not unknown


# ---------------------------------------------------------------- models with the values in between


def _run_all_values(path: Path, choices: tuple[int, ...]) -> tuple[Sizes, dict[str, Any]] | None:
    """The sizes chosen for the model's dimensions, and every value of its top graph; None where it won't run."""
    import onnxruntime

    model = onnx.load(path)
    defaults = {tensor.name for tensor in model.graph.initializer}
    sizes: dict[str, int] = {}
    feeds: dict[str, Any] = {}
    random = np.random.default_rng(0)
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name in defaults or not value.type.HasField("tensor_type"):
            continue
        shape = []
        for axis, dim in enumerate(kind.shape.dim):
            name = dim.dim_param or f"{value.name}.{axis}"
            fixed = dim.HasField("dim_value") and dim.dim_value >= 0
            shape.append(dim.dim_value if fixed else sizes.setdefault(name, choices[len(sizes) % len(choices)]))
        numbers = random.random(shape) * 2
        text = kind.elem_type == TensorProto.STRING
        dtype = np.dtype(object) if text else onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        feeds[value.name] = numbers.astype(str).astype(object) if text else numbers.astype(dtype)
    outputs = {output.name for output in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    for name in names:
        if name not in outputs:
            model.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return sizes, dict(zip(names, session.run(names, feeds), strict=True))
    except Exception as error:  # noqa: BLE001 - whatever onnxruntime raises: this model does not run with plain feeds
        del error
        return None


def _has_symbols(path: Path) -> bool:
    inputs = onnx.load(path, load_external_data=False).graph.input
    return not all(dim.HasField("dim_value") for value in inputs for dim in value.type.tensor_type.shape.dim)


def _paths() -> Iterator[Path]:
    yield from sample_paths()
    yield from shared_paths()


@pytest.mark.parametrize("path", _paths(), ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("choices", [(2, 48, 96), (1, 64, 32)], ids=["first", "second"])
def test_every_value_is_as_claimed(path: Path, choices: tuple[int, ...]) -> None:
    if choices[0] == 1 and not _has_symbols(path):
        pytest.skip("its sizes are fixed")
    seen = _run_all_values(path, choices)
    if seen is None:
        pytest.skip("onnxruntime does not run it with plain inputs")
    sizes, values = seen
    found = propagate(ModelGraphs(open_model(str(path))))
    wrong = [f"{name}: {lie}" for name, value in values.items() for lie in lies(found.top.fact(name), value, sizes)]
    assert not wrong


# ---------------------------------------------------------------- onnx's own inference


def _inference_paths() -> list[Path]:
    return [*sorted(BACKEND.rglob("*.onnx")), *sample_paths(), *shared_paths()]


def test_knows_what_onnx_infers_and_never_contradicts_it(tmp_path: Path) -> None:
    """onnx takes a declared size of -1 for a size; that model is left out."""
    wrong, less, count = [], [], 0
    for path in _inference_paths():
        model = without_statements(onnx.load(path, load_external_data=False))
        if any(dim.dim_value < 0 for value in model.graph.input for dim in value.type.tensor_type.shape.dim):
            continue
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except onnx.shape_inference.InferenceError:
            continue
        graphs = ModelGraphs(open_model(str(path)))
        del graphs.model.proto.graph.value_info[:]
        for output in graphs.model.proto.graph.output:
            output.ClearField("type")
        found = propagate(graphs)
        for value in (*inferred.graph.value_info, *inferred.graph.output):
            if value.type.HasField("tensor_type"):
                count += 1
                where = f"{path.parent.name}/{path.name}: {value.name}"
                wrong += [
                    f"{where}: {lie}" for lie in _contradictions(found.top.fact(value.name), value.type.tensor_type)
                ]
                less += [f"{where}: {what}" for what in _unknown(found.top.fact(value.name), value.type.tensor_type)]
    assert not wrong
    assert not less
    assert count > 1000


def _contradictions(fact: Fact, theirs: onnx.TypeProto.Tensor) -> Iterator[str]:
    if theirs.elem_type and fact.dtype not in (None, theirs.elem_type):
        yield f"element type {fact.dtype}, inferred {theirs.elem_type}"
    if fact.shape is None or not theirs.HasField("shape"):
        return
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in theirs.shape.dim]
    if len(sizes) != len(fact.shape) or any(
        isinstance(mine, int) and size is not None and mine != size
        for mine, size in zip(fact.shape, sizes, strict=False)
    ):
        yield f"shape {fact.shape}, inferred {sizes}"


def _unknown(fact: Fact, theirs: onnx.TypeProto.Tensor) -> Iterator[str]:
    if theirs.elem_type and fact.dtype is None:
        yield "element type"
    if not theirs.HasField("shape"):
        return
    if fact.shape is None:
        yield "rank"
        return
    for mine, dim in zip(fact.shape, theirs.shape.dim, strict=False):
        if dim.HasField("dim_value") and not isinstance(mine, int):
            yield f"{mine} is {dim.dim_value}"
