"""JSON is one strict document that decodes to the very report."""

from hypothesis import given, settings
from hypothesis import strategies as st

from onnxctl.render.json import render
from onnxctl.render.screen import Screen
from onnxctl.reports import KINDS, ErrorReport, ModelSummary, RunReport, decode
from tests.command_line import strict_json
from tests.render.filling import REPORT_TYPES, filled

ANY_TEXT = st.text(st.characters(categories=None, exclude_categories=()))


@settings(deadline=None)
@given(ANY_TEXT, st.sampled_from(REPORT_TYPES))
def test_reports_come_back_whole(text: str, kind: type) -> None:
    report = filled(kind, text)
    value = strict_json(render(report, Screen()).encode())
    assert value["schema"] == 1
    assert value["kind"] == KINDS[kind]
    assert decode(kind, value["data"]) == report


def test_bytes_that_are_no_utf8_come_back_as_they_were() -> None:
    name = b"caf\xe9\xff.onnx"
    report = ErrorReport(error="NotOnnx", message=name.decode(errors="surrogateescape"), hint="", exit_code=3)
    message = strict_json(render(report, Screen()).encode())["data"]["message"]
    assert message.encode(errors="surrogateescape") == name


def test_lists_have_a_line_for_each_object_and_one_for_all_numbers() -> None:
    lines = render(filled(ModelSummary, "x" * 60), Screen()).splitlines()
    assert sum('"op_type"' in line for line in lines) >= 2
    assert sum('"samples_ns"' in line for line in render(filled(RunReport, "x"), Screen()).splitlines()) == 1
