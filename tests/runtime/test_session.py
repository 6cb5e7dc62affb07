from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxctl.errors import (
    InvalidModel,
    OnnxctlError,
    ProviderUnavailable,
    ResourceLimit,
    UnreadableFile,
    UnsupportedModel,
    UsageError,
)
from onnxctl.reports import GraphOptimization
from onnxctl.runtime import library
from onnxctl.runtime.session import SessionSettings, open_session
from tests.conftest import SAMPLES

AVAILABLE = onnxruntime.get_available_providers()


def parsed(graph: str, opsets: str = '"": 17', ir_version: int = 9) -> bytes:
    model = onnx.parser.parse_model(f"<ir_version: {ir_version}, opset_import: [{opsets}]> {graph}")
    data: bytes = model.SerializeToString()
    return data


ADD = parsed("g (float[2] x, float[n] y) => (float[2] z) { s = Add(x, x) z = Add(s, y) }")


def test_an_open_session_runs_and_says_what_it_is() -> None:
    session = open_session(ADD, SessionSettings(providers=("cpu",)), path="add.onnx")
    assert session.providers == ("CPUExecutionProvider",)
    assert [(each.provider, len(each.nodes)) for each in session.placement] == [("CPUExecutionProvider", 2)]
    assert [(each.name, each.type) for each in session.inputs] == [("x", "float32[2]"), ("y", "float32[n]")]
    assert [(each.name, each.type) for each in session.outputs] == [("z", "float32[2]")]
    (z,) = session.run({"x": np.array([1, 2], np.float32), "y": np.array([3], np.float32)})
    np.testing.assert_array_equal(z, np.array([5, 7], np.float32))


def test_load_time_is_that_of_opening_alone() -> None:
    ticks = iter([100, 250])
    assert open_session(ADD, clock=lambda: next(ticks)).load_ns == 150


def test_a_file_is_opened_with_its_external_data() -> None:
    path = SAMPLES / "external_data" / "external_data.onnx"
    assert open_session(str(path)).path == str(path)


def test_types_of_sequences_and_optionals_are_in_words() -> None:
    session = open_session(str(SAMPLES / "sequence_optional.onnx"))
    assert any("seq(float32)" in each.type for each in (*session.inputs, *session.outputs))


def test_threads_and_config_reach_the_session() -> None:
    settings = SessionSettings(
        intra_op_threads=1, inter_op_threads=1, config=[("session.intra_op.allow_spinning", "0")]
    )
    session = open_session(ADD, settings)
    options = session.inference.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "layout", "all"])
def test_graph_optimization_is_as_asked(level: GraphOptimization) -> None:
    twice = parsed("g (float[2] x) => (float[2] z) { s = Identity(x) z = Add(s, s) }")
    session = open_session(twice, SessionSettings(graph_optimization=level))
    assert len(session.placement[0].nodes) == (2 if level == "disable" else 1)


def test_an_unknown_provider_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        open_session(ADD, SessionSettings(providers=("gpu0",)))


@pytest.mark.skipif("CUDAExecutionProvider" in AVAILABLE, reason="this build has CUDA")
def test_cuda_in_a_build_without_it_is_refused_with_the_command() -> None:
    with pytest.raises(
        ProviderUnavailable, match="cuda can't be used here: not in this build of onnxruntime"
    ) as caught:
        open_session(ADD, SessionSettings(providers=("cuda",)))
    assert caught.value.exit_code == 4
    assert 'pip install "onnxctl[cuda]"' in caught.value.hint
    assert caught.value.hint.startswith("pip uninstall -y onnxruntime")


