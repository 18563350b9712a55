"""All pictures of a data set as thumbnails: to look through, to sort and filter, and to say what they really are."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path

from PySide6.QtCore import QItemSelection, QModelIndex, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSlider,
    QSplitter,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.images import Reading
from tlstudio.gui import file_manager, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.class_filter import ClassFilter
from tlstudio.gui.widgets.dataset_rows import (
    DatasetPicture,
    DatasetRows,
    Shown,
    SortBy,
    dataset_pictures,
    digit_of,
)
from tlstudio.gui.widgets.dataset_viewer import DatasetViewer
from tlstudio.gui.widgets.grid_view import LARGEST_PX, SMALLEST_PX, THUMBNAIL_PX, GridView
from tlstudio.gui.widgets.relabel_menu import RelabelMenu
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

CLASSES_WIDTH_PX = 180
ZOOM_STEP_PX = 24
SORTS: tuple[tuple[str, SortBy], ...] = (
    ("Class", "class"), ("Name", "name"), ("Size", "size"), ("Brightness", "brightness"), ("Sharpness", "sharpness"),
)  # fmt: skip
SHOWN: tuple[tuple[str, Shown], ...] = (
    ("All pictures", ""), ("Used", "used"), ("Used, with a note", "noted"), ("Set aside", "set-aside"),
    ("Decided by you", "relabelled"),
)  # fmt: skip


class DatasetGrid(QWidget):
    """Shows a DatasetIndex. With `edits` its pictures can be relabelled and set aside; without, only looked at."""

    refreshed = Signal(object)
    """The pictures by now, a list of DatasetPicture, after every `show_index`."""

    def __init__(self, edits: DatasetEdits | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edits = edits
        self._index: DatasetIndex | None = None
        self._only: tuple[str, ...] | None = None
        self._background = Background(self)
        self._background.done.connect(self._take_pictures)
        self._menu = RelabelMenu(edits, self) if edits is not None else None

        self._classes = ClassFilter()
        self._classes.classes_chosen.connect(self._filter)
        self._shown = QComboBox()
        self._shown.setAccessibleName("Which pictures")
        for title, _ in SHOWN:
            self._shown.addItem(title)
        self._shown.currentIndexChanged.connect(self._filter)
        self._text = QLineEdit()
        self._text.setPlaceholderText("Part of the name")
        self._text.setAccessibleName("Part of the name")
        self._text.setClearButtonEnabled(True)
        self._text.textChanged.connect(self._filter)
        self._sort = QComboBox()
        self._sort.setAccessibleName("Sort by")
        for title, _ in SORTS:
            self._sort.addItem(f"By {title.lower()}")
        self._sort.currentIndexChanged.connect(self._order)
        self._descending = QToolButton()
        self._descending.setCheckable(True)
        self._descending.setAccessibleName("Largest first")
        self._descending.setToolTip("Largest first")
        theme.set_icon(self._descending, "chevron-down")
        self._descending.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)
        self._descending.toggled.connect(self._order)
        self._zoom = QSlider(Qt.Orientation.Horizontal)
        self._zoom.setAccessibleName("Size of the thumbnails")
        self._zoom.setRange(SMALLEST_PX, LARGEST_PX)
        self._zoom.setSingleStep(ZOOM_STEP_PX)
        self._zoom.setPageStep(ZOOM_STEP_PX)
        self._zoom.setValue(THUMBNAIL_PX)
        self._zoom.setFixedWidth(120)

        self._rows = DatasetRows(self)
        self._view = _DatasetView("Pictures")
        self._view.setModel(self._rows)
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._view.customContextMenuRequested.connect(self._show_menu)
        self._view.activated.connect(self._open)
        self._view.digit_pressed.connect(self._relabel_by_digit)
        self._view.selectionModel().selectionChanged.connect(self._show_chosen)
        self._zoom.valueChanged.connect(self._view.set_side)
        self._nothing = StatePanel()
        self._nothing.action_pressed.connect(self.show_all)

        self._said = Sentence("muted")
        self._relabel = QPushButton("Is really")
        self._aside = QPushButton("Set aside")
        self._aside.clicked.connect(self._set_aside)
        self._back = QPushButton("Take back")
        self._back.setToolTip("Undo what you decided about these pictures")
        self._back.clicked.connect(self._take_back)
        for button in (self._relabel, self._aside, self._back):
            button.setVisible(edits is not None)
            button.setAutoDefault(False)
        if self._menu is not None:
            self._relabel.setMenu(self._menu)
            self._menu.aboutToShow.connect(self._tell_menu)
        self._lay_out()

    def show_index(self, index: DatasetIndex) -> None:
        """Show these pictures; what was chosen, filtered and sorted stays so."""
        self._index = index
        self._view.set_reading(index.reading)
        scanned, relabelled = None, frozenset[str]()
        if self._edits is not None and self._edits.is_open():
            scanned, relabelled = self._edits.scanned, frozenset(self._edits.setup.relabelled)
        self._background.forget()
        self._background.start(index, partial(dataset_pictures, index, scanned, relabelled))

    def show_only(self, paths: Collection[str]) -> None:
        """Show nothing but these pictures until the user asks for all."""
        self._only = tuple(paths)
        self._clear_filters()

    @Slot()
    def show_all(self) -> None:
        """Take every filter away."""
        self._only = None
        self._clear_filters()

    def view(self) -> GridView:
        """Return the grid itself."""
        return self._view

    def pictures(self) -> list[DatasetPicture]:
        """Return what is shown, in order."""
        return self._rows.pictures()

    def chosen_paths(self) -> tuple[str, ...]:
        """Return the selected pictures, in the order shown."""
        return tuple(self._rows.path(row) for row in self._view.chosen_rows())

    def _lay_out(self) -> None:
        tools = QHBoxLayout()
        tools.addWidget(self._shown)
        tools.addWidget(self._text, 1)
        tools.addWidget(self._sort)
        tools.addWidget(self._descending)
        tools.addWidget(self._zoom)
        pictures = QWidget()
        self._layers = QStackedLayout(pictures)
        self._layers.addWidget(self._view)
        self._layers.addWidget(self._nothing)
        split = QSplitter()
        split.setChildrenCollapsible(False)
        split.addWidget(self._classes)
        split.addWidget(pictures)
        split.setStretchFactor(1, 1)
        split.setSizes([CLASSES_WIDTH_PX, 4 * CLASSES_WIDTH_PX])
        actions = QHBoxLayout()
        actions.addWidget(self._said, 1)
        for button in (self._relabel, self._aside, self._back):
            actions.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(tools)
        layout.addWidget(split, 1)
        layout.addLayout(actions)

    @Slot(object, object)
    def _take_pictures(self, index: DatasetIndex, pictures: list[DatasetPicture]) -> None:
        with _PlaceKept(self._view, self._rows):
            self._rows.replace(pictures)
        self._classes.show_counts(index.class_counts())
        self._show_count()
        self.refreshed.emit(pictures)

    @Slot()
    def _filter(self) -> None:
        with _PlaceKept(self._view, self._rows):
            self._rows.filter(
                self._classes.chosen(), SHOWN[self._shown.currentIndex()][1], self._text.text(), self._only
            )
        self._show_count()

    @Slot()
    def _order(self) -> None:
        with _PlaceKept(self._view, self._rows):
            self._rows.sort_by(SORTS[self._sort.currentIndex()][1], self._descending.isChecked())

    def _clear_filters(self) -> None:
        for control in (self._classes, self._shown, self._text):
            control.blockSignals(True)
        self._classes.choose_all()
        self._shown.setCurrentIndex(0)
        self._text.clear()
        for control in (self._classes, self._shown, self._text):
            control.blockSignals(False)
        self._filter()

    def _show_count(self) -> None:
        shown, total = self._rows.rowCount(), self._rows.total()
        if not shown:
            title = "No picture fits" if total else "No pictures"
            sentence = "No picture has this class, status and name." if total else "There is nothing to show here yet."
            self._nothing.say(title, sentence, "Show all pictures" if total else "")
        self._layers.setCurrentIndex(0 if shown else 1)
        self._show_chosen()

    @Slot(QItemSelection, QItemSelection)
    def _show_chosen(self, _chosen: object = None, _released: object = None) -> None:
        shown, total = self._rows.rowCount(), self._rows.total()
        chosen = self._view.chosen_count()
        said = words.pictures(total) if shown == total else f"{shown:,} of {words.pictures(total)}"
        self._said.setText(f"{said}, {chosen:,} chosen" if chosen else said)
        self._relabel.setEnabled(bool(chosen))
        self._aside.setEnabled(bool(chosen))
        self._back.setEnabled(bool(self._decided()))

    def _decided(self) -> tuple[str, ...]:
        decided = self._edits.setup.relabelled if self._edits is not None else {}
        return tuple(path for path in self.chosen_paths() if path in decided) if decided else ()

    @Slot()
    def _tell_menu(self) -> None:
        if self._menu is not None:
            self._menu.set_paths(self.chosen_paths())

    @Slot(QModelIndex)
    def _open(self, index: QModelIndex) -> None:
        reading = self._index.reading if self._index is not None else Reading()
        viewer = DatasetViewer(self._rows.pictures(), index.row(), reading, self._edits, self)
        self.refreshed.connect(viewer.update_pictures)
        viewer.open()

    @Slot(QPoint)
    def _show_menu(self, place: QPoint) -> None:
        if not self.chosen_paths():
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if self._menu is not None:
            menu.addMenu(self._menu)
            menu.addAction("&Set aside", self._set_aside)
            back = menu.addAction("&Back to what the files say", self._take_back)
            back.setEnabled(self._back.isEnabled())
            menu.addSeparator()
        menu.addAction("&Open large", self._open_current)
        menu.addAction("Show in &file manager", self._show_in_file_manager)
        menu.addAction("&Copy path", self._view.copy_paths)
        menu.popup(self._view.viewport().mapToGlobal(place))

    @Slot(int)
    def _relabel_by_digit(self, digit: int) -> None:
        if self._menu is not None:
            self._tell_menu()
            self._menu.relabel_by_digit(digit)

    @Slot()
    def _set_aside(self) -> None:
        if self._edits is not None:
            self._edits.set_aside(self.chosen_paths())

    @Slot()
    def _take_back(self) -> None:
        if self._edits is not None:
            self._edits.take_back(self._decided())

    @Slot()
    def _open_current(self) -> None:
        self._open(self._view.currentIndex())

    @Slot()
    def _show_in_file_manager(self) -> None:
        file_manager.show_file(Path(self.chosen_paths()[0]))


class _DatasetView(GridView):
    digit_pressed = Signal(int)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        digit = digit_of(event)
        if digit is not None:
            self.digit_pressed.emit(digit)
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_paths()
        else:
            super().keyPressEvent(event)

    @Slot()
    def copy_paths(self) -> None:
        """Put the paths of the chosen pictures on the clipboard, one a line."""
        rows = self.model()
        assert isinstance(rows, DatasetRows)
        QGuiApplication.clipboard().setText("\n".join(rows.path(row) for row in self.chosen_rows()))


class _PlaceKept:
    """While rows change: the pictures chosen before stay chosen, and the place in the grid is kept."""

    def __init__(self, view: GridView, rows: DatasetRows) -> None:
        self._view, self._rows = view, rows

    def __enter__(self) -> None:
        self._chosen = [self._rows.path(row) for row in self._view.chosen_rows()]
        self._current = self._view.currentIndex().row()
        self._current_path = self._rows.path(self._current) if self._current >= 0 else ""
        self._offset = self._view.verticalScrollBar().value()

    def __exit__(self, *_: object) -> None:
        found = (self._rows.row_of(path) for path in self._chosen)
        chosen = sorted(row for row in found if row is not None)
        current = self._rows.row_of(self._current_path)
        if current is None:
            # The picture has left the view: its neighbour is next in turn.
            current = min(self._current, self._rows.rowCount() - 1)
            chosen = chosen or ([current] if self._chosen and current >= 0 else [])
        self._view.updateGeometries()
        self._view.verticalScrollBar().setValue(self._offset)
        self._view.setAutoScroll(False)
        self._view.choose_rows(chosen, current)
        self._view.setAutoScroll(True)


if __name__ == "__main__":
    app = QApplication(sys.argv)
    theme.apply(app, "system")
    grid = DatasetGrid()
    images = tuple(ImageRecord(path, number % 2, None, "", 64, 64) for number, path in enumerate(sys.argv[1:]))
    grid.show_index(DatasetIndex(("examples",), ("ants", "bees"), images, (), 0.1))
    grid.resize(900, 600)
    grid.show()
    app.exec()
