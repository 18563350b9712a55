"""Which class was taken for which: a matrix, or the worst pairs where there are too many classes for one."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QColor, QGuiApplication, QKeySequence, QPainter, QPen, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QLabel,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.results import Evaluation
from tlstudio.gui import plain_text, theme, words
from tlstudio.gui.widgets.example_evaluation import example_evaluation
from tlstudio.gui.widgets.record_table import Column, RecordTable

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
MOST_CLASSES_IN_MATRIX = 30
CELL_PX = 42
NAME_PX = 110
FRAME_PX = 2
PAIR_COLUMNS = (
    Column("True class"),
    Column("Given class"),
    Column("Pictures", "{:,}".format, number=True),
    Column("Of the true class", words.percent, number=True),
)
LIGHT_INK, DARK_INK = "#FFFFFF", "#10151C"
# Where black and white stand out equally well by WCAG 2's contrast ratio.
MIDDLE_LUMINANCE = 0.18


class _Matrix(QAbstractTableModel):
    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.classes: tuple[str, ...] = ()
        self.counts: tuple[tuple[int, ...], ...] = ()

    def replace(self, classes: tuple[str, ...], counts: tuple[tuple[int, ...], ...]) -> None:
        self.beginResetModel()
        self.classes, self.counts = classes, counts
        self.endResetModel()

    def rowCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.classes)

    def columnCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.classes)

    def share(self, row: int, column: int) -> float:
        """Return a cell's share of its row, the pictures of one true class."""
        total = sum(self.counts[row])
        return self.counts[row][column] / total if total else 0.0

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = index.row(), index.column()
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return f"{self.counts[row][column]:,}"
            case Qt.ItemDataRole.BackgroundRole:
                return self._shade(row, column)
            case Qt.ItemDataRole.ForegroundRole:
                return QColor(DARK_INK if _luminance(self._shade(row, column)) > MIDDLE_LUMINANCE else LIGHT_INK)
            case Qt.ItemDataRole.TextAlignmentRole:
                return Qt.AlignmentFlag.AlignCenter
            case Qt.ItemDataRole.ToolTipRole:
                return plain_text.tooltip(self._in_words(row, column))
            case Qt.ItemDataRole.AccessibleTextRole:
                return self._in_words(row, column)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.classes[section]
            case Qt.ItemDataRole.ToolTipRole:
                side = "True" if orientation == Qt.Orientation.Vertical else "Given"
                return plain_text.tooltip(f"{side} class: {self.classes[section]}")
        return None

    def _in_words(self, row: int, column: int) -> str:
        count = words.pictures(self.counts[row][column])
        share = words.percent(self.share(row, column))
        return f"{count} of “{self.classes[row]}” given “{self.classes[column]}”, {share} of that class"

    def _shade(self, row: int, column: int) -> QColor:
        tokens = theme.current()
        ground, full = QColor(tokens.surface), QColor(tokens.accent if row == column else tokens.val)
        share = self.share(row, column)
        strength = 0.12 + 0.88 * share if share else 0.0
        mixed = (
            a + (b - a) * strength
            for a, b in (
                (ground.redF(), full.redF()),
                (ground.greenF(), full.greenF()),
                (ground.blueF(), full.blueF()),
            )
        )
        return QColor.fromRgbF(*mixed)


class _UpwardHeader(QHeaderView):
    """Column names written upwards, so that narrow columns can have long names."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setSectionsClickable(False)
        self.setHighlightSections(False)

    def sectionSizeFromContents(self, logicalIndex: int) -> QSize:
        width = self.fontMetrics().horizontalAdvance(self._name(logicalIndex))
        return QSize(CELL_PX, min(width, NAME_PX) + 16)

    def paintSection(self, painter: QPainter, rect: QRect, logicalIndex: int) -> None:
        painter.save()
        painter.fillRect(rect, QColor(theme.current().window))
        painter.setPen(QColor(theme.current().muted))
        painter.translate(rect.bottomLeft())
        painter.rotate(-90)
        upright = QRect(QPoint(8, 0), QSize(rect.height() - 12, rect.width()))
        shown = self.fontMetrics().elidedText(self._name(logicalIndex), Qt.TextElideMode.ElideRight, upright.width())
        painter.drawText(upright, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        painter.restore()

    def _name(self, section: int) -> str:
        return str(self.model().headerData(section, Qt.Orientation.Horizontal))


class _FramedCell(QStyledItemDelegate):
    """Frames the chosen cell: a filling would hide the shade, which is what the cell says."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        option.state &= ~(QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_HasFocus)
        super().paint(painter, option, index)
        if chosen:
            painter.save()
            painter.setPen(QPen(QColor(theme.current().text), FRAME_PX))
            painter.drawRect(option.rect.adjusted(1, 1, -2, -2))
            painter.restore()


