"""How shared option values are read."""

import pytest
import typer

from onnxctl.commands.options import check_positive, chosen_format, parse_dims, parse_names
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
