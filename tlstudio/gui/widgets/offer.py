"""Something the user may do, in one line: a sentence, and a button for each answer."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QPushButton, QWidget

from tlstudio.gui import theme
from tlstudio.gui.widgets.sentence import Sentence


class Offer(QFrame):
    """Stays until the page takes it away; it never holds up anything."""

    chosen = Signal(str)
    """The text of the button that was pressed."""

    def __init__(self, sentence: str, answers: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        said = Sentence()
        said.setText(sentence)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, theme.SPACE_INSIDE, theme.SPACE_INSIDE, theme.SPACE_INSIDE)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(said, 1)
        for answer in answers:
            button = QPushButton(answer)
            button.setAccessibleDescription(sentence)
            button.clicked.connect(self._choose)
            layout.addWidget(button)

    @Slot()
    def _choose(self) -> None:
        button = self.sender()
        assert isinstance(button, QPushButton)
        self.chosen.emit(button.text())


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    offer = Offer("The training of “leaves” was interrupted.", ("Continue", "Show result so far", "Discard"))
    offer.show()
    app.exec()
