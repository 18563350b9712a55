"""Stand-ins for the engine process that speak its real protocol."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from tlstudio.gui import theme

PROLOGUE = """
import json, sys
job = sys.stdin.readline()
def say(**event):
    print(json.dumps(event), flush=True)
if not job:
    sys.exit(0)
"""


@pytest.fixture(scope="session", autouse=True)
def _themed(qapp: QApplication) -> None:
    """The app's own looks, whichever test comes first."""
    theme.apply(qapp, "light")


@pytest.fixture
def worker_that(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Return a function that makes the command of a process which reads a job and then runs the given lines."""

    def make(lines: str) -> tuple[str, ...]:
        script = tmp_path / "worker.py"
        script.write_text(PROLOGUE + lines, encoding="utf-8")
        return (sys.executable, str(script))

    return make
