"""How far a job is: a sentence, a bar and, where it makes sense, Cancel."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from tlstudio.core.events import Progress
from tlstudio.gui import words

LEAST_BAR_PX = 48
BAR_STEPS = 1000


class JobProgress(QWidget):
    """One line of progress. Cancel can be pressed once a job."""

    cancelled = Signal()

    def __init__(self, cancellable: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = QLabel()
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setMinimumWidth(LEAST_BAR_PX)
        self._bar.setAccessibleName("Progress")
        self._cancel = QPushButton("Cancel")
        self._cancel.setVisible(cancellable)
        self._cancel.clicked.connect(self._ask_to_stop)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(16)
        layout.addWidget(self._label)
        layout.addWidget(self._bar, 1)
        layout.addWidget(self._cancel)
        self.begin("Starting")

    def begin(self, what: str) -> None:
        """Show that a job has begun and nothing is known yet."""
        self._cancel.setEnabled(True)
        self._what = what
        self.show_unknown()

    def show_progress(self, event: Progress) -> None:
        """Show how far the job is and how long it still takes."""
        self._what = event.what
        if not event.total:
            self.show_unknown()
            return
        left = f", {words.duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        self._label.setText(f"{event.what}: {event.done:,} of {event.total:,}{left}")
        self._bar.setRange(0, event.total)
        self._bar.setValue(event.done)

    def show_share(self, what: str, share: float) -> None:
        """Show a share of 0 to 1 where counts would say nothing to the user."""
        self._what = what
        self._label.setText(f"{what} …")
        self._bar.setRange(0, BAR_STEPS)
        self._bar.setValue(round(BAR_STEPS * share))

    @Slot()
    def show_unknown(self) -> None:
        """Show that the job goes on, without saying how far it is."""
        self._label.setText(f"{self._what} …")
        self._bar.setRange(0, 0)

    @Slot()
    def _ask_to_stop(self) -> None:
        self._cancel.setEnabled(False)
        self._label.setText("Stopping …")
        self.cancelled.emit()


if __name__ == "__main__":
    app = QApplication([])
    progress = JobProgress()
    progress.show_progress(Progress(what="Looking at the pictures", done=40, total=153, seconds_left=31.0))
    progress.show()
    app.exec()
