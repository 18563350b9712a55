"""Leaving at a bad moment: exit code 0, the best so far kept, no engine left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.factories import class_folders
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder

ROOT = Path(__file__).resolve().parents[2]


def test_closing_the_window_in_mid_training(tmp_path: Path):
    pictures = class_folders(tmp_path / "shapes", {"disc": 14, "square": 14})
    ran = subprocess.run(
        [sys.executable, "-m", "tests.e2e.close_while_training", pictures],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "CLOSING" in ran.stdout
    run = RunFolder(runs_dir() / "shapes")
    ended = run.summary()[1]
    assert ended is not None and ended.status == "stopped"
    assert run.model_file.is_file()


def test_being_asked_to_end_by_the_system(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", "from tlstudio import app; import sys; from PySide6.QtCore import QTimer;"
         "QTimer.singleShot(0, lambda: print('UP', flush=True)); sys.exit(app.main([]))"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "UP\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()
