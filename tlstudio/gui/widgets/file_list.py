"""Every file with what became of it: to filter, to sort, to find on the disk and to hand on as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QPoint, Qt, Slot
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMenu,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, FileStatus, Status
from tlstudio.core.durable import write_bytes
from tlstudio.core.errors import StudioError
from tlstudio.core.problem import Problem
from tlstudio.core.spreadsheet import files_csv
from tlstudio.gui import file_manager, plain_text, remembered, theme
from tlstudio.gui.background import Background
from tlstudio.gui.dialogs import show_problem
from tlstudio.gui.widgets.sentence import Sentence

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
STATUS_WORDS: dict[Status, str] = {
    "used": "Used", "noted": "Used, with a note", "set-aside": "Set aside", "ignored": "Ignored",
}  # fmt: skip
ROW_PX = 28
FOLDERS_SAID = 3
STATUS, WHAT, FILE, FOLDER = range(4)
TITLES = ("Status", "What there is to know", "File", "Folder")


class FileRows(QAbstractTableModel):
    """One file a row, filtered and sorted without a copy of the texts."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._files: Sequence[FileStatus] = ()
        self._order: list[FileStatus] = []
        self._status = ""
        self._code = ""
        self._text = ""
        self._sorted_by = FOLDER
        self._descending = False

    def replace(self, files: Sequence[FileStatus]) -> None:
        """Show these files instead; they are sorted by path."""
        self._files = files
        self._order_anew()

    def filter(self, status: str, code: str, text: str) -> None:
        """Show files of this status and code with this text in the path; "" leaves that open."""
        self._status, self._code, self._text = status, code, text.casefold()
        self._order_anew()

    def shown(self) -> list[FileStatus]:
        """Return the files shown, in order."""
        return self._order

    def rowCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(TITLES)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return _TEXTS[index.column()](self._order[index.row()])
            case Qt.ItemDataRole.ToolTipRole:
                return plain_text.tooltip(_TEXTS[index.column()](self._order[index.row()]))
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            match role:
                case Qt.ItemDataRole.DisplayRole:
                    return TITLES[section]
                case Qt.ItemDataRole.TextAlignmentRole:
                    return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sorted_by, self._descending = column, order == Qt.SortOrder.DescendingOrder
        self._order_anew()

    def _order_anew(self) -> None:
        self.beginResetModel()
        self._order = [file for file in self._files if self._fits(file)]
        if self._sorted_by != FOLDER:
            self._order.sort(key=_TEXTS[self._sorted_by])
        if self._descending:
            self._order.reverse()
        self.endResetModel()

    def _fits(self, file: FileStatus) -> bool:
        if (self._status and file.status != self._status) or (self._code and file.code != self._code):
            return False
        return not self._text or self._text in file.path.casefold()


