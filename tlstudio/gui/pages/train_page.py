"""Watching a training run: live from its events, later from its log, with the same code."""

from __future__ import annotations

from pathlib import Path

import msgspec
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.errors import Cause, StudioError
from tlstudio.core.events import (
    BatchEnded,
    EpochEnded,
    Event,
    JobEnded,
    Notice,
    Progress,
    RunEnded,
    RunStarted,
    StageStarted,
    Waiting,
    WeightsSaved,
)
from tlstudio.core.jobs import Resume, Train
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.pages.page import Page
from tlstudio.gui.training_share import TrainingShare
from tlstudio.gui.widgets.curves import Curves, example_events
from tlstudio.gui.widgets.figure import NOTHING, Figure
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

ROOM_FOR_BOTH_PX = 780
"""Height of the page from which on curves and table fit below each other."""
QUIET_MS = 1200
"""Without a word from the engine for so long, the bar moves to show that work goes on."""
VAL_EXPLAINED = (
    "Val pictures judge; they choose nothing. The best epoch is chosen on pictures held out of the training part."
)
ENDED_EARLY = "It ended early."
STOP_EXPLAINED = (
    "Ends the training now and keeps the best state so far. It can go on from exactly there at any time, also after a "
    "restart."
)
GO_ON_EXPLAINED = "Goes on exactly where this training was left."
GO_ON: dict[Cause, tuple[str, str]] = {
    "diverged": (
        "Go on more gently",
        "Goes on from the last good state with a tenth of the learning rate.",
    ),
}
"""What the button says, and what it explains, where going on is not quite that."""
ON_PROCESSOR: frozenset[Cause] = frozenset({"out-of-memory", "device-lost"})
"""What can be got round by training without the graphics card."""
HELD = (
    "This run is being trained by another window or command. What it logged so far is shown here; the rest follows "
    "when that training has ended."
)
HEAD_KEPT = "On pictures held out to choose, fine-tuning was not clearly better than the new head alone."


def _loss(value: float) -> str:
    return f"{value:.4f}"


EPOCH_COLUMNS = (
    Column("Stage"),
    Column("Epoch", number=True),
    Column("Train loss", _loss, number=True),
    Column("Val loss", _loss, number=True),
    Column("Train accuracy", words.percent, number=True),
    Column("Val accuracy", words.percent, number=True),
    Column("Best so far"),
)


