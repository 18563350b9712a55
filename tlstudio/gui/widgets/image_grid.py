"""Many pictures with what the model says about each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, Signal, Slot
from PySide6.QtWidgets import QApplication, QWidget

from tlstudio.core.results import Prediction
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.grid_view import NOWHERE, GridView, PictureRows
from tlstudio.gui.widgets.image_viewer import ImageViewer, in_words


class _Answered(PictureRows):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.predictions: Sequence[Prediction] = ()

    def replace(self, predictions: Sequence[Prediction]) -> None:
        self.beginResetModel()
        self.predictions = predictions
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.predictions)

    def path(self, row: int) -> str:
        return self.predictions[row].path

    def caption(self, row: int) -> str:
        prediction = self.predictions[row]
        given = f"{prediction.class_} {words.percent(prediction.probability)}"
        return given if prediction.truth is None else f"true: {prediction.truth}\ngiven: {given}"

    def spoken(self, row: int) -> str:
        prediction = self.predictions[row]
        return f"{Path(prediction.path).name}. {in_words(prediction)}"


class ImageGrid(GridView):
    """Pictures in the order given. Enter or a double click opens one large."""

    picture_selected = Signal(object)
    """The Prediction the user moved to."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._classes: Sequence[str] = ()
        self._answered = _Answered(self)
        self.setModel(self._answered)
        self.setSelectionMode(GridView.SelectionMode.SingleSelection)
        self.activated.connect(self._open)
        self.picture_moved_to.connect(self._tell_picture)

    def show_pictures(self, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
        """Show these pictures instead."""
        self._classes = classes
        self._answered.replace(predictions)
        self.scrollToTop()

    def pictures(self) -> Sequence[Prediction]:
        """Return what is shown, in order."""
        return self._answered.predictions

    @Slot(QModelIndex)
    def _open(self, index: QModelIndex) -> None:
        ImageViewer(self._answered.predictions, self._classes, index.row(), self).open()

    @Slot(int)
    def _tell_picture(self, row: int) -> None:
        self.picture_selected.emit(self._answered.predictions[row])


if __name__ == "__main__":
    app = QApplication(sys.argv)
    theme.apply(app, "system")
    grid = ImageGrid("Example")
    files = sys.argv[1:] or ["no-such-picture.jpg"]
    grid.show_pictures(
        [Prediction(path=f, class_="crack", probability=0.7, probabilities=(0.7, 0.3), truth="free") for f in files],
        ("crack", "free"),
    )
    grid.resize(640, 420)
    grid.show()
    app.exec()
