"""Many pictures with what the model says about each. Only those in view are read, away from the window's thread."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QColor, QIcon, QImage, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QListView, QWidget

from tlstudio.core.results import Prediction
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.image_viewer import ImageViewer, PictureLoader, in_words

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
THUMBNAIL_PX = 136
MARGIN_PX = 6
CELL = QSize(THUMBNAIL_PX + 40, THUMBNAIL_PX + 48)
THUMBNAILS_KEPT = 600
LAID_OUT_AT_ONCE = 10_000


class _Pictures(QAbstractListModel):
    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.predictions: Sequence[Prediction] = ()
        self._rows: dict[str, int] = {}
        self._thumbnails: OrderedDict[str, QPixmap] = OrderedDict()
        self._requested: set[str] = set()
        self._loader = PictureLoader(THUMBNAIL_PX, self)
        self._loader.loaded.connect(self._keep)

    def replace(self, predictions: Sequence[Prediction]) -> None:
        self.beginResetModel()
        self._loader.forget()
        self._requested.clear()
        self.predictions = predictions
        self._rows = {prediction.path: row for row, prediction in enumerate(predictions)}
        self.endResetModel()

    def forget_drawn(self) -> None:
        """Drop every thumbnail: placeholders have the colours of the scheme."""
        self._thumbnails.clear()
        self._requested.clear()

    def thumbnail(self, path: str) -> QPixmap | None:
        return self._thumbnails.get(path)

    def rowCount(self, parent: Index = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.predictions)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        prediction = self.predictions[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                given = f"{prediction.class_} {words.percent(prediction.probability)}"
                return given if prediction.truth is None else f"true: {prediction.truth}\ngiven: {given}"
            case Qt.ItemDataRole.DecorationRole:
                thumbnail = self._thumbnail_or_request(prediction.path)
                icon = QIcon(thumbnail)
                # A selected picture keeps its colours: they are what the user looks at.
                icon.addPixmap(thumbnail, QIcon.Mode.Selected)
                return icon
            case Qt.ItemDataRole.SizeHintRole:
                return CELL
            case Qt.ItemDataRole.ToolTipRole:
                return prediction.path
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{Path(prediction.path).name}. {in_words(prediction)}"
        return None

    def _thumbnail_or_request(self, path: str) -> QPixmap:
        thumbnail = self._thumbnails.get(path)
        if thumbnail is not None:
            self._thumbnails.move_to_end(path)
            return thumbnail
        if path not in self._requested:
            self._requested.add(path)
            self._loader.request(path)
        return _placeholder("")

    @Slot(str, object)
    def _keep(self, path: str, loaded: QImage | str) -> None:
        self._requested.discard(path)
        self._thumbnails[path] = _placeholder(loaded) if isinstance(loaded, str) else _centred(loaded)
        if len(self._thumbnails) > THUMBNAILS_KEPT:
            self._thumbnails.popitem(last=False)
        row = self._rows.get(path)
        if row is not None:
            index = self.index(row)
            self.dataChanged.emit(index, index, [Qt.ItemDataRole.DecorationRole])


class ImageGrid(QListView):
    """Pictures in the order given. Enter or a double click opens one large."""

    picture_selected = Signal(object)
    """The Prediction the user moved to."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: Sequence[str] = ()
        self._pictures = _Pictures(self)
        self.setModel(self._pictures)
        self.setAccessibleName(name)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setLayoutMode(QListView.LayoutMode.Batched)
        self.setBatchSize(LAID_OUT_AT_ONCE)
        self.setIconSize(QSize(THUMBNAIL_PX, THUMBNAIL_PX))
        self.setGridSize(CELL)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.activated.connect(self._open)
        self.selectionModel().currentChanged.connect(self._tell_current)

    def show_pictures(self, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
        """Show these pictures instead."""
        self._classes = classes
        self._pictures.replace(predictions)
        self.scrollToTop()

    def pictures(self) -> Sequence[Prediction]:
        """Return what is shown, in order."""
        return self._pictures.predictions

    def thumbnail(self, path: str) -> QPixmap | None:
        """Return the thumbnail of a picture once it has been read."""
        return self._pictures.thumbnail(path)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._pictures.forget_drawn()
            self.viewport().update()

    @Slot(QModelIndex)
    def _open(self, index: QModelIndex) -> None:
        ImageViewer(self._pictures.predictions, self._classes, index.row(), self).open()

    @Slot(QModelIndex, QModelIndex)
    def _tell_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if index.isValid():
            self.picture_selected.emit(self._pictures.predictions[index.row()])


def _empty_square() -> QPixmap:
    square = QPixmap(THUMBNAIL_PX, THUMBNAIL_PX)
    square.fill(Qt.GlobalColor.transparent)
    return square


def _placeholder(reason: str) -> QPixmap:
    """Return an outlined square: empty while the picture is read, with the reason if it cannot be."""
    square = _empty_square()
    tokens = theme.current()
    painter = QPainter(square)
    painter.setPen(QColor(tokens.hairline))
    painter.drawRect(square.rect().adjusted(0, 0, -1, -1))
    painter.setPen(QColor(tokens.muted))
    area = square.rect().adjusted(8, 8, -8, -8)
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, reason)
    painter.end()
    return square


def _centred(image: QImage) -> QPixmap:
    """Return the picture in the middle of a square, so that captions line up."""
    square = _empty_square()
    inside = square.size() - QSize(2 * MARGIN_PX, 2 * MARGIN_PX)
    size = image.size().scaled(inside, Qt.AspectRatioMode.KeepAspectRatio)
    place = QRect((THUMBNAIL_PX - size.width()) // 2, (THUMBNAIL_PX - size.height()) // 2, size.width(), size.height())
    painter = QPainter(square)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(place, image)
    painter.end()
    return square


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
