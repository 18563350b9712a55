"""What a page shows when it has nothing else to show: empty, working, refused or broken."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from tlstudio.core.events import Progress
from tlstudio.gui.widgets.job_progress import JobProgress

COLUMN_PX = 560


class StatePanel(QFrame):
    """A title, a sentence and one thing to do, in the middle of the page."""

    action_pressed = Signal()
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = QLabel()
        self._title.setProperty("role", "title")
        self._sentence = QLabel()
        self._sentence.setProperty("role", "lead")
        for label in (self._title, self._sentence):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._progress = JobProgress()
        self._progress.cancelled.connect(self.cancelled)
        self._action = QPushButton()
        self._action.setProperty("primary", True)
        self._action.clicked.connect(self.action_pressed)
        column = QWidget()
        column.setFixedWidth(COLUMN_PX)
        inner = QVBoxLayout(column)
        inner.setSpacing(16)
        inner.addWidget(self._title)
        inner.addWidget(self._sentence)
        inner.addWidget(self._progress)
        inner.addWidget(self._action, 0, Qt.AlignmentFlag.AlignHCenter)
        # Stretches on both sides, not an alignment: with that, sentences of two lines would be cut.
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(column)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        layout.addLayout(row)
        layout.addStretch(3)

    def say(self, title: str, sentence: str, action: str = "") -> None:
        """Show a state that stays until the user or a job changes it."""
        self._title.setText(title)
        self._sentence.setText(sentence)
        self._progress.hide()
        self._action.setText(action)
        self._action.setVisible(bool(action))

    def work(self, title: str, sentence: str, what: str) -> None:
        """Show that a job runs; `show_progress` says how far it is."""
        self.say(title, sentence)
        self._progress.begin(what)
        self._progress.show()

    def show_progress(self, event: Progress) -> None:
        """Show how far the job is."""
        self._progress.show_progress(event)

    def allow_action(self, allowed: bool, why_not: str = "") -> None:
        """Let the user press the button, or say why not."""
        self._action.setEnabled(allowed)
        self._action.setToolTip(why_not)

    def focus_action(self) -> None:
        """Let Enter press the button."""
        self._action.setFocus()

    def text(self) -> str:
        """Return the title and the sentence."""
        return f"{self._title.text()}\n{self._sentence.text()}"


if __name__ == "__main__":
    app = QApplication([])
    panel = StatePanel()
    panel.say("Nothing to judge yet", "Train a classifier first; its results appear here.", "Go to Start")
    panel.resize(700, 400)
    panel.show()
    app.exec()
