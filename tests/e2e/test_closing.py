"""Leaving at a bad moment: exit code 0, the best so far kept, and the next start offers to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import class_folders
from tlstudio.core import unexpected
from tlstudio.core.interrupted import interrupted_runs
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("how", ["close", "session"])
def test_ending_in_mid_training(tmp_path: Path, how: str):
    pictures = class_folders(tmp_path / "shapes", {"disc": 14, "square": 14})
    ran = subprocess.run(
        [sys.executable, "-m", "tests.e2e.close_while_training", pictures, how],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "CLOSING" in ran.stdout
    run = RunFolder(runs_dir() / "shapes")
    ended = run.summary()[1]
    assert ended is not None and ended.status == "stopped"
    assert run.model_file.is_file()
    assert [found.run.path for found in interrupted_runs(runs_dir())] == [run.path]
    assert not unexpected.note_dead_windows()


def test_a_killed_window_is_noticed_at_the_next_start():
    killed = started_app()
    killed.kill()
    killed.wait(60)
    assert unexpected.note_dead_windows()
    assert "ended without closing" in unexpected.unseen()


def test_being_asked_to_end_by_the_system():
    process = started_app()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not unexpected.note_dead_windows()


def started_app() -> subprocess.Popen[str]:
    """Return a window's process that has shown its window."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from tlstudio import app; import sys; from PySide6.QtCore import QTimer;"
         "QTimer.singleShot(0, lambda: print('UP', flush=True)); sys.exit(app.main([]))"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "UP\n"
    return process
