"""`import onnx` as the command line does it: less is loaded, and all is there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import SAMPLES

START = """
import sys
from pathlib import Path
from onnxctl.onnx_on_demand import load_onnx_on_demand
load_onnx_on_demand()
import onnx
"""


def run(code: str) -> str:
    """What a fresh Python prints that loads onnx on demand."""
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_messages_and_schemas_come_without_the_rest() -> None:
    code = """
from onnx import ModelProto, SequenceProto, TensorProto
import onnx.defs
assert onnx.defs.get_schema("Relu").since_version and onnx.IR_VERSION > 9
assert ModelProto is sys.modules["onnx.onnx_ml_pb2"].ModelProto
print([name for name in ("numpy", "onnx.compose", "onnx.helper", "onnx.serialization") if name in sys.modules])
"""
    assert run(code) == "[]"


@pytest.mark.parametrize("first", ["onnx.load", "onnx.helper", "onnx.TensorProto", "onnx.__version__", "onnx.checker"])
def test_everything_is_there_whatever_is_asked_for_first(first: str) -> None:
    code = f"""
import json
{first}
onnx.load_model_from_string(onnx.ModelProto(ir_version=9).SerializeToString())
print(json.dumps(sorted((name, type(value).__name__) for name, value in vars(onnx).items() if name[0] != "_")))
"""
    eagerly = "import json, onnx" + code.partition("import json")[2]
    plain = subprocess.run([sys.executable, "-c", eagerly], capture_output=True, text=True, check=True)
    assert run(code) == plain.stdout.strip()


def test_a_star_import_gets_all_public_names() -> None:
    assert run("from onnx import *\nprint(load_model is onnx.load, ModelProto is onnx.ModelProto)") == "True True"


def test_a_name_that_onnx_does_not_have_is_told_as_always() -> None:
    code = """
try:
    onnx.quantum
except AttributeError as error:
    print(error)
try:
    from onnx import Quantum
except ImportError as error:
    print(str(error).partition(" (")[0])
"""
    told = run(code).splitlines()
    assert told == ["module 'onnx' has no attribute 'quantum'", "cannot import name 'Quantum' from 'onnx'"]


def test_code_of_the_package_that_is_interrupted_runs_again() -> None:
    code = """
import builtins
plain_import = builtins.__import__
def interrupted(name, *arguments, **more):
    if name == "importlib.metadata":
        raise KeyboardInterrupt
    return plain_import(name, *arguments, **more)
builtins.__import__ = interrupted
try:
    onnx.load
except KeyboardInterrupt:
    builtins.__import__ = plain_import
print(onnx.load.__name__, onnx.ModelProto.__name__)
"""
    assert run(code) == "load_model ModelProto"


def test_where_onnx_was_imported_nothing_happens() -> None:
    code = """
onnx.load
before = sys.modules["onnx"]
load_onnx_on_demand()
print(sys.modules["onnx"] is before)
"""
    assert run(code) == "True"


def test_threads_that_ask_at_once_get_the_same() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    names = ["load", "ModelProto", "helper", "checker", "__version__", "save", "defs", "TensorProto"] * 4
    found = list(pool.map(lambda name: getattr(onnx, name), names))
print(all(value is getattr(onnx, name) for name, value in zip(names, found)))
"""
    assert run(code) == "True"


def loaded_by(*arguments: str, of: Sequence[str]) -> str:
    """The exit code of a command line, and which of the modules it loaded."""
    code = f"""
import sys
from onnxctl import cli
leave = cli._leave
def tell(code):
    print(code, [name for name in {list(of)} if name in sys.modules], file=sys.stderr)
    leave(code)
cli._leave = tell
sys.argv = ["onnxctl", *{list(arguments)}]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stderr.strip()


TOOLS = ("onnx.helper", "onnx.compose", "onnx.numpy_helper", "ml_dtypes")


@pytest.mark.parametrize("name", ["digits_cnn.onnx", "transformer_block.onnx"])
def test_optimizing_an_ordinary_model_takes_messages_and_schemas_only(name: str, tmp_path: Path) -> None:
    arguments = ("optimize", os.fspath(SAMPLES / name), "-o", os.fspath(tmp_path / name), "--no-verify")
    assert loaded_by(*arguments, of=TOOLS) == "0 []"


@pytest.mark.parametrize("name", ["digits_cnn.onnx", "strings.onnx", "external_data/external_data.onnx"])
def test_to_inspect_a_model_takes_no_arrays(name: str) -> None:
    assert loaded_by("inspect", os.fspath(SAMPLES / name), of=(*TOOLS, "numpy")) == "0 []"
