"""What training makes of the user's own pictures: a few as they are, and beside each the same, changed at random."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from tlstudio.core.augment import Augmentation, changes_in_words, random_square
from tlstudio.core.images import UnreadableImage, network_view, read_image, resize_short_side
from tlstudio.gui import plain_text, theme
from tlstudio.gui.background import Background
from tlstudio.gui.widgets.sentence import Sentence

SHORT_SIDE_PX, NETWORK_PX = 256, 224
"""The sizes of most backbones; how far a change moves a picture depends on them."""
SIDE_PX = 78
"""Of a changed picture on the screen; the unchanged one is as high as two of them."""
DETAIL = 2
"""Pixels kept for each one shown, for dense screens."""
COLUMNS, ROWS = 3, 2
GAP_PX = theme.SPACE_TIGHT + 2
ORIGINAL_PX = ROWS * SIDE_PX + (ROWS - 1) * GAP_PX
SHOWN = 2
MOST_OPENED = 12
"""Files that are tried to find as many pictures as are shown."""
UNREADABLE = "None of your pictures could be opened just now."


class Example(NamedTuple):
    """One picture as it is, and as training may see it."""

    path: str
    original: QImage
    changed: tuple[QImage, ...]


class AugmentationPreview(QWidget):
    """Draws away from the window's thread; pictures that cannot be opened are passed over."""

    renewed = Signal()
    """Other pictures or other changes are in view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: tuple[str, ...] = ()
        self._wanted: Augmentation | None = None
        self._seed = 0
        self._examples: tuple[Example, ...] = ()
        self._background = Background(self)
        self._background.done.connect(self._take)
        self._original_title = Sentence("muted")
        self._original_title.setText("As it is")
        self._original_title.setFixedWidth(ORIGINAL_PX)
        self._changed_title = Sentence("muted")
        self._changed_title.setText("As training may see it")
        self._problem = Sentence("muted")
        self._problem.setText(UNREADABLE)
        self._problem.hide()
        self._rows = tuple(_ExampleRow() for _ in range(SHOWN))
        others = QPushButton("Show &others")
        others.setAccessibleDescription("Takes other pictures of yours and changes them at random.")
        others.clicked.connect(self._show_others)
        titles = QHBoxLayout()
        titles.setSpacing(GAP_PX)
        titles.addWidget(self._original_title)
        titles.addWidget(self._changed_title, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(titles)
        layout.addWidget(self._problem)
        for row in self._rows:
            layout.addWidget(row)
        layout.addWidget(others, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addStretch()
        self.setFixedWidth(self._rows[0].sizeHint().width())

    def show_pictures(self, paths: Sequence[str]) -> None:
        """Choose from these pictures from now on."""
        self._paths = tuple(paths)
        self._seed = 0
        self._renew()

    def show_changes(self, wanted: Augmentation, in_words: str) -> None:
        """Change pictures like this from now on; the words are for those who do not see them."""
        for row in self._rows:
            row.setAccessibleDescription(in_words)
        if wanted != self._wanted:
            self._wanted = wanted
            self._renew()

    def examples(self) -> tuple[Example, ...]:
        """Return what is in view."""
        return self._examples

    def _renew(self) -> None:
        """What is in view stays until there is something to put in its place."""
        self._background.forget()
        if self._paths and self._wanted:
            self._background.start(self._wanted, partial(draw_examples, self._paths, self._wanted, self._seed))

    @Slot()
    def _show_others(self) -> None:
        self._seed += 1
        self._renew()

    @Slot(object, object)
    def _take(self, _wanted: Augmentation, examples: tuple[Example, ...]) -> None:
        self._examples = examples
        for row, example in zip(self._rows, (*examples, *(None,) * SHOWN), strict=False):
            row.show_example(example)
        self._problem.setVisible(not examples)
        self._original_title.setVisible(bool(examples))
        self._changed_title.setVisible(bool(examples))
        self.renewed.emit()


class _ExampleRow(QWidget):
    """One example: the picture large, its changes small beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._example: Example | None = None
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_example(self, example: Example | None) -> None:
        self._example = example
        self.setVisible(example is not None)
        if example:
            self.setAccessibleName(f"{Path(example.path).name}, and {len(example.changed)} random changes of it")
            self.setToolTip(plain_text.tooltip(example.path))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(ORIGINAL_PX + COLUMNS * (SIDE_PX + GAP_PX), ORIGINAL_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        _paint_square(painter, QRectF(0, 0, ORIGINAL_PX, ORIGINAL_PX), self._example and self._example.original)
        for number in range(ROWS * COLUMNS):
            row, column = divmod(number, COLUMNS)
            left = ORIGINAL_PX + GAP_PX + column * (SIDE_PX + GAP_PX)
            square = QRectF(left, row * (SIDE_PX + GAP_PX), SIDE_PX, SIDE_PX)
            _paint_square(painter, square, self._example and self._example.changed[number])


def draw_examples(paths: Sequence[str], wanted: Augmentation, seed: int) -> tuple[Example, ...]:
    """Return up to `SHOWN` examples of pictures drawn by the seed. Safe on any thread."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    for position in rng.permutation(len(paths))[:MOST_OPENED]:
        try:
            image = read_image(Path(paths[position]), shrink_to_px=SHORT_SIDE_PX)
        except UnreadableImage:
            continue
        stored = resize_short_side(image, SHORT_SIDE_PX, "bilinear")
        squares = [
            random_square(stored, NETWORK_PX, Image.Resampling.BILINEAR, wanted, rng) for _ in range(ROWS * COLUMNS)
        ]
        original = network_view(stored, SHORT_SIDE_PX, NETWORK_PX, "bilinear")
        examples.append(
            Example(paths[position], _shown(original, ORIGINAL_PX), tuple(_shown(each, SIDE_PX) for each in squares))
        )
        if len(examples) == SHOWN:
            break
    return tuple(examples)


def _shown(pixels: np.ndarray, side_px: int) -> QImage:
    """Return pixels (side, side, 3) at the size in which they are shown."""
    small = Image.fromarray(np.ascontiguousarray(pixels)).resize((DETAIL * side_px,) * 2, Image.Resampling.LANCZOS)
    return QImage(small.tobytes(), *small.size, 3 * small.width, QImage.Format.Format_RGB888).copy()


def _paint_square(painter: QPainter, square: QRectF, image: QImage | None) -> None:
    """Paint a picture with round corners, or its empty place."""
    outline = QPainterPath()
    outline.addRoundedRect(square, theme.SPACE_TIGHT, theme.SPACE_TIGHT)
    painter.setClipPath(outline)
    if image is None:
        painter.fillRect(square, QColor(theme.current().hairline))
    else:
        painter.drawImage(square, image)


if __name__ == "__main__":
    app = QApplication(sys.argv)
    theme.apply(app, "system")
    preview = AugmentationPreview()
    preview.show_pictures(sys.argv[1:])
    turned = Augmentation(turned=True)
    preview.show_changes(turned, changes_in_words("fine-tune", "linear", len(sys.argv) - 1, turned))
    preview.show()
    app.exec()
