"""The runs in the app's trash: they come back, or go for ever when the user says so."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from tlstudio.core.errors import StudioError, refused
from tlstudio.core.run_history import Trashed, delete_for_ever, restore, size_bytes, trashed
from tlstudio.gui import theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.dialogs import confirm
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.sentence import Sentence

COLUMNS = (
    Column("Name"),
    Column("Moved here", words.moment),
    Column("Size", words.disk_size, number=True),
    Column("Was in"),
)
WHAT_IT_IS = "Runs that you moved here can be put back as they were. Your pictures are never in here."
Row = tuple[str, float, int, str]


class TrashDialog(QDialog):
    """A table of what is in the trash, and the two ways out of it."""

    changed = Signal()
    """Runs were put back, or are gone for ever."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Trash")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._found: list[Trashed] = []
        self._bytes = 0
        self._background = Background(self)
        self._background.done.connect(self._take)
        self._said = Sentence("muted")
        self._said.setText(WHAT_IT_IS)
        self._table = RecordTable("Runs in the trash", COLUMNS)
        self._table.remember_arrangement("trash")
        self._table.selectionModel().selectionChanged.connect(self._follow_selection)
        self._restore = QPushButton("&Put back")
        self._restore.clicked.connect(self._put_back)
        self._empty = QPushButton("&Empty the trash")
        self._empty.clicked.connect(self._ask)
        close = QPushButton("C&lose")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addWidget(self._empty)
        buttons.addStretch()
        buttons.addWidget(self._restore)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE)
        layout.setSpacing(theme.SPACE)
        for part in (self._said, self._table):
            layout.addWidget(part)
        layout.addLayout(buttons)
        for button in (self._restore, self._empty):
            button.setAutoDefault(False)
            button.setEnabled(False)
        self.resize(720, 380)
        self._background.start("list", _listed)

    @Slot(object, object)
    def _take(self, key: str, result: object) -> None:
        if isinstance(result, StudioError):
            self._said.setText(f"{result.what} {result.hint}")
        elif key == "list":
            self._show(cast(list[tuple[Trashed, Row]], result))
        if key != "list":
            self.changed.emit()
            self._background.start("list", _listed)

    def _show(self, found: list[tuple[Trashed, Row]]) -> None:
        self._found = [one for one, _ in found]
        self._bytes = sum(row[2] for _, row in found)
        self._table.set_rows([row for _, row in found])
        self._empty.setText(f"&Empty the trash: {words.disk_size(self._bytes)}" if found else "The trash is empty")
        self._empty.setEnabled(bool(found))
        self._follow_selection()

    @Slot()
    def _follow_selection(self) -> None:
        self._restore.setEnabled(bool(self._table.selected_rows()))

    @Slot()
    def _put_back(self) -> None:
        chosen = [self._found[row] for row in self._table.selected_rows()]
        self._table.setFocus()  # before the button is disabled, which would pass the focus on
        self._restore.setEnabled(False)
        self._background.start("restore", lambda: [restore(one) for one in chosen])

    @Slot()
    def _ask(self) -> None:
        count, size = len(self._found), words.disk_size(self._bytes)
        runs = "1 run" if count == 1 else f"{count:,} runs"
        explanation = f"Models, figures and exports in there go too, which frees {size}. Your pictures are not touched."
        if confirm(self, "Empty the trash?", f"Delete {runs} for ever?", explanation, f"&Delete {runs}", "&Keep"):
            chosen = list(self._found)
            self._empty.setEnabled(False)
            self._background.start("empty", lambda: _delete(chosen))


def _delete(chosen: list[Trashed]) -> None:
    for one in chosen:
        delete_for_ever(one)


def _listed() -> list[tuple[Trashed, Row]]:
    """Return the trash with what the table says about each run. Raises StudioError."""
    try:
        return [(one, _row(one)) for one in trashed()]
    except OSError as error:
        raise refused(error) from error


def _row(one: Trashed) -> Row:
    return one.name, one.time_s, size_bytes(one), str(Path(one.came_from).parent)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    dialog = TrashDialog()
    dialog.show()
    app.exec()
