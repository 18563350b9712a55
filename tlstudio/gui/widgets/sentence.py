"""A sentence on a page: never taken for mark-up, broken into lines, selectable."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication, QLabel, QWidget

LONGEST_WORD_PX = 160
"""A name of hundreds of letters in a sentence is cut off rather than that it makes the window wider."""


class Sentence(QLabel):
    """Text for the user to read; it may come from files."""

    def __init__(self, role: Literal["title", "lead", "muted", ""] = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def minimumSizeHint(self) -> QSize:
        needed = super().minimumSizeHint()
        return QSize(min(needed.width(), LONGEST_WORD_PX), needed.height())


if __name__ == "__main__":
    app = QApplication([])
    sentence = Sentence("lead")
    sentence.setText("The new head is trained; now the whole network learns gently. <b>No mark-up.</b>")
    sentence.show()
    app.exec()
