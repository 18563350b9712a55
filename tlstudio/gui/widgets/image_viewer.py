"""One picture, large: as a part of a page and as a window of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QImage, QKeyEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from tlstudio.core.images import Reading
from tlstudio.core.results import Prediction
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.probability_bars import ProbabilityBars
from tlstudio.gui.widgets.thumbnails import PictureLoader

LARGE_PX = 1600
MOST_ENLARGED = 4


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

    def show_path(self, path: str, reading: Reading = Reading()) -> None:
        """Show the picture of that path, or nothing for an empty one."""
        self._loader.forget()
        self._path = path
        self._pixmap = QPixmap()
        self._message = ""
        self.setAccessibleName(f"Picture {Path(path).name}" if path else "No picture")
        if path:
            self._loader.request(path, reading=reading)
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


class PictureWindow(QDialog):
    """A window with one of several pictures, what there is to say about it, and the way to its neighbours."""

    def __init__(self, paths: Sequence[str], parent: QWidget, reading: Reading = Reading()) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._paths = paths
        self._reading = reading
        self._position = 0
        self._picture = PictureView()
        # A button with the focus would take the arrows for itself.
        self._picture.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._picture.setFocus()
        self._caption = QLabel()
        self._caption.setProperty("role", "lead")
        self._file = QLabel()
        self._file.setProperty("role", "muted")
        for label in (self._caption, self._file):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._previous = QPushButton("Previous")
        self._previous.clicked.connect(self._show_previous)
        self._next = QPushButton("Next")
        self._next.clicked.connect(self._show_next)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(self._previous)
        self._buttons.addWidget(self._next)
        self._buttons.addStretch(1)
        self._buttons.addWidget(close)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        self._column.setSpacing(theme.SPACE_INSIDE)
        self._column.addWidget(self._picture, 1)
        self._column.addWidget(self._caption)
        self._column.addWidget(self._file)
        self._column.addLayout(self._buttons)
        self.resize(760, 720)

    def describe(self, position: int) -> str:
        """Return what is said about a picture; subclasses may show more of it here."""
        raise NotImplementedError

    def position(self) -> int:
        """Return which of the pictures is shown."""
        return self._position

    def caption(self) -> str:
        """Return what is said about the picture."""
        return self._caption.text()

    def go_to(self, position: int) -> None:
        """Show another picture, the first or the last beyond the ends."""
        self._position = min(max(position, 0), len(self._paths) - 1)
        path = self._paths[self._position]
        self.setWindowTitle(f"{Path(path).name} ({self._position + 1:,} of {len(self._paths):,})")
        self._picture.show_path(path, self._reading)
        self._caption.setText(self.describe(self._position))
        self._file.setText(path)
        self._previous.setEnabled(self._position > 0)
        self._next.setEnabled(self._position < len(self._paths) - 1)

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
        self.go_to(self._position - 1)

    @Slot()
    def _show_next(self) -> None:
        self.go_to(self._position + 1)


class ImageViewer(PictureWindow):
    """Pictures with what the model says about them."""

    def __init__(self, predictions: Sequence[Prediction], classes: Sequence[str], first: int, parent: QWidget) -> None:
        super().__init__([prediction.path for prediction in predictions], parent)
        self._predictions = predictions
        self._classes = classes
        self._bars = ProbabilityBars()
        self._column.insertWidget(self._column.indexOf(self._file), self._bars)
        self.go_to(first)

    def describe(self, position: int) -> str:
        prediction = self._predictions[position]
        self._bars.show_probabilities(self._classes, prediction.probabilities)
        return in_words(prediction)


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
