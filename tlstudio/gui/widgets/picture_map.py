"""The pictures laid out by what a network sees in them: alike ones lie together, whatever their class is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, ImageRecord, shown_classes
from tlstudio.core.events import JobEnded
from tlstudio.core.results import PictureMap
from tlstudio.gui import plain_text, theme, words
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.dataset_rows import content_of
from tlstudio.gui.widgets.map_plot import MapPlot, mark_icon
from tlstudio.gui.widgets.measured_panel import MeasuredPanel, MeasuredWords
from tlstudio.gui.widgets.relabel_menu import RelabelMenu
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import PictureLoader, ThumbnailStrip

Method = Literal["pca", "t-sne"]
METHODS: tuple[tuple[Method, str], ...] = (("pca", "Overview (PCA)"), ("t-sne", "Neighbours together (t-SNE)"))
SIDE_PX = 220
HOVER_PX = 144
CHOSEN_SHOWN = 12
CHOSEN_PX = 44
WHAT = "Pictures that look alike to a network lie together. One that lies among another class may be mislabelled."
HOW = "Draw around pictures with the left button to choose them; the right one moves the map, the wheel zooms."


SAYS = MeasuredWords(
    title="See which pictures look alike",
    sentence=WHAT,
    action="Lay the pictures out",
    again="&Lay out again",
    working="Laying the pictures out",
    about=WHAT,
    progress="Looking at the pictures",
    failed="The map could not be made",
)


class PictureMapPanel(MeasuredPanel):
    """Asks for the map by `method`, follows it, and lets the user look around, choose and relabel."""

    picture_opened = Signal(str)
    """The user wants to see this picture large."""
    look_requested = Signal(object)
    """The user wants to look through the pictures of these paths."""

    def __init__(self, edits: DatasetEdits, parent: QWidget | None = None) -> None:
        super().__init__(SAYS, parent)
        self._edits = edits
        self._images: dict[str, ImageRecord] = {}
        self._index: DatasetIndex | None = None
        self._map: PictureMap | None = None
        self._paths: list[str] = []
        """Of the points, in their order."""
        self._chosen: tuple[str, ...] = ()
        self._method = QComboBox()
        for _, title in METHODS:
            self._method.addItem(title)
        self._method.setAccessibleName("How the pictures are laid out")
        self._method.activated.connect(self._lay_out_anew)
        self._sentence = Sentence("muted")
        self.plot = MapPlot()
        self.plot.setAccessibleName("Map of the pictures")
        self.plot.setAccessibleDescription(HOW)
        self.plot.hovered.connect(self._show_hovered)
        self.plot.clicked.connect(self._open_point)
        self.plot.lassoed.connect(self._choose)
        self._hover = QLabel()
        self._hover.setFixedSize(HOVER_PX, HOVER_PX)
        self._hover.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._hover_path = ""
        self._hover_name = Sentence("muted")
        self._loader = PictureLoader(HOVER_PX, self)
        self._loader.loaded.connect(self._show_thumbnail)
        self._classes = QListWidget()
        self._classes.setAccessibleName("Classes on the map")
        self._classes.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._classes.itemChanged.connect(self._show_visible)
        self._chosen_words = Sentence()
        self._strip = ThumbnailStrip(CHOSEN_PX, CHOSEN_SHOWN)
        self._open = QPushButton("L&ook at them")
        self._open.clicked.connect(self._open_chosen)
        self._relabel = QPushButton("&Is really")
        self._menu = RelabelMenu(edits, self)
        self._relabel.setMenu(self._menu)
        self._aside = QPushButton("Set a&side")
        self._aside.clicked.connect(self._set_aside)
        self._lay_out(self._results())

    def method(self) -> Method:
        """Return how the pictures are to be laid out."""
        return METHODS[self._method.currentIndex()][0]

    def paths(self) -> Sequence[str]:
        """Return the pictures on the map, in the order of its points."""
        return self._paths

    def chosen(self) -> tuple[str, ...]:
        """Return the pictures that were drawn around."""
        return self._chosen

    def message(self) -> str:
        """Return what is said beside the map, or in its place."""
        return self._sentence.text() if self._shows_results() else self._state.text()

    def allow(self, why_not: str) -> None:
        super().allow(why_not)
        self._method.setEnabled(not why_not)
        self._method.setToolTip(why_not)

    def show_index(self, index: DatasetIndex) -> None:
        """Follow the set-up: the pictures keep their places and take their classes' marks.

        Where pictures are read in another way than the map was made from, it is outdated.
        """
        if self._index is not None and index.reading != self._index.reading:
            self._outdated = self._map is not None or self._running
            if self._running:
                self.stop_requested.emit()
        self._index = index
        self._images = {image.path: image for image in index.images}
        if self._map is not None:
            self._show_map()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._map is not None:
            self._fill_classes()

    def _end(self, event: JobEnded) -> None:
        super()._end(event)
        if event.status == "stopped" and self._map is not None:
            self._layers.setCurrentIndex(1)

    def _take(self, result: dict[str, Any]) -> None:
        self._map = msgspec.convert(result, PictureMap)
        self._show_map()

    def _show_map(self) -> None:
        assert self._map is not None and self._index is not None
        known = [number for number, path in enumerate(self._map.paths) if path in self._images]
        paths = [self._map.paths[number] for number in known]
        marks = np.array([self._images[path].class_index for path in paths], int)
        if paths != self._paths:
            self._paths = paths
            self.plot.show_points(np.array([self._map.positions[number] for number in known]).reshape(-1, 2), marks)
        else:
            self.plot.show_marks(marks)
        self._fill_classes()
        self._choose_paths([path for path in self._chosen if path in self._images])
        self._sentence.setText(self._in_words())

    def _in_words(self) -> str:
        assert self._map is not None
        sentences = [HOW]
        if self._map.explained is not None:
            sentences.insert(0, f"The two axes show {words.percent(self._map.explained)} of what differs.")
        missing = len(self._images) - len(self._paths)
        if self._outdated:
            sentences.insert(0, "Your pictures are now read in another way than when this map was made.")
        elif missing:
            sentences.insert(0, f"{words.pictures(missing)} came later and are not on this map.")
        return " ".join(sentences)

    def _fill_classes(self) -> None:
        assert self._index is not None
        hidden = {item.text() for item in self._items() if item.checkState() == Qt.CheckState.Unchecked}
        self._classes.blockSignals(True)
        self._classes.clear()
        for number, name in enumerate(self._index.classes):
            item = QListWidgetItem(mark_icon(number), name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked if name in hidden else Qt.CheckState.Checked)
            item.setToolTip(plain_text.tooltip(name))
            self._classes.addItem(item)
        self._classes.blockSignals(False)
        self._show_visible()

    def _items(self) -> list[QListWidgetItem]:
        return [self._classes.item(row) for row in range(self._classes.count())]

    @Slot()
    def _show_visible(self) -> None:
        shown = np.array([item.checkState() == Qt.CheckState.Checked for item in self._items()], bool)
        numbers = np.array([self._images[path].class_index for path in self._paths], int)
        self.plot.show_visible(shown[numbers] if len(numbers) else np.zeros(0, bool))

    @Slot()
    def _lay_out_anew(self) -> None:
        if self._map is not None and self._map.method != self.method():
            self.begin()

    @Slot(int)
    def _show_hovered(self, number: int) -> None:
        self._loader.forget()
        self._hover.clear()
        self._hover_path = "" if number < 0 else self._paths[number]
        self._hover_name.setText("")
        if number >= 0:
            self._hover_name.setText(self._caption(self._hover_path))
            assert self._index is not None
            content = content_of(self._images[self._hover_path].facts)
            self._loader.request(self._hover_path, content, self._index.reading)

    def _caption(self, path: str) -> str:
        assert self._index is not None
        return f"{self._index.classes[self._images[path].class_index]}\n{Path(path).name}"

    @Slot(str, object)
    def _show_thumbnail(self, path: str, image: QImage | str) -> None:
        if path == self._hover_path and isinstance(image, QImage):
            self._hover.setPixmap(QPixmap.fromImage(image))

    @Slot(int)
    def _open_point(self, number: int) -> None:
        self.picture_opened.emit(self._paths[number])

    @Slot()
    def _open_chosen(self) -> None:
        self.look_requested.emit(self._chosen)

    @Slot(object)
    def _choose(self, numbers: np.ndarray) -> None:
        self._choose_paths([self._paths[number] for number in numbers])

    def _choose_paths(self, paths: Sequence[str]) -> None:
        self._chosen = tuple(paths)
        places = {path: number for number, path in enumerate(self._paths)}
        self.plot.show_chosen(np.array([places[path] for path in self._chosen], int))
        self._menu.set_paths(self._chosen)
        self._tray.setVisible(bool(self._chosen))
        if not self._chosen or self._index is None:
            return
        contents = [content_of(self._images[path].facts) for path in self._chosen]
        self._strip.show_pictures(self._chosen, contents, self._index.reading)
        classes = self._index.classes
        counts = Counter(classes[self._images[path].class_index] for path in self._chosen)
        names = [name for name, _ in counts.most_common()]
        self._chosen_words.setText(f"{words.pictures(len(self._chosen))} chosen, of {shown_classes(names)}.")

    @Slot()
    def _set_aside(self) -> None:
        self._edits.set_aside(self._chosen)

    def _results(self) -> QWidget:
        top = QHBoxLayout()
        top.setSpacing(theme.SPACE_INSIDE)
        top.addWidget(self._sentence, 1)
        top.addWidget(self._method)
        top.addWidget(self._again)
        side = QWidget()
        side.setFixedWidth(SIDE_PX)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE_INSIDE)
        column.addWidget(self._classes, 1)
        column.addWidget(self._hover, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self._hover_name)
        self._hover_name.setMinimumHeight(2 * self.fontMetrics().lineSpacing())
        middle = QHBoxLayout()
        middle.setSpacing(theme.SPACE)
        middle.addWidget(self.plot, 1)
        middle.addWidget(side)
        self._tray = QWidget()
        tray = QVBoxLayout(self._tray)
        tray.setContentsMargins(0, 0, 0, 0)
        tray.setSpacing(theme.SPACE_TIGHT)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.SPACE_INSIDE)
        buttons.addWidget(self._chosen_words, 1)
        for button in (self._open, self._relabel, self._aside):
            buttons.addWidget(button)
        tray.addLayout(buttons)
        tray.addWidget(self._strip)
        self._tray.hide()
        shown = QWidget()
        layout = QVBoxLayout(shown)
        layout.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(top)
        layout.addLayout(middle, 1)
        layout.addWidget(self._tray)
        return shown


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    random = np.random.default_rng(0)
    pictures = tuple(ImageRecord(f"{number}.png", number % 3, None, str(number), 64, 64) for number in range(300))
    spots = random.normal(size=(300, 2)) * 0.2 + [[number % 3, number % 2] for number in range(300)]
    panel = PictureMapPanel(DatasetEdits())
    panel.show_index(DatasetIndex(("drawn",), ("ants", "bees", "wasps"), pictures, (), 0.1))
    example = PictureMap(tuple(image.path for image in pictures), tuple(map(tuple, spots.tolist())), "pca", 0.42)
    panel.receive(JobEnded(status="finished", result=msgspec.to_builtins(example)))
    panel.resize(1000, 600)
    panel.show()
    app.exec()
