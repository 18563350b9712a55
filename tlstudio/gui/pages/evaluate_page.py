"""How good a run is: the figure, which classes are mixed up, and the pictures behind every number."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QPushButton,
    QSplitter,
    QStackedLayout,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.durable import write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, JobEnded, Progress, RunEnded
from tlstudio.core.jobs import Evaluate
from tlstudio.core.results import Evaluation
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.class_table import ClassTable
from tlstudio.gui.widgets.confusion_view import ConfusionView
from tlstudio.gui.widgets.example_evaluation import example_evaluation
from tlstudio.gui.widgets.figure import Figure
from tlstudio.gui.widgets.image_grid import ImageGrid
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

START, RETRY = "Go to Start", "Try again"


class ResultsPage(Page):
    """Judges a run once, when it is first shown here; after that the stored evaluation is read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunFolder | None = None
        self._held = False
        self._evaluation: Evaluation | None = None
        self._judged: RunFolder | None = None
        """The run that a job judges now."""
        self._background = Background(self)
        self._background.done.connect(self._take_evaluation)
        self._state = StatePanel()
        self._state.action_pressed.connect(self._act)
        self._state.cancelled.connect(self.stop_requested)

        self._accuracy = Figure("Accuracy")
        self._warning = Sentence("lead")
        self._both = Sentence("muted")
        self._confusion = ConfusionView()
        self._confusion.cell_chosen.connect(self._show_cell)
        self._shown = Sentence("lead")
        self._mistakes = QPushButton("Show the mistakes")
        self._mistakes.clicked.connect(self._show_mistakes)
        holds_its_place = self._mistakes.sizePolicy()
        holds_its_place.setRetainSizeWhenHidden(True)
        self._mistakes.setSizePolicy(holds_its_place)
        self._grid = ImageGrid("Pictures of what is selected")
        self._classes = ClassTable()
        self._details = Sentence("")
        self._done = QWidget()
        self._lay_out()
        self._states = QStackedLayout(self)
        self._states.addWidget(self._state)
        self._states.addWidget(self._done)
        self.set_run(None)

    def set_held(self, held: bool) -> None:
        self._held = held

    def set_run(self, run: RunFolder | None) -> None:
        self._run = run
        self._evaluation = None
        self._background.forget()
        self._states.setCurrentWidget(self._state)
        if run is None:
            self._state.say("Nothing to judge yet", "Train a classifier first. How good it is appears here.", START)
        elif run.is_judged():
            self._read()
        elif self._held:
            self._state.say(
                "This run is being trained elsewhere",
                "Another window or command is training it. Its results appear here when that has ended.",
            )
        elif run.model_file.is_file():
            self._ask_for_evaluation()
        else:
            self._state.say("This run has no model yet", "Its training has not ended, or was stopped early.", START)

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case Progress():
                self._state.show_progress(event)
            case JobEnded():
                judged, self._judged = self._judged, None
                if judged is not self._run:
                    self.set_run(self._run)
                elif event.status == "finished":
                    self._read()
                elif event.status == "stopped":
                    self._state.say("The judging was stopped", "The model itself is unharmed.", RETRY)
                else:
                    self._break(event.what, event.hint)

    def _lay_out(self) -> None:
        left = QWidget()
        left_layout = QVBoxLayout(left)
        left_layout.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        left_layout.setSpacing(theme.SPACE_INSIDE)
        left_layout.addWidget(self._accuracy)
        left_layout.addWidget(self._warning)
        left_layout.addWidget(self._both)
        left_layout.addWidget(self._confusion, 1)
        heading = QHBoxLayout()
        heading.addWidget(self._shown, 1)
        heading.addWidget(self._mistakes)
        right = QWidget()
        right_layout = QVBoxLayout(right)
        right_layout.setContentsMargins(theme.SPACE_INSIDE, 0, 0, 0)
        right_layout.setSpacing(theme.SPACE_INSIDE)
        right_layout.addLayout(heading)
        right_layout.addWidget(self._grid, 1)
        sides = QSplitter(Qt.Orientation.Horizontal)
        sides.addWidget(left)
        sides.addWidget(right)
        sides.setSizes([480, 520])
        below = QTabWidget()
        below.setDocumentMode(True)
        below.addTab(self._classes, "Classes")
        self._details.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._details.setMargin(theme.SPACE_INSIDE)
        below.addTab(self._details, "Details")
        halves = QSplitter(Qt.Orientation.Vertical)
        halves.addWidget(sides)
        halves.addWidget(below)
        halves.setSizes([420, 180])
        for splitter in (sides, halves):
            splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self._done)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.addWidget(halves)

    def _read(self) -> None:
        """Read the stored evaluation away from the window: it names every picture."""
        assert self._run is not None
        run = self._run
        self._state.work("Opening the results", "", "Reading")
        self._background.start(run, lambda: (run.record(run.evaluation_file, Evaluation), _how_it_ended(run)))

    def _ask_for_evaluation(self) -> None:
        self._state.work(
            "Judging the model", "It answers for pictures that taught it nothing. This is done once.", "Starting"
        )
        if self._judged is None and self._run is not None:
            self._judged = self._run
            self.job_requested.emit(Evaluate(run=str(self._run.path)))

    def _break(self, what: str, hint: str) -> None:
        self._state.say("The results cannot be shown", f"{what} The model itself is unharmed. {hint}".strip(), RETRY)

    @Slot(object, object)
    def _take_evaluation(self, _run: RunFolder, result: tuple[Evaluation, RunEnded | None] | StudioError) -> None:
        if isinstance(result, StudioError):
            self._break(result.what, result.hint)
        else:
            self._show(*result)

    def _show(self, evaluation: Evaluation, ended: RunEnded | None) -> None:
        self._evaluation = evaluation
        part = evaluation.part if evaluation.part in ("val", "test") else "given"
        right = words.interval(evaluation.accuracy_interval)
        self._accuracy.show_value(
            words.percent(evaluation.accuracy), f"Accuracy ({right}) on {evaluation.images:,} {part} pictures"
        )
        self._warning.setVisible(bool(evaluation.seen_in_training))
        self._warning.setText(
            f"Warning: {evaluation.seen_in_training:,} of these pictures also taught the model. The figures flatter it."
        )
        self._both.setText(_both_in_words(ended))
        self._both.setVisible(bool(self._both.text()))
        self._confusion.show_evaluation(evaluation)
        self._classes.show_scores(evaluation.per_class)
        self._details.setText(_in_words(evaluation))
        self._show_mistakes()
        self._states.setCurrentWidget(self._done)

    @Slot()
    def _show_mistakes(self) -> None:
        """Show the mistakes, or where there are none, the answers the model was least sure of."""
        assert self._evaluation is not None
        predictions = self._evaluation.predictions
        wrong = sorted((p for p in predictions if p.truth != p.class_), key=lambda p: -p.probability)
        if wrong:
            count = f"{len(wrong):,} mistake{'' if len(wrong) == 1 else 's'}"
            self._shown.setText(f"{count}, the most confident first")
            self._grid.show_pictures(wrong, self._evaluation.classes)
        else:
            self._shown.setText("No mistakes; the least sure answers first")
            self._grid.show_pictures(sorted(predictions, key=lambda p: p.probability), self._evaluation.classes)
        self._mistakes.hide()

    @Slot(int, int)
    def _show_cell(self, row: int, column: int) -> None:
        assert self._evaluation is not None
        truth, given = self._evaluation.classes[row], self._evaluation.classes[column]
        chosen = [p for p in self._evaluation.predictions if p.truth == truth and p.class_ == given]
        chosen.sort(key=lambda p: -p.probability)
        count = words.pictures(len(chosen)) if chosen else "No pictures"
        self._shown.setText(f"{count} of “{truth}” given “{given}”")
        self._grid.show_pictures(chosen, self._evaluation.classes)
        self._mistakes.show()

    @Slot()
    def _act(self) -> None:
        if self._run is None or not self._run.model_file.is_file():
            self.page_requested.emit("start")
        else:
            self._ask_for_evaluation()


