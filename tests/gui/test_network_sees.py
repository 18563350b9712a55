"""The crop that is outlined and the square beside it are the network's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from tests.gui.data_sets import opened
from tlstudio.core.backbones import backbone
from tlstudio.core.images import network_view, read_image
from tlstudio.gui.widgets.network_sees import NetworkSees, taken_of

LEFT = Qt.MouseButton.LeftButton


def pixels(image: QImage) -> np.ndarray:
    """RGB of a QImage, uint8 (height, width, 3)."""
    plain = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    return rows[:, : 3 * plain.width()].reshape(plain.height(), plain.width(), 3)


def marked(width: int, height: int) -> Image.Image:
    """A picture whose colours tell where a pixel lies."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([across, down, np.full_like(across, 99)]).astype(np.uint8))


@pytest.fixture
def shown(qtbot, tmp_path):
    for name, sizes in {"long": [(900, 300), (400, 300)], "tall": [(300, 600), (320, 300)]}.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            marked(*size).save(tmp_path / "pictures" / name / f"{number}.png")
    edits = opened(qtbot, tmp_path / "pictures")
    widget = NetworkSees(edits)
    widget.edits = edits
    qtbot.addWidget(widget)
    widget.resize(1000, 500)
    widget.show()
    edits.changed.connect(widget.show_index)
    widget.show_preprocessing(backbone("resnet18").preprocessing())
    widget.show_index(edits.index)
    qtbot.waitUntil(lambda: widget.seen() is not None)
    return widget


def button(widget: NetworkSees, text: str) -> QPushButton:
    return next(found for found in widget.findChildren(QPushButton) if text in found.text().replace("&", ""))


def test_the_square_is_the_networks_own_for_every_framing(qtbot, shown):
    prepared = backbone("resnet18").preprocessing()
    for framing in ("fit", "stretch", "fill"):
        with qtbot.waitSignal(shown.edits.changed):
            QTest.keyClick(shown.choice(framing), Qt.Key.Key_Space)
        assert shown.edits.setup.reading.framing == framing
        image = read_image(Path(shown.path()), prepared.resize_px)
        wanted = network_view(image, prepared.resize_px, prepared.crop_px, prepared.interpolation, framing)
        qtbot.waitUntil(lambda w=wanted: shown.seen() is not None and (pixels(shown.seen().square) == w).all())


def test_the_outline_is_where_the_square_comes_from(shown):
    """The colours at the square's corners say where in the picture they were."""
    taken, square = shown.seen().taken, pixels(shown.seen().square)
    across = square[112, :, 0].astype(float) / 255
    assert across[0] == pytest.approx(taken.left(), abs=0.01)
    assert across[-1] == pytest.approx(taken.right(), abs=0.01)
    down = square[:, 112, 1].astype(float) / 255
    assert down[0] == pytest.approx(taken.top(), abs=0.01)
    assert down[-1] == pytest.approx(taken.bottom(), abs=0.01)


def test_a_square_picture_loses_the_same_on_every_side():
    taken = taken_of(512, 512, 256, 224)
    assert (taken.left(), taken.top(), taken.width()) == (0.0625, 0.0625, 0.875)


def test_the_way_through_the_pictures(qtbot, shown):
    first = shown.path()
    assert not button(shown, "Previous").isEnabled()
    QTest.mouseClick(button(shown, "Next picture"), LEFT)
    assert shown.path() != first
    QTest.mouseClick(button(shown, "The longest"), LEFT)
    assert shown.path().endswith("long/0.png")
    shown.go_to(first)
    assert shown.path() == first


def test_a_picture_that_has_gone_is_said_to_be(qtbot, shown):
    Path(shown.path()).rename(shown.path() + ".gone")
    QTest.mouseClick(button(shown, "Next picture"), LEFT)
    QTest.mouseClick(button(shown, "Previous"), LEFT)
    qtbot.waitUntil(lambda: shown.seen() is None)
