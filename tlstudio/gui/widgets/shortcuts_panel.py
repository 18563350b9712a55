"""What else could tell the classes apart: the border, the size, the camera. A bar each against guessing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.events import Event, JobEnded, Progress
from tlstudio.core.results import ShortcutRow
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel
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


class ShortcutsPanel(QWidget):
    """Asks for the measurement, follows it, and shows its rows."""

    requested = Signal()
    """The user wants to know; a Shortcuts job's events belong here."""
    stop_requested = Signal()
    found = Signal()
    """Other rows are known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ShortcutRow, ...] | None = None
        self._tried = False
        self._running = False
        self._outdated = False
        self._why_not = ""
        self._state = StatePanel()
        self._state.action_pressed.connect(self.begin)
        self._state.cancelled.connect(self.stop_requested)
        self._verdict = Sentence("lead")
        self._again = QPushButton("&Measure again")
        self._again.clicked.connect(self.begin)
        self._list = QVBoxLayout()
        self._list.setSpacing(theme.SPACE_INSIDE)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._layers = QStackedLayout(self)
        self._layers.addWidget(self._state)
        self._layers.addWidget(self._results())
        self._ask()

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
        return self._verdict.text() if self._layers.currentIndex() else self._state.text()

    def allow(self, why_not: str) -> None:
        """Let the user measure, unless there is a reason not to."""
        self._why_not = why_not
        self._again.setEnabled(not why_not)
        self._again.setToolTip(why_not)
        self._state.allow_action(not why_not, why_not)

    def outdate(self) -> None:
        """Say that what is shown was measured before the last change; stop what runs."""
        self._outdated = True
        if self._running:
            self.stop_requested.emit()
        elif self._rows is not None:
            self._show_rows()

    @Slot()
    def begin(self) -> None:
        """Measure now."""
        self._tried = True
        self._running, self._outdated = True, False
        self._state.work("Looking for shortcuts", WHAT, "Measuring")
        self.setFocus()  # the button that was pressed goes away, and the next one in line might be Cancel
        self._layers.setCurrentIndex(0)
        self.requested.emit()

    @Slot(object)
    def receive(self, event: Event) -> None:
        """Follow the job."""
        match event:
            case Progress():
                self._state.show_progress(event)
            case JobEnded():
                self._running = False
                self._end(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._layers.currentIndex():  # marks are drawn in colours
            self._show_rows()

    def _end(self, event: JobEnded) -> None:
        if event.status == "finished" and event.result is not None:
            self._rows = msgspec.convert(event.result["rows"], tuple[ShortcutRow, ...])
            self._show_rows()
            self.found.emit()
        elif event.status == "failed":
            self._ask("This could not be measured", f"{event.what} {event.hint}".strip())
        else:
            self._ask()

    def _ask(self, title: str = "Could a classifier take a shortcut?", sentence: str = "") -> None:
        more = f"{WHAT} Small tests find out whether the border, the size, the file type or the light give it away."
        self._state.say(title, sentence or more, "Look for shortcuts")
        self._layers.setCurrentIndex(0)
        self.allow(self._why_not)

    def _show_rows(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for row in self.rows():
            self._list.addWidget(_Row(row))
        self._list.addStretch(1)
        self._verdict.setText((OUTDATED if self._outdated else "") + verdict(self.rows()))
        self._layers.setCurrentIndex(1)

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
