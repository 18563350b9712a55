"""The classes of a data set: how many pictures each has, what they look like, and what the user calls them."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.images import Reading
from tlstudio.gui import plain_text, theme
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.dataset_rows import content_of
from tlstudio.gui.widgets.thumbnails import DETAIL, PictureLoader, paint_strip

THUMBNAIL_PX = 44
THUMBNAILS_A_CLASS = 5
COUNT_WIDTH_PX = 150
CLASS, COUNT, STRIP = range(3)
_NAME = Qt.ItemDataRole.UserRole
_SHARE = Qt.ItemDataRole.UserRole + 1
_IMAGES = Qt.ItemDataRole.UserRole + 2
_LEFT_OUT = Qt.ItemDataRole.UserRole + 3


class ClassList(QWidget):
    """A table of classes. With `edits` they can be renamed, merged and left out; the files stay as they are."""

    class_chosen = Signal(str)
    """The class whose pictures the user wants to see, by double click where it is not edited."""

    def __init__(self, edits: DatasetEdits | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edits = edits
        self._table = QTableWidget(0, 3)
        self._table.setAccessibleName("Classes")
        self._table.setHorizontalHeaderLabels(["Class", "Pictures", "The first of them"])
        self._table.setItemDelegateForColumn(COUNT, _CountDelegate(self))
        self._strips = _StripDelegate(self._table)
        self._table.setItemDelegateForColumn(STRIP, self._strips)
        triggers = QTableWidget.EditTrigger
        editable = triggers.DoubleClicked | triggers.EditKeyPressed
        self._table.setEditTriggers(editable if edits is not None else triggers.NoEditTriggers)
        self._table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self._table.setTabKeyNavigation(False)
        self._table.setShowGrid(False)
        self._table.verticalHeader().hide()
        self._table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self._table.verticalHeader().setDefaultSectionSize(THUMBNAIL_PX + 2 * theme.SPACE_TIGHT)
        header = self._table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(CLASS, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(COUNT, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(STRIP, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(COUNT, COUNT_WIDTH_PX)
        header.resizeSection(STRIP, THUMBNAILS_A_CLASS * (THUMBNAIL_PX + theme.SPACE_TIGHT) + theme.SPACE)
        header.setSortIndicator(CLASS, Qt.SortOrder.AscendingOrder)
        self._table.itemChanged.connect(self._rename_edited)
        self._table.itemSelectionChanged.connect(self._show_reachable)
        self._table.itemDoubleClicked.connect(self._tell_chosen)

        self._hint = QLabel("The files stay as they are; the app keeps your names and choices.")
        self._hint.setProperty("role", "muted")
        self._rename = QPushButton("Rename")
        self._rename.clicked.connect(self._edit_name)
        self._merge = QPushButton("Merge …")
        self._merge.setToolTip("Choose two classes or more with Ctrl or Shift to make them one")
        self._merge.clicked.connect(self._merge_chosen)
        self._leave_out = QPushButton("Leave out")
        self._leave_out.clicked.connect(self._leave_chosen_out)
        self._take_in = QPushButton("Take in")
        self._take_in.clicked.connect(self._take_chosen_in)
        self._actions = QWidget()
        row = QHBoxLayout(self._actions)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._hint, 1)
        for button in (self._rename, self._merge, self._leave_out, self._take_in):
            button.setAutoDefault(False)
            row.addWidget(button)
        self._actions.setVisible(edits is not None)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._table, 1)
        layout.addWidget(self._actions)
        self._show_reachable()

    def show_index(self, index: DatasetIndex) -> None:
        """Show these classes, and the ones that are left out."""
        counts: dict[str, int] = index.class_counts()
        left_out = self._edits.setup.left_out if self._edits is not None else ()
        self._strips.set_reading(index.reading)
        self._fill(counts | {name: 0 for name in left_out if name not in counts}, left_out, _first_images(index))

    def texts(self) -> list[tuple[str, int]]:
        """Return the classes and counts as shown, from top to bottom."""
        model = self._table.model()
        return [(model.index(row, CLASS).data(), model.index(row, COUNT).data()) for row in range(model.rowCount())]

    def table(self) -> QTableWidget:
        """Return the table itself."""
        return self._table

    def chosen(self) -> list[str]:
        """Return the names of the selected classes."""
        return [self._name(index.row()) for index in self._table.selectionModel().selectedRows()]

    def _fill(
        self, counts: Mapping[str, int], left_out: tuple[str, ...], first: Mapping[str, tuple[ImageRecord, ...]]
    ) -> None:
        chosen = set(self.chosen())
        largest = max(counts.values(), default=1) or 1
        self._strips.forget()
        self._table.blockSignals(True)
        self._table.setSortingEnabled(False)
        self._table.setRowCount(len(counts))
        for row, (name, count) in enumerate(counts.items()):
            cells = (QTableWidgetItem(name), QTableWidgetItem(), QTableWidgetItem())
            cells[CLASS].setData(_NAME, name)
            cells[CLASS].setToolTip(plain_text.tooltip(name))
            cells[COUNT].setData(Qt.ItemDataRole.DisplayRole, count)
            cells[COUNT].setData(_SHARE, count / largest)
            cells[COUNT].setData(_LEFT_OUT, name in left_out)
            cells[STRIP].setData(_IMAGES, first.get(name, ()))
            if name in left_out:
                cells[CLASS].setForeground(QColor(theme.current().muted))
            for column, cell in enumerate(cells):
                if column != CLASS:
                    cell.setFlags(cell.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self._table.setItem(row, column, cell)
        self._table.setSortingEnabled(True)
        self._table.clearSelection()
        for row in range(len(counts)):
            if self._name(row) in chosen:
                for column in range(3):
                    self._cell(row, column).setSelected(True)
        self._table.blockSignals(False)
        self._show_reachable()

    def _name(self, row: int) -> str:
        return str(self._cell(row, CLASS).data(_NAME))

    def _cell(self, row: int, column: int) -> QTableWidgetItem:
        item = self._table.item(row, column)
        assert item is not None
        return item

    @Slot()
    def _show_reachable(self) -> None:
        chosen = self.chosen()
        left_out = self._edits.setup.left_out if self._edits is not None else ()
        out = [name for name in chosen if name in left_out]
        self._rename.setEnabled(len(chosen) == 1)
        self._merge.setEnabled(len(chosen) >= 2)
        self._leave_out.setEnabled(len(out) < len(chosen))
        self._take_in.setEnabled(bool(out))

    @Slot(QTableWidgetItem)
    def _tell_chosen(self, item: QTableWidgetItem) -> None:
        if self._edits is None or item.column() != CLASS:
            self.class_chosen.emit(self._name(item.row()))

    @Slot()
    def _edit_name(self) -> None:
        row = self._table.selectionModel().selectedRows()[0].row()
        self._table.editItem(self._cell(row, CLASS))

    @Slot(QTableWidgetItem)
    def _rename_edited(self, item: QTableWidgetItem) -> None:
        before, name = item.data(_NAME), item.text().strip()
        if self._edits is None or item.column() != CLASS or name == before:
            return
        if name:
            self._edits.rename_classes((before,), name)
        else:
            item.setText(before)

    @Slot()
    def _merge_chosen(self) -> None:
        names = self.chosen()
        name, agreed = QInputDialog.getItem(
            self, "Merge classes", f"These {len(names)} classes become one, with the name:", names, 0, True
        )
        if agreed and name.strip() and self._edits is not None:
            self._edits.rename_classes(names, name.strip())

    @Slot()
    def _leave_chosen_out(self) -> None:
        if self._edits is not None:
            self._edits.leave_out([name for name in self.chosen() if name not in self._edits.setup.left_out])

    @Slot()
    def _take_chosen_in(self) -> None:
        if self._edits is not None:
            self._edits.take_in([name for name in self.chosen() if name in self._edits.setup.left_out])


class _CountDelegate(QStyledItemDelegate):
    """A count over a bar that compares the classes; nothing to compare where a class is left out."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        tokens = theme.current()
        place = QRectF(option.rect)
        bar = QRectF(place.left() + 9, place.bottom() - 12, (place.width() - 24) * index.data(_SHARE), 4)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.fillRect(bar, QColor(tokens.on_accent if chosen else tokens.train))

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        super().initStyleOption(option, index)
        option.text = "left out" if index.data(_LEFT_OUT) else f"{index.data():,}"


