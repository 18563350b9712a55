"""What else could tell the classes apart: the border, the size, the camera. A bar each against guessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.events import JobEnded
from tlstudio.core.results import ShortcutRow
from tlstudio.gui import theme, words
from tlstudio.gui.layouts import remove_all
from tlstudio.gui.widgets.measured_panel import MeasuredPanel, MeasuredWords
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip

BAR_PX = 10
CAP_PX = 4
EXAMPLES = 8
EXAMPLE_PX = 56
CLUES = {
    "border": "The border alone",
    "size": "The size of the picture",
    "file type": "The type of file",
    "brightness": "The brightness",
    "sharpness": "The sharpness",
    "camera": "The camera",
}
WHAT = "A classifier takes whatever tells the classes apart, also what is not your subject."
OUTDATED = "Your set-up has changed since this was measured. "


SAYS = MeasuredWords(
    title="Could a classifier take a shortcut?",
    sentence=f"{WHAT} Small tests find out whether the border, the size, the file type or the light give it away.",
    action="Look for shortcuts",
    again="&Measure again",
    working="Looking for shortcuts",
    about=WHAT,
    progress="Measuring",
    failed="This could not be measured",
)


class ShortcutsPanel(MeasuredPanel):
    """Asks for the measurement, follows it, and shows its rows."""

    found = Signal()
    """Other rows are known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(SAYS, parent)
        self._rows: tuple[ShortcutRow, ...] | None = None
        self._tried = False
        self._verdict = Sentence("lead")
        self._list = QVBoxLayout()
        self._list.setSpacing(theme.SPACE_INSIDE)
        self._lay_out(self._results())

    def rows(self) -> tuple[ShortcutRow, ...]:
        """Return what was found, the most telling first."""
        return self._rows or ()

    def is_known(self) -> bool:
        """Return whether this was measured for the set-up as it is, or the user stopped it."""
        return self._rows is not None and not self._outdated

    def is_untried(self) -> bool:
        """Return whether nobody has asked yet, neither the user nor the program."""
        return not self._tried

    def verdict(self) -> str:
        """Return the sentence above the rows, or what is said in their place."""
        return self._verdict.text() if self._shows_results() else self._state.text()

    def outdate(self) -> None:
        """Say that what is shown was measured before the last change; stop what runs."""
        self._outdated = True
        if self._running:
            self.stop_requested.emit()
        elif self._rows is not None:
            self._show_rows()

    @Slot()
    def begin(self) -> None:
        self._tried = True
        super().begin()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._shows_results():  # marks are drawn in colours
            self._show_rows()

    def _take(self, result: dict[str, Any]) -> None:
        self._rows = msgspec.convert(result["rows"], tuple[ShortcutRow, ...])
        self._show_rows()
        self.found.emit()

    def _show_rows(self) -> None:
        remove_all(self._list)
        for row in self.rows():
            self._list.addWidget(_Row(row))
        self._list.addStretch(1)
        self._verdict.setText((OUTDATED if self._outdated else "") + verdict(self.rows()))

    def _results(self) -> QWidget:
        heading = QHBoxLayout()
        heading.addWidget(self._verdict, 1)
        heading.addWidget(self._again, 0, Qt.AlignmentFlag.AlignTop)
        inside = QWidget()
        inside.setLayout(self._list)
        self._list.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(inside)
        shown = QWidget()
        layout = QVBoxLayout(shown)
        layout.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(heading)
        layout.addWidget(scroll, 1)
        return shown


class _Row(QFrame):
    """One clue: how far it gets, what that means, and pictures that it gives away."""

    def __init__(self, row: ShortcutRow, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        name = QLabel(CLUES.get(row.clue, row.clue))
        name.setTextFormat(Qt.TextFormat.PlainText)
        name.setProperty("role", "section")
        figure = QLabel(f"{words.accuracy(row.accuracy, row.interval)}, guessing {words.percent(row.chance)}")
        top = QHBoxLayout()
        top.setSpacing(theme.SPACE_INSIDE)
        if row.works:
            mark = QLabel()
            mark.setPixmap(theme.icon_pixmap("warning", 16, theme.current().warn))
            mark.setAccessibleName("Works")
            top.addWidget(mark)
        top.addWidget(name)
        top.addStretch(1)
        top.addWidget(figure)
        sentence = Sentence("" if row.works else "muted")
        sentence.setText(row.sentence)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, theme.SPACE - 4, theme.SPACE, theme.SPACE - 4)
        layout.setSpacing(theme.SPACE_TIGHT)
        layout.addLayout(top)
        layout.addWidget(_Bar(row))
        layout.addWidget(sentence)
        if row.works and row.examples:
            strip = ThumbnailStrip(EXAMPLE_PX, EXAMPLES)
            strip.show_pictures(row.examples)
            layout.addWidget(strip)


class _Bar(QWidget):
    """An accuracy from 0 to 1 with its interval, and a mark where guessing ends."""

    def __init__(self, row: ShortcutRow, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._row = row
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(240, BAR_PX + 3 * CAP_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = self.height() / 2
        place = QRectF(0, middle - BAR_PX / 2, self.width(), BAR_PX)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens.hairline))
        painter.drawRoundedRect(place, BAR_PX / 2, BAR_PX / 2)
        painter.setBrush(QColor(tokens.warn if self._row.works else tokens.accent))
        painter.drawRoundedRect(
            QRectF(0, place.top(), place.width() * self._row.accuracy, BAR_PX), BAR_PX / 2, BAR_PX / 2
        )
        painter.setPen(QPen(QColor(tokens.text), 1.5))
        low, high = (place.width() * bound for bound in self._row.interval)
        painter.drawLine(QPointF(low, middle), QPointF(high, middle))
        for end in (low, high):
            painter.drawLine(QPointF(end, middle - CAP_PX), QPointF(end, middle + CAP_PX))
        guess = place.width() * self._row.chance
        painter.setPen(QPen(QColor(tokens.text), 1.5, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(guess, 0), QPointF(guess, self.height()))


def verdict(rows: Sequence[ShortcutRow]) -> str:
    """Return what the rows say together."""
    if not rows:
        return "The pictures have nothing that could be tested."
    telling = [row for row in rows if row.works]
    if not telling:
        return "None of these gives the classes away. The dotted line is what guessing reaches."
    if len(telling) == 1:
        return "One thing besides your subject tells the classes apart. Look whether that is what you want to teach."
    return (
        f"{len(telling)} things besides your subject tell the classes apart. "
        "Look whether that is what you want to teach."
    )


def in_short(rows: Sequence[ShortcutRow]) -> str:
    """Return the strongest shortcut for a line among others, or nothing if there is none."""
    telling = [row for row in rows if row.works]
    if not telling:
        return ""
    strongest = max(telling, key=lambda row: row.accuracy - row.chance)
    name = CLUES.get(strongest.clue, strongest.clue).lower()
    return f"The classes can be told apart by {name} ({words.percent(strongest.accuracy)})."


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    panel = ShortcutsPanel()
    example = [
        ShortcutRow("border", 0.93, (0.9, 0.96), 0.5, True, "From the border alone, 93 % can be told apart."),
        ShortcutRow("size", 0.52, (0.45, 0.59), 0.5, False, "The size says nothing about the class."),
    ]
    panel.receive(JobEnded(status="finished", result={"rows": msgspec.to_builtins(example)}))
    panel.resize(900, 500)
    panel.show()
    app.exec()