def _how_it_ended(run: RunFolder) -> RunEnded | None:
    try:
        return run.summary()[1]
    except StudioError:  # the evaluation stands without the log
        return None


def _both_in_words(ended: RunEnded | None) -> str:
    if ended is None or ended.random_accuracy is None or ended.grouped_accuracy is None:
        return ""
    return words.both_accuracies(ended.random_accuracy, ended.grouped_accuracy)


def _in_words(evaluation: Evaluation) -> str:
    return "\n".join(
        (
            f"Balanced accuracy {words.percent(evaluation.balanced_accuracy)}: the mean over the classes, "
            "so that a small class counts as much as a large one.",
            f"Macro F1 {words.percent(evaluation.macro_f1)}: found and trusted in one number, averaged over classes.",
            f"Surprise (NLL) {evaluation.nll:.3f} nats: 0 if every right answer was certain; "
            f"{math.log(len(evaluation.classes)):.3f} if every answer were a blind guess.",
            f"Calibration error (ECE) {words.percent(evaluation.ece)}: how far its probabilities are, on average, "
            "from how often it is right.",
        )
    )


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    with tempfile.TemporaryDirectory() as folder:
        example = RunFolder(Path(folder))
        write_json(example.evaluation_file, example_evaluation())
        page = ResultsPage()
        page.set_run(example)
        page.resize(1024, 700)
        page.show()
        app.exec()
