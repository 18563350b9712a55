"""Pictures of a data set, large and one after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from tlstudio.core.images import Reading
from tlstudio.gui import theme
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.dataset_rows import DatasetPicture, digit_of
from tlstudio.gui.widgets.image_viewer import PictureWindow
from tlstudio.gui.widgets.relabel_menu import RelabelMenu


class DatasetViewer(PictureWindow):
    """Left and Right go through the pictures; with `edits` the user can say what each really is, also by a digit."""

    def __init__(
        self,
        pictures: Sequence[DatasetPicture],
        first: int,
        reading: Reading,
        edits: DatasetEdits | None,
        parent: QWidget,
    ) -> None:
        super().__init__([picture.path for picture in pictures], parent, reading)
        self._pictures = {picture.path: picture for picture in pictures}
        self._edits = edits
        self._menu: RelabelMenu | None = None
        if edits is not None:
            self._menu = RelabelMenu(edits, self)
            relabel = QPushButton("Is really")
            relabel.setMenu(self._menu)
            aside = QPushButton("Set aside")
            aside.clicked.connect(self._set_aside)
            self._buttons.insertWidget(3, relabel)
            self._buttons.insertWidget(4, aside)
            edits.add_undo_to(self)
        for button in self.findChildren(QPushButton):
            button.setAutoDefault(False)
        self.go_to(first)

    def describe(self, position: int) -> str:
        path = self._paths[position]
        if self._menu is not None:
            self._menu.set_paths((path,))
        return self._pictures[path].sentence()

    @Slot(object)
    def update_pictures(self, pictures: Sequence[DatasetPicture]) -> None:
        """Say what is known about the pictures by now."""
        self._pictures |= {picture.path: picture for picture in pictures}
        self._caption.setText(self.describe(self._position))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        digit = digit_of(event)
        if self._menu is not None and digit is not None:
            self._menu.relabel_by_digit(digit)
        else:
            super().keyPressEvent(event)

    @Slot()
    def _set_aside(self) -> None:
        if self._edits is not None:
            self._edits.set_aside((self._paths[self._position],))


if __name__ == "__main__":
    app = QApplication(sys.argv)
    theme.apply(app, "system")
    window = QWidget()
    files = sys.argv[1:] or ["no-such-picture.jpg"]
    shown = [DatasetPicture(path, path, "ants") for path in files]
    viewer = DatasetViewer(shown, 0, Reading(), None, window)
    viewer.setWindowFlag(Qt.WindowType.Window)
    viewer.show()
    app.exec()
