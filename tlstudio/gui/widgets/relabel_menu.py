"""The menu with which the user says what pictures really are."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QInputDialog, QMenu, QPushButton, QWidget

from tlstudio.gui.dataset_edits import DatasetEdits

CLASSES_SHOWN = 20
DIGITS = 9
"""So many classes can be given by the keys 1 to 9."""


class RelabelMenu(QMenu):
    """The classes of the data set and the way to any other; choosing one relabels the pictures given last."""

    def __init__(self, edits: DatasetEdits, parent: QWidget | None = None) -> None:
        super().__init__("Is &really", parent)
        self._edits = edits
        self._paths: tuple[str, ...] = ()
        self.aboutToShow.connect(self._fill)
        self.triggered.connect(self._relabel)

    def set_paths(self, paths: Sequence[str]) -> None:
        """Speak of these pictures from now on."""
        self._paths = tuple(paths)

    def relabel_by_digit(self, digit: int) -> None:
        """Give the pictures the class of that number, counted from 1; there may be none."""
        classes = self._classes()
        if self._paths and 1 <= digit <= len(classes):
            self._edits.relabel(self._paths, classes[digit - 1])

    def _classes(self) -> tuple[str, ...]:
        return self._edits.index.classes if self._edits.index else ()

    @Slot()
    def _fill(self) -> None:
        self.clear()
        for number, name in enumerate(self._classes()[:CLASSES_SHOWN], 1):
            key = f"\t{number}" if number <= DIGITS else ""
            self.addAction(name.replace("&", "&&") + key).setData(name)
        self.addSeparator()
        self.addAction("&Another class …")

    @Slot(QAction)
    def _relabel(self, action: QAction) -> None:
        name = action.data()
        if name is None:
            name, agreed = QInputDialog.getItem(
                self.parentWidget(), "Another class", "Choose a class, or write a new one:", self._classes(), 0, True
            )
            if not agreed:
                return
        if name.strip():
            self._edits.relabel(self._paths, name.strip())


if __name__ == "__main__":
    app = QApplication([])
    button = QPushButton("Is really")
    button.setMenu(RelabelMenu(DatasetEdits(button), button))
    button.show()
    app.exec()
