"""Small pictures as they are shown, against known values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PySide6.QtGui import QImage, QTextDocument

from tlstudio.core.images import Reading
from tlstudio.gui import plain_text
from tlstudio.gui.widgets.thumbnails import load_picture


def greys(found: QImage | str) -> list[int]:
    assert isinstance(found, QImage)
    return [found.pixelColor(column, 0).red() for column in range(found.width())]


def test_deep_values_are_shown_by_the_range_that_is_given_or_else_by_their_own(tmp_path: Path):
    file = tmp_path / "ramp.tif"
    ramp = np.repeat(np.linspace(1000, 1256, 64).astype(np.uint16)[None], 64, axis=0)
    Image.fromarray(ramp).save(file)
    own = greys(load_picture(str(file), 64))
    assert own[0] <= 2 and own[-1] >= 253 and own == sorted(own)
    assert greys(load_picture(str(file), 64, Reading(low=0, high=65535))) == [
        round(value * 255 / 65535) for value in ramp[0].tolist()
    ]


def test_a_tooltip_shows_the_very_letters_line_by_line():
    text = "<b>x & y</b>.png\n<img src=z>.png"
    document = QTextDocument()
    document.setHtml(plain_text.tooltip(text))
    assert document.toPlainText() == text