class TrainPage(Page):
    """Large figures, curves, one sentence of what is happening, and Stop."""

    resume_requested = Signal(object)
    """The core.jobs.Resume that goes on with the run in view, or the Train that is to be tried again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._job: Train | Resume | None = None
        """What a press on the button to go on asks for."""
        self._held = False
        self._waiting = False
        self._live = False
        self._ended = False
        self._said_before = ""
        self._started: RunStarted | None = None
        self._saved: WeightsSaved | None = None
        self._last: EpochEnded | None = None
        self._stage_epochs = 1
        self._empty = StatePanel()
        self._empty.say("Nothing is being trained", "Drop a folder of pictures on the start page.", "Go to Start")
        self._empty.action_pressed.connect(self._go_to_start)
        self._run = QWidget()
        self._states = QStackedLayout(self)
        self._states.addWidget(self._empty)
        self._states.addWidget(self._run)

        self._epoch = Figure("Epoch")
        self._accuracy = Figure("Val accuracy")
        self._time = Figure("Time left")
        self._speed = Figure("Pictures a second")
        self._stop = QPushButton("Stop")
        self._stop.setToolTip(STOP_EXPLAINED)
        self._stop.setAccessibleDescription(self._stop.toolTip())
        self._stop.clicked.connect(self._ask_to_stop)
        self._continued = Sentence("muted")
        self._continued.hide()
        self._sentence = Sentence("lead")
        self._detail = Sentence("muted")
        self._explained = Sentence("muted")
        self._explained.setText(VAL_EXPLAINED)
        self._progress = JobProgress(cancellable=False)
        self._share = TrainingShare()
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET_MS)
        self._quiet.timeout.connect(self._progress.show_unknown)
        self._curves = Curves()
        self._epochs = RecordTable("Epochs of this run", EPOCH_COLUMNS)
        self._details = QToolButton()
        self._details.setText("Details")
        self._details.setProperty("role", "fold")
        self._details.setCheckable(True)
        self._details.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._details.toggled.connect(self._share_room)
        self._reset_zoom = QPushButton("Reset zoom")
        self._reset_zoom.clicked.connect(self._curves.reset_zoom)
        self._save = QPushButton("Save plot …")
        self._save.clicked.connect(self._choose_plot_file)
        self._resume = QPushButton()
        self._resume.clicked.connect(self._ask_to_resume)
        self._on_processor = QPushButton("Train on the processor")
        self._on_processor.setToolTip("Goes on from the same state without the graphics card: slower, but it fits.")
        self._on_processor.setAccessibleDescription(self._on_processor.toolTip())
        self._on_processor.clicked.connect(self._ask_for_processor)
        self._next = QPushButton("See the results")
        self._next.setProperty("primary", True)
        self._next.clicked.connect(self._go_to_results)
        self._lay_out()
        self._share_room()
        self._forget()
        self._states.setCurrentWidget(self._empty)

    def begin(self, job: Train | Resume, why: str = "") -> None:
        """Show a run that has been asked for and has said nothing yet; `why`, if nobody pressed a button for it."""
        self.setFocus()  # the button that was pressed is about to go, and would pass the focus on
        self._forget()
        self._live = True
        self._job = job
        self.explain(why)
        self._stop.setText("Stop")
        self._stop.setEnabled(True)
        self._stop.show()
        self._sentence.setText(f"Getting ready. The run will be kept in {job.run}.")
        self._progress.begin("Starting")
        self._progress.show()
        self._quiet.start()
        self._states.setCurrentWidget(self._run)

    def explain(self, why: str) -> None:
        """Say what the app did with this run by itself, for as long as the run is in view; "" for nothing."""
        self._continued.setText(why)
        self._continued.setVisible(bool(why))

    def set_held(self, held: bool) -> None:
        self._held = held

    def set_run(self, run: RunFolder | None) -> None:
        """Replay a run from its log. A live run stays in view until its job has ended."""
        if self._live:
            return
        if run is None or self._job is None or Path(self._job.run) != run.path:
            self.explain("")
        self._forget()
        if run is None:
            self._states.setCurrentWidget(self._empty)
            return
        self._job = Resume(run=str(run.path))
        self._states.setCurrentWidget(self._run)
        try:
            for event in run.events():
                self.receive(event)
        except StudioError as error:
            self._fail(error.what, error.hint)
            return
        self._curves.draw()
        if self._held:
            self._sentence.setText(HELD)
            self._resume.hide()
            self._on_processor.hide()
        elif not self._ended:
            self._sentence.setText(
                "This training was cut off. What it had learned is safe, and it can go on from there."
            )
            self._offer_to_go_on("")

    @Slot(object)
    def receive(self, event: Event) -> None:
        self._curves.add(event)
        share = self._share.take(event)
        if self._live:
            self._quiet.start()
        if self._waiting:
            self._go_on_after_waiting()
        match event:
            case Waiting():
                self._wait(event)
            case RunStarted():
                self._started = event
                self._explained.setVisible(len(event.stages) > 1)
                self._speed.show_value(NOTHING, f"Pictures a second\non {event.device}")
            case Progress():
                self._progress.show_progress(event)
            case StageStarted():
                self._show_stage(event)
            case BatchEnded():
                self._progress.show_share("Learning", share)
                self._show_epoch_number(event.stage, event.epoch, self._stage_epochs)
                self._show_pace(event)
            case EpochEnded():
                self._show_epoch(event)
            case WeightsSaved():
                self._saved = event
            case Notice():
                self._detail.setText(f"{event.what} {event.hint}".strip())
            case RunEnded():
                self._show_end(event)
            case JobEnded():
                self._show_job_end(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_room()

    def sentence(self) -> str:
        """Return the sentence that says what is happening."""
        return self._sentence.text()

    def explanation(self) -> str:
        """Return what the app did with this run by itself, in words."""
        return self._continued.text()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(theme.SPACE_PAGE)
        for figure in (self._epoch, self._accuracy, self._time, self._speed):
            top.addWidget(figure, 1, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self._stop, 0, Qt.AlignmentFlag.AlignTop)
        bottom = QHBoxLayout()
        bottom.setSpacing(theme.SPACE_INSIDE)
        for button in (self._details, self._reset_zoom, self._save):
            bottom.addWidget(button)
        bottom.addStretch(1)
        bottom.addWidget(self._on_processor)
        bottom.addWidget(self._resume)
        bottom.addWidget(self._next)
        layout = QVBoxLayout(self._run)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(top)
        layout.addWidget(self._continued)
        layout.addWidget(self._sentence)
        layout.addWidget(self._detail)
        layout.addWidget(self._progress)
        layout.addWidget(self._curves, 2)
        layout.addWidget(self._explained)
        layout.addWidget(self._epochs, 1)
        layout.addLayout(bottom)

    def _forget(self) -> None:
        self._live = False
        self._job = None
        self._waiting = False
        self._ended = False
        self._started = None
        self._saved = None
        self._last = None
        self._stage_epochs = 1
        self._share = TrainingShare()
        self._quiet.stop()
        self._curves.clear()
        self._epochs.set_rows(())
        for figure in (self._epoch, self._accuracy, self._time, self._speed):
            figure.show_value(NOTHING)
        for label in (self._sentence, self._detail):
            label.setText("")
        self._explained.hide()
        self._progress.hide()
        self._stop.hide()
        self._resume.hide()
        self._on_processor.hide()
        self._next.hide()

    def _show_stage(self, event: StageStarted) -> None:
        self._stage_epochs = event.epochs
        self._sentence.setText(event.sentence)
        self._show_epoch_number(event.stage, 1, event.epochs)
        if event.epochs == 1 and self._started and len(self._started.stages) == 1:
            self._detail.setText("The new head is fitted in one go, so there is one point and no curve.")

    def _show_epoch(self, event: EpochEnded) -> None:
        self._last = event
        self._show_epoch_number(event.stage, event.epoch, event.epochs)
        if event.val_accuracy is not None:
            self._accuracy.show_value(words.percent(event.val_accuracy))
        self._show_pace(event)
        self._epochs.append_row(
            (
                words.stage(event.stage), event.epoch, event.train_loss, event.val_loss, event.train_accuracy,
                event.val_accuracy, "yes" if event.best else "",
            )
        )  # fmt: skip

    def _show_epoch_number(self, stage: str, epoch: int, epochs: int) -> None:
        self._epoch.show_value(f"{epoch} of {epochs}", f"Epoch, {words.stage(stage)}")

    def _show_pace(self, event: BatchEnded | EpochEnded) -> None:
        device = f"\non {self._started.device}" if self._started else ""
        if event.images_per_second is not None:
            self._speed.show_value(f"{event.images_per_second:,.0f}", f"Pictures a second{device}")
        if event.seconds_left is not None:
            self._time.show_value(words.duration(event.seconds_left).removeprefix("about "), "Time left, about")

    def _wait(self, event: Waiting) -> None:
        """Say what the training waits for; what was said before comes back with the next event."""
        if not self._waiting:
            self._said_before = self._sentence.text()
        self._waiting = True
        self._sentence.setText(f"{event.what} {event.hint}".strip())
        self._quiet.stop()
        self._progress.begin("Waiting")

    def _go_on_after_waiting(self) -> None:
        self._waiting = False
        self._sentence.setText(self._said_before)

    def _show_end(self, event: RunEnded) -> None:
        self._end()
        if event.status != "finished":
            self._offer_to_go_on(event.cause)
        self._time.show_value(words.duration(event.seconds).removeprefix("about "), "Training took about")
        if event.val_accuracy is None:
            if event.status == "stopped":
                self._sentence.setText("Stopped before there was a model to keep. Your pictures are untouched.")
            else:
                self._fail(event.what, event.hint)
            return
        bounds = f" ({words.interval(event.val_interval)})" if event.val_interval else ""
        self._accuracy.show_value(words.percent(event.val_accuracy), f"Val accuracy{bounds}")
        how = {"finished": "Finished.", "stopped": "Stopped, as you asked."}.get(event.status, event.what)
        hint = "It can go on from exactly here." if event.status == "stopped" else event.hint
        on = f" on {words.pictures(event.val_images)} it never learned from" if event.val_images else ""
        kept = f" Kept: {event.kept}." if event.kept else ""
        right = words.accuracy(event.val_accuracy, event.val_interval)
        self._sentence.setText(f"{how} The accuracy is {right}{on}.{kept} {hint}".strip())
        if event.random_accuracy is not None and event.grouped_accuracy is not None:
            self._detail.setText(words.both_accuracies(event.random_accuracy, event.grouped_accuracy))
        was_fine_tuned = self._started is not None and len(self._started.stages) > 1
        if event.status == "finished" and was_fine_tuned and not self._detail.text():
            why = [ENDED_EARLY] if self._last and self._last.epoch < self._last.epochs else []
            why += [HEAD_KEPT] if event.kept_epoch is None else []
            self._detail.setText(" ".join(why))
        self._next.show()

    def _show_job_end(self, event: JobEnded) -> None:
        """Show the end of a job that did not come to the end of its run."""
        if self._ended:
            return
        self._end()
        if event.status == "stopped":
            self._sentence.setText("Stopped. Your pictures are untouched, and what was saved before is kept.")
        else:
            self._fail(event.what, event.hint)
        self._offer_to_go_on(event.cause)

    def _offer_to_go_on(self, cause: Cause) -> None:
        """Show what can be done with a run that was left, or again if it could not begin."""
        job = self._job
        assert job is not None
        begun = isinstance(job, Resume) or RunFolder(Path(job.run)).plan_file.is_file()
        if begun:
            self._job = Resume(run=job.run)
        text, explained = GO_ON.get(cause, ("Go on training", GO_ON_EXPLAINED))
        self._resume.setText(text if begun else "Try again")
        self._resume.setToolTip(explained if begun else "Begins the same training once more.")
        self._resume.setAccessibleDescription(self._resume.toolTip())
        self._resume.show()
        self._on_processor.setVisible(begun and cause in ON_PROCESSOR and _uses_card(RunFolder(Path(job.run))))

    def _fail(self, what: str, hint: str) -> None:
        """Say what happened, what is safe and what to do next."""
        safe = (
            f"Your last saved state (stage “{words.stage(self._saved.stage)}”, epoch {self._saved.epoch}) is safe."
            if self._saved
            else "Your pictures are untouched."
        )
        self._sentence.setText(f"{what} {safe} {hint}".strip())

    def _end(self) -> None:
        self._live = False
        self._ended = True
        self._quiet.stop()
        self._progress.hide()
        self._stop.hide()

    @Slot()
    def _ask_to_stop(self) -> None:
        self._stop.setEnabled(False)
        self._stop.setText("Stopping …")
        self._sentence.setText("Stopping after the step that runs now. The best state so far is kept.")
        self._said_before = self._sentence.text()
        self.stop_requested.emit()

    @Slot()
    def _ask_to_resume(self) -> None:
        assert self._job is not None
        self.resume_requested.emit(self._job)

    @Slot()
    def _ask_for_processor(self) -> None:
        assert isinstance(self._job, Resume)
        self.resume_requested.emit(msgspec.structs.replace(self._job, device="cpu"))

    @Slot()
    def _share_room(self) -> None:
        """Show the table below the curves, or in their place where both would be squeezed."""
        opened = self._details.isChecked()
        self._details.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._epochs.setVisible(opened)
        self._curves.setVisible(not opened or self.height() >= ROOM_FOR_BOTH_PX)

    @Slot()
    def _choose_plot_file(self) -> None:
        dialog = QFileDialog(self, "Save the plot as", str(remembered.folder("plots", Path.home())))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(["Picture (*.png)", "Drawing (*.svg)"])
        dialog.setDefaultSuffix("png")
        dialog.filterSelected.connect(self._follow_filter)
        dialog.fileSelected.connect(self._save_plot)
        dialog.open()

    @Slot(str)
    def _follow_filter(self, name_filter: str) -> None:
        dialog = self.sender()
        assert isinstance(dialog, QFileDialog)
        dialog.setDefaultSuffix("svg" if "svg" in name_filter else "png")

    @Slot(str)
    def _save_plot(self, file: str) -> None:
        path = Path(file)
        try:
            self._curves.save(path)
        except OSError as error:
            self._detail.setText(f"{error} Choose another folder; the run itself is safe.")
            return
        remembered.remember_folder("plots", path.parent)
        self._detail.setText(f"The plot is saved as {path}")

    @Slot()
    def _go_to_results(self) -> None:
        self.page_requested.emit("results")

    @Slot()
    def _go_to_start(self) -> None:
        self.page_requested.emit("start")


def _uses_card(run: RunFolder) -> bool:
    try:
        return run.plan().device != "cpu"
    except StudioError:
        return False


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = TrainPage()
    page.begin(Train(folders=("leaves",), run="runs/leaves"))
    for example in example_events():
        page.receive(example)
    page.resize(1024, 700)
    page.show()
    app.exec()
