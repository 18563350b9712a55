"""The engine process is killed in mid-training: the window goes on by itself, to the very same model."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import msgspec
import pytest

from tests.engine.conftest import train_job, weights_file  # noqa: F401
from tests.factories import class_folders
from tlstudio.core.events import ignore, never
from tlstudio.core.jobs import Resume, Train
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.perform import perform
from tlstudio.gui.main_window import MainWindow

WAIT_MS = 120_000
CLOCK_FIELDS = ("time_s", "seconds", "run")


@pytest.fixture
def window(qtbot) -> Iterator[MainWindow]:
    made = MainWindow()
    qtbot.addWidget(made, before_close_func=MainWindow.close_now)
    made.show()
    yield made


def pid_of_training(qtbot, window: MainWindow) -> int:
    (thread,) = (found for found in window._jobs._threads if isinstance(found.job, Train | Resume))
    qtbot.waitUntil(lambda: thread._process is not None, timeout=WAIT_MS)
    assert thread._process is not None
    return thread._process._process.pid


def told(run: RunFolder) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in run.events_file.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCK_FIELDS} for line in lines]


def test_a_killed_engine_is_replaced_and_the_model_is_the_same(qtbot, window, tmp_path, weights_file):  # noqa: F811
    pictures = class_folders(tmp_path / "shapes", {"disc": 8, "square": 8})
    job = train_job(pictures, runs_dir() / "whole", weights_file, regime="fine-tune", epochs=2, threads=1)
    assert perform(job, ignore, never).status == "finished"
    page = window.train_page
    window._train(msgspec.structs.replace(job, run=str(runs_dir() / "killed")))
    run = RunFolder(runs_dir() / "killed")
    qtbot.waitUntil(lambda: any(run.checkpoints_dir.glob("*.json")), timeout=WAIT_MS)
    killed = pid_of_training(qtbot, window)
    os.kill(killed, signal.SIGKILL)
    qtbot.waitUntil(lambda: "goes on by itself from its last saved state" in page.explanation(), timeout=WAIT_MS)
    assert pid_of_training(qtbot, window) != killed
    assert window.windowTitle().endswith("killed – Transfer Learning Studio")
    qtbot.waitUntil(lambda: page.sentence().startswith("Finished."), timeout=WAIT_MS)
    whole = RunFolder(runs_dir() / "whole")
    assert run.model_file.read_bytes() == whole.model_file.read_bytes()
    assert told(run) == told(whole)
    assert "(1 of at most 3 times an hour)" in page.explanation()
