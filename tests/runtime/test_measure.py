from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest

from onnxctl.api import measure_run
from onnxctl.errors import (
    ChildCrashed,
    InvalidModel,
    OnnxctlError,
    ProviderUnavailable,
    ResourceLimit,
    UnreadableFile,
    UnsafePath,
    UnsupportedModel,
    UsageError,
)
from onnxctl.memory import available_memory_bytes
from onnxctl.reports import DevicePhases, ProviderOption, RunConfig, RunReport
from onnxctl.runtime import environment
from onnxctl.runtime.device import Device, device_of, time_phases
from onnxctl.runtime.environment import describe_environment, peak_memory_bytes
from onnxctl.runtime.measure import measure_in_child
from onnxctl.runtime.opening import open_for_run
from onnxctl.runtime.providers import CPU
from tests.conftest import SAMPLES, sample_paths, shared_paths

GIGABYTE = 1 << 30
AVAILABLE = onnxruntime.get_available_providers()


def measured(path: Path | str, **options: object) -> RunReport:
    memory_bytes = options.pop("memory_bytes", 4 * GIGABYTE)
    asked: dict[str, object] = {"run_count": 3, "warmup_count": 1, "timeout_s": 60.0, **options}
    config = RunConfig(path=str(path), **asked)  # type: ignore[arg-type]
    assert memory_bytes is None or isinstance(memory_bytes, int)
    return measure_in_child(dataclasses.replace(config, memory_bytes=memory_bytes))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model given as ONNX text."""

    def write(graph: str, opsets: str = '"": 17') -> Path:
        path = tmp_path / "model.onnx"
        onnx.save(onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{opsets}]> {graph}"), path)
        return path

    return write


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.stem)
def test_every_sample_model_runs(path: Path) -> None:
    report = measured(path)
    assert report.provider == "cpu"
    assert report.session_providers == ("CPUExecutionProvider",)
    assert report.latency.sample_count == len(report.samples_ns) == 3
    assert report.latency.min_ns == min(report.samples_ns)
    assert report.warmup_count >= 1
    assert report.placement[0].node_count > 0
    assert report.outputs and all(each.name for each in report.inputs)
    assert report.throughput_per_second == pytest.approx(1e9 / report.latency.mean_ns)
    assert {"too-few-samples"} <= {each.code for each in report.findings}


RUNS_NOWHERE = {"test_regex_split_with_offsets": UnsupportedModel, "super_resolution": InvalidModel}


@pytest.mark.slow
@pytest.mark.parametrize("path", shared_paths(), ids=lambda path: path.stem)
def test_every_real_model_runs_or_says_why_not(path: Path) -> None:
    refusal = RUNS_NOWHERE.get(path.stem)
    if refusal is None:
        assert measured(path).latency.sample_count == 3
    else:
        with pytest.raises(refusal):
            measured(path)


def test_the_seed_decides_the_inputs() -> None:
    path = SAMPLES / "digits_mlp.onnx"
    one, same, other = measured(path, seed=1), measured(path, seed=1), measured(path, seed=2)
    assert one.inputs == same.inputs and one.outputs == same.outputs
    assert one.inputs != other.inputs


def test_dimensions_are_used_and_reported() -> None:
    report = measured(SAMPLES / "digits_mlp.onnx", dims=(("batch", 7),))
    assert report.dims == (("batch", 7),)
    assert report.inputs[0].shape is not None and report.inputs[0].shape[0] == 7
    with pytest.raises(UsageError):
        measured(SAMPLES / "digits_mlp.onnx", dims=(("bach", 7),))


def test_progress_is_told_in_words() -> None:
    news: list[str] = []
    measure_in_child(RunConfig(path=str(SAMPLES / "digits_mlp.onnx"), run_count=3), progress=news.append)
    assert news[0] == "reading the model"
    assert news[-1] == "timing 3 runs"


def test_peak_memory_is_the_childs_and_not_this_process() -> None:
    ballast = bytearray(600 << 20)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])  # touch every page
    assert peak_memory_bytes() > 600 << 20
    assert 20 << 20 < measured(SAMPLES / "linear_regression.onnx").peak_memory_bytes < 400 << 20


def test_the_environment_is_this_one() -> None:
    environment = describe_environment(CPU)
    assert environment.cpu and environment.cpu_count >= 1 and environment.memory_bytes > GIGABYTE
    assert environment.onnxruntime == onnxruntime.__version__
    assert environment.date.endswith("+00:00")
    assert 0 < (available_memory_bytes() or 1) < environment.memory_bytes


@pytest.mark.skipif("CUDAExecutionProvider" in AVAILABLE, reason="this build has CUDA")
def test_a_provider_that_is_not_there_ends_with_exit_code_4() -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        measured(SAMPLES / "digits_cnn.onnx", providers=("cuda",))
    assert caught.value.exit_code == 4


@pytest.mark.skipif("OpenVINOExecutionProvider" not in AVAILABLE, reason="needs onnxruntime-openvino")
def test_openvino_is_what_ran() -> None:
    report = measured(SAMPLES / "digits_cnn.onnx", providers=("openvino",))
    assert report.session_providers[0] == "OpenVINOExecutionProvider"
    assert report.placement[0].provider == "OpenVINOExecutionProvider" and report.placement[0].node_count > 0
    mixed = measured(SAMPLES / "sequence_optional.onnx", providers=("openvino",))
    assert "nodes-on-cpu" in {each.code for each in mixed.findings}


@pytest.mark.gpu
def test_cuda_is_what_ran() -> None:
    report = measured(SAMPLES / "digits_cnn.onnx", providers=("cuda",), memory_bytes=None)
    assert report.session_providers[0] == "CUDAExecutionProvider"
    assert report.environment.devices


def test_session_config_entries_that_onnxruntime_does_not_know_are_told() -> None:
    right, wrong = "session.intra_op.allow_spinning", "session.intra_op.allow_spining"
    report = measured(SAMPLES / "digits_mlp.onnx", session_config=((right, "0"), (wrong, "0")))
    assert [each.where for each in report.findings if each.code == "unknown-session-config"] == [
        f"--session-config {wrong}"
    ]


# ---------------------------------------------------------------- bounds


def test_an_endless_loop_ends_with_the_time_limit(written: Callable[..., Path]) -> None:
    endless = written(
        "g (float[1] x) => (float[1] y) <int64 trips = {4611686018427387904}, bool go = {1}> {"
        " y = Loop(trips, go, x) <body = b (int64 i, bool c, float[1] s) => (bool k, float[1] t)"
        " { k = Identity(c) t = Add(s, s) }> }"
    )
    with pytest.raises(ResourceLimit, match="time limit of 2 s"):
        measured(endless, timeout_s=2.0)


def test_memory_is_bounded(written: Callable[..., Path]) -> None:
    bomb = written("g (float[1] x) => (float[k] y) <int64[1] n = {536870912}> { o = Expand(x, n) y = Mul(o, o) }")
    with pytest.raises(ResourceLimit, match="memory"):
        measured(bomb, memory_bytes=GIGABYTE)


def test_a_value_that_no_memory_holds_is_refused_before_it_is_made(written: Callable[..., Path]) -> None:
    bomb = written("g (float[1] x) => (float[k] y) <int64[1] n = {1000000000000}> { big = Expand(x, n) y = Relu(big) }")
    with pytest.raises(ResourceLimit, match=r"makes 'big', float32\[1000000000000\]: 4000000000000 bytes"):
        measured(bomb, memory_bytes=GIGABYTE)


def test_a_value_of_a_branch_that_is_not_taken_is_no_obstacle(written: Callable[..., Path]) -> None:
    lazy = written(
        "g (float[1] x) => (float[k] y) <int64[1] n = {1000000000000}, bool no = {0}> {"
        " y = If(no) <then_branch = t () => (float[m] a) { a = Expand(x, n) }, else_branch = e () => (float[1] b)"
        " { b = Relu(x) }> }"
    )
    assert measured(lazy, memory_bytes=GIGABYTE).outputs[0].shape == (1,)


def test_inputs_that_no_memory_holds_are_refused_by_name(written: Callable[..., Path]) -> None:
    with pytest.raises(ResourceLimit, match="'x'"):
        measured(written("g (float[1000000, 1000000] x) => (float[m, n] y) { y = Relu(x) }"))


def test_weights_that_no_memory_holds_are_refused_by_name(tmp_path: Path) -> None:
    path = external(tmp_path / "inside", "w.bin", dims=(1 << 31,))
    with (tmp_path / "inside" / "w.bin").open("wb") as file:
        file.truncate(4 << 31)  # sparse: no disk is used
    with pytest.raises(ResourceLimit, match=r"its tensors take 8589934592 bytes of memory, .* of them 'w'"):
        measured(path)


def test_a_native_crash_is_an_error_of_ours(written: Callable[..., Path]) -> None:
    trap = written("g () => (int64[1] y) <int64[1] a = {-9223372036854775808}, int64[1] b = {-1}> { y = Div(a, b) }")
    with pytest.raises(ChildCrashed, match="SIGFPE"):
        measured(trap)


# ---------------------------------------------------------------- what onnxruntime would follow


def external(folder: Path, location: str, *, dims: tuple[int, ...] = (4,), checksum: str = "") -> Path:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 17]> g (float[1] x) => (float[n] y) <float[4] w> { y = Add(x, w) }'
    )
    del model.graph.initializer[:]
    tensor = model.graph.initializer.add(name="w", dims=dims, data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    if checksum:
        tensor.external_data.add(key="checksum", value=checksum)
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("../secret.bin", UnsafePath),
        ("/etc/passwd", UnsafePath),
        ("link.bin", UnsafePath),
        ("gone.bin", UnreadableFile),
    ],
)
def test_external_data_is_checked_before_onnxruntime_follows_it(
    tmp_path: Path, location: str, kind: type[OnnxctlError]
) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    path = external(tmp_path / "inside", location)
    (tmp_path / "inside" / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(kind, match="'w'"):
        measured(path)


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path / "inside", "w.bin", checksum="0" * 40)
    (tmp_path / "inside" / "w.bin").write_bytes(bytes(16))
    with pytest.raises(InvalidModel, match="checksum"):
        measured(path)


@pytest.mark.parametrize("operator", ["EPContext", "PyOp"])
def test_native_code_in_a_model_is_refused_wherever_it_is(written: Callable[..., Path], operator: str) -> None:
    hidden = written(
        "g (bool c, float[1] x) => (float[1] y) { y = If(c) <"
        f"then_branch = t () => (float[1] a) {{ a = com.microsoft.{operator}(x) }},"
        " else_branch = e () => (float[1] b) { b = Identity(x) }> }",
        '"": 17, "com.microsoft": 1',
    )
    with pytest.raises(UnsupportedModel, match=operator):
        measured(hidden)


def test_paths_that_are_not_utf8_work(tmp_path: Path) -> None:
    path = tmp_path / "mod\udcff\udcfe.onnx"
    shutil.copy(SAMPLES / "linear_regression.onnx", path)
    assert measured(path).path == str(path)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    shutil.copy(SAMPLES / "linear_regression.onnx", tmp_path / "model.onnx")
    before = sorted(tmp_path.rglob("*"))
    measured(tmp_path / "model.onnx")
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------- other providers

OPENVINO = pytest.mark.skipif("OpenVINOExecutionProvider" not in AVAILABLE, reason="needs onnxruntime-openvino")


@OPENVINO
def test_nodes_left_to_the_cpu_are_named_with_their_share_of_the_time() -> None:
    config = RunConfig(path=str(SAMPLES / "sequence_optional.onnx"), providers=("openvino", "cpu"), run_count=3)
    report = measure_run(config)
    assert report.provider == "openvino,cpu" and len(report.nodes_on_cpu) == report.placement[1].node_count > 0
    assert sum(each.time_share or 0 for each in report.placement) == pytest.approx(1)
    assert report.device_copy_count == 0
    with pytest.raises(ProviderUnavailable, match=r"7 nodes .* that compute were left to the CPU") as caught:
        measure_run(dataclasses.replace(config, required_providers=("openvino",)))
    assert caught.value.exit_code == 4


@OPENVINO
def test_wrong_provider_options_and_devices_are_told_apart() -> None:
    config = RunConfig(path=str(SAMPLES / "digits_cnn.onnx"), providers=("openvino",), run_count=3)
    wrong = ProviderOption(provider="openvino", name="no_such_option", value="1")
    with pytest.raises(UsageError, match="no_such_option"):
        measure_run(dataclasses.replace(config, provider_options=(wrong,)))
    absent = ProviderOption(provider="", name="device_type", value="NPU")
    with pytest.raises(ProviderUnavailable):
        measure_run(dataclasses.replace(config, provider_options=(absent,)))
    threads = ProviderOption(provider="openvino", name="num_of_threads", value="1")
    assert measure_run(dataclasses.replace(config, provider_options=(threads,), verify=True)).verification[0].status


@OPENVINO
def test_a_plugin_is_loaded_from_its_library_and_required() -> None:
    library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime_providers_openvino.so"))
    config = RunConfig(
        path=str(SAMPLES / "digits_cnn.onnx"),
        providers=("mine",),
        provider_libraries=(("mine", str(library)),),
        required_providers=("mine",),
        run_count=3,
        verify=True,
    )
    report = measure_run(config)
    assert report.session_providers[0] == "OpenVINOExecutionProvider"
    assert report.verification[0].status == "equal"
    assert "foreign-code" in {each.code for each in report.findings}


def test_what_is_no_plugin_is_told() -> None:
    library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime_providers_shared.so"))
    config = RunConfig(path=str(SAMPLES / "digits_cnn.onnx"), provider_libraries=(("mine", str(library)),))
    with pytest.raises(ProviderUnavailable, match="CreateEpFactories"):
        measure_run(config)


def test_the_phases_of_a_device_are_timed_apart() -> None:
    """On the CPU as the device: the same calls, and nothing to copy."""
    opened = open_for_run(RunConfig(path=str(SAMPLES / "digits_cnn.onnx")), None, lambda news: None)
    ticks = iter(range(0, 10**9, 1000))
    phases = time_phases(opened.session, opened.feeds.values, Device(), clock=lambda: next(ticks))
    assert phases == DevicePhases(host_to_device_ns=1000, compute_ns=1000, device_to_host_ns=1000)
    words = open_for_run(RunConfig(path=str(SAMPLES / "strings.onnx")), None, lambda news: None)
    assert time_phases(words.session, words.feeds.values, Device()) is None


def test_phases_of_a_slow_model_are_few() -> None:
    opened = open_for_run(RunConfig(path=str(SAMPLES / "digits_cnn.onnx")), None, lambda news: None)
    calls = 0

    def clock() -> int:
        nonlocal calls
        calls += 1
        return calls * 10**9

    assert time_phases(opened.session, opened.feeds.values, Device(), clock=clock) is not None
    assert calls < 30


def test_phases_that_cannot_be_taken_do_not_cost_the_measurement() -> None:
    """This onnxruntime has no CUDA to bind to."""
    opened = open_for_run(RunConfig(path=str(SAMPLES / "digits_cnn.onnx")), None, lambda news: None)
    assert time_phases(opened.session, opened.feeds.values, Device("cuda", 0)) is None


def test_the_device_is_that_of_the_first_provider() -> None:
    config = RunConfig(path="model.onnx", providers=("CUDAExecutionProvider", "cpu"))
    option = ProviderOption(provider="cuda", name="device_id", value="1")
    assert device_of(config) == Device("cuda", 0)
    assert device_of(dataclasses.replace(config, provider_options=(option,))) == Device("cuda", 1)
    assert device_of(RunConfig(path="model.onnx")) == Device("cpu", 0)


@pytest.mark.parametrize(
    ("visible", "number", "asked"),
    [(None, 1, "--id=1"), ("3,5", 1, "--id=5"), ("GPU-ab", 0, "--id=GPU-ab"), ("3", 1, "")],
)
def test_a_devices_memory_is_asked_for_by_the_number_of_all(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, number: int, asked: str
) -> None:
    commands: list[tuple[str, ...]] = []

    def answer(*command: str) -> str:
        commands.append(command)
        return "12"

    monkeypatch.setattr(environment, "_first_line_of", answer)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.device_memory_used_bytes(number) == (12 << 20 if asked else None)
    assert [command[-1] for command in commands] == ([asked] if asked else [])


@pytest.mark.gpu
def test_cuda_copies_and_computes_apart() -> None:
    config = RunConfig(path=str(SAMPLES / "digits_cnn.onnx"), providers=("cuda",), run_count=20, profile=True)
    report = measure_run(config)
    assert report.phases is not None and report.phases.compute_ns > 0
    assert report.peak_device_bytes is not None
    assert report.profile is not None and report.device_copy_count is not None
