"""What is measured when the user asks for it: asks, follows the job, and shows what it found in its place."""

from __future__ import annotations

from typing import Any, NamedTuple

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QPushButton, QStackedLayout, QWidget

from tlstudio.core.events import Event, JobEnded, Progress
from tlstudio.gui.widgets.state_panel import StatePanel


class MeasuredWords(NamedTuple):
    """What a panel says: before there is anything, while it works, and when that failed."""

    title: str
    sentence: str
    action: str
    again: str
    working: str
    about: str
    progress: str
    failed: str


class MeasuredPanel(QWidget):
    """Base of the panels that show a job's result. A subclass lays its results out and calls `_lay_out` with them."""

    requested = Signal()
    """The user wants to know; the job's events belong here."""
    stop_requested = Signal()

    def __init__(self, says: MeasuredWords, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._says = says
        self._running = False
        self._outdated = False
        self._why_not = ""
        self._state = StatePanel()
        self._state.action_pressed.connect(self.begin)
        self._state.cancelled.connect(self.stop_requested)
        self._again = QPushButton(says.again)
        self._again.clicked.connect(self.begin)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

    def is_running(self) -> bool:
        """Return whether the job is at work."""
        return self._running

    def allow(self, why_not: str) -> None:
        """Let the user measure, unless there is a reason not to."""
        self._why_not = why_not
        self._again.setEnabled(not why_not)
        self._again.setToolTip(why_not)
        self._state.allow_action(not why_not, why_not)

    @Slot()
    def begin(self) -> None:
        """Measure now."""
        self._running, self._outdated = True, False
        self._state.work(self._says.working, self._says.about, self._says.progress)
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

    def _end(self, event: JobEnded) -> None:
        if event.status == "finished" and event.result is not None:
            self._take(event.result)
            self._layers.setCurrentIndex(1)
        elif event.status == "stopped":
            self._ask()
        else:
            self._ask(self._says.failed, f"{event.what} {event.hint}".strip())

    def _take(self, result: dict[str, Any]) -> None:
        """Show what the job found."""
        raise NotImplementedError

    def _lay_out(self, results: QWidget) -> None:
        self._layers = QStackedLayout(self)
        self._layers.addWidget(self._state)
        self._layers.addWidget(results)
        self._ask()

    def _shows_results(self) -> bool:
        return self._layers.currentIndex() == 1

    def _ask(self, title: str = "", sentence: str = "") -> None:
        says = self._says
        self._state.say(title or says.title, sentence or says.sentence, says.action)
        self._layers.setCurrentIndex(0)
        self.allow(self._why_not)
