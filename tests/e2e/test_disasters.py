"""Disasters in mid-training, through the real window with real engine processes: each is lived through, or pauses."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from tests.e2e.test_engine_dies import pid_of_training, told
from tests.e2e.test_window import button
from tests.engine.conftest import train_job, weights_file  # noqa: F401
from tests.factories import class_folders
from tlstudio.core import cache_folder
from tlstudio.core.events import ignore, never
from tlstudio.core.jobs import Resume
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import train
from tlstudio.gui.engine_thread import EnginePool
from tlstudio.gui.main_window import MainWindow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process are Linux's")
WAIT_MS = 120_000
LIMITED_FILE_BYTES = 200_000
LITTLE_MEMORY_BYTES = 24 * 2**20
# An engine whose processor fails once, as a driver tells it. The argument is the file that says that it has.
FAILING_ONCE = """
import sys
from pathlib import Path
import torch

step, failed, steps = torch.optim.SGD.step, Path(sys.argv[1]), []

def failing(self, *args, **options):
    steps.append(1)
    if len(steps) == 3 and not failed.exists():
        failed.touch()
        raise RuntimeError("CUDA error: unspecified launch failure")
    return step(self, *args, **options)

torch.optim.SGD.step = failing
from tlstudio.engine.worker import main
main()
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> RunFolder:  # noqa: F811
    """A run of the regime `fine-tune` that has not begun. Tests copy it."""
    folder = tmp_path_factory.mktemp("disasters")
    pictures = class_folders(folder / "shapes", {"disc": 8, "square": 8})
    job = train_job(pictures, folder / "planned", weights_file, regime="fine-tune", epochs=3, threads=1)
    return set_up(job, ignore, never)


@pytest.fixture(scope="module")
def whole(planned: RunFolder) -> RunFolder:
    """What it comes to if nothing happens to it."""
    run = copy_of(planned, planned.path.with_name("whole"))
    assert train(run, ignore, never).status == "finished"
    return run


def copy_of(planned: RunFolder, to: Path) -> RunFolder:
    shutil.copytree(planned.path, to)
    return RunFolder(to)


@pytest.fixture
def opened(qtbot) -> Iterator[Callable[..., MainWindow]]:
    """Return a function that opens the window, with engines of its own if a command is given."""

    def open_window(*command: str) -> MainWindow:
        window = MainWindow(EnginePool(command) if command else None)
        qtbot.addWidget(window, before_close_func=MainWindow.close_now)
        window.show()
        return window

    yield open_window


def assert_as_if_nothing_had_happened(run: RunFolder, whole: RunFolder) -> None:
    assert run.model_file.read_bytes() == whole.model_file.read_bytes()
    assert told(run) == told(whole)


def has_saved(run: RunFolder) -> bool:
    return any(run.checkpoints_dir.glob("*.json"))


def test_a_full_disk_is_waited_for(qtbot, opened, planned: RunFolder, whole: RunFolder):
    run, window = copy_of(planned, runs_dir() / "full"), opened()
    window._train(Resume(run=str(run.path)))
    pid = pid_of_training(qtbot, window)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (LIMITED_FILE_BYTES, resource.RLIM_INFINITY))
    said = window.train_page.sentence
    qtbot.waitUntil(lambda: "disk is full" in said() or "free" in said().lower(), timeout=WAIT_MS)
    assert not run.model_file.exists()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    qtbot.waitUntil(lambda: said().startswith("Finished."), timeout=WAIT_MS)
    assert_as_if_nothing_had_happened(run, whole)


def test_pictures_that_are_gone_are_waited_for(qtbot, opened, planned: RunFolder, whole: RunFolder):
    pictures = Path(planned.dataset().folders[0])
    run, window = copy_of(planned, runs_dir() / "gone"), opened()
    cache_folder.clear()
    pictures.rename(pictures.with_name("away"))
    try:
        window._train(Resume(run=str(run.path)))
        said = window.train_page.sentence
        qtbot.waitUntil(lambda: str(pictures) in said() and "cannot be reached" in said(), timeout=WAIT_MS)
        assert button(window.train_page, "Stop").isEnabled()
    finally:
        pictures.with_name("away").rename(pictures)
    qtbot.waitUntil(lambda: said().startswith("Finished."), timeout=WAIT_MS)
    assert_as_if_nothing_had_happened(run, whole)


def test_a_processor_that_fails_is_left_for_a_new_process(
    qtbot, opened, planned: RunFolder, whole: RunFolder, tmp_path
):
    run, window = copy_of(planned, runs_dir() / "lost"), opened(sys.executable, "-c", FAILING_ONCE, str(tmp_path / "x"))
    window._train(Resume(run=str(run.path)))
    qtbot.waitUntil(lambda: window.train_page.sentence().startswith("Finished."), timeout=WAIT_MS)
    assert (tmp_path / "x").exists() and "1 of at most 3 times an hour" in window.train_page.explanation()
    assert_as_if_nothing_had_happened(run, whole)


def test_memory_that_runs_out_pauses_and_the_training_can_be_gone_on_with(
    qtbot, opened, planned: RunFolder, whole: RunFolder
):
    run, window = copy_of(planned, runs_dir() / "memory"), opened()
    window._train(Resume(run=str(run.path)))
    qtbot.waitUntil(lambda: has_saved(run), timeout=WAIT_MS)
    pid = pid_of_training(qtbot, window)
    used_bytes = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (used_bytes + LITTLE_MEMORY_BYTES, resource.RLIM_INFINITY))
    said = window.train_page.sentence
    qtbot.waitUntil(lambda: run.summary()[1] is not None or "memory" in said(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not window._shown_jobs(), timeout=WAIT_MS)
    ended = run.summary()[1]
    assert ended is not None and (ended.status, ended.cause) in {("finished", ""), ("paused", "out-of-memory")}
    if ended.status == "paused":
        QTest.mouseClick(button(window.train_page, "Go on training"), Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: said().startswith("Finished."), timeout=WAIT_MS)
    assert run.summary()[1].status == "finished" and run.model_file.stat().st_size == whole.model_file.stat().st_size
