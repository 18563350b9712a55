"""Asking for shortcuts, following the measurement, reading its rows."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from tlstudio.core.events import JobEnded, Progress
from tlstudio.core.results import ShortcutRow
from tlstudio.gui.widgets.shortcuts_panel import ShortcutsPanel, in_short, verdict
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip

LEFT = Qt.MouseButton.LeftButton
BORDER = ShortcutRow("border", 0.93, (0.9, 0.96), 0.5, True, "The border tells 93 % apart.", ("a.png", "b.png"))
SIZE = ShortcutRow("size", 0.97, (0.95, 0.99), 0.9, True, "The size tells a little.")
CAMERA = ShortcutRow("camera", 0.51, (0.45, 0.57), 0.5, False, "The camera tells nothing.", ("a.png",))


@pytest.fixture
def panel(qtbot):
    made = ShortcutsPanel()
    qtbot.addWidget(made)
    made.resize(900, 600)
    made.show()
    return made


def button(panel: ShortcutsPanel, text: str) -> QPushButton:
    return next(b for b in panel.findChildren(QPushButton) if b.isVisible() and b.text().replace("&", "") == text)


def finish(panel: ShortcutsPanel, *rows: ShortcutRow) -> None:
    panel.receive(JobEnded(status="finished", result={"rows": msgspec.to_builtins(rows)}))


def test_rows_are_asked_for_followed_and_shown(qtbot, panel):
    assert panel.is_untried()
    with qtbot.waitSignal(panel.requested):
        QTest.mouseClick(button(panel, "Look for shortcuts"), LEFT)
    assert not panel.is_untried() and not panel.is_known()
    panel.receive(Progress(what="Trying the border", done=1, total=6))
    with qtbot.waitSignal(panel.found):
        finish(panel, BORDER, CAMERA)
    assert panel.rows() == (BORDER, CAMERA) and panel.is_known()
    assert "One thing besides your subject" in panel.verdict()
    # Pictures are shown where there is something to see in them.
    qtbot.waitUntil(lambda: sum(strip.isVisible() for strip in panel.findChildren(ThumbnailStrip)) == 1)


def test_a_changed_set_up_outdates_the_rows(panel):
    panel.begin()
    finish(panel, BORDER)
    panel.outdate()
    assert not panel.is_known() and panel.verdict().startswith("Your set-up has changed")


def test_a_change_while_it_measures_stops_it(qtbot, panel):
    panel.begin()
    with qtbot.waitSignal(panel.stop_requested):
        panel.outdate()
    panel.receive(JobEnded(status="stopped"))
    assert "Could a classifier take a shortcut?" in panel.verdict()


def test_cancel_and_failure_lead_back_to_the_question(qtbot, panel):
    panel.begin()
    with qtbot.waitSignal(panel.stop_requested):
        QTest.mouseClick(button(panel, "Cancel"), LEFT)
    panel.receive(JobEnded(status="stopped"))
    panel.begin()
    panel.receive(JobEnded(status="failed", what="The share is gone.", hint="Connect it."))
    assert "The share is gone. Connect it." in panel.verdict()
    panel.allow("The regimes are racing. One thing at a time.")
    assert not button(panel, "Look for shortcuts").isEnabled()


def test_the_strongest_is_the_one_furthest_above_guessing():
    assert in_short((SIZE, BORDER)) == "The classes can be told apart by the border alone (93.0 %)."
    assert in_short((CAMERA,)) == ""
    assert "2 things" in verdict((SIZE, BORDER)) and verdict((CAMERA,)).startswith("None of these")
