"""What the bars of a race say, in words and in pixels."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor

from tlstudio.core.results import RaceRow
from tlstudio.gui import theme
from tlstudio.gui.widgets.race_chart import ROW_PX, RaceChart, outcome

ROWS = (
    RaceRow("head", "done", 200, 0.8, (0.7, 0.9), 0.5, 12.0, winner=True, note="The cheapest of the best."),
    RaceRow("cut", "done", 200, 0.4, (0.3, 0.5), 1.0, 300.0),
    RaceRow("fine-tune", "running", 80, 0.6, (0.5, 0.7)),
    RaceRow("full", "waiting"),
    RaceRow("scratch", "left out", note="It would need about 12 minutes."),
)


@pytest.fixture
def chart(qtbot):
    chart = RaceChart()
    qtbot.addWidget(chart)
    chart.resize(400, chart.sizeHint().height())
    chart.show_rows(ROWS)
    chart.show()
    return chart


def test_every_state_is_said():
    assert [outcome(row) for row in ROWS] == [
        "80.0 % (70.0-90.0), 12 s",
        "40.0 % (30.0-50.0), 5 min",
        "60.0 % (50.0-70.0), running …",
        "waiting",
        "left out",
    ]


def test_bars_are_as_long_as_their_accuracy(chart):
    chart.show_rows(ROWS[:4])
    image = chart.grab().toImage()
    tokens = theme.current()
    colours = {QColor(tokens.good).rgb(), QColor(tokens.accent).rgb()}
    for number, row in enumerate(ROWS[:4]):
        # One line of pixels near the lower edge of the bar, clear of the whisker in its middle.
        y = (number + 1) * ROW_PX - 7
        filled = [x for x in range(image.width()) if image.pixel(x, y) in colours]
        if row.accuracy is None:
            assert not filled
        else:
            assert max(filled) / image.width() == pytest.approx(row.accuracy, abs=0.02)


def test_notes_and_results_are_there_for_those_who_do_not_see_bars(chart):
    assert "New head: 80.0 % (70.0-90.0), 12 s. The cheapest of the best." in chart.accessibleDescription()
    assert "It would need about 12 minutes." in chart.toolTip()
    chart.show_rows((), "Nobody raced yet.")
    assert chart.accessibleDescription() == "Nobody raced yet."
    assert not chart.grab().isNull()