class _StripDelegate(QStyledItemDelegate):
    """A few pictures of a class, read when they come into view."""

    def __init__(self, table: QTableWidget) -> None:
        super().__init__(table)
        self._table = table
        self._images: dict[str, QImage] = {}
        self._requested: set[str] = set()
        self._reading = Reading()
        self._loader = PictureLoader(DETAIL * THUMBNAIL_PX, self)
        self._loader.loaded.connect(self._keep)

    def set_reading(self, reading: Reading) -> None:
        """Show pictures read in this way."""
        if reading != self._reading:
            self._reading = reading
            self._images.clear()

    def forget(self) -> None:
        """Drop what was requested and has not come; what is here is likely to be shown again."""
        self._loader.forget()
        self._requested = set(self._images)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        records: tuple[ImageRecord, ...] = index.data(_IMAGES)
        for record in records:
            if record.path not in self._requested:
                self._requested.add(record.path)
                self._loader.request(record.path, content_of(record.facts), self._reading)
        images = [self._images.get(record.path) for record in records]
        paint_strip(painter, QRectF(option.rect).adjusted(4, 0, 0, 0), THUMBNAIL_PX, images)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(THUMBNAILS_A_CLASS * (THUMBNAIL_PX + theme.SPACE_TIGHT), THUMBNAIL_PX + theme.SPACE_INSIDE)

    @Slot(str, object)
    def _keep(self, path: str, image: QImage | str) -> None:
        if isinstance(image, QImage):
            self._images[path] = image
            self._table.viewport().update()


def _first_images(index: DatasetIndex) -> dict[str, tuple[ImageRecord, ...]]:
    found: dict[int, list[ImageRecord]] = {}
    for image in index.images:
        of_class = found.setdefault(image.class_index, [])
        if len(of_class) < THUMBNAILS_A_CLASS:
            of_class.append(image)
    return {index.classes[number]: tuple(images) for number, images in found.items()}


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    classes = ClassList()
    pictures = tuple(ImageRecord(f"{number}.png", number % 2, None, str(number), 64, 64) for number in range(40))
    classes.show_index(DatasetIndex(("drawn",), ("ants", "bees"), pictures, (), 0.1))
    classes.show()
    app.exec()