class ListsCuda:
    """onnxruntime itself, but for its claim to have CUDA: sessions fall back to the CPU as in a broken installation."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.skipif("CUDAExecutionProvider" in AVAILABLE, reason="this build has CUDA")
def test_a_provider_that_is_listed_but_left_out_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    real = library.load_onnxruntime()
    monkeypatch.setattr(library, "load_onnxruntime", lambda: ListsCuda(real))
    with pytest.raises(ProviderUnavailable, match="cuda can't be used here"):
        open_session(ADD, SessionSettings(providers=("cuda",)))


@pytest.mark.skipif("AzureExecutionProvider" not in AVAILABLE, reason="this build has no Azure provider")
def test_a_provider_that_takes_no_node_is_refused() -> None:
    with pytest.raises(
        ProviderUnavailable, match=r"azure supports no node of a\.onnx: CPUExecutionProvider would run 2"
    ):
        open_session(ADD, SessionSettings(providers=("azure",)), path="a.onnx")


@pytest.mark.skipif("AzureExecutionProvider" not in AVAILABLE, reason="this build has no Azure provider")
def test_standard_error_is_whole_again_after_a_provider_was_tried(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProviderUnavailable):
        open_session(ADD, SessionSettings(providers=("azure",)))
    import os

    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


@pytest.mark.skipif("OpenVINOExecutionProvider" not in AVAILABLE, reason="needs onnxruntime-openvino")
def test_openvino_runs_and_counts_what_it_left_to_the_cpu() -> None:
    session = open_session(str(SAMPLES / "digits_mlp.onnx"), SessionSettings(providers=("openvino",)))
    assert session.providers[0] == "OpenVINOExecutionProvider"
    assert session.placement[0].nodes
    mixed = open_session(str(SAMPLES / "sequence_optional.onnx"), SessionSettings(providers=("openvino",)))
    assert [each.provider for each in mixed.placement] == ["OpenVINOExecutionProvider", "CPUExecutionProvider"]
    assert all(each.nodes for each in mixed.placement)
    with pytest.raises(ProviderUnavailable, match="openvino supports no node"):
        open_session(str(SAMPLES / "strings.onnx"), SessionSettings(providers=("openvino",)))


@pytest.mark.gpu
def test_cuda_runs_where_there_is_a_gpu() -> None:
    session = open_session(str(SAMPLES / "digits_cnn.onnx"), SessionSettings(providers=("cuda",)))
    assert session.providers[0] == "CUDAExecutionProvider"
    assert session.placement[0].nodes


NO_KERNEL = parsed("g (int4[2] x) => (int4[2] y) { y = Identity(x) }", '"": 25', 12)


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (
            parsed("g (float[2] x) => (float[2] y) { y = my.own.Magic(x) }", '"": 17, "my.own": 1'),
            UnsupportedModel,
            "Magic",
        ),
        (NO_KERNEL, UnsupportedModel, "Identity"),
        (parsed("g (float[2] x) => (float[2] y) { y = Concat(x) }"), InvalidModel, "axis"),
        (parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }", ir_version=99), UnsupportedModel, "IR version"),
        (parsed("g (float[2] x) => (int64[2] y) { y = Relu(x) }"), InvalidModel, "int64"),
    ],
    ids=["unknown operator", "no kernel", "invalid graph", "too new", "wrong type"],
)
def test_refusals_are_classified_and_name_what_is_refused(model: bytes, kind: type[OnnxctlError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        open_session(model, path="m.onnx")
    assert type(caught.value) is kind
    assert caught.value.message.startswith("m.onnx: ")
    assert "onnxruntime_src" not in caught.value.message and "[ONNXRuntimeError]" not in caught.value.message


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        open_session(str(tmp_path / "nowhere.onnx"))


def test_a_kernel_that_fails_names_the_node() -> None:
    gather = parsed("g (float[2] x, int64[1] i) => (float[1] y) { [take] y = Gather(x, i) }")
    session = open_session(gather, path="m.onnx")
    with pytest.raises(UnsupportedModel, match="take"):
        session.run({"x": np.zeros(2, np.float32), "i": np.array([7])})


def test_an_output_that_no_memory_holds_is_a_resource_limit() -> None:
    bomb = parsed("g (int64[1] n) => (float[k] y) { y = ConstantOfShape(n) }")
    session = open_session(bomb, path="m.onnx")
    with pytest.raises(ResourceLimit):
        session.run({"n": np.array([1 << 50])})
