"""What becomes of a picture before the network sees it: the part that is taken, and the square that is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image
from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.backbones import BACKBONES, Preprocessing
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.framing import FramingCost, framing_costs, recommendation
from tlstudio.core.images import FRAMINGS, UnreadableImage, network_view, read_image
from tlstudio.gui import theme
from tlstudio.gui.background import Background
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import as_qimage

TITLES = {"fill": "&Fill the square", "fit": "F&it into the square", "stretch": "&Stretch to the square"}
SHOWN_PX = 900
VEIL_OPACITY = 150
"""Of 255, over what is cut off."""
ENLARGED = 2


@dataclass(frozen=True)
class Seen:
    """A picture, the part of it that is taken in shares of its width and height, and the square the network gets."""

    picture: QImage
    taken: QRectF
    square: QImage


class NetworkSees(QWidget):
    """One picture at a time, before and after, and the choice of how pictures become squares."""

    recommended = Signal(str)
    """A sentence on a framing that would suit the pictures better, "" if there is none."""

    def __init__(self, edits: DatasetEdits, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edits = edits
        self._index: DatasetIndex | None = None
        self._prepared = BACKBONES[0].preprocessing()
        self._position = 0
        self._background = Background(self)
        self._background.done.connect(self._show_seen)
        self._picture = _Framed()
        self._square = _Square()
        self._caption = Sentence("muted")
        self._explained = Sentence("muted")
        self._advice = Sentence()
        self._previous = QPushButton("&Previous")
        self._previous.clicked.connect(self._go_back)
        self._next_one = QPushButton("Ne&xt picture")
        self._next_one.clicked.connect(self._go_on)
        self._longest = QPushButton("The &longest picture")
        self._longest.setAccessibleDescription("Go to the picture that is furthest from a square.")
        self._longest.clicked.connect(self._go_to_longest)
        self._group = QButtonGroup(self)
        self._choices: dict[str, QRadioButton] = {}
        self._costs: dict[str, Sentence] = {}
        for framing in FRAMINGS:
            self._choices[framing] = QRadioButton(TITLES[framing])
            self._costs[framing] = Sentence("muted")
            self._group.addButton(self._choices[framing])
        self._group.buttonClicked.connect(self._decide)
        self._lay_out()

    def show_index(self, index: DatasetIndex) -> None:
        """Show the pictures of this set-up; the same picture stays in view."""
        here = self.path()
        self._index = index
        self._position = next((n for n, image in enumerate(index.images) if image.path == here), 0)
        self._choices[index.reading.framing].setChecked(True)
        self._show_costs()
        self._show_picture()

    def show_preprocessing(self, prepared: Preprocessing) -> None:
        """Show what a network sees that takes pictures of these sizes."""
        self._prepared = prepared
        if self._index is not None:
            self._show_costs()
            self._show_picture()

    def go_to(self, path: str) -> None:
        """Show this picture."""
        assert self._index is not None
        self._position = next(n for n, image in enumerate(self._index.images) if image.path == path)
        self._show_picture()

    def path(self) -> str:
        """Return the picture in view, "" for none."""
        return self._index.images[self._position].path if self._index and self._index.images else ""

    def choice(self, framing: str) -> QRadioButton:
        """Return the button of a framing."""
        return self._choices[framing]

    def seen(self) -> Seen | None:
        """Return what is in view, once it was read."""
        return self._picture.seen

    def advice(self) -> str:
        """Return the sentence on which framing suits the pictures."""
        return self._advice.text()

    def _show_costs(self) -> None:
        assert self._index is not None
        images = self._index.images
        if not images:
            return
        costs = framing_costs(
            [image.width_px for image in images],
            [image.height_px for image in images],
            self._prepared.resize_px,
            self._prepared.crop_px,
        )
        for cost in costs:
            self._costs[cost.framing].setText(cost.sentence)
        self._show_advice(costs)

    def _show_advice(self, costs: tuple[FramingCost, ...]) -> None:
        assert self._index is not None
        wanted, why = recommendation(costs)
        self._advice.setText(why)
        self.recommended.emit("" if wanted == self._index.reading.framing else why)

    def _show_picture(self) -> None:
        self._background.forget()
        path = self.path()
        assert self._index is not None
        count = len(self._index.images)
        self._previous.setEnabled(self._position > 0)
        self._next_one.setEnabled(self._position < count - 1)
        if not path:
            return
        image = self._index.images[self._position]
        self._caption.setText(
            f"{self._index.classes[image.class_index]}, {Path(path).name}: {image.width_px:,} x {image.height_px:,} "
            f"pixels. Picture {self._position + 1:,} of {count:,}."
        )
        prepared = msgspec.structs.replace(self._prepared, reading=self._index.reading)
        side = prepared.crop_px
        self._explained.setText(f"The network sees this square of {side} x {side} pixels and nothing else.")
        self._background.start(path, lambda: see(Path(path), prepared))

    @Slot(object, object)
    def _show_seen(self, path: str, found: Seen | str) -> None:
        if path == self.path():
            self._picture.show_seen(found)
            self._square.show_seen(found)

    @Slot()
    def _go_back(self) -> None:
        self._go(self._position - 1)

    @Slot()
    def _go_on(self) -> None:
        self._go(self._position + 1)

    @Slot()
    def _go_to_longest(self) -> None:
        assert self._index is not None
        sides = np.array([(image.width_px, image.height_px) for image in self._index.images])
        self._go(int((sides.max(axis=1) / sides.min(axis=1)).argmax()))

    def _go(self, position: int) -> None:
        self._position = position
        self._show_picture()

    @Slot()
    def _decide(self) -> None:
        framing = next(name for name, button in self._choices.items() if button.isChecked())
        setup = self._edits.setup
        reading = replace(setup.reading, framing=framing)
        title = TITLES[framing].replace("&", "").lower()
        self._edits.change(msgspec.structs.replace(setup, reading=reading), f"Let pictures {title}")

    def _lay_out(self) -> None:
        choices = QVBoxLayout()
        choices.setSpacing(theme.SPACE_TIGHT)
        choices.addWidget(_heading("How a picture becomes a square"))
        for framing in FRAMINGS:
            choices.addWidget(self._choices[framing])
            choices.addWidget(self._costs[framing])
        choices.addSpacing(theme.SPACE_INSIDE)
        choices.addWidget(self._advice)
        choices.addStretch(1)
        side = QWidget()
        side.setFixedWidth(300)
        side.setLayout(choices)
        choices.setContentsMargins(0, 0, 0, 0)
        pictures = QHBoxLayout()
        pictures.setSpacing(theme.SPACE)
        for title, widget, stretch in (
            ("Your picture, and what is taken of it", self._picture, 3),
            ("What the network sees", self._square, 2),
        ):
            column = QVBoxLayout()
            column.addWidget(_heading(title))
            column.addWidget(widget, 1)
            pictures.addLayout(column, stretch)
        below = QHBoxLayout()
        below.setSpacing(theme.SPACE_INSIDE)
        below.addWidget(self._previous)
        below.addWidget(self._next_one)
        below.addWidget(self._longest)
        below.addWidget(self._caption, 1)
        left = QVBoxLayout()
        left.setSpacing(theme.SPACE_INSIDE)
        left.addLayout(pictures, 1)
        left.addWidget(self._explained)
        left.addLayout(below)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        layout.setSpacing(theme.SPACE_PAGE)
        layout.addLayout(left, 1)
        layout.addWidget(side)


class _Framed(QWidget):
    """A picture with what is cut off below a veil, and a line around the rest."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.seen: Seen | None = None
        self._message = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 160)

    def show_seen(self, found: Seen | str) -> None:
        """Show it, or say why there is nothing to show."""
        self.seen, self._message = (None, found) if isinstance(found, str) else (found, "")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(420, 320)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.Antialiasing)
        if self.seen is None:
            _say(painter, self.rect().toRectF(), self._message)
            return
        place = _inside(self.rect().toRectF().adjusted(2, 2, -2, -2), self.seen.picture.size(), ENLARGED)
        painter.drawImage(place, self.seen.picture)
        taken = self.seen.taken
        frame = QRectF(
            place.left() + taken.left() * place.width(),
            place.top() + taken.top() * place.height(),
            taken.width() * place.width(),
            taken.height() * place.height(),
        )
        tokens = theme.current()
        veil = QColor(tokens.window)
        veil.setAlpha(VEIL_OPACITY)
        outside = QPainterPath()
        outside.addRect(place)
        outside.addRect(frame)
        painter.fillPath(outside, veil)
        # Two lines, one of which stands out from any picture.
        for colour, width in ((tokens.surface, 4.0), (tokens.accent, 2.0)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawRect(frame)


class _Square(QWidget):
    """The square that the network gets, enlarged without smoothing anything away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._seen: Seen | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 160)

    def show_seen(self, found: Seen | str) -> None:
        """Show it, or nothing."""
        self._seen = None if isinstance(found, str) else found
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, 320)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._seen is not None:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(_inside(self.rect().toRectF(), self._seen.square.size(), ENLARGED), self._seen.square)


def see(path: Path, prepared: Preprocessing) -> Seen | str:
    """Return what becomes of a picture, or why it cannot be read. Safe on any thread."""
    try:
        image = read_image(path, prepared.resize_px, prepared.reading)
    except UnreadableImage as error:
        return str(error)
    resize, crop, framing = prepared.resize_px, prepared.crop_px, prepared.reading.framing
    square = Image.fromarray(network_view(image, resize, crop, prepared.interpolation, framing))
    taken = taken_of(image.width, image.height, resize, crop) if framing == "fill" else QRectF(0, 0, 1, 1)
    image.thumbnail((SHOWN_PX, SHOWN_PX))
    return Seen(as_qimage(image), taken, as_qimage(square))


def taken_of(width_px: int, height_px: int, resize_px: int, crop_px: int) -> QRectF:
    """Return the part of a picture that filling takes, in shares of its width and height."""
    side = min(width_px, height_px) * crop_px / resize_px
    across, down = side / width_px, side / height_px
    return QRectF((1 - across) / 2, (1 - down) / 2, across, down)


def _inside(place: QRectF, size: QSize, enlarged: int) -> QRectF:
    room = place.size().boundedTo((size * enlarged).toSizeF())
    shown = size.toSizeF().scaled(room, Qt.AspectRatioMode.KeepAspectRatio)
    left = place.left() + (place.width() - shown.width()) / 2
    return QRectF(left, place.top(), shown.width(), shown.height())


def _say(painter: QPainter, place: QRectF, message: str) -> None:
    painter.setPen(QColor(theme.current().muted))
    painter.drawText(place, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, message or "Reading …")


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "section")
    return label


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    panel = NetworkSees(DatasetEdits())
    panel.resize(1000, 520)
    panel.show()
    app.exec()
