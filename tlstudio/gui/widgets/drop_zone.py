"""Where pictures are dropped, in folders or a zip archive, with a drawing of what such a folder looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QApplication, QFrame, QLabel, QVBoxLayout, QWidget

from tlstudio.core.archives import is_archive
from tlstudio.core.labels_table import TABLE_SUFFIXES
from tlstudio.gui import theme

DRAWING_SIZE = QSize(300, 172)
SENTENCE = (
    "One folder inside it for each class, a table of labels, or classes in the names of the files. A zip archive does "
    "as well. The pictures stay where they are."
)
EXAMPLE_CLASSES = ("bees", "ants", "wasps")


class DropZone(QFrame):
    """Takes folders and files by drop and paste. The drawing is left out where there is little room."""

    dropped = Signal(object)
    """The tuple of paths that were dropped or pasted, folders or not."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Drop zone for folders of pictures")
        self.setAccessibleDescription(f"Drop or paste it here. {SENTENCE}")
        self._hovered = False
        self._drawing = QLabel()
        self._drawing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title = QLabel("Drop a folder of pictures here")
        self._title.setProperty("role", "title")
        self._sentence = QLabel(SENTENCE)
        self._sentence.setProperty("role", "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, theme.SPACE, theme.SPACE, theme.SPACE)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addStretch()
        layout.addWidget(self._drawing)
        for label in (self._title, self._sentence):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(True)
            layout.addWidget(label)
        layout.addStretch()
        self._draw()

    def set_compact(self, compact: bool) -> None:
        """Leave out the drawing, to make room for other things on the page."""
        self._drawing.setVisible(not compact)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if paths_in(event.mimeData()):
            event.acceptProposedAction()
            self._hovered = True
            self.update()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._hovered = False
        self.update()

    def dropEvent(self, event: QDropEvent) -> None:
        self._hovered = False
        self.update()
        event.acceptProposedAction()
        self.dropped.emit(paths_in(event.mimeData()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        paths = paths_in(QGuiApplication.clipboard().mimeData())
        if event.matches(QKeySequence.StandardKey.Paste) and paths:
            self.dropped.emit(paths)
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._draw()

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        marked = self._hovered or self.hasFocus()
        pen = QPen(QColor(tokens.accent if marked else tokens.outline), 2 if marked else 1.5)
        pen.setStyle(Qt.PenStyle.SolidLine if self._hovered else Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.setBrush(QColor(tokens.tint if self._hovered else tokens.surface))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 2 * theme.CORNER_PX, 2 * theme.CORNER_PX)

    def _draw(self) -> None:
        self._drawing.setPixmap(_folder_drawing())


def paths_in(mime: QMimeData | None) -> tuple[Path, ...]:
    """Return the local files and folders that a drop or the clipboard holds."""
    if mime is None:
        return ()
    return tuple(Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile())


def folders_and_archives(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return what pictures can be taken from among the paths."""
    return tuple(path for path in paths if path.is_dir() or is_archive(path))


def tables(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files among the paths that may tell the classes."""
    return tuple(path for path in paths if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())


def _folder_drawing() -> QPixmap:
    """Return a drawing of a folder with a folder of pictures for each of three classes."""
    tokens = theme.current()
    ratio = max((screen.devicePixelRatio() for screen in QGuiApplication.screens()), default=1.0)
    pixmap = QPixmap(DRAWING_SIZE * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.drawPixmap(8, 0, theme.icon_pixmap("folder", 40, tokens.muted))
    painter.setPen(QColor(tokens.text))
    painter.drawText(QRectF(56, 0, 200, 40), Qt.AlignmentFlag.AlignVCenter, "insects")
    for row, name in enumerate(EXAMPLE_CLASSES):
        top = 46 + 42 * row
        painter.setPen(QPen(QColor(tokens.outline), 1.5))
        painter.drawLine(28, top - (4 if row == 0 else 24), 28, top + 17)
        painter.drawLine(28, top + 17, 44, top + 17)
        painter.drawPixmap(50, top + 1, theme.icon_pixmap("folder", 32, tokens.muted))
        painter.setPen(QColor(tokens.text))
        painter.drawText(QRectF(90, top, 70, 34), Qt.AlignmentFlag.AlignVCenter, name)
        for column in range(4):
            painter.drawPixmap(156 + 34 * column, top + 3, theme.icon_pixmap("picture", 28, tokens.classes[row]))
    painter.end()
    return pixmap


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    zone = DropZone()
    zone.resize(700, 400)
    zone.show()
    app.exec()