class FileList(QWidget):
    """A table of all files, with the problems of folders said above it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._index: DatasetIndex | None = None
        self._total = 0
        self._background = Background(self)
        self._background.done.connect(self._take_files)
        self._status = QComboBox()
        self._status.setAccessibleName("Status")
        self._status.addItem("Every status", "")
        for status, title in STATUS_WORDS.items():
            self._status.addItem(title, status)
        self._status.currentIndexChanged.connect(self._filter)
        self._code = QComboBox()
        self._code.setAccessibleName("Reason")
        self._code.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self._code.currentIndexChanged.connect(self._filter)
        self._text = QLineEdit()
        self._text.setPlaceholderText("Part of the file or folder")
        self._text.setAccessibleName("Part of the file or folder")
        self._text.setClearButtonEnabled(True)
        self._text.textChanged.connect(self._filter)
        self._of_folders = Sentence("muted")
        self._rows = FileRows(self)
        self._table = _FileTable(self._rows)
        self._table.customContextMenuRequested.connect(self._show_menu)
        self._table.selectionModel().selectionChanged.connect(self._show_reachable)
        self._said = Sentence("muted")
        self._show_file = QPushButton("Show in file manager")
        self._show_file.clicked.connect(self._show_in_file_manager)
        self._export = QPushButton("Save as CSV …")
        self._export.clicked.connect(self._save_as_csv)
        for button in (self._show_file, self._export):
            button.setAutoDefault(False)
        self._lay_out()

    def show_index(self, index: DatasetIndex) -> None:
        """Show the files of this data set; filters and the order stay."""
        self._index = index
        self._background.forget()
        self._background.start(index, partial(_statuses, index))

    def show_code(self, code: str) -> None:
        """Show only files with this code, as far as there are any."""
        self._code.setCurrentIndex(max(0, self._code.findData(code)))

    def rows(self) -> FileRows:
        """Return the rows as filtered and sorted."""
        return self._rows

    def table(self) -> QTableView:
        """Return the table itself."""
        return self._table

    def _lay_out(self) -> None:
        tools = QHBoxLayout()
        tools.addWidget(self._status)
        tools.addWidget(self._code)
        tools.addWidget(self._text, 1)
        actions = QHBoxLayout()
        actions.addWidget(self._said, 1)
        actions.addWidget(self._show_file)
        actions.addWidget(self._export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(tools)
        layout.addWidget(self._of_folders)
        layout.addWidget(self._table, 1)
        layout.addLayout(actions)

    @Slot(object, object)
    def _take_files(self, index: DatasetIndex, found: tuple[list[FileStatus], list[Problem]]) -> None:
        files, of_folders = found
        self._total = len(files)
        lines = [f"{Path(problem.path).name}: {problem.message}" for problem in of_folders[:FOLDERS_SAID]]
        if len(of_folders) > FOLDERS_SAID:
            lines.append(f"There is something to know about {len(of_folders) - FOLDERS_SAID:,} more.")
        self._of_folders.setText("\n".join(lines))
        self._of_folders.setVisible(bool(of_folders))
        chosen = self._code.currentData()
        self._code.blockSignals(True)
        self._code.clear()
        self._code.addItem("Every reason", "")
        for code in sorted({file.code for file in files if file.code}):
            self._code.addItem(code.replace("-", " "), code)
        self._code.setCurrentIndex(max(0, self._code.findData(chosen)))
        self._code.blockSignals(False)
        self._rows.replace(files)
        self._filter()

    @Slot()
    def _filter(self) -> None:
        self._rows.filter(self._status.currentData(), self._code.currentData() or "", self._text.text().strip())
        shown = self._rows.rowCount()
        files = f"{self._total:,} file{'' if self._total == 1 else 's'}"
        self._said.setText(files if shown == self._total else f"{shown:,} of {files}")
        self._export.setEnabled(bool(shown))
        self._show_reachable()

    @Slot()
    def _show_reachable(self) -> None:
        self._show_file.setEnabled(self._table.selectionModel().hasSelection())

    @Slot(QPoint)
    def _show_menu(self, place: QPoint) -> None:
        if not self._table.selectionModel().hasSelection():
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Show in &file manager", self._show_in_file_manager)
        menu.addAction("&Copy", self._table.copy)
        menu.popup(self._table.viewport().mapToGlobal(place))

    @Slot()
    def _show_in_file_manager(self) -> None:
        row = self._table.selectionModel().selectedRows()[0].row()
        file_manager.show_file(Path(self._rows.shown()[row].path))

    @Slot()
    def _save_as_csv(self) -> None:
        proposed = remembered.folder("tables", Path.home()) / "files.csv"
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the list of files", str(proposed), "Tables (*.csv)")
        if not chosen:
            return
        remembered.remember_folder("tables", Path(chosen).parent)
        try:
            write_bytes(Path(chosen), files_csv(self._rows.shown()).encode())
        except StudioError as error:
            show_problem(self, error.what, error.hint)
        else:
            self._said.setText(f"{self._rows.rowCount():,} lines were saved in {chosen}.")


class _FileTable(QTableView):
    def __init__(self, rows: FileRows) -> None:
        super().__init__()
        self._rows = rows
        self.setModel(rows)
        self.setAccessibleName("Files")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        # Rows of one fixed height: a hundred thousand need no measuring.
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSortIndicator(FOLDER, Qt.SortOrder.AscendingOrder)
        for column, width in ((STATUS, 160), (WHAT, 320), (FILE, 200)):
            header.resizeSection(column, width)
        header.setStretchLastSection(True)
        self.setSortingEnabled(True)

    @Slot()
    def copy(self) -> None:
        """Put the selected rows on the clipboard, for a spreadsheet."""
        chosen = sorted(index.row() for index in self.selectionModel().selectedRows())
        lines = ("\t".join(text(self._rows.shown()[row]) for text in _TEXTS) for row in chosen)
        QGuiApplication.clipboard().setText("\n".join(lines))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)


def _statuses(index: DatasetIndex) -> tuple[list[FileStatus], list[Problem]]:
    """Return every file, and what there is to know of folders."""
    files = index.files()
    paths = {file.path for file in files}
    return files, [problem for problem in index.problems if problem.path not in paths]


_TEXTS: tuple[Callable[[FileStatus], str], ...] = (
    lambda file: STATUS_WORDS[file.status],
    lambda file: file.message,
    lambda file: PurePath(file.path).name,
    lambda file: str(PurePath(file.path).parent),
)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    listing = FileList()
    problems = tuple(Problem(f"/pictures/{n}.jpg", "unreadable", "The picture is damaged.") for n in range(40))
    listing.show_index(DatasetIndex(("/pictures",), ("ants", "bees"), (), problems, 0.1))
    listing.resize(900, 500)
    listing.show()
    app.exec()
