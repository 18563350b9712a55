"""The layers import downward only, and nothing heavy at the start."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "tlstudio").rglob("*.py"))
PROGRAMS = [*SOURCES, *sorted((ROOT / "packaging").rglob("*.py"))]

QT = {"PySide6", "shiboken6", "pyqtgraph"}
LEARNING = {"torch", "torchvision", "sklearn", "scipy", "safetensors", "onnx", "onnxscript", "onnxruntime"}
FORBIDDEN = {
    "core": QT | LEARNING | {"tlstudio.engine", "tlstudio.gui", "tlstudio.cli", "tlstudio.app"},
    "engine": QT | {"tlstudio.gui", "tlstudio.cli", "tlstudio.app"},
    "gui": LEARNING | {"tlstudio.engine", "tlstudio.cli"},
}
SIBLINGS = {"tlstudio.gui.pages": "_page", "tlstudio.gui.wizard": "_step"}
"""How the names end of files that do not know each other, by package."""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def named_imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield every imported name in full; `from a import b` yields "a.b"."""
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                assert level == 0, "imports are written in full"
                yield from (f"{module}.{alias.name}" for alias in names)


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layers_import_downward_only(layer):
    for path in (ROOT / "tlstudio" / layer).rglob("*.py"):
        wrong = [name for name in named_imports(ast.walk(parsed(path))) if within(name, FORBIDDEN[layer])]
        assert not wrong, f"{shown(path)} imports {wrong}"


def test_the_sample_script_s_source_stands_alone():
    """images.py travels with an export: nothing of the studio may be in it."""
    allowed = {"PIL", "numpy"} | sys.stdlib_module_names
    names = named_imports(ast.walk(parsed(ROOT / "tlstudio/core/images.py")))
    assert not [name for name in names if name.partition(".")[0] not in allowed]


@pytest.mark.parametrize("package", SIBLINGS)
def test_siblings_do_not_know_each_other(package):
    folder = ROOT / package.replace(".", "/")
    names = {path.stem for path in folder.glob(f"*{SIBLINGS[package]}.py")}
    assert names
    for name in names:
        others = {f"{package}.{other}" for other in names - {name}}
        wrong = [found for found in named_imports(ast.walk(parsed(folder / f"{name}.py"))) if within(found, others)]
        assert not wrong, f"{package}.{name} imports {wrong}"


@pytest.mark.parametrize("name", ["__init__", "__main__", "cli"])
def test_every_start_is_light(name):
    wrong = [
        found
        for found in named_imports(outside_functions(parsed(ROOT / f"tlstudio/{name}.py")))
        if within(found, QT | LEARNING | {"tlstudio.gui", "tlstudio.engine", "tlstudio.app"})
    ]
    assert not wrong


def in_new_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments, "-c", program], cwd=ROOT, capture_output=True, text=True)


def test_the_window_s_program_never_imports_the_learning_libraries():
    program = f"import sys, tlstudio.app; print(sorted({LEARNING!r} & sys.modules.keys()))"
    answer = in_new_python(program)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"


def test_the_command_line_starts_without_qt_and_the_learning_libraries():
    answer = in_new_python(f"import sys, tlstudio.cli; print(sorted({LEARNING | QT!r} & sys.modules.keys()))")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"


# They import nothing that the core's other tests do not.
TAKE_LONG = ("copies", "decode_pass", "groups", "hostile_files", "inspection", "picture_cache", "run_history")


def test_the_core_s_tests_pass_without_torch_and_qt():
    answer = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "tests.unimportable", "-p", "no:cacheprovider", "tests/core",
            *(f"--ignore=tests/core/test_{name}.py" for name in TAKE_LONG),
        ],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    assert " passed" in answer.stdout


def test_qt_s_python_binding_keeps_none_alive():
    """A binding that does not match this Python loses a reference to None with every call and ends the process."""
    program = """
import sys
from PySide6.QtCore import QObject
thing = QObject()
before = sys.getrefcount(None)
for _ in range(1000):
    thing.setObjectName("name")
print(sys.getrefcount(None) - before)
"""
    answer = in_new_python(program)
    assert answer.returncode == 0, answer.stderr
    assert abs(int(answer.stdout)) < 100


# Places that say where this was written, or where packages came from: none belongs into the project.
MACHINE_PLACES = re.compile(
    r"/home/\w+|/root\b|/Users/\w+|[A-Z]:\\Users|\blocalhost:\d"
    r"|index-url|find-links|/opt/"
)


# Every address in the project, the weights' one host among them, is meant for its users.
ADDRESS = re.compile(r"https?://[\w.-]+\.[a-z]{2,}|\b[a-z][a-z0-9.-]*\.(?:org|com|net|io|dev)\b")
KNOWN_HOSTS = {"download.pytorch.org"}


def test_no_file_names_a_machine_or_a_package_registry():
    texts = [*PROGRAMS, *(ROOT / name for name in ("README.md", "pyproject.toml", ".ci/run"))]
    for path in texts:
        found = MACHINE_PLACES.findall(path.read_text("utf-8"))
        assert not found, f"{shown(path)} has {found}"
        strange = {
            found.partition("//")[2] or found for found in ADDRESS.findall(path.read_text("utf-8"))
        } - KNOWN_HOSTS
        assert not strange, f"{shown(path)} names {strange}"
