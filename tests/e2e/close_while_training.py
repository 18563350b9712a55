"""Driven in a process of its own: drop a folder, start training, and end in the middle of it.

Arguments: the folder of pictures, and how to end: "close" the window and answer the question, or as the "session" ends,
when nobody answers. The exit code is the app's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox

from tests.gui.drops import drop
from tlstudio import app
from tlstudio.core.events import BatchEnded
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui.main_window import MainWindow
from tlstudio.gui.widgets.drop_zone import DropZone


class Hands:
    """Does one thing after the other, each as soon as it can be done."""

    def __init__(self, pictures: Path) -> None:
        self.pictures = pictures
        self.steps = [
            self.drop_folder,
            self.click_through,
            self.choose_fine_tuning,
            self.start,
            self.close,
            self.answer,
        ]

    def tick(self) -> None:
        if self.steps and self.steps[0]():
            self.steps.pop(0)

    def window(self) -> MainWindow | None:
        return next((w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow)), None)

    def drop_folder(self) -> bool:
        window = self.window()
        zone = window.findChild(DropZone) if window and window.isVisible() else None
        return zone is not None and drop(zone, [self.pictures])

    def click_through(self) -> bool:
        wizard = self.window().wizard
        if not wizard.next_button.isEnabled():
            return False
        QTest.mouseClick(wizard.next_button, Qt.MouseButton.LeftButton)
        return wizard.current_step() is wizard.regime

    def choose_fine_tuning(self) -> bool:
        QTest.mouseClick(self.window().wizard.regime.chart.quarter("fine-tune"), Qt.MouseButton.LeftButton)
        return True

    def start(self) -> bool:
        wizard = self.window().wizard
        last = wizard.current_step() is wizard.review
        QTest.mouseClick(wizard.next_button, Qt.MouseButton.LeftButton)
        return last

    def close(self) -> bool:
        run = RunFolder(runs_dir() / self.pictures.name)
        if not any(isinstance(event, BatchEnded) for event in run.events()):
            return False
        print("CLOSING", flush=True)
        if sys.argv[2] == "session":
            QApplication.instance().commitDataRequest.emit(None)
            self.steps.clear()
            return False
        QTimer.singleShot(0, self.window().close)
        return True

    def answer(self) -> bool:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            return False
        pause = next(found for found in box.buttons() if "Pause" in found.text())
        QTest.mouseClick(pause, Qt.MouseButton.LeftButton)
        return True


hands = Hands(Path(sys.argv[1]))
timer = QTimer()
timer.timeout.connect(hands.tick)
QTimer.singleShot(0, lambda: timer.start(50))
sys.exit(app.main([]))