class ConfusionView(QWidget):
    """True classes as rows, given ones as columns, shaded by share of the row. Click or Enter chooses a cell."""

    cell_chosen = Signal(int, int)
    """Positions of the true and of the given class."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._matrix = _Matrix(self)
        self._table = QTableView()
        self._table.setModel(self._matrix)
        self._table.setAccessibleName("Confusion matrix: a row for each true class, a column for each given class")
        self._table.setHorizontalHeader(_UpwardHeader(self._table))
        for header in (self._table.horizontalHeader(), self._table.verticalHeader()):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self._table.verticalHeader().setMaximumWidth(NAME_PX)
        self._table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setTabKeyNavigation(False)
        self._table.setCornerButtonEnabled(False)
        self._table.setItemDelegate(_FramedCell(self._table))
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self._table, self._copy)
        copy.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._table.clicked.connect(self._choose_cell)
        self._table.activated.connect(self._choose_cell)
        self._pairs: list[tuple[int, int]] = []
        self._pair_table = RecordTable("Classes taken for each other, the most frequent first", PAIR_COLUMNS)
        self._pair_table.clicked.connect(self._pair_table.activated)
        self._pair_table.row_chosen.connect(self._choose_pair)
        self._legend = QLabel()
        self._legend.setProperty("role", "muted")
        self._legend.setWordWrap(True)
        self._tables = QStackedWidget()
        self._tables.addWidget(self._table)
        self._tables.addWidget(self._pair_table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._legend)
        layout.addWidget(self._tables, 1)

    def show_evaluation(self, evaluation: Evaluation) -> None:
        """Show this evaluation's confusion."""
        classes, counts = evaluation.classes, evaluation.confusion
        self._matrix.replace(classes, counts)
        self._pairs = sorted(
            ((i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j and counts[i][j]),
            key=lambda pair: -counts[pair[0]][pair[1]],
        )
        self._pair_table.set_rows(
            [(classes[i], classes[j], counts[i][j], self._matrix.share(i, j)) for i, j in self._pairs]
        )
        if len(classes) > MOST_CLASSES_IN_MATRIX:
            self._tables.setCurrentWidget(self._pair_table)
            self._legend.setText(
                f"The most frequent mix-ups of {len(classes)} classes. Choose a row to see its pictures."
            )
        else:
            self._tables.setCurrentWidget(self._table)
            self._fit_cells()
            self._legend.setText("Rows: true class. Columns: given class. Choose a cell to see its pictures.")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_cells()

    def _fit_cells(self) -> None:
        """Let the matrix fill the room there is, within what is readable."""
        count = max(1, len(self._matrix.classes))
        room = self._tables.size()
        across = (room.width() - NAME_PX) // count
        down = (room.height() - NAME_PX) // count
        self._table.horizontalHeader().setDefaultSectionSize(min(max(across, CELL_PX), 2 * CELL_PX))
        self._table.verticalHeader().setDefaultSectionSize(min(max(down, CELL_PX * 2 // 3), 2 * CELL_PX))

    @Slot(QModelIndex)
    def _choose_cell(self, index: QModelIndex) -> None:
        self.cell_chosen.emit(index.row(), index.column())

    @Slot()
    def _copy(self) -> None:
        """Put the matrix on the clipboard: a row a true class, a column a given class, separated by tabs."""
        lines = [("", *self._matrix.classes)]
        lines += [
            (name, *map(str, counts)) for name, counts in zip(self._matrix.classes, self._matrix.counts, strict=True)
        ]
        QGuiApplication.clipboard().setText("\n".join("\t".join(line) for line in lines))

    @Slot(int)
    def _choose_pair(self, row: int) -> None:
        self.cell_chosen.emit(*self._pairs[row])


def _luminance(colour: QColor) -> float:
    """Return the relative luminance, 0 to 1. Source: WCAG 2.2, "relative luminance"."""
    shares = (colour.redF(), colour.greenF(), colour.blueF())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    view = ConfusionView()
    view.show_evaluation(example_evaluation())
    view.resize(420, 320)
    view.show()
    app.exec()
