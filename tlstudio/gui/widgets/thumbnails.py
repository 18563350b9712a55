"""Small pictures, decoded away from the window's thread: in a grid those in view, elsewhere a row of a few."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from PySide6.QtCore import QObject, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent, QPixmap
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from tlstudio.core.images import Reading, UnreadableImage, decode_noted, read_bytes
from tlstudio.core.picture_cache import PictureCache
from tlstudio.gui import theme
from tlstudio.gui.background import Background

DETAIL = 3
"""Pictures are decoded larger than shown: the central square is what is left of the long side."""
AT_ONCE = 2
KEPT_BYTES = 96 * 2**20
MARGIN_PX = 6
_cache = PictureCache()


def load_picture(path: str, side_px: int, reading: Reading = Reading()) -> QImage | str:
    """Return the picture upright, its long side at most `side_px`, or why it cannot be shown. Safe on any thread.

    Values of more than 8 bits that come without the range of their data set are shown by the picture's own: in that
    of their type most would be black.
    """
    file = Path(path)
    try:
        content = read_bytes(file)
        found = decode_noted(content, file.suffix, side_px, reading)
        if found.low is not None and reading.low is None:
            found = decode_noted(content, file.suffix, side_px, replace(reading, low=found.low, high=found.high))
    except UnreadableImage as error:
        return str(error)
    found.image.thumbnail((side_px, side_px))
    return as_qimage(found.image)


def load_thumbnail(path: str, content: str, side_px: int, reading: Reading = Reading()) -> QImage | str:
    """Return the small picture kept since the scan for that SHA-256, or else as `load_picture` does."""
    kept = _cache.thumbnail(content) if content else None
    if kept is None:
        return load_picture(path, side_px, reading)
    with Image.open(io.BytesIO(kept)) as image:
        image.draft("RGB", (side_px, side_px))
        return as_qimage(image.convert("RGB"))


class PictureLoader(QObject):
    """Reads pictures away from the window's thread."""

    loaded = Signal(str, object)
    """(path, a QImage, or a sentence that says why it cannot be shown)."""

    def __init__(self, side_px: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._side_px = side_px
        self._background = Background(self)
        self._background.done.connect(self._deliver)

    def request(self, path: str, content: str = "", reading: Reading = Reading()) -> None:
        """Read one picture, or take the small one kept for that SHA-256; `loaded` brings it."""
        side_px = self._side_px
        self._background.start(path, lambda: load_thumbnail(path, content, side_px, reading))

    def forget(self) -> None:
        """Drop what was requested and has not come."""
        self._background.forget()

    @Slot(object, object)
    def _deliver(self, path: str, loaded: QImage | str) -> None:
        self.loaded.emit(path, loaded)


class Thumbnails(QObject):
    """Square thumbnails of the pictures that are wanted now; what is wanted no longer is not read."""

    arrived = Signal(str)
    """The path of a picture whose thumbnail is there."""

    def __init__(self, side_px: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._side_px = side_px
        self._ratio = 1.0
        self._reading = Reading()
        self._kept: OrderedDict[str, QPixmap] = OrderedDict()
        self._wanted: list[tuple[str, str]] = []
        self._under_way: set[str] = set()
        self._background = Background(self)
        self._background.done.connect(self._take)

    def set_look(self, side_px: int, ratio: float = 1.0, reading: Reading = Reading()) -> None:
        """Read for squares of that side, on a screen with so many dots a pixel."""
        if (side_px, ratio, reading) != (self._side_px, self._ratio, self._reading):
            self._side_px, self._ratio, self._reading = side_px, ratio, reading
            self.forget()

    def want(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Read these (path, SHA-256 or "") next, in this order, and none that was wanted before and is not here."""
        self._wanted = [
            (path, content) for path, content in pictures if path not in self._kept and path not in self._under_way
        ]
        self._wanted.reverse()
        self._start()

    def get(self, path: str) -> QPixmap | None:
        """Return the thumbnail if it is there."""
        found = self._kept.get(path)
        if found is not None:
            self._kept.move_to_end(path)
        return found

    def forget(self) -> None:
        """Drop everything: the colours or the size have changed."""
        self._background.forget()
        self._kept.clear()
        self._wanted.clear()
        self._under_way.clear()

    def _start(self) -> None:
        side_px = round(self._side_px * self._ratio)
        while self._wanted and len(self._under_way) < AT_ONCE:
            path, content = self._wanted.pop()
            self._under_way.add(path)
            self._background.start(path, partial(_square, path, content, side_px, self._reading))

    @Slot(object, object)
    def _take(self, path: str, loaded: QImage | str) -> None:
        self._under_way.discard(path)
        pixmap = placeholder(self._side_px, loaded) if isinstance(loaded, str) else QPixmap.fromImage(loaded)
        if isinstance(loaded, QImage):
            pixmap.setDevicePixelRatio(self._ratio)
        self._kept[path] = pixmap
        if len(self._kept) > KEPT_BYTES / (4 * (self._side_px * self._ratio) ** 2):
            self._kept.popitem(last=False)
        self._start()
        self.arrived.emit(path)


class ThumbnailStrip(QWidget):
    """A row of small square pictures."""

    def __init__(self, side_px: int, count: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side_px, self._count = side_px, count
        self._paths: tuple[str, ...] = ()
        self._images: dict[str, QImage] = {}
        self._loader = PictureLoader(DETAIL * side_px, self)
        self._loader.loaded.connect(self._keep)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_pictures(self, paths: Sequence[str], contents: Sequence[str] = (), reading: Reading = Reading()) -> None:
        """Show the first few of these pictures; with their SHA-256 the ones kept since the scan are used."""
        self._loader.forget()
        self._images.clear()
        self._paths = tuple(paths[: self._count])
        for position, path in enumerate(self._paths):
            self._loader.request(path, contents[position] if contents else "", reading)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        gap = theme.SPACE_TIGHT
        shown = len(self._paths) or self._count
        return QSize(shown * (self._side_px + gap) - gap, self._side_px)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_strip(painter, QRectF(self.rect()), self._side_px, [self._images.get(path) for path in self._paths])

    @Slot(str, object)
    def _keep(self, path: str, image: QImage | str) -> None:
        if isinstance(image, QImage):
            self._images[path] = image
            self.update()


def paint_strip(painter: QPainter, place: QRectF, side_px: int, images: Sequence[QImage | None]) -> None:
    """Paint the central squares of pictures side by side; where one is still missing, its place."""
    painter.save()
    painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
    for position, image in enumerate(images):
        left = place.left() + position * (side_px + theme.SPACE_TIGHT)
        square = QRectF(left, place.center().y() - side_px / 2, side_px, side_px)
        outline = QPainterPath()
        outline.addRoundedRect(square, theme.SPACE_TIGHT, theme.SPACE_TIGHT)
        painter.setClipPath(outline)
        painter.fillRect(square, QColor(theme.current().window))
        if image is not None:
            side = min(image.width(), image.height())
            middle = QRectF((image.width() - side) / 2, (image.height() - side) / 2, side, side)
            painter.drawImage(square, image, middle)
    painter.restore()


def placeholder(side_px: int, reason: str) -> QPixmap:
    """Return an outlined square: empty while the picture is read, with the reason if it cannot be."""
    square = QPixmap(side_px, side_px)
    square.fill(Qt.GlobalColor.transparent)
    tokens = theme.current()
    painter = QPainter(square)
    painter.setPen(QColor(tokens.hairline))
    painter.drawRect(square.rect().adjusted(0, 0, -1, -1))
    painter.setPen(QColor(tokens.muted))
    area = square.rect().adjusted(8, 8, -8, -8)
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, reason)
    painter.end()
    return square


def as_qimage(image: Image.Image) -> QImage:
    """Return an RGB picture as Qt knows it."""
    pixels = np.ascontiguousarray(np.asarray(image))
    height, width, _ = pixels.shape
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def _square(path: str, content: str, side_px: int, reading: Reading) -> QImage | str:
    """Return the picture in the middle of a square, so that captions line up."""
    image = load_thumbnail(path, content, side_px, reading)
    if isinstance(image, str):
        return image
    inside = side_px - 2 * MARGIN_PX
    fitted = image.scaled(
        inside, inside, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    square = QImage(side_px, side_px, QImage.Format.Format_ARGB32_Premultiplied)
    square.fill(Qt.GlobalColor.transparent)
    painter = QPainter(square)
    painter.drawImage((side_px - fitted.width()) // 2, (side_px - fitted.height()) // 2, fitted)
    painter.end()
    return square


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    strip = ThumbnailStrip(64, 5)
    strip.show()
    app.exec()
