"""A narrow list of classes with their counts as bars, to choose whose pictures are shown."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from tlstudio.gui import plain_text, theme

ROW_PX = 36
BAR_PX = 4
_NAME = Qt.ItemDataRole.UserRole
_COUNT = Qt.ItemDataRole.UserRole + 1
_SHARE = Qt.ItemDataRole.UserRole + 2


class ClassFilter(QListWidget):
    """All classes first, then each; several can be chosen."""

    classes_chosen = Signal(frozenset)
    """The names of the chosen classes; none means all."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Classes to show")
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setItemDelegate(_ClassDelegate(self))
        self.itemSelectionChanged.connect(self._tell)

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """List these classes; those that were chosen and are still there stay chosen."""
        chosen = self.chosen()
        self.blockSignals(True)
        self.clear()
        largest = max(counts.values(), default=1)
        self._add("", sum(counts.values()), 0)
        for name, count in counts.items():
            self._add(name, count, count / max(1, largest)).setSelected(name in chosen)
        if not self.chosen():
            self.item(0).setSelected(True)
        self.blockSignals(False)
        if self.chosen() != chosen:
            self._tell()

    def chosen(self) -> frozenset[str]:
        """Return the chosen classes; none means all."""
        names = frozenset(item.data(_NAME) for item in self.selectedItems())
        return frozenset() if "" in names else names

    def choose_all(self) -> None:
        """Show all classes again."""
        self.setCurrentRow(0)

    def _add(self, name: str, count: int, share: float) -> QListWidgetItem:
        item = QListWidgetItem(name or "All classes", self)
        item.setData(_NAME, name)
        item.setData(_COUNT, count)
        item.setData(_SHARE, share)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{item.text()}, {count:,}")
        item.setToolTip(plain_text.tooltip(item.text()))
        return item

    @Slot()
    def _tell(self) -> None:
        self.classes_chosen.emit(self.chosen())


class _ClassDelegate(QStyledItemDelegate):
    """A name and a count over a bar that compares the classes."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        tokens = theme.current()
        place = QRectF(option.rect).adjusted(theme.SPACE_INSIDE, 2, -theme.SPACE_INSIDE, -2)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, QColor(tokens.tint))
            painter.fillRect(QRectF(option.rect.left(), option.rect.top(), 3, option.rect.height()), tokens.accent)
        count = f"{index.data(_COUNT):,}"
        room = place.width() - painter.fontMetrics().horizontalAdvance(count) - theme.SPACE_INSIDE
        text = painter.fontMetrics().elidedText(index.data(), Qt.TextElideMode.ElideMiddle, int(room))
        line = place.adjusted(0, 0, 0, -BAR_PX - 2)
        painter.setPen(QColor(tokens.text))
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.setPen(QColor(tokens.muted))
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, count)
        bar = QRectF(place.left(), place.bottom() - BAR_PX, place.width() * index.data(_SHARE), BAR_PX)
        painter.fillRect(bar, QColor(tokens.train))

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(0, ROW_PX)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    classes = ClassFilter()
    classes.show_counts({"ants": 120, "bees": 40})
    classes.show()
    app.exec()
