"""A name in one line, which ends in dots where there is no room for all of it."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QLabel, QWidget


class OneLine(QLabel):
    """Takes the width it is given and asks for none: a name of hundreds of letters must not make the window wider."""

    def __init__(self, role: Literal["title", "section", "muted"], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)

    def sizeHint(self) -> QSize:
        return QSize(0, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        room = self.contentsRect()
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter = QPainter(self)
        self.style().drawItemText(
            painter, room, self.alignment(), self.palette(), self.isEnabled(), shown, self.foregroundRole()
        )


if __name__ == "__main__":
    app = QApplication([])
    line = OneLine("title")
    line.setText("Leaves of the second field, picked in May, without those that were wet " * 3)
    line.show()
    app.exec()
