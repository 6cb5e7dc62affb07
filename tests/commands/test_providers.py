"""`onnxctl providers`, the real command on this machine."""

import pytest

from tests.command_line import onnxctl, strict_json

pytest.importorskip("onnxruntime")


def test_the_cpu_is_usable_and_the_others_say_what_is_missing() -> None:
    done = onnxctl("providers")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.decode().splitlines() if line.startswith("  ")}
    assert "usable" in rows["cpu"]
    assert "cuda" in rows


def test_json_tells_why_and_how() -> None:
    data = strict_json(onnxctl("providers", "--json").stdout)["data"]
    for each in data["providers"]:
        assert each["usable"] or each["reason"]
