"""The tree: modules by names, subgraphs, functions."""

from __future__ import annotations

from pathlib import Path

import pytest

import onnxctl
from onnxctl.reports import ScopeInfo
from tests.analysis.cost.counted import model_of
from tests.conftest import SAMPLES, sample_paths


def tree_of(path: str | Path, **options: int) -> tuple[ScopeInfo, ...]:
    tree = onnxctl.inspect(str(path), tree=True, **options).tree  # type: ignore[arg-type]
    assert tree is not None
    return tree


def saved(folder: Path, names: list[str], scopes: list[str] | None = None) -> Path:
    body = " ".join(f"v{index + 1} = MatMul (v{index}, v{index})" for index in range(len(names)))
    model = model_of(f"g (float[4, 4] v0) => (float[4, 4] v{len(names)}) {{ {body} }}")
    for index, (node, name) in enumerate(zip(model.graph.node, names, strict=True)):
        node.name = name
        if scopes is not None:
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes[index])
    path = folder / "tree.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def rows(tree: tuple[ScopeInfo, ...]) -> list[tuple[int, str, int, int | None]]:
    return [(each.depth, each.name, each.node_count, each.macs.value) for each in tree]


def test_folders_of_names_are_modules(tmp_path: Path) -> None:
    names = ["/model/encoder/0/a", "/model/encoder/0/b", "/model/encoder/1/a", "/model/head/deep/only/a", "/model/b"]
    assert rows(tree_of(saved(tmp_path, names))) == [
        (0, "g", 5, 320),
        (1, "encoder", 3, 192),
        (2, "0", 2, 128),
        (2, "1", 1, 64),
        (1, "head/deep/only", 1, 64),
    ]
    assert [each[1] for each in rows(tree_of(saved(tmp_path, names), depth=1))] == ["g", "encoder", "head/deep/only"]


def test_the_newer_exporter_of_pytorch_says_its_modules_in_metadata(tmp_path: Path) -> None:
    scopes = ["['', 'model', 'model.h.0', 'x']", "['', 'model', 'model.h.1', 'y']", "['', 'model', 'z']"]
    assert [each[1] for each in rows(tree_of(saved(tmp_path, ["a", "b", "c"], scopes)))] == ["g", "h.0", "h.1"]


@pytest.mark.parametrize("scopes", ["__import__('os')", "[1, 2]", "[[", "['x']", "{}", "(" * 300])
def test_metadata_that_is_no_list_of_names_makes_no_modules(scopes: str, tmp_path: Path) -> None:
    assert len(tree_of(saved(tmp_path, ["a", "b"], [scopes] * 2))) == 1


def test_plain_names_make_no_modules(tmp_path: Path) -> None:
    assert len(tree_of(saved(tmp_path, ["conv", "relu", "x/y"]))) == 1


def test_subgraphs_and_functions_are_branches() -> None:
    loop = next(each for each in tree_of(SAMPLES / "loop_sum.onnx") if each.role == "subgraph")
    assert (loop.holder, loop.name, loop.depth) == ("Loop", "add_up/body", 1)
    assert loop.trips is not None and loop.trips.expression == "length"
    function = next(each for each in tree_of(SAMPLES / "local_function.onnx") if each.role == "function")
    assert function.path == "function:onnxctl.samples:SoftClip"


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.name)
def test_no_node_is_lost(path: Path) -> None:
    summary = onnxctl.inspect(str(path), tree=True)
    assert summary.tree is not None
    assert sum(each.node_count for each in summary.tree if each.role != "module") == summary.node_count
