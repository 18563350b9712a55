"""The few questions and notes that deserve a window of their own."""

from __future__ import annotations

import platform
from importlib import metadata

from PySide6.QtCore import Qt, Slot
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

from tlstudio import __version__
from tlstudio.core.paths import crash_log
from tlstudio.gui import theme

SHOWN_PACKAGES = ("torch", "torchvision", "PySide6-Essentials", "numpy", "pillow", "scikit-learn", "onnxruntime")


def confirm_close(parent: QWidget, training: bool) -> bool:
    """Ask whether to stop what runs and close; return True if so."""
    box = QMessageBox(parent)
    box.setWindowTitle("Close the window?")
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setIcon(QMessageBox.Icon.Question)
    if training:
        box.setText("A training is running.")
        box.setInformativeText("If you close now, it stops and the best state so far is kept.")
    else:
        box.setText("Work is still being done in the background.")
        box.setInformativeText("If you close now, it stops. Your pictures are untouched.")
    stop = box.addButton("&Stop and close", QMessageBox.ButtonRole.AcceptRole)
    keep = QPushButton("&Keep going")
    keep.setProperty("primary", True)
    box.addButton(keep, QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(keep)
    box.exec()
    return box.clickedButton() is stop


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
        buttons = QHBoxLayout()
        buttons.addWidget(copy)
        buttons.addStretch()
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE)
        layout.setSpacing(theme.SPACE)
        for part in (title, sentence, versions):
            layout.addWidget(part)
        layout.addLayout(buttons)
        self.resize(460, 380)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(versions_text())


def versions_text() -> str:
    """Return the versions of everything that matters, one a line."""
    lines = [f"Transfer Learning Studio {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for name in SHOWN_PACKAGES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)
