"""A problem report, to be read before it is saved."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.errors import StudioError
from tlstudio.core.paths import runs_dir
from tlstudio.core.problem_report import ReportPart, problem_report, write_report
from tlstudio.core.runfolder import RunFolder, runs_in
from tlstudio.gui import remembered, theme
from tlstudio.gui.background import Background
from tlstudio.gui.widgets.sentence import Sentence

RUNS_LEARNED_FROM = 5
"""The newest runs, whose names may stand in the file of errors."""
EXPLAINED = (
    "This is all that the report holds. It has no pictures, and names are replaced by numbers. Nothing is sent: save "
    "it, and give it to whoever is to help."
)
LIST_WIDTH_PX = 150


class ReportDialog(QDialog):
    """The files of the report at the left, their text at the right, and a button that saves them as one archive."""

    def __init__(self, run: RunFolder | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Report a problem")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._parts: list[ReportPart] = []
        self._background = Background(self)
        self._background.done.connect(self._take)
        explained = Sentence()
        explained.setText(EXPLAINED)
        self._names = QListWidget()
        self._names.setFixedWidth(LIST_WIDTH_PX)
        self._names.setAccessibleName("Files of the report")
        self._names.currentRowChanged.connect(self._show_part)
        self._text = QPlainTextEdit()
        self._text.setReadOnly(True)
        self._text.setTabChangesFocus(True)
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._text.setAccessibleName("Text of the file")
        self._said = Sentence("muted")
        self._save = QPushButton("&Save as …")
        self._save.setProperty("primary", True)
        self._save.setEnabled(False)
        self._save.clicked.connect(self._choose_file)
        close = QPushButton("C&lose")
        close.clicked.connect(self.accept)
        inside = QHBoxLayout()
        inside.setSpacing(theme.SPACE_INSIDE)
        inside.addWidget(self._names)
        inside.addWidget(self._text, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self._said, 1)
        buttons.addWidget(close)
        buttons.addWidget(self._save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(explained)
        layout.addLayout(inside, 1)
        layout.addLayout(buttons)
        self.resize(820, 560)
        self._said.setText("Gathering …")
        self._background.start("gather", lambda: _gathered(run))

    @Slot(object, object)
    def _take(self, key: str, result: list[ReportPart] | Path | StudioError) -> None:
        match result:
            case StudioError():
                self._said.setText(str(result))
            case Path():
                self._said.setText(f"Saved as {result}")
            case list():
                self._parts = result
                self._names.addItems([part.name for part in result])
                self._names.setCurrentRow(0)
                self._said.setText("")
        self._save.setEnabled(bool(self._parts))

    @Slot(int)
    def _show_part(self, row: int) -> None:
        self._text.setPlainText(self._parts[row].text)

    @Slot()
    def _choose_file(self) -> None:
        dialog = QFileDialog(self, "Save the report as", str(remembered.folder("reports", Path.home())))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(["Archive (*.zip)"])
        dialog.setDefaultSuffix("zip")
        dialog.selectFile("problem report.zip")
        dialog.fileSelected.connect(self._write)
        dialog.open()

    @Slot(str)
    def _write(self, name: str) -> None:
        file, parts = Path(name), self._parts
        remembered.remember_folder("reports", file.parent)
        self._save.setEnabled(False)
        self._background.start("write", lambda: _written(parts, file))


def _gathered(run: RunFolder | None) -> list[ReportPart]:
    newest = runs_in(runs_dir())[:RUNS_LEARNED_FROM]
    return problem_report(run or next(iter(newest), None), newest)


def _written(parts: list[ReportPart], file: Path) -> Path:
    write_report(parts, file)
    return file


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    shown = ReportDialog(None)
    shown.show()
    app.exec()
