"""A run as a file for other programs, with the proof that it answers as the app does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from PySide6.QtCore import QUrl, Slot
from PySide6.QtGui import QDesktopServices, QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.events import Event, JobEnded, Progress
from tlstudio.core.jobs import Export
from tlstudio.core.results import Exported, Parity
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.folder_line import FolderLine
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel

SAMPLE_SCRIPT = "predict.py"
START = "Go to Start"

Format = Literal["onnx", "safetensors"]
FORMATS: tuple[tuple[Format, str, str], ...] = (
    ("onnx", "ONNX (recommended)", "Opens in most programs and languages, without this app and without PyTorch."),
    ("safetensors", "The app’s own file (safetensors)", "The weights alone, for PyTorch programmers and for this app."),
)


class ExportPage(Page):
    """Format, folder, one button; then where the file is and how closely it agrees with the app."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunFolder | None = None
        self._exported_run: RunFolder | None = None
        """The run that a job exports now."""
        self._exported: Exported | None = None
        self._empty = StatePanel()
        self._empty.action_pressed.connect(self._go_to_start)
        self._formats = QButtonGroup(self)
        self._folder = FolderLine("Folder to export to")
        self._export = QPushButton("Export")
        self._export.setProperty("primary", True)
        self._export.clicked.connect(self._ask_for_export)
        self._progress = JobProgress()
        self._progress.cancelled.connect(self.stop_requested)
        self._problem = Sentence("lead")

        self._result = QFrame()
        self._result.setProperty("role", "card")
        self._parity = Sentence("lead")
        self._facts = Sentence()
        self._usage = Sentence("muted")
        self._command = Sentence()
        self._command.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._copy = QPushButton("Copy the command")
        self._copy.clicked.connect(self._copy_command)
        self._open = QPushButton("Open folder")
        self._open.clicked.connect(self._open_folder)
        self._form = QWidget()
        self._lay_out()
        self._states = QStackedLayout(self)
        self._states.addWidget(self._empty)
        self._states.addWidget(self._form)
        self.set_run(None)

    def set_run(self, run: RunFolder | None) -> None:
        self._run = run
        self._result.hide()
        self._problem.hide()
        self._states.setCurrentWidget(self._empty)
        if run is None:
            self._empty.say("Nothing to export yet", "Train a classifier first; then it can leave the app.", START)
        elif not run.model_file.is_file():
            self._empty.say(
                "This run has no model to export", "Its training has not ended, or was stopped early.", START
            )
        else:
            self._folder.set_path(remembered.folder("exports", run.exports_dir))
            self._states.setCurrentWidget(self._form)

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case Progress():
                self._progress.show_progress(event)
            case JobEnded():
                self._end(event)

    def _lay_out(self) -> None:
        title = Sentence("title")
        title.setText("Take the model out of the app")
        options = QGridLayout()
        options.setHorizontalSpacing(theme.SPACE)
        options.setVerticalSpacing(theme.SPACE_INSIDE)
        for row, (name, label, meaning) in enumerate(FORMATS):
            button = QRadioButton(label)
            button.setProperty("format", name)
            button.setChecked(row == 0)
            button.setAccessibleDescription(meaning)
            self._formats.addButton(button)
            explained = Sentence("muted")
            explained.setText(meaning)
            options.addWidget(button, row, 0)
            options.addWidget(explained, row, 1)
        options.setColumnStretch(1, 1)
        action = QHBoxLayout()
        action.addWidget(self._progress, 1)
        action.addStretch()
        action.addWidget(self._export)
        inner = QVBoxLayout(self._result)
        inner.setContentsMargins(*(theme.SPACE,) * 4)
        inner.setSpacing(theme.SPACE_INSIDE)
        inner.addWidget(self._parity)
        inner.addWidget(self._facts)
        inner.addWidget(self._usage)
        inner.addWidget(self._command)
        buttons = QHBoxLayout()
        buttons.addWidget(self._open)
        buttons.addWidget(self._copy)
        buttons.addStretch(1)
        inner.addLayout(buttons)
        layout = QVBoxLayout(self._form)
        layout.setContentsMargins(*(theme.SPACE_PAGE,) * 4)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(title)
        layout.addLayout(options)
        layout.addWidget(self._folder)
        layout.addWidget(self._problem)
        layout.addWidget(self._result)
        layout.addStretch(1)
        layout.addLayout(action)
        self._progress.hide()

    @Slot()
    def _ask_for_export(self) -> None:
        assert self._run is not None
        folder = self._folder.path()
        if folder is None or not folder.is_absolute():
            self._refuse("There is no folder to export to. Choose one, then press Export again.")
            return
        chosen = self._formats.checkedButton()
        assert chosen is not None
        self._exported_run = self._run
        self._problem.hide()
        self._result.hide()
        self._export.setEnabled(False)
        self._progress.begin("Starting")
        self._progress.show()
        self.job_requested.emit(Export(run=str(self._run.path), format=chosen.property("format"), to=str(folder)))

    def _end(self, event: JobEnded) -> None:
        self._export.setEnabled(True)
        self._progress.hide()
        exported_run, self._exported_run = self._exported_run, None
        if exported_run is not self._run:
            return
        if event.status == "finished":
            self._show(msgspec.convert(event.result, Exported))
        elif event.status == "stopped":
            self._refuse("The export was stopped. Nothing was left behind.")
        else:
            self._refuse(f"{event.what} The run itself is unharmed. {event.hint}".strip())

    def _refuse(self, sentence: str) -> None:
        self._problem.setText(sentence)
        self._problem.show()

    def _show(self, exported: Exported) -> None:
        self._exported = exported
        path = Path(exported.path)
        remembered.remember_folder("exports", path.parent)
        self._parity.setText(parity_in_words(exported.parity))
        self._facts.setText(f"File: {path}\nSHA-256: {exported.sha256}")
        has_script = (path.parent / SAMPLE_SCRIPT).is_file()
        for widget in (self._usage, self._command, self._copy):
            widget.setVisible(has_script)
        self._usage.setText(
            "A short sample script lies beside it. It needs Python with onnxruntime, numpy and Pillow, not this app:"
        )
        self._command.setText(f'cd "{path.parent}" && python {SAMPLE_SCRIPT} PICTURE…')
        self._result.show()

    @Slot()
    def _copy_command(self) -> None:
        QGuiApplication.clipboard().setText(self._command.text().removesuffix(" PICTURE…"))

    @Slot()
    def _open_folder(self) -> None:
        assert self._exported is not None
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(self._exported.path).parent)))

    @Slot()
    def _go_to_start(self) -> None:
        self.page_requested.emit("start")


def parity_in_words(parity: Parity) -> str:
    """Return how closely the exported file agrees with the app."""
    on = f"On {words.pictures(parity.images)} the file"
    difference = parity.max_probability_difference
    if parity.top1_agreement == 1:
        classes = f"{on} gave the same class every time"
    else:
        same = round(parity.top1_agreement * parity.images)
        classes = f"Warning: {on} gave the same class only {same:,} times ({words.percent(parity.top1_agreement)})"
    if difference == 0:
        return f"{classes}; the probabilities are the same to the last digit."
    return f"{classes}; probabilities differ by at most {words.small_number(difference)}."


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = ExportPage()
    print(parity_in_words(Parity(images=153, top1_agreement=1.0, max_probability_difference=1.2e-6)))
    page.resize(1024, 700)
    page.show()
    app.exec()
