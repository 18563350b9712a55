"""Rows of small pictures, decoded away from the window's thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Slot
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from tlstudio.gui import theme
from tlstudio.gui.widgets.image_viewer import PictureLoader

DETAIL = 3
"""Pictures are decoded larger than shown: the central square is what is left of the long side."""


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

    def show_pictures(self, paths: Sequence[str]) -> None:
        """Show the first few of these pictures."""
        self._loader.forget()
        self._images.clear()
        self._paths = tuple(paths[: self._count])
        for path in self._paths:
            self._loader.request(path)
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


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    strip = ThumbnailStrip(64, 5)
    strip.show()
    app.exec()
