"""How smoothly the grid scrolls: ms a frame and lateness of the event loop, against Qt's own list of icons.

    python -m tests.bench.bench_grid [--pictures 50000] [--seconds 8]

Both grids show the same drawn pictures, each a file of its own, and read those in view while they are scrolled.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QSize, Qt, Slot
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QApplication, QListView

from tests.bench.lateness import Lateness
from tests.factories import draw
from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.paths import HOME_VARIABLE
from tlstudio.core.picture_facts import PictureFacts
from tlstudio.gui import theme
from tlstudio.gui.widgets.dataset_grid import DatasetGrid
from tlstudio.gui.widgets.dataset_rows import DatasetRows
from tlstudio.gui.widgets.grid_view import THUMBNAIL_PX
from tlstudio.gui.widgets.thumbnails import PictureLoader

CLASSES = 20
DRAWN = 60


class IconRows(DatasetRows):
    """The same rows with a thumbnail as decoration, as Qt's list wants it."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._thumbnails: dict[str, QIcon | None] = {}
        self._loader = PictureLoader(THUMBNAIL_PX, self)
        self._loader.loaded.connect(self._keep)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role != Qt.ItemDataRole.DecorationRole:
            return super().data(index, role)
        path = self.path(index.row())
        if path not in self._thumbnails:
            self._thumbnails[path] = None
            self._loader.request(path)
        return self._thumbnails[path]

    @Slot(str, object)
    def _keep(self, path: str, image: object) -> None:
        self._thumbnails[path] = QIcon(QPixmap.fromImage(image))
        row = self.row_of(path)
        if row is not None:
            self.dataChanged.emit(self.index(row), self.index(row), [Qt.ItemDataRole.DecorationRole])


def drawn_index(folder: Path, count: int) -> DatasetIndex:
    """Return a data set of so many small picture files."""
    drawn = [draw(("disc", "square", "cross")[number % 3], number, 160) for number in range(DRAWN)]
    images = []
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if number < DRAWN:
            drawn[number].save(path, quality=85)
        else:
            path.hardlink_to(folder / f"{number % DRAWN:06}.jpg")
        facts = PictureFacts(f"{number:064}", str(number), 160, 160, 4000, "JPEG", number % 97 / 97, number % 89 / 89)
        images.append(ImageRecord(str(path), number % CLASSES, None, str(number), 160, 160, "", facts))
    classes = tuple(f"class {number:02}" for number in range(CLASSES))
    return DatasetIndex((str(folder),), classes, tuple(images), (), 0.1)


def wait_until(reached: Callable[[], bool]) -> None:
    while not reached():
        QApplication.processEvents()


def scroll(name: str, view: QAbstractItemView, seconds: float) -> None:
    """Scroll by wheel steps and by leaps, and print what a user would feel."""
    frames, bar, lateness = [], view.verticalScrollBar(), Lateness()
    end = time.monotonic() + seconds
    steps = 0
    while time.monotonic() < end:
        steps += 1
        leap = bar.maximum() // 7 if steps % 50 == 0 else 60
        began = time.perf_counter()
        bar.setValue((bar.value() + leap) % max(1, bar.maximum()))
        view.viewport().repaint()
        frames.append((time.perf_counter() - began) * 1000)
        for _ in range(3):
            QApplication.processEvents()
            time.sleep(0.005)
    shown = " ".join(f"{value:7.2f}" for value in np.percentile(frames, [50, 99]))
    late = " ".join(f"{value:7.2f}" for value in [*np.percentile(lateness.late_ms, [50, 99]), max(lateness.late_ms)])
    print(f"{name:24} frame p50 p99 {shown} ms   late p50 p99 max {late} ms   ({len(frames)} frames)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Smoothness of the grid of pictures")
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ[HOME_VARIABLE] = f"{place}/home"
        app = QApplication([])
        theme.apply(app, "light")
        folder = Path(place) / "pictures"
        folder.mkdir()
        index = drawn_index(folder, arguments.pictures)

        grid = DatasetGrid()
        grid.resize(1000, 700)
        grid.show()
        began = time.perf_counter()
        grid.show_index(index)
        lateness = Lateness()
        wait_until(lambda: len(grid.pictures()) == arguments.pictures)
        wait_until(lambda: grid.view().thumbnail(grid.pictures()[0].path) is not None)
        print(
            f"the grid shows after {time.perf_counter() - began:.2f} s, event loop late by {max(lateness.late_ms):.0f}"
        )
        scroll("the grid", grid.view(), arguments.seconds)
        for sort in range(1, 5):
            began = time.perf_counter()
            grid._sort.setCurrentIndex(sort)
            print(f"sorted {grid._sort.currentText().lower()} in {(time.perf_counter() - began) * 1000:.0f} ms")
        began = time.perf_counter()
        grid.view().selectAll()
        print(f"all chosen in {(time.perf_counter() - began) * 1000:.0f} ms")
        grid.close()

        icons = QListView()
        rows = IconRows(icons)
        rows.replace(grid.pictures())
        icons.setViewMode(QListView.ViewMode.IconMode)
        icons.setResizeMode(QListView.ResizeMode.Adjust)
        icons.setMovement(QListView.Movement.Static)
        icons.setUniformItemSizes(True)
        icons.setIconSize(QSize(THUMBNAIL_PX, THUMBNAIL_PX))
        icons.setGridSize(QSize(THUMBNAIL_PX + 40, THUMBNAIL_PX + 48))
        icons.setModel(rows)
        icons.resize(820, 600)
        began = time.perf_counter()
        icons.show()
        wait_until(lambda: icons.verticalScrollBar().maximum() > 0)
        print(f"Qt's list shows after {time.perf_counter() - began:.2f} s, all of it in the window's thread")
        scroll("Qt's list of icons", icons, arguments.seconds)


if __name__ == "__main__":
    main()
