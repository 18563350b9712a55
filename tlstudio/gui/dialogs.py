"""The few questions and notes that deserve a window of their own."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.paths import crash_log
from tlstudio.core.problem_report import versions_text
from tlstudio.gui import theme
from tlstudio.gui.widgets.sentence import Sentence

CLOSING = "Close the window?"


def confirm(parent: QWidget, title: str, question: str, explanation: str, action: str, keep: str) -> bool:
    """Ask before something is done; return True if it shall be. Enter and Esc leave everything as it is."""
    box = QMessageBox(QMessageBox.Icon.Question, title, question, parent=parent)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setInformativeText(explanation)
    act = box.addButton(action, QMessageBox.ButtonRole.AcceptRole)
    stay = QPushButton(keep)
    stay.setProperty("primary", True)
    box.addButton(stay, QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    return box.clickedButton() is act


def confirm_close(parent: QWidget, training: bool) -> bool:
    """Ask whether to leave what runs, and close; return True if so. A training can be gone on with."""
    if training:
        question = "A training is running."
        explanation = (
            "If you close now, it pauses and nothing is lost: the next start offers to go on from exactly there."
        )
        return confirm(parent, CLOSING, question, explanation, "&Pause and close", "&Keep training")
    explanation = "If you close now, it stops. Your pictures are untouched."
    question = "Work is still being done in the background."
    return confirm(parent, CLOSING, question, explanation, "&Stop and close", "&Keep going")


def show_problem(parent: QWidget | None, what: str, hint: str) -> None:
    """Show what happened and what to do next, without holding up the program."""
    box = QMessageBox(QMessageBox.Icon.Warning, "Something went wrong", what, parent=parent)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setInformativeText(hint)
    box.addButton("&Close", QMessageBox.ButtonRole.AcceptRole)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.open()


def show_unexpected(parent: QWidget | None, summary: str) -> None:
    """Tell the user about a bug."""
    show_problem(
        parent,
        "Something unexpected happened in the window.",
        f"Your pictures and runs are safe. If something looks wrong now, close the window and open it again. "
        f"Details are in {crash_log()} ({summary}).",
    )


class ErrorsDialog(QDialog):
    """What was noted of unexpected errors, as it was written."""

    report_requested = Signal()

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("What happened")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        said = Sentence()
        said.setText(f"This is for whoever mends the app. It is kept in {crash_log()}, and nothing of it was sent.")
        shown = QPlainTextEdit(text)
        shown.setReadOnly(True)
        shown.setTabChangesFocus(True)
        shown.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        shown.setAccessibleName("Unexpected errors")
        report = QPushButton("&Report a problem …")
        report.clicked.connect(self._report)
        close = QPushButton("C&lose")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        _stack(self, (said, shown), (report, close))
        self.resize(720, 460)

    @Slot()
    def _report(self) -> None:
        self.accept()
        self.report_requested.emit()


class AboutDialog(QDialog):
    """What this is, and every version a problem report needs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About Transfer Learning Studio")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        title = QLabel("Transfer Learning Studio")
        title.setProperty("role", "title")
        sentence = QLabel(
            "Turns folders of pictures into a classifier, on this computer. Nothing is uploaded.\n"
            "Open source under the Apache License 2.0."
        )
        sentence.setWordWrap(True)
        versions = QPlainTextEdit(versions_text())
        versions.setReadOnly(True)
        versions.setTabChangesFocus(True)
        versions.setAccessibleName("Versions")
        copy = QPushButton("&Copy versions")
        copy.clicked.connect(self._copy)
        close = QPushButton("C&lose")
        close.clicked.connect(self.accept)
        _stack(self, (title, sentence, versions), (copy, close))
        self.resize(460, 380)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(versions_text())


def _stack(dialog: QDialog, parts: Sequence[QWidget], buttons: tuple[QPushButton, QPushButton]) -> None:
    """Lay a dialog out: its parts, and below them one button at each side."""
    row = QHBoxLayout()
    row.addWidget(buttons[0])
    row.addStretch()
    row.addWidget(buttons[1])
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE)
    layout.setSpacing(theme.SPACE)
    for part in parts:
        layout.addWidget(part)
    layout.addLayout(row)
