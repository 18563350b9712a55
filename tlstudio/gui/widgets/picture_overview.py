"""What a scan found: classes with pictures and counts, and what was set aside and why."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QHeaderView,
    QLabel,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.problem import Problem
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.image_viewer import PictureLoader
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.thumbnails import DETAIL, paint_strip

THUMBNAIL_PX = 44
THUMBNAILS_A_CLASS = 5
IMBALANCE = 3.0
"""From this ratio of the largest to the smallest class on, the user is told."""
FEW_A_CLASS = 10

_PATHS = Qt.ItemDataRole.UserRole
_SHARE = Qt.ItemDataRole.UserRole + 1
PROBLEM_COLUMNS = (Column("What"), Column("File or folder"), Column("Where"))


class PictureOverview(QWidget):
    """Two tables and the sentences that matter about a DatasetIndex."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: dict[str, QImage] = {}
        self._loader = PictureLoader(DETAIL * THUMBNAIL_PX, self)
        self._loader.loaded.connect(self._keep)
        self._summary = _label("lead")
        self._advice = _label("muted")
        self._classes = QTableWidget(0, 3)
        self._classes.setAccessibleName("Classes")
        self._classes.setHorizontalHeaderLabels(["Class", "Pictures", "The first of them"])
        self._classes.setItemDelegateForColumn(1, _CountDelegate(self))
        self._classes.setItemDelegateForColumn(2, _StripDelegate(self._images, self))
        self._classes.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self._classes.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self._classes.setTabKeyNavigation(False)
        self._classes.setShowGrid(False)
        self._classes.verticalHeader().hide()
        self._classes.verticalHeader().setDefaultSectionSize(THUMBNAIL_PX + 2 * theme.SPACE_TIGHT)
        header = self._classes.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(1, 150)
        header.resizeSection(2, THUMBNAILS_A_CLASS * (THUMBNAIL_PX + theme.SPACE_TIGHT) + theme.SPACE)
        self._problems_title = _label("section")
        self._problems = RecordTable("Set aside or worth knowing", PROBLEM_COLUMNS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._summary)
        layout.addWidget(self._advice)
        layout.addWidget(self._classes, 3)
        layout.addSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._problems_title)
        layout.addWidget(self._problems, 2)

    def show_index(self, index: DatasetIndex) -> None:
        """Show what was found."""
        self._loader.forget()
        self._images.clear()
        self._summary.setText(summary_sentence(index))
        advice = " ".join(advice_sentences(index))
        self._advice.setText(advice)
        self._advice.setVisible(bool(advice))
        self._fill_classes(index)
        self._problems.set_rows([_problem_row(problem) for problem in index.problems])
        count = len(index.problems)
        self._problems_title.setText(
            "Nothing was set aside." if not count else f"Set aside or worth knowing: {count:,} of the files and folders"
        )
        self._problems.setVisible(bool(count))

    def class_texts(self) -> list[tuple[str, int]]:
        """Return the classes and counts as shown, from top to bottom."""
        model = self._classes.model()
        return [(model.index(row, 0).data(), model.index(row, 1).data()) for row in range(model.rowCount())]

    def problem_texts(self) -> list[tuple[str, ...]]:
        """Return the table of problems as shown."""
        return self._problems.texts()

    def _fill_classes(self, index: DatasetIndex) -> None:
        first: dict[int, list[str]] = {}
        for image in index.images:
            paths = first.setdefault(image.class_index, [])
            if len(paths) < THUMBNAILS_A_CLASS:
                paths.append(image.path)
        counts = index.class_counts()
        largest = max(counts.values())
        self._classes.setSortingEnabled(False)
        self._classes.setRowCount(len(counts))
        for row, (name, count) in enumerate(counts.items()):
            cells = (QTableWidgetItem(name), QTableWidgetItem(), QTableWidgetItem())
            cells[0].setToolTip(name)
            cells[1].setData(Qt.ItemDataRole.DisplayRole, count)
            cells[1].setData(_SHARE, count / largest)
            cells[2].setData(_PATHS, first[row])
            for column, cell in enumerate(cells):
                self._classes.setItem(row, column, cell)
            for path in first[row]:
                self._loader.request(path)
        self._classes.setSortingEnabled(True)
        self._classes.sortByColumn(0, Qt.SortOrder.AscendingOrder)

    @Slot(str, object)
    def _keep(self, path: str, image: QImage | str) -> None:
        if isinstance(image, QImage):
            self._images[path] = image
            self._classes.viewport().update()


class _CountDelegate(QStyledItemDelegate):
    """A count over a bar that compares the classes."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        tokens = theme.current()
        place = QRectF(option.rect)
        bar = QRectF(place.left() + 4, place.bottom() - 12, (place.width() - 24) * index.data(_SHARE), 4)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.fillRect(bar, QColor(tokens.on_accent if chosen else tokens.train))


class _StripDelegate(QStyledItemDelegate):
    """A few pictures of a class."""

    def __init__(self, images: dict[str, QImage], parent: QWidget) -> None:
        super().__init__(parent)
        self._images = images

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        images = [self._images.get(path) for path in index.data(_PATHS) or ()]
        paint_strip(painter, QRectF(option.rect).adjusted(4, 0, 0, 0), THUMBNAIL_PX, images)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(THUMBNAILS_A_CLASS * (THUMBNAIL_PX + theme.SPACE_TIGHT), THUMBNAIL_PX + theme.SPACE_INSIDE)


def summary_sentence(index: DatasetIndex) -> str:
    """Return one sentence on how many pictures of how many classes there are, and how they are divided."""
    sentence = f"{words.pictures(len(index.images))} in {len(index.classes)} classes"
    parts = index.part_counts()
    if parts:
        names = {"train": "to learn from", "val": "to judge with (val)", "test": "for the last test"}
        sentence += ": " + ", ".join(f"{count:,} {names[part]}" for part, count in parts.items())
    return sentence + "."


def advice_sentences(index: DatasetIndex) -> list[str]:
    """Return what the user should know about the sizes of the classes."""
    counts = index.class_counts()
    fewest, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    sentences = []
    if counts[most] >= IMBALANCE * counts[fewest]:
        sentences.append(
            f"“{most}” has {counts[most] / counts[fewest]:.0f} times as many pictures as “{fewest}”: "
            "look at every class in the results, not only at the accuracy."
        )
    if counts[fewest] < FEW_A_CLASS:
        sentences.append(f"“{fewest}” has only {words.pictures(counts[fewest])}; a few more would help most there.")
    return sentences


def _problem_row(problem: Problem) -> tuple[str, str, str]:
    path = Path(problem.path)
    return problem.message, path.name, str(path.parent) if path.is_absolute() else ""


def _label(role: str) -> QLabel:
    label = QLabel()
    label.setProperty("role", role)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label


if __name__ == "__main__":
    from tlstudio.core.dataset import ImageRecord

    app = QApplication([])
    theme.apply(app, "system")
    overview = PictureOverview()
    pictures = tuple(ImageRecord(f"{number}.png", number % 2, None, str(number), 64, 64) for number in range(40))
    overview.show_index(DatasetIndex(("drawn",), ("ants", "bees"), pictures, (), 0.1))
    overview.show()
    app.exec()
