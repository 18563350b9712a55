"""A table of records: sortable by value, copyable as tab-separated text, rows chosen by Enter or double click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QGuiApplication, QHideEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QTableView, QWidget

from tlstudio.gui import plain_text, remembered

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
NOTHING = "–"
WIDEST_PX = 240
"""A column that is fitted to long texts leaves room for the others; the user may still make it wider."""

TYPED_PX = 160
"""What the user types may be longer than what stands there now."""


class Column(msgspec.Struct, frozen=True):
    """One column: its title, how a value is shown (None always shows as a dash), and what the title means."""

    title: str
    show: Callable[[Any], str] = str
    meaning: str = ""
    number: bool = False
    editable: bool = False
    """`edit_selected` lets the user type another value."""


class _Records(QAbstractTableModel):
    edited = Signal(int, int, str)

    def __init__(self, columns: Sequence[Column], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.rows: list[tuple[Any, ...]] = []
        self.order: list[int] = []

    def rowCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.order)

    def columnCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def text(self, row: int, column: int) -> str:
        value = self.rows[self.order[row]][column]
        return NOTHING if value is None else self.columns[column].show(value)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.EditRole:
                return self.text(index.row(), index.column())
            case Qt.ItemDataRole.ToolTipRole:
                return plain_text.tooltip(self.text(index.row(), index.column()))
            case Qt.ItemDataRole.TextAlignmentRole:
                return self._alignment(index.column())
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        editable = index.isValid() and self.columns[index.column()].editable
        return super().flags(index) | (Qt.ItemFlag.ItemIsEditable if editable else Qt.ItemFlag.NoItemFlags)

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role == Qt.ItemDataRole.EditRole and value != self.text(index.row(), index.column()):
            self.edited.emit(self.order[index.row()], index.column(), value)
        return False  # who hears of it gives new rows

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            match role:
                case Qt.ItemDataRole.DisplayRole:
                    return self.columns[section].title
                case Qt.ItemDataRole.ToolTipRole:
                    return self.columns[section].meaning or None
                case Qt.ItemDataRole.TextAlignmentRole:
                    return self._alignment(section)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.layoutAboutToBeChanged.emit()
        known = [i for i in range(len(self.rows)) if column < 0 or self.rows[i][column] is not None]
        unknown = [i for i in range(len(self.rows)) if column >= 0 and self.rows[i][column] is None]
        if column >= 0:
            known.sort(key=lambda i: self.rows[i][column], reverse=order == Qt.SortOrder.DescendingOrder)
        self.order = known + unknown
        self.layoutChanged.emit()

    def replace(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.beginResetModel()
        self.rows = list(rows)
        self.order = list(range(len(self.rows)))
        self.endResetModel()

    def append(self, row: tuple[Any, ...]) -> None:
        self.beginInsertRows(NOWHERE, len(self.rows), len(self.rows))
        self.order.append(len(self.rows))
        self.rows.append(row)
        self.endInsertRows()

    def _alignment(self, column: int) -> Qt.AlignmentFlag:
        side = Qt.AlignmentFlag.AlignRight if self.columns[column].number else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter


class RecordTable(QTableView):
    """Shows tuples, one value a column. Unknown values sort last either way."""

    row_chosen = Signal(int)
    """Position of the row in what was given, however the table is sorted."""
    edited = Signal(int, int, str)
    """The user typed a value: position of the row in what was given, column, text. The table still shows the old."""

    def __init__(self, name: str, columns: Sequence[Column], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._records = _Records(columns, self)
        self._records.edited.connect(self.edited)
        self._purpose = ""
        self._fits_contents = False
        self.setModel(self._records)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setResizeContentsPrecision(50)
        # Numbers stay near their titles: what fills the room is a column of words, the last one or else the first.
        widest = 0 if columns[-1].number else len(columns) - 1
        self.horizontalHeader().setSectionResizeMode(widest, QHeaderView.ResizeMode.Stretch)
        self.setStyleSheet("QTableView::item { padding: 0 8px; }")
        self.setSortingEnabled(True)
        self.activated.connect(self._choose)

    def set_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Show these rows instead, in the order the user sorted by."""
        self._records.replace(rows)
        header = self.horizontalHeader()
        if header.sortIndicatorSection() >= 0:
            self._records.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        if self._fits_contents and rows:
            self._fits_contents = False
            self.resizeColumnsToContents()
            for number, column in enumerate(self._records.columns):
                narrowest = TYPED_PX if column.editable else 0
                self.setColumnWidth(number, max(narrowest, min(self.columnWidth(number), WIDEST_PX)))

    def remember_arrangement(self, purpose: str) -> None:
        """Let the user set widths; keep them and the order of the rows under this name for the next time."""
        self._purpose = purpose
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        self._fits_contents = not header.restoreState(remembered.arrangement(purpose))

    def selected_rows(self) -> list[int]:
        """Return the positions of the selected rows in what was given, from the top down."""
        return [self._records.order[row] for row in sorted(one.row() for one in self.selectionModel().selectedRows())]

    def select_rows(self, positions: Sequence[int]) -> None:
        """Select these rows of what was given; the first of them becomes the current one."""
        rows = sorted(self._records.order.index(position) for position in positions)
        chosen = QItemSelection()
        for row in rows:
            chosen.select(self._records.index(row, 0), self._records.index(row, len(self._records.columns) - 1))
        if rows:
            self.selectionModel().setCurrentIndex(
                self._records.index(rows[0], 0), QItemSelectionModel.SelectionFlag.NoUpdate
            )
        self.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    @Slot()
    def edit_selected(self) -> None:
        """Let the user type into the first column of the only selected row that takes it."""
        column = next((number for number, one in enumerate(self._records.columns) if one.editable), None)
        rows = self.selectionModel().selectedRows()
        if column is not None and len(rows) == 1:
            self.edit(self._records.index(rows[0].row(), column))

    def append_row(self, row: tuple[Any, ...]) -> None:
        """Add a row at the end."""
        self._records.append(row)

    def texts(self) -> list[tuple[str, ...]]:
        """Return what is shown, row by row."""
        columns = range(len(self._records.columns))
        return [tuple(self._records.text(row, column) for column in columns) for row in range(len(self._records.order))]

    def copy(self) -> None:
        """Put the selected rows, or all if none is selected, on the clipboard with their titles."""
        selected = sorted(index.row() for index in self.selectionModel().selectedRows())
        texts = self.texts()
        lines = [tuple(column.title for column in self._records.columns)]
        lines += [texts[row] for row in selected] if selected else texts
        QGuiApplication.clipboard().setText("\n".join("\t".join(line) for line in lines))

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if self._purpose:
            remembered.remember_arrangement(self._purpose, self.horizontalHeader().saveState())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    @Slot(QModelIndex)
    def _choose(self, index: QModelIndex) -> None:
        self.row_chosen.emit(self._records.order[index.row()])


if __name__ == "__main__":
    app = QApplication([])
    table = RecordTable("Example", (Column("Class"), Column("Pictures", number=True)))
    table.set_rows([("crack", 12), ("free", 40), ("break", None)])
    table.show()
    app.exec()
