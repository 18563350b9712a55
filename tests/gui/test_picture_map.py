"""The map: marks, hovering, drawing around points, relabelling what was chosen; 50,000 points."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QListWidget, QPushButton, QWidget

from tests.gui.data_sets import classes_of, opened
from tlstudio.core.events import JobEnded, Progress
from tlstudio.core.results import PictureMap
from tlstudio.gui.widgets.map_plot import MARKS, MapPlot, mark_icon, within
from tlstudio.gui.widgets.picture_map import PictureMapPanel

LEFT = Qt.MouseButton.LeftButton
NO_KEYS = Qt.KeyboardModifier.NoModifier


@pytest.fixture(autouse=True)
def every_move_counts(monkeypatch):
    """A test's mouse is faster than the moves that are looked at in a second."""
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", -1)


@pytest.fixture
def panel(qtbot, two_classes) -> PictureMapPanel:
    """A panel that has been given the map of 6 discs on the left and 6 squares on the right."""
    edits = opened(qtbot, two_classes)
    made = PictureMapPanel(edits)
    made.edits = edits
    qtbot.addWidget(made)
    made.resize(1000, 640)
    made.show()
    edits.changed.connect(made.show_index)
    index = edits.index
    assert index is not None
    made.show_index(index)
    paths = tuple(image.path for image in index.images)
    places = tuple((float(image.class_index), float(n % 6)) for n, image in enumerate(index.images))
    made.begin()
    made.receive(Progress(what="Looking at the pictures", done=3, total=12, seconds_left=9.0))
    result = msgspec.to_builtins(PictureMap(paths, places, "pca", 0.42))
    made.receive(JobEnded(status="finished", result=result))
    QApplication.processEvents()
    return made


def draw_around(plot: MapPlot, corners: list[QPoint]) -> None:
    surface = plot.surface()
    QTest.mousePress(surface, LEFT, NO_KEYS, corners[0])
    for corner in corners[1:]:
        QTest.mouseMove(surface, corner)
    QTest.mouseRelease(surface, LEFT, NO_KEYS, corners[-1])


def around(plot: MapPlot, numbers: range) -> list[QPoint]:
    """The corners of a rectangle around points, in pixels of the surface."""
    places = [plot.surface().mapFrom(plot, plot.place(number).toPoint()) for number in numbers]
    left, right = min(p.x() for p in places) - 15, max(p.x() for p in places) + 15
    top, bottom = min(p.y() for p in places) - 8, max(p.y() for p in places) + 8
    return [QPoint(left, top), QPoint(right, top), QPoint(right, bottom), QPoint(left, bottom)]


def button(parent: QWidget, text: str) -> QPushButton:
    return next(b for b in parent.findChildren(QPushButton) if b.isVisible() and b.text().replace("&", "") == text)


def test_drawing_around_pictures_chooses_exactly_them_and_they_can_be_set_aside(qtbot, panel):
    assert "42.0 %" in panel.message()
    discs = panel.paths()[:6]
    draw_around(panel.plot, around(panel.plot, range(6)))
    assert set(panel.chosen()) == set(discs)
    with qtbot.waitSignal(panel.edits.changed):
        QTest.mouseClick(button(panel, "Set aside"), LEFT)
    assert set(classes_of(panel.edits).values()) == {"square"}
    assert list(panel.paths()) == [image.path for image in panel.edits.index.images]
    assert panel.chosen() == ()
    with qtbot.waitSignal(panel.edits.changed):
        panel.edits.history().undo()
    assert len(panel.paths()) == 12


def test_relabelled_pictures_keep_their_place_and_take_another_mark(qtbot, panel):
    places = [panel.plot.place(number) for number in range(12)]
    with qtbot.waitSignal(panel.edits.changed):
        panel.edits.relabel(panel.paths()[:2], "square")
    assert [panel.plot.place(number) for number in range(12)] == places
    assert "later" not in panel.message()


def test_a_hidden_class_is_neither_drawn_around_nor_hovered_over(qtbot, panel):
    classes = panel.findChild(QListWidget)
    assert classes is not None
    item = classes.item(0)
    box = classes.visualItemRect(item)
    QTest.mouseClick(classes.viewport(), LEFT, pos=QPoint(box.left() + 12, box.center().y()))
    assert item.checkState() == Qt.CheckState.Unchecked
    draw_around(panel.plot, around(panel.plot, range(12)))
    assert set(panel.chosen()) == set(panel.paths()[6:])


def test_hovering_shows_the_picture_and_a_click_opens_it(qtbot, panel):
    place = panel.plot.surface().mapFrom(panel.plot, panel.plot.place(2).toPoint())
    QTest.mouseMove(panel.plot.surface(), place + QPoint(60, 0))
    QTest.mouseMove(panel.plot.surface(), place)
    shown = [label for label in panel.findChildren(QLabel) if "disc_002.png" in label.text()]
    assert shown and shown[0].text().startswith("disc\n")
    qtbot.waitUntil(lambda: any(not label.pixmap().isNull() for label in panel.findChildren(QLabel)))
    with qtbot.waitSignal(panel.picture_opened) as heard:
        QTest.mouseClick(panel.plot.surface(), LEFT, pos=place)
    assert heard.args == [panel.paths()[2]]


def test_another_way_of_reading_outdates_the_map(qtbot, panel):
    setup = panel.edits.setup
    with qtbot.waitSignal(panel.edits.changed):
        reading = type(setup.reading)(framing="fit")
        panel.edits.change(msgspec.structs.replace(setup, reading=reading), "Let pictures fit")
    assert "read in another way" in panel.message()


def test_a_failure_is_said_and_can_be_tried_again(qtbot, panel):
    panel.begin()
    panel.receive(JobEnded(status="failed", what="The disk is full.", hint="Free some space."))
    assert "The disk is full. Free some space." in panel.message()
    with qtbot.waitSignal(panel.requested):
        QTest.mouseClick(button(panel, "Lay the pictures out"), LEFT)


def test_points_in_a_polygon_against_signed_areas():
    random = np.random.default_rng(3)
    points = random.uniform(-1, 1, (500, 2))
    triangle = np.array([(-0.7, -0.6), (0.8, -0.2), (0.1, 0.9)])
    sides = [
        (triangle[(k + 1) % 3] - triangle[k])[0] * (points - triangle[k])[:, 1]
        - (triangle[(k + 1) % 3] - triangle[k])[1] * (points - triangle[k])[:, 0]
        for k in range(3)
    ]
    assert (within(triangle, points) == (np.array(sides) > 0).all(axis=0)).all()


def test_every_mark_looks_different(qtbot):
    drawn = {mark_icon(number).pixmap(16).toImage().bits().tobytes() for number in range(MARKS)}
    assert len(drawn) == MARKS


def test_many_points_are_drawn_and_chosen_quickly(qtbot):
    random = np.random.default_rng(0)
    plot = MapPlot()
    qtbot.addWidget(plot)
    plot.resize(900, 600)
    plot.show()
    positions = random.normal(size=(50_000, 2))
    started = time.process_time()
    plot.show_points(positions, random.integers(0, 100, 50_000))
    plot.grab()
    assert time.process_time() - started < 5
    started = time.process_time()
    assert within(np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0, 6, 200)]), positions).sum() > 10_000
    assert time.process_time() - started < 1
