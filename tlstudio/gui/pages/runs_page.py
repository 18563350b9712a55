"""Every run on this computer: to be opened again, named, compared, and put away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeySequence, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.backbones import backbone
from tlstudio.core.errors import StudioError, refused
from tlstudio.core.paths import runs_dir
from tlstudio.core.regimes import regime_facts
from tlstudio.core.results import Interval
from tlstudio.core.run_comparison import MOST_RUNS
from tlstudio.core.run_history import KnownRun, RunNotes, Trashed, history, restore, trash, write_notes
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.file_manager import show_file
from tlstudio.gui.pages.page import Page
from tlstudio.gui.storage_dialog import StorageDialog
from tlstudio.gui.trash_dialog import TrashDialog
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.run_comparison import RunComparison, compare
from tlstudio.gui.widgets.run_notes import RunNotesForm
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

Row = tuple[Any, ...]
ALL_TAGS = "All tags"


def _accuracy(value: tuple[float, Interval | tuple[()]]) -> str:
    share, bounds = value
    return words.accuracy(share, bounds or None)


COLUMNS = (
    Column("Name", meaning="F2 gives the selected run another name.", editable=True),
    Column("Val accuracy", _accuracy, number=True),
    Column("State"),
    Column("When", words.moment),
    Column("Backbone"),
    Column("Regime"),
    Column("Classes", number=True),
    Column("Pictures", "{:,}".format, number=True),
    Column("Tags", ", ".join),
)
GIVING_WAY = (4, 6, 7)
"""The columns that make room for the others in a narrow window."""
ROOM_FOR_ALL_PX = 1000
FILTER_PX = 220
STATES = {
    "finished": "finished",
    "stopped": "stopped, best kept",
    "paused": "paused",
    "failed": "failed",
    "training": "being trained now",
    "interrupted": "interrupted",
    "damaged": "damaged",
    "newer": "newer version",
}


class RunsPage(Page):
    """A table of the runs; it is read anew whenever the page is shown."""

    renamed = Signal()
    """A run has another name, tags or note."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: list[KnownRun] = []
        self._shown: list[KnownRun] = []
        self._trained: Path | None = None
        self._moved: list[list[Trashed]] = []
        self._background = Background(self)
        self._background.done.connect(self._take_runs)
        self._work = Background(self)
        self._work.done.connect(self._finish_work)
        title = Sentence("title")
        title.setText("Runs")
        self._filter = QLineEdit()
        self._filter.setPlaceholderText("Filter by any word")
        self._filter.setAccessibleName("Filter the runs")
        self._filter.setClearButtonEnabled(True)
        self._filter.setFixedWidth(FILTER_PX)
        self._filter.textChanged.connect(self._show_matching)
        self._tag = QComboBox()
        self._tag.setAccessibleName("Show only runs with this tag")
        self._tag.setFixedWidth(FILTER_PX)
        self._tag.currentIndexChanged.connect(self._show_matching)
        self._table = RecordTable("Runs on this computer", COLUMNS)
        self._table.remember_arrangement("runs")
        self.setFocusProxy(self._table)
        self._table.row_chosen.connect(self._choose)
        self._table.edited.connect(self._rename)
        self._table.selectionModel().selectionChanged.connect(self._follow_selection)
        self._empty = StatePanel()
        self._empty.action_pressed.connect(self._leave_empty)
        self._states = QStackedWidget()
        self._states.addWidget(self._empty)
        self._states.addWidget(self._table)
        self._notes = RunNotesForm()
        self._notes.changed.connect(self._keep_notes)
        self._said = Sentence("lead")
        self._undo = QPushButton("Undo")
        self._undo.clicked.connect(self._put_back)
        self._comparison = RunComparison()
        self._comparison.left.connect(self._show_list)
        self._open = self._button("Open run", self._open_selected)
        self._open.setProperty("primary", True)
        self._compare = self._button("Compare", self._compare_selected)
        self._trash = self._button("Move to the trash", self._trash_selected)
        self._trash.setToolTip("The key Del does the same. The run can be put back.")
        self._trash.setAccessibleDescription(self._trash.toolTip())
        self._add_actions()
        self._lay_out(title)
        self._say("")
        self._show_matching()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for column in GIVING_WAY:
            self._table.setColumnHidden(column, self.width() < ROOM_FOR_ALL_PX)

    def set_trained(self, run: RunFolder | None) -> None:
        self._trained = run.path if run else None
        if self.isVisible():
            self.refresh()

    def refresh(self) -> None:
        """Read the runs again, away from the window: their logs can be long."""
        self._background.forget()
        self._background.start("runs", _runs)

    @Slot(object, object)
    def _take_runs(self, _key: str, found: list[KnownRun] | StudioError) -> None:
        if isinstance(found, StudioError):
            self._say(f"{found.what} {found.hint}")
            return
        self._known = [_training(known) if known.run.path == self._trained else known for known in found]
        tags = sorted({tag for known in found for tag in known.notes.tags}, key=str.casefold)
        self._notes.offer_tags(tags)
        chosen = self._tag.currentText()
        self._tag.blockSignals(True)
        self._tag.clear()
        self._tag.addItems([ALL_TAGS, *tags])
        self._tag.setCurrentIndex(max(0, self._tag.findText(chosen)))
        self._tag.blockSignals(False)
        self._tag.setVisible(bool(tags))
        self._show_matching()

    @Slot()
    def _show_matching(self) -> None:
        """Show the runs that have every word and the tag; the same ones stay selected."""
        selected = {known.run.path for known in self._selected()}
        wanted, tag = self._filter.text().casefold().split(), self._tag.currentText()
        self._shown = [
            known
            for known in self._known
            if (self._tag.currentIndex() <= 0 or tag in known.notes.tags)
            and all(word in _text_of(known).casefold() for word in wanted)
        ]
        self._table.set_rows([row_of(known) for known in self._shown])
        self._table.select_rows([row for row, known in enumerate(self._shown) if known.run.path in selected])
        self._states.setCurrentWidget(self._table if self._shown else self._empty)
        if self._known:
            self._empty.say("No run fits", "No run has all that you filter by.", "Show all runs")
        else:
            self._empty.say("No runs yet", "Every training is kept here, ready to be used again.", "Go to Start")
        self._follow_selection()

    @Slot()
    def _leave_empty(self) -> None:
        if self._known:
            self._filter.clear()
            self._tag.setCurrentIndex(0)
            self._table.setFocus()
        else:
            self.page_requested.emit("start")

    def _selected(self) -> list[KnownRun]:
        return [self._shown[row] for row in self._table.selected_rows()]

    @Slot()
    def _follow_selection(self) -> None:
        selected = self._selected()
        one = selected[0] if len(selected) == 1 else None
        for widget in (self._open, self._compare, self._trash):
            widget.setVisible(bool(self._shown))
        self._filter.setEnabled(bool(self._known))
        self._open.setEnabled(one is not None)
        self._trash.setEnabled(bool(selected))
        self._compare.setEnabled(1 < len(selected) <= MOST_RUNS)
        why = (
            "" if self._compare.isEnabled() else f"Select two to {MOST_RUNS} runs, with Ctrl or Shift, to compare them."
        )
        self._compare.setToolTip(why)
        self._compare.setAccessibleDescription(why)
        for action in self._table.actions():
            action.setEnabled(bool(selected) if action.data() else one is not None)
        self._notes.setVisible(one is not None)
        self._notes.show_run(one)

    @Slot()
    def _open_selected(self) -> None:
        self._open_run(self._selected()[0].run, "")

    @Slot(int)
    def _choose(self, row: int) -> None:
        self._open_run(self._shown[row].run, "")

    @Slot(int, int, str)
    def _rename(self, row: int, _column: int, name: str) -> None:
        known = self._shown[row]
        self._keep_notes(known, msgspec.structs.replace(known.notes, name=name))

    @Slot(object, object)
    def _keep_notes(self, known: KnownRun, notes: RunNotes) -> None:
        try:
            write_notes(known.run, notes)
            self._say("")
        except StudioError as error:
            self._say(f"{error.what} {error.hint}")
        self.renamed.emit()
        self.refresh()

    @Slot()
    def _trash_selected(self) -> None:
        chosen = [known.run for known in self._selected()]
        if not chosen or not self._trash.isEnabled():  # or else the key Del is pressed twice
            return
        if any(run.path == self._trained for run in chosen):
            self._say("This window is training that run. Stop it on the Train page first. Nothing was moved.")
            return
        self._table.setFocus()  # before the button is disabled, which would pass the focus on
        self._trash.setEnabled(False)
        self._work.start("trash", lambda: _moved(chosen))

    @Slot()
    def _put_back(self) -> None:
        if self._moved:
            last = self._moved.pop()
            self._table.setFocus()
            self._say("")
            self._work.start("restore", lambda: [restore(one) for one in last])

    @Slot()
    def _compare_selected(self) -> None:
        chosen = [known.run for known in self._selected()]
        self._table.setFocus()
        self._compare.setEnabled(False)
        self._work.start("compare", lambda: compare(chosen))

    @Slot(object, object)
    def _finish_work(self, key: str, result: Any) -> None:
        if key == "trash":
            self._take_moved(*result)
        elif isinstance(result, StudioError):
            self._say(f"{result.what} {result.hint}")
        elif key == "compare":
            self._comparison.show_comparison(result)
            self._pages.setCurrentWidget(self._comparison)
            self._comparison.setFocus()
            return
        self.refresh()

    def _take_moved(self, moved: list[Trashed], problem: StudioError | None) -> None:
        said = f"{problem.what} {problem.hint}" if problem else ""
        if moved:
            self._moved.append(moved)
            names = f"“{moved[0].name}”" if len(moved) == 1 else f"{len(moved):,} runs"
            said = f"Moved {names} to the trash. {said}".strip()
        self._say(said, undo=bool(moved))
        for one in moved:
            self.run_gone.emit(one.came_from)

    @Slot()
    def _show_list(self) -> None:
        self._pages.setCurrentIndex(0)
        self._table.setFocus()
        self._follow_selection()

    @Slot()
    def _show_folder(self) -> None:
        for known in self._selected():
            show_file(known.run.plan_file)

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
        remembered.remember_folder("runs", Path(folder).parent)
        self._open_run(RunFolder(Path(folder)), " Choose a folder that holds a file plan.json.")

    def _open_run(self, run: RunFolder, hint: str) -> None:
        try:
            run.plan()
        except StudioError as error:
            self._say(f"{error.what}{hint or f' {error.hint}'}")
            return
        self._say("")
        self.run_chosen.emit(run)

    @Slot()
    def _show_storage(self) -> None:
        StorageDialog(self).open()

    @Slot()
    def _show_trash(self) -> None:
        dialog = TrashDialog(self)
        dialog.changed.connect(self._follow_trash)
        dialog.open()

    @Slot()
    def _follow_trash(self) -> None:
        """Offer to undo only what still lies in the trash."""
        left = ([one for one in moved if one.run.path.is_dir()] for moved in self._moved)
        self._moved = [moved for moved in left if moved]
        self._say("")
        self.refresh()

    def _say(self, text: str, undo: bool = False) -> None:
        self._said.setText(text)
        self._said.setVisible(bool(text))
        self._undo.setVisible(undo)

    def _button(self, title: str, slot: Any) -> QPushButton:
        button = QPushButton(title)
        button.clicked.connect(slot)
        return button

    def _add_actions(self) -> None:
        """Give the table a menu, and keys that act on it alone."""
        for title, slot, keys, of_several in (
            ("&Open", self._open_selected, (), False),
            ("&Rename", self._table.edit_selected, (Qt.Key.Key_F2,), False),
            ("Open &containing folder", self._show_folder, (), True),
            ("&Move to the trash", self._trash_selected, (Qt.Key.Key_Delete, Qt.Key.Key_Backspace), True),
        ):
            action = QAction(title, self._table)
            action.setShortcuts([QKeySequence(key) for key in keys])
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.setData(of_several)
            action.triggered.connect(slot)
            self._table.addAction(action)
        self._table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        undo = QAction("Undo", self)
        undo.setShortcut(QKeySequence.StandardKey.Undo)
        undo.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        undo.triggered.connect(self._put_back)
        self.addAction(undo)

    def _lay_out(self, title: QWidget) -> None:
        top = QHBoxLayout()
        top.setSpacing(theme.SPACE_INSIDE)
        top.addWidget(title, 1)
        top.addWidget(self._tag)
        top.addWidget(self._filter)
        line = QHBoxLayout()
        line.setSpacing(theme.SPACE_INSIDE)
        line.addWidget(self._said, 1)
        line.addWidget(self._undo)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.SPACE_INSIDE)
        storage = self._button("Storage …", self._show_storage)
        storage.setToolTip("How much of the disk is used to save time, and how to clear it.")
        storage.setAccessibleDescription(storage.toolTip())
        buttons.addWidget(self._button("Open another run folder …", self._choose_folder))
        buttons.addWidget(storage)
        buttons.addWidget(self._button("Trash …", self._show_trash))
        buttons.addStretch(1)
        for button in (self._trash, self._compare, self._open):
            buttons.addWidget(button)
        listing = QWidget()
        column = QVBoxLayout(listing)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE)
        column.addLayout(top)
        column.addWidget(self._states, 1)
        column.addWidget(self._notes)
        column.addLayout(line)
        column.addLayout(buttons)
        self._pages = QStackedWidget()
        self._pages.addWidget(listing)
        self._pages.addWidget(self._comparison)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.addWidget(self._pages)


