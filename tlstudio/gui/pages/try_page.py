"""The model's answers for other pictures: dropped, chosen, pasted, or a whole folder into a table."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import QMimeData, Qt, QTemporaryDir, QUrl, Slot
from PySide6.QtGui import (
    QDesktopServices,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QImage,
    QKeySequence,
    QShortcut,
)
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSplitter,
    QStackedLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, JobEnded, Notice, Progress
from tlstudio.core.jobs import Predict
from tlstudio.core.problem import Problem
from tlstudio.core.results import Prediction
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import plain_text, remembered, theme, words
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.image_grid import ImageGrid
from tlstudio.gui.widgets.image_viewer import PictureView, in_words
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.probability_bars import ProbabilityBars
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

START = "Go to Start"
MOST_NAMED = 3
"""Files set aside that are named in the sentence; the tooltip names all."""


class _ClassNames(msgspec.Struct, frozen=True):
    """The one field of a DatasetIndex that is needed here; the rest can be large."""

    classes: tuple[str, ...]


class _Answers(msgspec.Struct, frozen=True):
    """The result of a core.jobs.Predict."""

    images: int
    skipped: tuple[Problem, ...]
    rows: tuple[Prediction, ...]
    csv: str | None


class TryPage(Page):
    """Drop pictures anywhere on the page. They are only read, never moved or changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._run: RunFolder | None = None
        self._asked_run: RunFolder | None = None
        """The run whose model a job asks now."""
        self._classes: tuple[str, ...] = ()
        self._csv_source = ""
        self._csv: Path | None = None
        self._pasted = QTemporaryDir()
        self._pasted_count = 0

        self._refused = StatePanel()
        self._refused.action_pressed.connect(self._go_to_start)
        self._inviting = StatePanel()
        self._inviting.setProperty("role", "card")
        self._inviting.say(
            "Drop pictures here",
            "The model says what it sees in them. You can also paste a picture. Your files are only read.",
        )
        self._choose = QPushButton("Choose pictures …")
        self._choose.setProperty("primary", True)
        self._choose.clicked.connect(self._choose_pictures)
        self._paste = QPushButton("Paste")
        self._paste.clicked.connect(self._paste_pictures)
        self._to_csv = QPushButton("Folder to CSV …")
        self._to_csv.setToolTip("Asks the model about every picture in a folder and writes the answers into a table.")
        self._to_csv.clicked.connect(self._choose_csv_source)
        QShortcut(
            QKeySequence(QKeySequence.StandardKey.Paste),
            self,
            self._paste_pictures,
            context=Qt.ShortcutContext.WidgetWithChildrenShortcut,
        )
        self._progress = JobProgress()
        self._progress.cancelled.connect(self.stop_requested)
        self._sentence = Sentence("lead")
        self._open = QPushButton("Open folder")
        self._open.clicked.connect(self._open_folder)
        self._grid = ImageGrid("Pictures and their classes")
        self._grid.picture_selected.connect(self._show_picture)
        self._picture = PictureView()
        self._caption = Sentence("lead")
        self._bars = ProbabilityBars()
        self._file = Sentence("muted")
        self._ready = QWidget()
        self._contents = QStackedWidget()
        self._lay_out()
        self._states = QStackedLayout(self)
        self._states.addWidget(self._refused)
        self._states.addWidget(self._ready)
        self.set_run(None)

    def set_run(self, run: RunFolder | None) -> None:
        self._run = run
        self._states.setCurrentWidget(self._refused)
        self._contents.setCurrentIndex(0)
        self._say("")
        if run is None:
            self._refused.say("Nothing to try yet", "Train a classifier first; then ask it about any picture.", START)
        elif not run.model_file.is_file():
            self._refused.say(
                "This run has no model to try", "Its training has not ended, or was stopped early.", START
            )
        else:
            try:
                self._classes = run.record(run.dataset_file, _ClassNames).classes
            except StudioError as error:
                self._refused.say("This run cannot be tried", f"{error.what} {error.hint}", START)
            else:
                self._states.setCurrentWidget(self._ready)

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case Progress():
                self._progress.show_progress(event)
            case Notice():
                self._say(f"{event.what} {event.hint}".strip())
            case JobEnded():
                self._end(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self._can_ask() and _paths_in(event.mimeData()):
            event.acceptProposedAction()
            self._mark_hovered(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._mark_hovered(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._mark_hovered(False)
        event.acceptProposedAction()
        self._ask(_paths_in(event.mimeData()))

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.SPACE_INSIDE)
        for button in (self._choose, self._paste, self._to_csv):
            buttons.addWidget(button)
        buttons.addStretch(1)
        said = QHBoxLayout()
        said.addWidget(self._sentence, 1)
        said.addWidget(self._open)
        detail = QWidget()
        detail_layout = QVBoxLayout(detail)
        detail_layout.setContentsMargins(theme.SPACE, 0, 0, 0)
        detail_layout.setSpacing(theme.SPACE_INSIDE)
        detail_layout.addWidget(self._picture, 1)
        for widget in (self._caption, self._bars, self._file):
            detail_layout.addWidget(widget)
        sides = QSplitter(Qt.Orientation.Horizontal)
        sides.setChildrenCollapsible(False)
        sides.addWidget(self._grid)
        sides.addWidget(detail)
        sides.setSizes([540, 460])
        self._contents.addWidget(self._inviting)
        self._contents.addWidget(sides)
        layout = QVBoxLayout(self._ready)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.setSpacing(theme.SPACE)
        layout.addLayout(buttons)
        layout.addWidget(self._progress)
        layout.addLayout(said)
        layout.addWidget(self._contents, 1)
        self._progress.hide()

    def _mark_hovered(self, hovered: bool) -> None:
        """Light up where a drag that can be dropped now would land."""
        for area in (self._inviting, self._grid):
            area.setProperty("hovered", hovered)
            area.style().polish(area)

    def _can_ask(self) -> bool:
        return self._asked_run is None and self._states.currentWidget() is self._ready

    def _ask(self, paths: Sequence[str], csv: str | None = None) -> None:
        if not self._can_ask() or not paths:
            return
        assert self._run is not None
        self._asked_run = self._run
        self._say("")
        self._progress.begin("Starting")
        self._set_working(True)
        self.job_requested.emit(Predict(run=str(self._run.path), paths=tuple(paths), csv=csv))

    def _set_working(self, working: bool) -> None:
        self._progress.setVisible(working)
        for button in (self._choose, self._paste, self._to_csv):
            button.setEnabled(not working)

    def _end(self, event: JobEnded) -> None:
        self._set_working(False)
        asked_run, self._asked_run = self._asked_run, None
        if asked_run is not self._run:
            return
        if event.status == "finished":
            self._show(msgspec.convert(event.result, _Answers))
        elif event.status == "stopped":
            self._say("Stopped. No table was written, and your pictures are untouched.")
        else:
            self._say(f"{event.what} Your pictures are untouched. {event.hint}".strip())

    def _show(self, answers: _Answers) -> None:
        said = [f"{words.pictures(answers.images)} answered."]
        if answers.csv:
            said = [f"The answers for {words.pictures(answers.images)} are in {answers.csv}."]
        if answers.images > len(answers.rows):
            said.append(f"The first {len(answers.rows):,} are shown.")
        if answers.skipped:
            said.append(_set_aside(answers.skipped))
        self._say(" ".join(said))
        skipped = "\n".join(f"{p.path}: {p.message}" for p in answers.skipped[:50])
        self._sentence.setToolTip(plain_text.tooltip(skipped) if skipped else "")
        self._csv = Path(answers.csv) if answers.csv else None
        self._open.setVisible(self._csv is not None)
        self._grid.show_pictures(answers.rows, self._classes)
        self._contents.setCurrentIndex(1)
        if answers.rows:
            self._grid.setCurrentIndex(self._grid.model().index(0, 0))

    def _say(self, sentence: str) -> None:
        self._sentence.setText(sentence)
        self._sentence.setToolTip("")
        self._open.hide()

    @Slot(object)
    def _show_picture(self, prediction: Prediction) -> None:
        self._picture.show_path(prediction.path)
        self._caption.setText(in_words(prediction))
        self._bars.show_probabilities(self._classes, prediction.probabilities)
        self._file.setText(prediction.path)

    @Slot()
    def _choose_pictures(self) -> None:
        dialog = QFileDialog(self, "Choose pictures", str(remembered.folder("try", Path.home())))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(self._take_chosen)
        dialog.open()

    @Slot(list)
    def _take_chosen(self, files: list[str]) -> None:
        remembered.remember_folder("try", Path(files[0]).parent)
        self._ask(files)

    @Slot()
    def _paste_pictures(self) -> None:
        """Take copied files, or copied pixels by way of a temporary file."""
        mime = QGuiApplication.clipboard().mimeData()
        image = QGuiApplication.clipboard().image()
        if paths := _paths_in(mime):
            self._ask(paths)
        elif not image.isNull():
            self._ask((self._file_of(image),))
        elif self._can_ask():
            self._say("There is no picture on the clipboard. Copy one, then press Paste again.")

    def _file_of(self, image: QImage) -> str:
        self._pasted_count += 1
        path = Path(self._pasted.path()) / f"pasted {self._pasted_count}.png"
        image.save(str(path))
        return str(path)

    @Slot()
    def _choose_csv_source(self) -> None:
        dialog = QFileDialog(self, "Choose the folder of pictures", str(remembered.folder("try", Path.home())))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self._choose_csv_target)
        dialog.open()

    @Slot(str)
    def _choose_csv_target(self, folder: str) -> None:
        self._csv_source = folder
        remembered.remember_folder("try", Path(folder))
        dialog = QFileDialog(self, "Save the table as", str(remembered.folder("csv", Path(folder).parent)))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        # An existing table is never replaced: the engine refuses it.
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)
        dialog.setNameFilter("Table (*.csv)")
        dialog.setDefaultSuffix("csv")
        dialog.selectFile(f"{Path(folder).name}.csv")
        dialog.fileSelected.connect(self._write_csv)
        dialog.open()

    @Slot(str)
    def _write_csv(self, file: str) -> None:
        remembered.remember_folder("csv", Path(file).parent)
        self._ask((self._csv_source,), file)

    @Slot()
    def _open_folder(self) -> None:
        assert self._csv is not None
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._csv.parent)))

    @Slot()
    def _go_to_start(self) -> None:
        self.page_requested.emit("start")


def _paths_in(mime: QMimeData | None) -> tuple[str, ...]:
    if mime is None:
        return ()
    return tuple(url.toLocalFile() for url in mime.urls() if url.isLocalFile())


def _set_aside(skipped: Sequence[Problem]) -> str:
    named = "; ".join(f"{Path(problem.path).name} ({problem.message.rstrip('.')})" for problem in skipped[:MOST_NAMED])
    more = f"; and {len(skipped) - MOST_NAMED:,} more" if len(skipped) > MOST_NAMED else ""
    return f"Set aside: {named}{more}."


def example_answers() -> dict[str, Any]:
    """Return a made-up result for the preview."""
    row = {"path": "leaf.jpg", "class": "oak", "probability": 0.9, "probabilities": [0.9, 0.1]}
    return {"images": 1, "skipped": [], "rows": [row], "csv": None}


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    with tempfile.TemporaryDirectory() as run_folder:
        example = RunFolder(Path(run_folder))
        example.dataset_file.write_text('{"classes": ["oak", "elm"]}')
        example.model_file.touch()
        page = TryPage()
        page.set_run(example)
        page.receive(JobEnded(status="finished", result=example_answers()))
        page.resize(1024, 700)
        page.show()
        app.exec()
