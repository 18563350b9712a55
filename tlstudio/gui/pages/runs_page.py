"""Every run on this computer, to be opened again."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from tlstudio.core.backbones import backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import runs_dir
from tlstudio.core.regimes import REGIMES
from tlstudio.core.results import Interval
from tlstudio.core.runfolder import RunFolder, runs_in
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.pages.page import Page
from tlstudio.gui.storage_dialog import StorageDialog
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

Row = tuple[Any, ...]


def _when(time_s: float) -> str:
    return f"{datetime.datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"


def _accuracy(value: tuple[float, Interval | tuple[()]]) -> str:
    share, bounds = value
    return words.accuracy(share, bounds or None)


COLUMNS = (
    Column("Name"),
    Column("Val accuracy", _accuracy, number=True),
    Column("State"),
    Column("When", _when),
    Column("Backbone"),
    Column("Regime"),
    Column("Classes", number=True),
    Column("Pictures", "{:,}".format, number=True),
)
COUNTS = 2
"""The last columns, which give way to the names in a narrow window."""
ROOM_FOR_COUNTS_PX = 1000
STATES = {"finished": "finished", "stopped": "stopped, best kept", "paused": "paused", "failed": "failed"}


class RunsPage(Page):
    """A table of the runs; it is read anew whenever the page is shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: list[RunFolder] = []
        self._background = Background(self)
        self._background.done.connect(self._take_runs)
        title = Sentence("title")
        title.setText("Runs")
        self._table = RecordTable("Runs on this computer", COLUMNS)
        self._table.row_chosen.connect(self._choose)
        self._empty = StatePanel()
        self._empty.say("No runs yet", "Every training is kept here, ready to be used again.", "Go to Start")
        self._empty.action_pressed.connect(self._go_to_start)
        self._states = QStackedWidget()
        self._states.addWidget(self._empty)
        self._states.addWidget(self._table)
        self._problem = Sentence("lead")
        self._problem.hide()
        self._open = QPushButton("Open run")
        self._open.setProperty("primary", True)
        self._open.clicked.connect(self._open_selected)
        other = QPushButton("Open another run folder …")
        other.clicked.connect(self._choose_folder)
        storage = QPushButton("Storage …")
        storage.setToolTip("How much of the disk is used to save time, and how to clear it.")
        storage.setAccessibleDescription(storage.toolTip())
        storage.clicked.connect(self._show_storage)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.SPACE_INSIDE)
        buttons.addWidget(other)
        buttons.addWidget(storage)
        buttons.addStretch(1)
        buttons.addWidget(self._open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(title)
        layout.addWidget(self._states, 1)
        layout.addWidget(self._problem)
        layout.addLayout(buttons)
        self._table.selectionModel().selectionChanged.connect(self._follow_selection)
        self._follow_selection()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for column in range(len(COLUMNS) - COUNTS, len(COLUMNS)):
            self._table.setColumnHidden(column, self.width() < ROOM_FOR_COUNTS_PX)

    def refresh(self) -> None:
        """Read the runs again, away from the window: their logs can be long."""
        self._background.forget()
        self._background.start("runs", lambda: [(run, describe(run)) for run in runs_in(runs_dir())])

    @Slot(object, object)
    def _take_runs(self, _key: str, found: list[tuple[RunFolder, Row]]) -> None:
        self._runs = [run for run, _ in found]
        self._table.set_rows([row for _, row in found])
        self._states.setCurrentWidget(self._table if found else self._empty)
        self._follow_selection()

    @Slot()
    def _follow_selection(self) -> None:
        self._open.setVisible(bool(self._runs))
        self._open.setEnabled(self._table.currentIndex().isValid())

    @Slot()
    def _open_selected(self) -> None:
        self._table.activated.emit(self._table.currentIndex())

    @Slot(int)
    def _choose(self, row: int) -> None:
        self._problem.hide()
        self.run_chosen.emit(self._runs[row])

    @Slot()
    def _choose_folder(self) -> None:
        dialog = QFileDialog(self, "Open a run folder", str(remembered.folder("runs", runs_dir())))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self._open_folder)
        dialog.open()

    @Slot(str)
    def _open_folder(self, folder: str) -> None:
        run = RunFolder(Path(folder))
        try:
            run.plan()
        except StudioError as error:
            self._problem.setText(f"{error.what} Choose a folder that holds a file plan.json.")
            self._problem.show()
            return
        remembered.remember_folder("runs", run.path.parent)
        self._problem.hide()
        self.run_chosen.emit(run)

    @Slot()
    def _show_storage(self) -> None:
        StorageDialog(self).open()

    @Slot()
    def _go_to_start(self) -> None:
        self.page_requested.emit("start")


def describe(run: RunFolder) -> Row:
    """Return the run's row, as far as its files can be read."""
    name, when = run.path.name, run.plan_file.stat().st_mtime
    try:
        plan = run.plan()
        started, ended = run.summary()
        title = backbone(plan.backbone).title
    except StudioError:
        return (name, None, "damaged", when, None, None, None, None)
    regime = next((facts.title for facts in REGIMES if facts.name == plan.regime), plan.regime)
    accuracy = (ended.val_accuracy, ended.val_interval or ()) if ended and ended.val_accuracy is not None else None
    return (
        name,
        accuracy,
        STATES[ended.status] if ended else "interrupted",
        started.time_s if started else when,
        title,
        regime,
        len(started.classes) if started else None,
        started.train_images + started.val_images if started else None,
    )


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = RunsPage()
    page.resize(1024, 700)
    page.show()
    app.exec()