def row_of(known: KnownRun) -> Row:
    """Return what the table shows of a run."""
    facts = known.facts
    accuracy = None if facts.val_accuracy is None else (facts.val_accuracy, facts.val_interval or ())
    return (
        known.name,
        accuracy,
        STATES[facts.state],
        facts.time_s,
        _backbone_title(facts.backbone),
        regime_facts(facts.regime).title if facts.regime else None,
        facts.classes,
        facts.images,
        known.notes.tags or None,
    )


def _training(known: KnownRun) -> KnownRun:
    return known._replace(facts=msgspec.structs.replace(known.facts, state="training"))


def _text_of(known: KnownRun) -> str:
    """Return all that the filter looks at."""
    shown = [value for value in row_of(known) if isinstance(value, str)]
    return "\n".join([*shown, known.run.path.name, known.notes.note, *known.notes.tags])


def _backbone_title(name: str) -> str | None:
    try:
        return backbone(name).title if name else None
    except StudioError:
        return name


def _runs() -> list[KnownRun]:
    """Return the app's runs. Raises StudioError if their folder cannot be read."""
    try:
        return history(runs_dir())
    except OSError as error:
        raise refused(error) from error


def _moved(chosen: Sequence[RunFolder]) -> tuple[list[Trashed], StudioError | None]:
    """Move runs to the trash; return those that are there, and why the next one is not."""
    moved: list[Trashed] = []
    try:
        for run in chosen:
            moved.append(trash(run))
    except StudioError as error:
        return moved, error
    return moved, None


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = RunsPage()
    page.resize(1024, 700)
    page.show()
    app.exec()
