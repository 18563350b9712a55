"""The race of the regimes: how long, how it stands, and who won."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSpinBox, QStackedWidget, QVBoxLayout, QWidget

from tlstudio.core.events import Event, JobEnded, Progress, RaceChanged
from tlstudio.core.regimes import regime_facts
from tlstudio.core.results import RaceRow
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.race_chart import RaceChart
from tlstudio.gui.widgets.sentence import Sentence

DEFAULT_MINUTES, MOST_MINUTES = 5, 24 * 60
MINUTES = "race minutes"
INTRODUCTION = (
    "Every regime trains in short form on a part of your training pictures and is judged on the rest of them. "
    "The pictures that judge the classifier in the end take no part."
)


class RacePanel(QWidget):
    """Asks for a race and shows it. What was found stays until the next race, or until it is forgotten."""

    requested = Signal(float)
    """The user wants a race of so many minutes."""
    stop_requested = Signal()
    winner_chosen = Signal(str)
    """The regime that won, which the user wants to take."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._minutes = QSpinBox()
        self._minutes.setRange(1, MOST_MINUTES)
        self._minutes.setValue(remembered.number(MINUTES, DEFAULT_MINUTES))
        self._minutes.setSuffix(" minutes")
        # A spin box takes no padding from the style sheet.
        self._minutes.lineEdit().setTextMargins(theme.SPACE_TIGHT, 0, 0, 0)
        self._minutes.setAccessibleName("Minutes the race may take")
        self._start = QPushButton("&Race the regimes")
        self._start.clicked.connect(self._ask)
        self._progress = JobProgress()
        self._progress.cancelled.connect(self.stop_requested)
        self._outdated = False
        """The race that runs was begun for other pictures or another network."""
        self._top = QStackedWidget()
        self._chart = RaceChart()
        self._sentence = Sentence("muted")
        self._choose = QPushButton("Choose the w&inner")
        self._choose.clicked.connect(self._choose_winner)
        self._lay_out()
        self.forget()

    def allow(self, why_not: str) -> None:
        """Let the user start a race, unless there is a reason not to."""
        self._start.setEnabled(not why_not)
        self._start.setToolTip(why_not)

    def begin(self) -> None:
        """Show that a race has begun."""
        self._chart.show_rows(())
        self._say("")
        self._progress.begin("Starting the race")
        self._top.setCurrentWidget(self._progress)

    def is_running(self) -> bool:
        """Return whether a race runs."""
        return self._top.currentWidget() is self._progress

    def winner(self) -> RaceRow | None:
        """Return the row that won, if the race is over and one did."""
        return None if self.is_running() else next((row for row in self._chart.rows() if row.winner), None)

    def message(self) -> str:
        """Return the sentence about the race."""
        return self._sentence.text()

    def forget(self) -> None:
        """Show that nothing was raced with these pictures and this network; a race that runs ends unheard."""
        racing = self.is_running()
        self._top.setCurrentIndex(0)
        self._chart.show_rows((), INTRODUCTION)
        self._say("")
        if racing:
            self._outdated = True
            self.stop_requested.emit()

    @Slot(object)
    def receive(self, event: Event) -> None:
        """Take an event of the race."""
        match event:
            case JobEnded() if self._outdated:
                self._outdated = False
            case _ if self._outdated:
                pass
            case Progress(seconds_left=float() as left):
                self._progress.show_share(f"Racing, {words.duration(left)} left", event.done / event.total)
            case Progress():
                self._progress.show_progress(event)
            case RaceChanged():
                self._chart.show_rows(event.rows)
            case JobEnded():
                self._end(event)

    def _end(self, event: JobEnded) -> None:
        self._top.setCurrentIndex(0)
        if event.result:
            self._chart.show_rows(msgspec.convert(event.result["rows"], tuple[RaceRow, ...]))
        winner = self.winner()
        if event.status in ("failed", "paused"):
            self._say(f"{event.what} {event.hint}".strip())
        elif winner is None:
            self._say("The race was stopped before anyone had won.")
        elif event.status == "stopped":
            self._say(f"The race was stopped while “{regime_facts(winner.regime).title}” led. {winner.note}".strip())
        else:
            judged = f"It was judged on {words.pictures(winner.images)} it did not learn from."
            self._say(f"“{regime_facts(winner.regime).title}” won. {winner.note or judged}")

    def _say(self, sentence: str) -> None:
        self._sentence.setText(sentence)
        self._sentence.setToolTip(sentence)
        self._choose.setEnabled(self.winner() is not None)

    @Slot()
    def _ask(self) -> None:
        remembered.remember_number(MINUTES, self._minutes.value())
        self.requested.emit(float(self._minutes.value()))

    @Slot()
    def _choose_winner(self) -> None:
        winner = self.winner()
        if winner is not None:
            self.winner_chosen.emit(winner.regime)

    def _lay_out(self) -> None:
        asking = QWidget()
        row = QHBoxLayout(asking)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE_INSIDE)
        row.addWidget(self._start)
        row.addWidget(self._minutes)
        row.addStretch()
        self._top.addWidget(asking)
        self._top.addWidget(self._progress)
        self._top.setFixedHeight(self._start.sizeHint().height() + 2)
        below = QHBoxLayout()
        below.setSpacing(theme.SPACE)
        self._sentence.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        below.addWidget(self._sentence, 1)
        below.addWidget(self._choose, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._top)
        layout.addWidget(self._chart)
        layout.addLayout(below)
        layout.addStretch()
