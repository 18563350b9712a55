"""One picture, large: as a part of a page and as a window of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, QSize, Qt, Signal, Slot
from PySide6.QtGui import QImage, QKeyEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from tlstudio.core.images import UnreadableImage, read_image
from tlstudio.core.results import Prediction
from tlstudio.gui import theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.widgets.probability_bars import ProbabilityBars

LARGE_PX = 1600
MOST_ENLARGED = 4


def load_picture(path: str, side_px: int) -> QImage | str:
    """Return the picture upright, its long side at most `side_px`, or why it cannot be shown. Safe on any thread."""
    try:
        image = read_image(Path(path), shrink_to_px=side_px)
    except UnreadableImage as error:
        return str(error)
    image.thumbnail((side_px, side_px))
    pixels = np.ascontiguousarray(np.asarray(image))
    height, width, _ = pixels.shape
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class PictureLoader(QObject):
    """Reads pictures away from the window's thread."""

    loaded = Signal(str, object)
    """(path, a QImage, or a sentence that says why it cannot be shown)."""

    def __init__(self, side_px: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._side_px = side_px
        self._background = Background(self)
        self._background.done.connect(self._deliver)

    def request(self, path: str) -> None:
        """Read one picture; `loaded` brings it."""
        side_px = self._side_px
        self._background.start(path, lambda: load_picture(path, side_px))

    def forget(self) -> None:
        """Drop what was requested and has not come."""
        self._background.forget()

    @Slot(object, object)
    def _deliver(self, path: str, loaded: QImage | str) -> None:
        self.loaded.emit(path, loaded)


class PictureView(QWidget):
    """Shows a picture as large as there is room for, at most four times its size, never cropped."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path = ""
        self._message = ""
        self._pixmap = QPixmap()
        self._loader = PictureLoader(LARGE_PX, self)
        self._loader.loaded.connect(self._show_loaded)
        self.setMinimumSize(160, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_path(self, path: str) -> None:
        """Show the picture of that path, or nothing for an empty one."""
        self._loader.forget()
        self._path = path
        self._pixmap = QPixmap()
        self._message = ""
        self.setAccessibleName(f"Picture {Path(path).name}" if path else "No picture")
        if path:
            self._loader.request(path)
        self.update()

    def has_picture(self) -> bool:
        """Return whether the picture has been read and is shown."""
        return not self._pixmap.isNull()

    def message(self) -> str:
        """Return why there is no picture, once that is known."""
        return self._message

    def sizeHint(self) -> QSize:
        return QSize(480, 360)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self._pixmap.isNull():
            painter.setPen(theme.current().muted)
            message = self._message or ("Reading …" if self._path else "")
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, message)
            return
        size = self._pixmap.size().scaled(
            self.size().boundedTo(self._pixmap.size() * MOST_ENLARGED), Qt.AspectRatioMode.KeepAspectRatio
        )
        left, top = (self.width() - size.width()) // 2, (self.height() - size.height()) // 2
        painter.drawPixmap(left, top, size.width(), size.height(), self._pixmap)

    @Slot(str, object)
    def _show_loaded(self, path: str, loaded: QImage | str) -> None:
        if path != self._path:
            return
        if isinstance(loaded, str):
            self._message = loaded
        else:
            self._pixmap = QPixmap.fromImage(loaded)
        self.update()


class ImageViewer(QDialog):
    """A window with one picture, what the model says about it, and the way to its neighbours."""

    def __init__(self, predictions: Sequence[Prediction], classes: Sequence[str], first: int, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._predictions = predictions
        self._classes = classes
        self._position = first
        self._picture = PictureView()
        self._caption = QLabel()
        self._caption.setProperty("role", "lead")
        self._file = QLabel()
        self._file.setProperty("role", "muted")
        for label in (self._caption, self._file):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._bars = ProbabilityBars()
        self._previous = QPushButton("Previous")
        self._previous.clicked.connect(self._show_previous)
        self._next = QPushButton("Next")
        self._next.clicked.connect(self._show_next)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addWidget(self._previous)
        buttons.addWidget(self._next)
        buttons.addStretch(1)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._picture, 1)
        layout.addWidget(self._caption)
        layout.addWidget(self._bars)
        layout.addWidget(self._file)
        layout.addLayout(buttons)
        self.resize(760, 720)
        self._show(first)

    def position(self) -> int:
        """Return which of the pictures is shown."""
        return self._position

    def caption(self) -> str:
        """Return what is said about the picture."""
        return self._caption.text()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Left:
                self._show_previous()
            case Qt.Key.Key_Right:
                self._show_next()
            case _:
                super().keyPressEvent(event)

    @Slot()
    def _show_previous(self) -> None:
        self._show(max(0, self._position - 1))

    @Slot()
    def _show_next(self) -> None:
        self._show(min(len(self._predictions) - 1, self._position + 1))

    def _show(self, position: int) -> None:
        self._position = position
        prediction = self._predictions[position]
        self.setWindowTitle(Path(prediction.path).name)
        self._picture.show_path(prediction.path)
        self._caption.setText(in_words(prediction))
        self._file.setText(prediction.path)
        self._bars.show_probabilities(self._classes, prediction.probabilities)
        self._previous.setEnabled(position > 0)
        self._next.setEnabled(position < len(self._predictions) - 1)


def in_words(prediction: Prediction) -> str:
    """Return what the model says about a picture, and the truth where somebody knows it."""
    given = f"given “{prediction.class_}” ({words.percent(prediction.probability)})"
    if prediction.truth is None:
        return given[0].upper() + given[1:]
    if prediction.truth == prediction.class_:
        return f"Truly “{prediction.truth}”, and {given}: right"
    return f"Truly “{prediction.truth}”, but {given}: wrong"


if __name__ == "__main__":
    app = QApplication(sys.argv)
    theme.apply(app, "system")
    files = sys.argv[1:] or ["no-such-picture.jpg"]
    examples = [
        Prediction(path=file, class_="crack", probability=0.7, probabilities=(0.7, 0.2, 0.1), truth="free")
        for file in files
    ]
    window = QWidget()
    ImageViewer(examples, ("crack", "free", "break"), 0, window).show()
    app.exec()
