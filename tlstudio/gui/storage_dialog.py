"""What the app keeps to save time, how much of the disk that takes, and a way to be rid of it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from tlstudio.core import cache_folder
from tlstudio.core.errors import StudioError, refused
from tlstudio.gui import theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.dialogs import confirm
from tlstudio.gui.widgets.figure import NOTHING, Figure
from tlstudio.gui.widgets.sentence import Sentence

WHY_KEPT = (
    "What the networks see in your pictures is kept, so that they need to be shown only once. "
    "The oldest of it goes by itself when there is too much."
)
WHAT_CLEARING_COSTS = "The next advice or training takes longer, once. Your pictures, runs and weights are not touched."


class StorageDialog(QDialog):
    """The size of the cache, and a button that clears it after a question."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Storage")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._bytes = 0
        self._background = Background(self)
        self._background.done.connect(self._take)
        why = Sentence()
        why.setText(WHY_KEPT)
        self._figure = Figure("Kept to save time")
        self._said = Sentence("muted")
        self._said.setText(WHAT_CLEARING_COSTS)
        self._clear = QPushButton("Clear")
        self._clear.setAutoDefault(False)
        self._clear.setEnabled(False)
        self._clear.clicked.connect(self._ask)
        close = QPushButton("C&lose")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addWidget(self._clear)
        buttons.addStretch()
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE)
        layout.setSpacing(theme.SPACE)
        for part in (self._figure, why, self._said):
            layout.addWidget(part)
        layout.addStretch()
        layout.addLayout(buttons)
        self.resize(460, 300)
        close.setFocus()
        self._background.start("measure", cache_folder.size_bytes)

    @Slot(object, object)
    def _take(self, key: str, result: int | StudioError) -> None:
        if isinstance(result, StudioError):
            self._said.setText(f"{result.what} {result.hint}")
            self._background.start("measure", cache_folder.size_bytes)
        elif key == "clear":
            self._said.setText(f"Cleared {words.disk_size(result)}.")
            self._background.start("measure", cache_folder.size_bytes)
        else:
            self._bytes = result
            size = words.disk_size(result)
            self._figure.show_value(size)
            self._clear.setText(f"&Clear {size}")
            self._clear.setEnabled(result > 0)

    @Slot()
    def _ask(self) -> None:
        size = words.disk_size(self._bytes)
        if confirm(self, "Clear what is kept?", f"Clear {size}?", WHAT_CLEARING_COSTS, f"&Clear {size}", "&Keep"):
            self._clear.setEnabled(False)
            self._figure.show_value(NOTHING)
            self._background.start("clear", _clear)


def _clear() -> int:
    """Clear the cache and return the bytes freed. Raises StudioError."""
    try:
        return cache_folder.clear()
    except OSError as error:
        raise refused(error) from error


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    dialog = StorageDialog()
    dialog.show()
    app.exec()
