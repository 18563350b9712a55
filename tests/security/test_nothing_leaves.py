"""Libraries that would tell their makers what they are used for do not get to."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.test_imports import ROOT

SCRIPT = ROOT / "resources" / "export_main.py.txt"
OPEN = "import onnxruntime; onnxruntime.InferenceSession({!r}, providers=['CPUExecutionProvider'])"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that does nothing."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def left_by(program: str, folder: Path) -> list[str]:
    """Run a program whose home and whose place for temporary files are an empty folder; return what it leaves there."""
    folder.mkdir()
    places = {"HOME": str(folder), "TMPDIR": str(folder), "TLSTUDIO_HOME": str(folder.with_name("studio"))}
    others = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=others | places, check=True, capture_output=True)
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="what is noted lies elsewhere on other systems")
def test_onnxruntime_notes_nothing_to_be_sent(model: Path, tmp_path: Path):
    assert left_by(f"import tlstudio; {OPEN.format(str(model))}", tmp_path / "ours") == []


def test_the_sample_script_says_so_before_it_imports_onnxruntime():
    statements = ast.parse(SCRIPT.read_text("utf-8")).body
    texts = [ast.unparse(statement) for statement in statements]
    assert texts.index("os.environ['ORT_DISABLE_TELEMETRY'] = '1'") < texts.index("import onnxruntime")
