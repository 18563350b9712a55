"""One number that can be read from across the room, with a line that says what it is."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QSizePolicy, QVBoxLayout, QWidget

NOTHING = "–"


class Figure(QWidget):
    """A large value over a quiet caption."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._value = QLabel()
        self._value.setProperty("role", "figure")
        self._caption = QLabel()
        self._caption.setProperty("role", "muted")
        for label in (self._value, self._caption):
            label.setTextFormat(Qt.TextFormat.PlainText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._value)
        layout.addWidget(self._caption)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.show_value(NOTHING)

    def show_value(self, value: str, caption: str = "") -> None:
        """Show a value; the caption defaults to the figure's name."""
        caption = caption or self._name
        self._value.setText(value)
        self._caption.setText(caption)
        self.setAccessibleName(f"{caption}: {value}")

    def value(self) -> str:
        """Return what is shown large."""
        return self._value.text()

    def caption(self) -> str:
        """Return the line below."""
        return self._caption.text()


if __name__ == "__main__":
    app = QApplication([])
    figure = Figure("Val accuracy")
    figure.show_value("94.1 %", "Val accuracy (90.2-96.8)")
    figure.show()
    app.exec()
