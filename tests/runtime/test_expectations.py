"""Are the outputs right: on models with test data, with wrong test data, and without any."""

from __future__ import annotations

import shutil
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxctl.errors import InvalidModel, UnsupportedModel
from onnxctl.reports import DataSetCheck, RunConfig
from onnxctl.runtime.expectations import check_outputs
from onnxctl.runtime.opening import open_for_run
from tests.conftest import sample_paths, shared_paths
from tests.runtime.models import not_of_an_older_onnxruntime

FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")
OWN_WAY = {
    "test_attention_4d_with_past_and_present_qk_matmul_bias_3d_mask_causal": "gives NaN",
    "test_attention_4d_with_past_and_present_qk_matmul_bias_4d_mask_causal": "gives NaN",
    "test_maxunpool_export_with_output_shape": "reads indices otherwise",
    "test_range_bfloat16_type_positive_delta": "the expected shape is not that of a Range",
    "test_range_bfloat16_type_positive_delta_expanded": "the expected shape is not that of a Range",
    "test_resize_downsample_scales_cubic_align_corners": "takes other corners",
    "test_resize_downsample_scales_linear_align_corners": "takes other corners",
}
"""Where onnxruntime 1.32 and onnx's tests differ: `--verify` says "different", and rightly so."""

EVERY = 40
"""Every so many of onnx's own tests are run by default."""


def checks_of(path: Path, **options: object) -> tuple[DataSetCheck, ...]:
    config = RunConfig(path=str(path), verify=True, **options)  # type: ignore[arg-type]
    return check_outputs(open_for_run(config, None, lambda news: None), seed=0)


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.stem)
def test_sample_models_give_what_the_plain_session_gives(path: Path) -> None:
    (check,) = checks_of(path)
    assert (check.source, check.status, check.reason) == ("", "equal", "")
    assert check.outputs


@pytest.mark.slow
@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: path.stem)
def test_real_models_are_verified(path: Path) -> None:
    if path.stem in ("test_regex_split_with_offsets", "super_resolution"):
        pytest.skip("onnxruntime does not run it")
    assert {check.status for check in checks_of(path)} == {"equal"}


def test_test_data_beside_a_real_model_is_used(shared: Path) -> None:
    path = next((shared / "models").rglob("mnist/**/*.onnx"), None) or next((shared / "models").rglob("*mnist*.onnx"))
    checks = checks_of(path)
    assert len(checks) == 3
    assert all(check.status == "equal" and "test_data_set_" in check.source for check in checks)


def write_case(folder: Path, name: str) -> Path:
    """One of onnx's own tests as a model with its first test data set beside it."""
    from onnx.backend.test.loader import load_model_tests

    case: Any = (
        node_cases()[name]
        if name in node_cases()
        else next(each for kind in FOLDERS for each in load_model_tests(kind=kind) if each.name == name)
    )
    folder.mkdir()
    if case.model is None:
        shutil.copytree(str(case.model_dir), folder, dirs_exist_ok=True)
        return folder / "model.onnx"
    onnx.save(case.model, folder / "model.onnx")
    assert case.data_sets is not None
    inputs, outputs = case.data_sets[0]
    graph = case.model.graph
    data = folder / "test_data_set_0"
    data.mkdir()
    for kind, values, types in (("input", inputs, graph.input), ("output", outputs, graph.output)):
        for number, (value, info) in enumerate(zip(values, types, strict=False)):
            (data / f"{kind}_{number}.pb").write_bytes(serialized(value, info))
    return folder / "model.onnx"


def serialized(value: Any, info: onnx.ValueInfoProto) -> bytes:
    if isinstance(value, onnx.TensorProto | onnx.SequenceProto | onnx.OptionalProto):
        return value.SerializeToString()
    which = info.type.WhichOneof("value")
    if which == "sequence_type":
        return numpy_helper.from_list(list(value), info.name).SerializeToString()
    if which == "optional_type":
        return numpy_helper.from_optional(value, info.name).SerializeToString()
    array = np.asarray(value)
    if info.type.tensor_type.elem_type == onnx.TensorProto.STRING:
        array = array.astype(object)
    return numpy_helper.from_array(array, info.name).SerializeToString()


@cache
def node_cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in collect_testcases(None)}


def names_of_onnx_tests() -> list[str]:
    from onnx.backend.test.loader import load_model_tests

    return sorted([*node_cases(), *(case.name for kind in FOLDERS for case in load_model_tests(kind=kind))])


def assert_onnx_test_passes(folder: Path, name: str) -> None:
    """Whatever onnxruntime can run gives the expected outputs; nothing is refused for reasons of ours."""
    try:
        checks = checks_of(write_case(folder, name))
    except (UnsupportedModel, InvalidModel) as refusal:
        pytest.skip(f"onnxruntime does not run it: {refusal}")
    assert checks
    expected = {"different"} if name in OWN_WAY else {"equal", "not verified"}
    assert {check.status for check in checks} <= expected, checks


@pytest.mark.parametrize("name", names_of_onnx_tests()[::EVERY])
@not_of_an_older_onnxruntime
def test_onnx_tests_give_what_they_expect(tmp_path: Path, name: str) -> None:
    assert_onnx_test_passes(tmp_path / "case", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of_onnx_tests())
@not_of_an_older_onnxruntime
def test_every_onnx_test_gives_what_it_expects(tmp_path: Path, name: str) -> None:
    assert_onnx_test_passes(tmp_path / "case", name)


def test_wrong_expectations_are_seen(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case", "test_add")
    path = case.parent / "test_data_set_0" / "output_0.pb"
    array = numpy_helper.to_array(onnx.load_tensor(path)).copy()
    array[0, 0, 0] += 0.05
    path.write_bytes(numpy_helper.from_array(array).SerializeToString())
    (check,) = checks_of(case)
    assert check.status == "different" and "off by" in check.reason


def test_random_models_are_not_called_wrong(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 17]> g () => (float[4] y) { y = RandomNormal <shape = [4]> () }'
    )
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "test_data_set_0").mkdir()
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "y")
    (tmp_path / "test_data_set_0" / "output_0.pb").write_bytes(tensor.SerializeToString())
    (check,) = checks_of(tmp_path / "model.onnx")
    assert check.status == "not verified" and "RandomNormal" in check.reason
