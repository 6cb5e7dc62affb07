"""Inputs that somebody gave: every kind of file and filling, what fits, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxctl.errors import UnreadableFile, UsageError
from onnxctl.model.graph import ModelGraphs
from onnxctl.model.loading import open_model
from onnxctl.runtime.feeds import Feeds, generate_feeds
from onnxctl.runtime.given import data_set_folders, read_data_set, read_inputs
from tests.runtime.models import write_model

TWO_INPUTS = "g (float[batch, 3] x, float[batch, 3] y) => (float[batch, 3] z) { z = Add(x, y) }"


@pytest.fixture
def feed(tmp_path: Path) -> Callable[..., Feeds]:
    """Feeds for a model given as text, with the sources for its inputs."""

    def make(text: str, *sources: tuple[str, str], dims: dict[str, int] | None = None, seed: int = 0) -> Feeds:
        model = open_model(write_model(tmp_path, text))
        given = read_inputs(model, sources)
        return generate_feeds(model, ModelGraphs(model), dims=dims or {}, seed=seed, given=given)

    return make


VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("ending", ["npy", "npz", "npz:first", "pb"])
def test_a_file_gives_the_values_and_the_sizes_the_others_follow(
    feed: Callable[..., Feeds], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"file.{ending.partition(':')[0]}"
    if ending == "npy":
        np.save(path, VALUES)
    elif ending == "npz":
        np.savez(path, VALUES)
    elif ending == "npz:first":
        np.savez(path, first=VALUES, second=VALUES + 1)
    else:
        path.write_bytes(numpy_helper.from_array(VALUES).SerializeToString())
    feeds = feed(TWO_INPUTS, ("x", f"{path}{':first' if ':' in ending else ''}"))
    np.testing.assert_array_equal(feeds.values["x"], VALUES)
    assert feeds.values["y"].shape == (4, 3)
    assert feeds.dims == {"batch": 4}
    assert feeds.sources["x"].startswith("file.")


def test_raw_bytes_take_the_planned_shape_or_say_how_many_were_expected(
    feed: Callable[..., Feeds], tmp_path: Path
) -> None:
    path = tmp_path / "values.raw"
    path.write_bytes(VALUES.tobytes())
    np.testing.assert_array_equal(feed(TWO_INPUTS, ("x", str(path)), dims={"batch": 4}).values["x"], VALUES)
    with pytest.raises(UsageError, match="48 bytes are not the 12 that input 'x' takes") as caught:
        feed(TWO_INPUTS, ("x", str(path)))
    assert "--dim" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "low", "high"),
    [
        ("ones", 1, 1),
        ("zeros", 0, 0),
        ("random:ones", 1, 1),
        ("constant:2.5", 2.5, 2.5),
        ("random:uniform", 0, 1),
        ("uniform:5:6", 5, 6),
        ("random:integers:-3:-2", -3, -2),
        ("range", 0, 11),
        ("random:normal", -6, 6),
    ],
)
def test_fillings(feed: Callable[..., Feeds], source: str, low: float, high: float) -> None:
    values = feed(TWO_INPUTS, ("x", source), dims={"batch": 4}).values["x"]
    assert values.dtype == np.float32 and values.shape == (4, 3)
    assert low <= values.min() and values.max() <= high
    if source == "range":
        np.testing.assert_array_equal(values, VALUES)
    if source == "random:normal":
        assert values.min() < 0 < values.max()
        other = feed(TWO_INPUTS, ("x", source), dims={"batch": 4}, seed=1).values["x"]
        assert not np.array_equal(values, other)


@pytest.mark.parametrize(
    "source", ["random:no", "random:uniform:2:1", "uniform:1", "constant", "constant:1:2", "range:2"]
)
def test_fillings_that_there_are_not(feed: Callable[..., Feeds], source: str) -> None:
    with pytest.raises(UsageError):
        feed(TWO_INPUTS, ("x", source))


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("int8", "constant:300", "takes int8, which holds -128 to 127"),
        ("int8", "random:integers:0:1000", "takes int8, which holds -128 to 127"),
        ("uint8", "constant:-1", "takes uint8, which holds 0 to 255"),
        ("string", "ones", "takes strings"),
        ("float", "one", "neither a file nor a way to make values"),
        ("float", "normal:1", "normal takes no numbers"),
    ],
)
def test_fillings_that_an_input_cannot_hold_are_refused(
    feed: Callable[..., Feeds], kind: str, source: str, message: str
) -> None:
    with pytest.raises(UsageError, match=f"--input x={source}: .*{message}"):
        feed(f"g ({kind}[3] x) => ({kind}[3] y) {{ y = Identity(x) }}", ("x", source))


def test_what_is_no_array_is_told_without_advice_to_unpickle_it(feed: Callable[..., Feeds], tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_bytes(b"not an array")
    with pytest.raises(UnreadableFile, match="holds no array of numbers or text"):
        feed(TWO_INPUTS, ("x", str(tmp_path / "v.npy")))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VALUES.astype(np.float64), "takes float32, this is float64"),
        (VALUES[:, :2], r"takes the shape \[batch, 3\], this is \[4, 2\]"),
        (VALUES[0], r"takes the shape \[batch, 3\], this is \[3\]"),
        (np.array([["a"] * 3]), "takes float32, this is string"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(
    feed: Callable[..., Feeds], tmp_path: Path, array: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(UsageError, match=message):
        feed(TWO_INPUTS, ("x", str(tmp_path / "v.npy")))


def test_a_size_given_twice_must_be_the_same(feed: Callable[..., Feeds], tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VALUES)
    with pytest.raises(UsageError, match="'batch' is 2, but 4 in the input 'x' given"):
        feed(TWO_INPUTS, ("x", str(tmp_path / "v.npy")), dims={"batch": 2})


def test_unknown_inputs_are_answered_with_those_there_are(feed: Callable[..., Feeds]) -> None:
    with pytest.raises(UsageError, match="no such input: its inputs are 'x', 'y'"):
        feed(TWO_INPUTS, ("w", "ones"))


def test_types_that_numpy_has_no_name_for_survive_a_file(feed: Callable[..., Feeds], tmp_path: Path) -> None:
    array = np.array([1, 2, 3], dtype=ml_dtypes.bfloat16)
    np.save(tmp_path / "v.npy", array)
    value = feed("g (bfloat16[3] x) => (float[3] y) { y = Cast<to: int = 1>(x) }", ("x", str(tmp_path / "v.npy")))
    assert value.values["x"].element_type() == TensorProto.BFLOAT16


def test_an_input_with_a_default_can_be_given(feed: Callable[..., Feeds]) -> None:
    text = "g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Mul(x, w) }"
    assert set(feed(text).values) == {"x"}
    np.testing.assert_array_equal(feed(text, ("w", "zeros")).values["w"], [0, 0])


def test_files_that_are_no_values_are_refused_without_unpickling(feed: Callable[..., Feeds], tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "noise.pb").write_bytes(b"\xff" * 40)
    for name in ("pickled.npy", "torn.npz", "empty.npy", "noise.pb", "gone.npy"):
        with pytest.raises(UnreadableFile, match=name):
            feed(TWO_INPUTS, ("x", str(tmp_path / name)))


def test_values_in_another_file_are_not_followed(feed: Callable[..., Feeds], tmp_path: Path) -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[4, 3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "x.pb").write_bytes(tensor.SerializeToString())
    with pytest.raises(UnreadableFile, match="in another file"):
        feed(TWO_INPUTS, ("x", str(tmp_path / "x.pb")))


# ---------------------------------------------------------------- test data sets


def write_data_set(folder: Path, **values: object) -> None:
    folder.mkdir(parents=True)
    for name, value in values.items():
        convert: Any = numpy_helper.from_list if isinstance(value, list) else numpy_helper.from_array
        (folder / f"{name}.pb").write_bytes(convert(value).SerializeToString())


def test_data_sets_are_found_by_number_and_read_in_the_inputs_order(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        write_data_set(
            tmp_path / f"test_data_set_{number}", input_0=VALUES, input_1=VALUES + 1, output_0=2 * VALUES + 1
        )
    (tmp_path / "other").mkdir()
    folders = data_set_folders(str(tmp_path))
    assert [Path(each).name for each in folders] == ["test_data_set_0", "test_data_set_2", "test_data_set_10"]
    assert data_set_folders(folders[0]) == (folders[0],)
    data = read_data_set(open_model(write_model(tmp_path, TWO_INPUTS)), folders[0])
    np.testing.assert_array_equal(data.given.values["y"], VALUES + 1)
    np.testing.assert_array_equal(data.expected["z"], 2 * VALUES + 1)


def test_values_belong_to_the_input_they_are_named_after(tmp_path: Path) -> None:
    folder = tmp_path / "test_data_set_0"
    folder.mkdir()
    for number, name in enumerate(("y", "x")):
        tensor = numpy_helper.from_array(VALUES + number, name)
        (folder / f"input_{number}.pb").write_bytes(tensor.SerializeToString())
    data = read_data_set(open_model(write_model(tmp_path, TWO_INPUTS)), str(folder))
    np.testing.assert_array_equal(data.given.values["x"], VALUES + 1)


def test_more_values_than_inputs_are_an_error(tmp_path: Path) -> None:
    write_data_set(tmp_path / "d", input_0=VALUES, input_1=VALUES, input_2=VALUES)
    with pytest.raises(UsageError, match="the model has only 2 inputs"):
        read_data_set(open_model(write_model(tmp_path, TWO_INPUTS)), str(tmp_path / "d"))


def test_sequences_are_read_as_lists(tmp_path: Path) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    graph = helper.make_graph(
        [helper.make_node("SequenceLength", ["s"], ["n"])],
        "g",
        [helper.make_value_info("s", kind)],
        [helper.make_tensor_value_info("n", TensorProto.INT64, [])],
    )
    onnx.save(helper.make_model(graph, ir_version=10), tmp_path / "model.onnx")
    write_data_set(tmp_path / "d", input_0=[VALUES, VALUES[:1]])
    data = read_data_set(open_model(str(tmp_path / "model.onnx")), str(tmp_path / "d"))
    assert [each.shape for each in data.given.values["s"]] == [(4, 3), (1, 3)]
