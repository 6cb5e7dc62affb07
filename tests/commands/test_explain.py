"""`onnxctl explain`, the real command."""

from tests.command_line import onnxctl, strict_json


def test_one_code_is_explained_with_what_to_do() -> None:
    done = onnxctl("explain", "unused-initializer")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.startswith("unused-initializer")
    assert "onnxctl optimize" in text


def test_without_a_code_all_are_listed_in_every_format() -> None:
    codes = [each["code"] for each in strict_json(onnxctl("explain", "--json").stdout)["data"]["codes"]]
    assert len(codes) == len(set(codes)) > 50
    for name in ("text", "markdown"):
        shown = onnxctl("explain", "--format", name).stdout.decode()
        assert all(code in shown for code in codes)


def test_an_unknown_code_is_asked_wrongly() -> None:
    done = onnxctl("explain", "unused-initialiser")
    assert done.returncode == 2
    assert "did you mean unused-initializer" in done.stderr.decode()
