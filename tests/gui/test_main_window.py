"""The frame: pages, jobs, closing. The engine is a real process throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QPlainTextEdit, QPushButton, QToolButton

from tests.gui.drops import drop
from tlstudio.app import loses_none
from tlstudio.core.jobs import Train
from tlstudio.core.paths import crash_log, runs_dir
from tlstudio.gui.dialogs import AboutDialog, versions_text
from tlstudio.gui.engine_thread import WORKER_COMMAND, EnginePool
from tlstudio.gui.main_window import NEEDS_MODEL, PAGES, MainWindow
from tlstudio.gui.widgets.drop_zone import DropZone

WAIT_MS = 60_000
LEFT = Qt.MouseButton.LeftButton
TRAINING = """
say(event="run_started", run="r", regime="head", backbone="b", device="CPU", classes=["a", "b"],
    train_images=8, val_images=2, stages=["head", "fine-tune"], time_s=0.0)
say(event="stage_started", stage="fine-tune", index=1, epochs=4, sentence="Everything learns gently.")
say(event="batch_ended", stage="fine-tune", epoch=3, batch=0, batches=4, loss=0.5, images_per_second=9.0)
sys.stdin.readline()
say(event="run_ended", status="stopped")
say(event="job_ended", status="stopped")
"""


def make_window(qtbot, command: tuple[str, ...] = WORKER_COMMAND) -> MainWindow:
    window = MainWindow(EnginePool(command))
    qtbot.addWidget(window, before_close_func=MainWindow.close_now)
    window.show()
    return window


@pytest.fixture
def window(qtbot):
    return make_window(qtbot)


def rail(window: MainWindow, title: str) -> QToolButton:
    return next(found for found in window.findChildren(QToolButton) if found.text() == title)


def start_training(qtbot, window: MainWindow) -> None:
    window._train(Train(folders=("x",), run=str(runs_dir() / "Leaves")))
    qtbot.waitUntil(lambda: window.windowTitle().startswith("75 %"), timeout=WAIT_MS)


def answer(text: str) -> list[str]:
    """Press the button of that name in the next message box; return, later, what the box said."""
    said: list[str] = []

    def press() -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        said.append(f"{box.text()} {box.informativeText()}")
        button = next(found for found in box.buttons() if found.text().replace("&", "") == text)
        QTest.mouseClick(button, LEFT)

    QTimer.singleShot(0, press)
    return said


def test_pages_that_cannot_be_used_say_why(window):
    assert window.page_name() == "start"
    assert [rail(window, title).isEnabled() for _, title, _ in PAGES] == [True, *[False] * 5, True]
    assert rail(window, "Export").toolTip() == NEEDS_MODEL
    QTest.mouseClick(rail(window, "Export"), LEFT)
    assert window.page_name() == "start"


def test_the_rail_works_by_mouse_and_by_keyboard(window):
    QTest.mouseClick(rail(window, "Runs"), LEFT)
    assert window.page_name() == "runs"
    rail(window, "Start").setFocus()
    QTest.keyClick(rail(window, "Start"), Qt.Key.Key_Space)
    assert window.page_name() == "start"


def test_a_dropped_folder_opens_the_wizard_and_is_scanned_by_the_engine(qtbot, window, two_classes):
    zone = window.findChild(DropZone)
    assert zone is not None
    assert drop(zone, [two_classes])
    wizard = window.wizard
    assert wizard is not None
    qtbot.waitUntil(wizard.next_button.isEnabled, timeout=WAIT_MS)
    assert wizard.pictures.classes.texts() == [("disc", 6), ("square", 6)]
    wizard.reject()


def test_training_shows_its_page_and_its_share_in_the_title(qtbot, worker_that):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    assert window.page_name() == "train"
    assert window.windowTitle() == "75 % – Leaves – Transfer Learning Studio"
    cancel = next(found for found in window.statusBar().findChildren(QPushButton) if found.text() == "Cancel")
    assert cancel.isVisible()
    QTest.mouseClick(cancel, LEFT)
    qtbot.waitUntil(lambda: not window.windowTitle().startswith("75 %"), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not cancel.isVisible(), timeout=WAIT_MS)


def test_only_one_training_at_a_time(qtbot, worker_that, two_classes):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    window.open_wizard([two_classes])
    assert window.wizard is None
    assert "A training is running" in window.start_page.message()


def test_closing_while_training_asks_and_can_be_taken_back(qtbot, worker_that):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    said = answer("Keep going")
    assert not window.close()
    assert window.isVisible()
    assert said == ["A training is running. If you close now, it stops and the best state so far is kept."]
    answer("Stop and close")
    assert window.close()
    assert not window.isVisible()


def test_closing_while_nothing_important_runs_does_not_ask(qtbot, window, two_classes):
    window.open_wizard([two_classes])
    assert window.close()


def test_an_engine_that_dies_leaves_a_window_that_says_so(qtbot, worker_that):
    window = make_window(qtbot, worker_that("sys.exit(9)"))
    window._train(Train(folders=("x",), run=str(runs_dir() / "Leaves")))
    qtbot.waitUntil(lambda: not window._jobs.jobs(), timeout=WAIT_MS)
    assert window.page_name() == "train"
    assert window.isVisible()
    assert "Train: the engine process ended" in crash_log().read_text(encoding="utf-8")


def test_size_and_colours_are_remembered(qtbot, qapp):
    first = make_window(qtbot)
    first.resize(1024, 740)  # the offscreen screen takes no more
    dark = next(action for action in first.schemes.actions() if action.data() == "dark")
    dark.trigger()
    first.close()
    second = make_window(qtbot)
    assert (second.width(), second.height()) == (1024, 740)
    chosen = second.schemes.checkedAction()
    assert chosen is not None
    assert chosen.data() == "dark"
    second.schemes.actions()[1].trigger()


def test_about_copies_versions_without_loading_the_engine(qtbot):
    about = AboutDialog()
    about.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(about)
    about.open()
    copy = next(found for found in about.findChildren(QPushButton) if "Copy" in found.text())
    QTest.mouseClick(copy, LEFT)
    assert QApplication.clipboard().text() == versions_text()
    shown = about.findChild(QPlainTextEdit)
    assert shown is not None
    assert "torch " in shown.toPlainText()


def test_calls_into_qt_keep_none_alive():
    assert not loses_none()


def start_python(lines: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_opening_the_window_imports_nothing_heavy():
    lines = (
        "import sys, tlstudio.app\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    process = start_python(lines)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_app_with_exit_code_0(number):
    # The window announces itself once its event loop runs.
    lines = (
        "import sys\n"
        "import tlstudio.app as app\n"
        "warm_up = app.MainWindow.warm_up\n"
        "def announced(window):\n"
        "    warm_up(window)\n"
        "    print('running', flush=True)\n"
        "app.MainWindow.warm_up = announced\n"
        "sys.exit(app.main([]))\n"
    )
    process = start_python(lines)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert not crash_log().exists()
