"""How shared option values are read."""

import pytest
import typer

from onnxctl.commands.options import (
    check_positive,
    chosen_format,
    parse_dim_series,
    parse_dims,
    parse_max_memory,
    parse_names,
    parse_operators,
)
from onnxctl.errors import UsageError


def test_dims() -> None:
    assert parse_dims(["batch=8", " seq len = 128 ", "batch=8", "a=b=3", "empty=0"]) == {
        "batch": 8,
        "seq len": 128,
        "a=b": 3,
        "empty": 0,
    }
    assert parse_dims(None) == {}


@pytest.mark.parametrize(
    "value", ["batch", "batch=", "=8", "batch=-1", "batch=x", "batch=1.5", "b=99999999999999999999"]
)
def test_bad_dims_show_how_it_is_done(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_dims([value])
    assert value in caught.value.message
    assert "--dim batch=8" in caught.value.hint


def test_two_sizes_for_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="as 1 and as 2"):
        parse_dims(["batch=1", "batch=2"])


def test_names() -> None:
    assert parse_names("fold_constants, merge_casts,,") == ("fold_constants", "merge_casts")
    assert parse_names("") == ()
    assert parse_names(None) is None


def test_json_is_short_for_its_format() -> None:
    assert chosen_format("text", json=True) == "json"
    assert chosen_format("markdown", json=False) == "markdown"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_times_are_positive(value: float) -> None:
    with pytest.raises(typer.BadParameter):
        check_positive(value)
    assert check_positive(0.5) == 0.5
    assert check_positive(None) is None


@pytest.mark.parametrize(
    ("value", "sizes"),
    [
        ("seq=1:512", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
        ("seq=1:100", (1, 2, 4, 8, 16, 32, 64, 100)),
        ("seq=100:120", (100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120)),
        ("seq=3:5", (3, 4, 5)),
        ("seq=0:2", (0, 1, 2)),
        ("seq=7:7", (7,)),
        ("seq=8:32:8", (8, 16, 24, 32)),
        ("seq=1,8,32", (1, 8, 32)),
        (" seq = 32,8,32 ", (32, 8)),
    ],
)
def test_series_of_sizes(value: str, sizes: tuple[int, ...]) -> None:
    assert parse_dim_series(["batch=4", value]) == ({"batch": 4}, {"seq": sizes})


@pytest.mark.parametrize("value", ["seq=9:3", "seq=1:9:0", "seq=1:1000:1", "seq=1,99999999999999999999", "seq=1:"])
def test_bad_series_are_refused(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_dim_series([value])
    assert value in caught.value.message


@pytest.mark.parametrize("values", [["seq=1:9", "seq=4"], ["seq=1,2", "seq=3,4"]])
def test_a_size_and_a_series_for_one_name_are_refused(values: list[str]) -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_dim_series(values)


def test_operators_may_say_their_domain() -> None:
    assert parse_operators(["Conv", "com.microsoft:Gelu", "ai.onnx.ml.Scaler", ":Add"]) == (
        (None, "Conv"),
        ("com.microsoft", "Gelu"),
        ("ai.onnx.ml", "Scaler"),
        ("ai.onnx", "Add"),
    )
    assert parse_operators(None) == ()


@pytest.mark.parametrize(
    ("value", "count"),
    [("2GB", 2_000_000_000), (" 1.5 GiB ", 3 << 29), ("512MiB", 1 << 29), ("4096", 4096), (None, None)],
)
def test_sizes_of_memory(value: str | None, count: int | None) -> None:
    assert parse_max_memory(value) == count


@pytest.mark.parametrize("value", ["", "GB", "-1GB", "0", "1e9", "2 gigabytes", "1" * 16, "nan"])
def test_bad_sizes_of_memory_show_how_it_is_done(value: str) -> None:
    with pytest.raises(UsageError, match="--max-memory") as caught:
        parse_max_memory(value)
    assert "2GB" in caught.value.hint
