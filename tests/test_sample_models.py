"""The sample models are what their README says, and what their sources say."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.parser
import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "sample_models"
README = (SAMPLES / "README.md").read_text(encoding="utf-8")
MODELS = {path.stem: path for path in sorted(SAMPLES.rglob("*.onnx"))}
TEXT_SOURCES = {path.stem: path for path in sorted((SAMPLES / "sources").glob("*.onnxtxt"))}
LEARNED = ("digits_mlp", "digits_cnn", "int8_qdq", "tree_ensemble")
LARGEST_TOTAL = 2_000_000


def floats(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


# For each model one set of inputs, and what some outputs must then be.
IMAGE = {"image": np.zeros((2, 1, 8, 8), np.float32)}
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear_regression": ({"X": floats(2, 1, 4)[np.newaxis]}, {"prediction": [[6.0]]}),
    "digits_mlp": (IMAGE, {}),
    "digits_cnn": (IMAGE, {}),
    "int8_qdq": (IMAGE, {}),
    "transformer_block": (
        {"input_ids": np.array([[5, 7, 99]]), "attention_mask": np.array([[1, 1, 0]])},
        {},
    ),
    "tree_ensemble": ({"measurements": floats(5.1, 3.5, 1.4, 0.2)[np.newaxis]}, {"output_label": ["setosa"]}),
    "if_branches": (
        {"X": floats(1, 2)[np.newaxis], "double": np.array(False), "shift": np.array(True)},
        {"Y": [[11.0, 12.0]]},
    ),
    "loop_sum": ({"values": floats(1, 2, 4)}, {"total": 7.0, "running": [1.0, 3.0, 7.0]}),
    "local_function": (
        {"X": floats(1000)[np.newaxis]},
        {"wide": [[5.0]], "narrow": np.tanh(floats(5))[np.newaxis]},
    ),
    "strings": (
        {"words": np.array(["RED", "Mauve"], object)},
        {
            "ids": [0, -1],
            "tagged": ["colour:red", "colour:mauve"],
            "split": [["colour", "red"], ["colour", "mauve"]],
            "split_counts": [2, 2],
            "short": [True, False],
        },
    ),
    "external_data": ({"X": np.zeros((1, 64), np.float32)}, {}),
    "sequence_optional": (
        {"blocks": [np.ones((1, 3), np.float32), np.zeros((2, 3), np.float32)], "offset": None},
        {"stacked": [[1.0] * 3, [0.0] * 3, [0.0] * 3]},
    ),
}


def run_model(path: Path, feeds: dict[str, Any]) -> dict[str, Any]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    def within(nodes: Any) -> Iterator[onnx.NodeProto]:
        for node in nodes:
            yield node
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    yield from within(attribute.g.node)

    yield from within(model.graph.node)
    for function in model.functions:
        yield from within(function.node)


def build(*arguments: str, folder: Path = SAMPLES) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(folder / "build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def stated_result(name: str) -> tuple[int, int]:
    """Return how many test samples the README says the model gets right, and of how many."""
    found = re.search(rf"^\| `{name}` \| (\d+) of (\d+) \|", README, re.MULTILINE)
    assert found, f"no accuracy of {name} in the README"
    return int(found[1]), int(found[2])


def is_test_sample(count: int) -> np.ndarray[Any, Any]:
    chosen: np.ndarray[Any, Any] = np.arange(count) % 5 == 0
    return chosen


def test_every_model_has_an_example() -> None:
    assert set(EXAMPLES) == set(MODELS)


def test_the_folder_is_small() -> None:
    files = [path for path in SAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < LARGEST_TOTAL


@pytest.mark.parametrize("name", MODELS)
def test_the_readme_states_size_and_nodes(name: str) -> None:
    link = MODELS[name].relative_to(SAMPLES).as_posix()
    rows = [line for line in README.splitlines() if line.startswith(f"| [`{link}`]({link})")]
    assert len(rows) == 1
    nodes = len(list(all_nodes(onnx.load(MODELS[name], load_external_data=False))))
    assert rows[0].endswith(f"| {nodes} | {MODELS[name].stat().st_size} |")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert (SAMPLES / target).is_file()


@pytest.mark.parametrize("name", MODELS)
def test_each_model_is_valid_and_says_what_it_is(name: str) -> None:
    onnx.checker.check_model(str(MODELS[name]), full_check=True)
    model = onnx.load(MODELS[name], load_external_data=False)
    assert model.producer_name == "onnxctl-samples"
    assert model.doc_string
    assert model.graph.name == name
    assert model.ir_version <= 10
    nodes = list(all_nodes(model))
    assert all(node.name for node in nodes)
    assert len({node.name for node in nodes}) == len(nodes)


@pytest.mark.parametrize("name", MODELS)
def test_each_model_runs_and_gives_the_expected_answer(name: str) -> None:
    feeds, expected = EXAMPLES[name]
    outputs = run_model(MODELS[name], feeds)
    assert outputs
    for output, value in expected.items():
        if isinstance(value, list) and isinstance(np.ravel(value)[0], str):
            assert outputs[output].tolist() == value
        else:
            np.testing.assert_allclose(outputs[output], value, rtol=1e-5)


def test_rotated_sequence_starts_with_the_second_block() -> None:
    feeds, _ = EXAMPLES["sequence_optional"]
    rotated = run_model(MODELS["sequence_optional"], feeds)["rotated"]
    assert [block.tolist() for block in rotated] == [[[0.0] * 3] * 2, [[1.0] * 3]]


def test_masked_tokens_do_not_matter_to_the_others() -> None:
    feeds, _ = EXAMPLES["transformer_block"]
    whole = run_model(MODELS["transformer_block"], feeds)["hidden_states"]
    cut = run_model(MODELS["transformer_block"], {name: value[:, :2] for name, value in feeds.items()})["hidden_states"]
    np.testing.assert_allclose(whole[:, :2], cut, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TEXT_SOURCES)
def test_text_sources_parse_to_the_same_model(name: str) -> None:
    parsed = onnx.parser.parse_model(TEXT_SOURCES[name].read_text(encoding="utf-8"))
    assert parsed == onnx.load(MODELS[name])


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "int8_qdq"])
def test_digits_sample_is_recognized_but_for_the_five(name: str) -> None:
    with np.load(SAMPLES / "digits_sample.npz") as sample:
        logits = run_model(MODELS[name], {"image": sample["image"]})["logits"]
        assert sample["label"].tolist() == list(range(10))
    assert np.argmax(logits, axis=1).tolist() == [0, 1, 2, 3, 4, 9, 6, 7, 8, 9]


# Integer kernels differ between processors, by an image or two.
@pytest.mark.parametrize(("name", "slack"), [("digits_mlp", 0), ("digits_cnn", 0), ("int8_qdq", 3)])
def test_stated_digits_accuracy(name: str, slack: int) -> None:
    data = pytest.importorskip("sklearn.datasets").load_digits()
    chosen = is_test_sample(len(data.target))
    images = data.images[chosen].astype(np.float32)[:, np.newaxis]
    logits = run_model(MODELS[name], {"image": images})["logits"]
    right, count = stated_result(name)
    assert count == len(images)
    assert abs(int(np.sum(np.argmax(logits, axis=1) == data.target[chosen])) - right) <= slack


def test_stated_iris_accuracy() -> None:
    data = pytest.importorskip("sklearn.datasets").load_iris()
    chosen = is_test_sample(len(data.target))
    outputs = run_model(MODELS["tree_ensemble"], {"measurements": data.data[chosen].astype(np.float32)})
    names = data.target_names[data.target[chosen]]
    assert (int(np.sum(outputs["output_label"] == names)), len(names)) == stated_result("tree_ensemble")
    assert [max(scores, key=scores.get) for scores in outputs["output_probability"]] == outputs["output_label"].tolist()


def test_int8_answers_like_the_float_model() -> None:
    random = np.random.RandomState(0)
    feeds = {"image": random.randint(0, 17, (50, 1, 8, 8)).astype(np.float32)}
    exact = run_model(MODELS["digits_cnn"], feeds)["logits"]
    rounded = run_model(MODELS["int8_qdq"], feeds)["logits"]
    assert np.sqrt(np.mean((exact - rounded) ** 2)) < 0.1 * np.std(exact)


def test_check_accepts_the_models_that_need_no_training() -> None:
    result = build("--check", *TEXT_SOURCES, "external_data", "transformer_block")
    assert result.returncode == 0, result.stdout + result.stderr


def test_check_accepts_the_digits_sample() -> None:
    pytest.importorskip("sklearn")
    result = build("--check", "digits_sample")
    assert result.returncode == 0, result.stdout + result.stderr


def test_check_notices_a_changed_source_and_build_follows_it(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    shutil.copytree(SAMPLES, folder)
    source = folder / "sources" / "linear_regression.onnxtxt"
    source.write_text(source.read_text(encoding="utf-8").replace("{4.0}", "{5.0}"), encoding="utf-8")
    changed = build("--check", "linear_regression", "loop_sum", folder=folder)
    assert changed.returncode == 1
    assert changed.stdout == "linear_regression: linear_regression.onnx has other bytes\nloop_sum: as its source\n"
    assert build("linear_regression", folder=folder).returncode == 0
    assert build("--check", "linear_regression", folder=folder).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_check_accepts_the_learned_models(name: str) -> None:
    pytest.importorskip("skl2onnx")
    result = build("--check", name)
    assert result.returncode == 0, result.stdout + result.stderr


def test_build_refuses_an_unknown_name() -> None:
    result = build("no_such_model")
    assert result.returncode == 2
    assert "no such sample: no_such_model" in result.stderr
