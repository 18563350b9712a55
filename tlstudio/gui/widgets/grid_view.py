"""A grid of pictures of one size. Where everything lies is computed, so a hundred thousand scroll as well as ten."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import ceil
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractListModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QItemSelectionRange,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QRegion, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QApplication, QWidget

from tlstudio.core.images import Reading
from tlstudio.gui import plain_text, theme
from tlstudio.gui.widgets.thumbnails import Thumbnails

Index = QModelIndex | QPersistentModelIndex
NOWHERE = QModelIndex()
THUMBNAIL_PX = 136
SMALLEST_PX, LARGEST_PX = 56, 256
FADED = 0.4
MARK_PX = 20
_CAPTION_LEAST_PX = 80
"""Below this side a caption would be cut to nothing."""
_ELIDED = (Qt.TextElideMode.ElideMiddle, Qt.TextElideMode.ElideRight)


class PictureRows(QAbstractListModel):
    """What a grid shows, a picture a row. Subclasses say what of it; the order is theirs."""

    def path(self, row: int) -> str:
        """Return the file."""
        raise NotImplementedError

    def content(self, row: int) -> str:
        """Return the SHA-256 under which a thumbnail may be kept, or ""."""
        return ""

    def caption(self, row: int) -> str:
        """Return up to two lines to write below the picture."""
        raise NotImplementedError

    def spoken(self, row: int) -> str:
        """Return what a screen reader says."""
        raise NotImplementedError

    def marks(self, row: int) -> Sequence[str]:
        """Return the names of the icons in the picture's corner."""
        return ()

    def is_faded(self, row: int) -> bool:
        """Return whether the picture takes no part."""
        return False

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.caption(index.row())
            case Qt.ItemDataRole.ToolTipRole:
                return plain_text.tooltip(self.path(index.row()))
            case Qt.ItemDataRole.AccessibleTextRole:
                return self.spoken(index.row())
        return None


class GridView(QAbstractItemView):
    """Shows PictureRows. Only pictures in view are read, away from the window's thread.

    Arrows, Home, End and Page keys move, Shift extends, Ctrl+A takes all, dragging draws a rectangle.
    """

    picture_moved_to = Signal(int)
    """The row the user moved to."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side_px = THUMBNAIL_PX
        self._lines = 2
        self._reading = Reading()
        self._dragged_from: QPoint | None = None
        self._dragged_to = QPoint()
        self._thumbnails = Thumbnails(self._side_px, self)
        self._thumbnails.arrived.connect(self._show_arrived)
        self._rows_in_view: dict[str, int] = {}
        self._marks: dict[str, QPixmap] = {}
        self.setAccessibleName(name)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)

    def setModel(self, model: QAbstractItemModel | None) -> None:
        assert isinstance(model, PictureRows)
        super().setModel(model)
        self.selectionModel().currentChanged.connect(self._tell_current)

    def set_side(self, side_px: int) -> None:
        """Show thumbnails of that side, in pixels; the picture at the top stays at the top."""
        top = self._first_in_view()
        self._side_px = min(max(side_px, SMALLEST_PX), LARGEST_PX)
        self.updateGeometries()
        self.verticalScrollBar().setValue(top // self._columns() * self._cell_height())
        self.viewport().update()

    def side_px(self) -> int:
        """Return the side of the thumbnails."""
        return self._side_px

    def set_reading(self, reading: Reading) -> None:
        """Show pictures read in this way."""
        self._thumbnails.set_look(self._side_px, self.devicePixelRatioF(), reading)
        self._reading = reading
        self.viewport().update()

    def thumbnail(self, path: str) -> QPixmap | None:
        """Return the square thumbnail of a picture once it has been read."""
        return self._thumbnails.get(path)

    def chosen_rows(self) -> list[int]:
        """Return the selected rows from first to last."""
        # Indexes of fifty thousand chosen pictures would take their time.
        ranges = self.selectionModel().selection().toList()
        return sorted(row for chosen in ranges for row in range(chosen.top(), chosen.bottom() + 1))

    def chosen_count(self) -> int:
        """Return how many rows are selected."""
        return sum(chosen.height() for chosen in self.selectionModel().selection().toList())

    def choose_rows(self, rows: Sequence[int], current: int) -> None:
        """Select these rows, in ascending order, and move to one of them or of the others; -1 moves nowhere."""
        selection = QItemSelection()
        for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]):
            members = [row for _, row in run]
            selection.append(QItemSelectionRange(self.model().index(members[0], 0), self.model().index(members[-1], 0)))
        flags = QItemSelectionModel.SelectionFlag
        if current >= 0:
            self.selectionModel().setCurrentIndex(self.model().index(current, 0), flags.NoUpdate)
        self.selectionModel().select(selection, flags.ClearAndSelect)

    # What QAbstractItemView asks of a view, from here on.

    def visualRect(self, index: Index) -> QRect:
        if not index.isValid():
            return QRect()
        row, column = divmod(index.row(), self._columns())
        width = self._cell_width()
        return QRect(column * width, row * self._cell_height() - self.verticalOffset(), width, self._cell_height())

    def indexAt(self, point: QPoint) -> QModelIndex:
        column, line = point.x() // self._cell_width(), (point.y() + self.verticalOffset()) // self._cell_height()
        row = line * self._columns() + column
        inside = 0 <= column < self._columns() and 0 <= row < self._count()
        return self.model().index(row, 0) if inside else QModelIndex()

    def scrollTo(
        self, index: Index, hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible
    ) -> None:
        place, bar = self.visualRect(index), self.verticalScrollBar()
        height = self.viewport().height()
        if hint == QAbstractItemView.ScrollHint.PositionAtCenter:
            bar.setValue(bar.value() + place.center().y() - height // 2)
        elif place.top() < 0 or hint == QAbstractItemView.ScrollHint.PositionAtTop:
            bar.setValue(bar.value() + place.top())
        elif place.bottom() > height or hint == QAbstractItemView.ScrollHint.PositionAtBottom:
            bar.setValue(bar.value() + place.bottom() - height)

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        last = self._count() - 1
        if last < 0:
            return QModelIndex()
        columns = self._columns()
        page = max(1, self.viewport().height() // self._cell_height()) * columns
        actions = QAbstractItemView.CursorAction
        steps = {
            actions.MoveLeft: -1, actions.MovePrevious: -1, actions.MoveRight: 1, actions.MoveNext: 1,
            actions.MoveUp: -columns, actions.MoveDown: columns, actions.MovePageUp: -page, actions.MovePageDown: page,
            actions.MoveHome: -last, actions.MoveEnd: last,
        }  # fmt: skip
        now = self.currentIndex().row()
        row = 0 if now < 0 else now + steps[action]
        if action in (actions.MoveUp, actions.MoveDown) and not 0 <= row <= last:
            row = now
        return self.model().index(min(max(row, 0), last), 0)

    def horizontalOffset(self) -> int:
        return 0

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:
        return False

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        selection = QItemSelection()
        if self.state() == QAbstractItemView.State.DragSelectingState:
            for first, last in self._rows_touched(rect.normalized()):
                selection.select(self.model().index(first, 0), self.model().index(last, 0))
        else:
            first, last = sorted((self.indexAt(rect.topLeft()).row(), self.indexAt(rect.bottomRight()).row()))
            if first >= 0:
                selection.select(self.model().index(first, 0), self.model().index(last, 0))
        self.selectionModel().select(selection, command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    def updateGeometries(self) -> None:
        bar = self.verticalScrollBar()
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(self._cell_height() // 3)
        bar.setRange(0, max(0, ceil(self._count() / self._columns()) * self._cell_height() - self.viewport().height()))
        super().updateGeometries()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().scroll(dx, dy)

    def resizeEvent(self, event: QResizeEvent) -> None:
        top = self._first_in_view()
        super().resizeEvent(event)
        self.updateGeometries()
        if event.oldSize().width() != event.size().width():
            self.verticalScrollBar().setValue(top // self._columns() * self._cell_height())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            # Placeholders and marks have the colours of the scheme.
            self._thumbnails.forget()
            self._marks.clear()
            self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._dragged_from = event.position().toPoint() + QPoint(0, self.verticalOffset())
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._dragged_to = event.position().toPoint() + QPoint(0, self.verticalOffset())
        if self.state() == QAbstractItemView.State.DragSelectingState:
            self.viewport().update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._dragged_from = None
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        self._thumbnails.set_look(self._side_px, self.devicePixelRatioF(), self._reading)
        painter = QPainter(self.viewport())
        rows = self._rows()
        in_view = self._rows_lying_in(self.viewport().rect())
        self._rows_in_view = {rows.path(row): row for row in in_view}
        current = self.currentIndex().row() if self.hasFocus() else -1
        for row in self._rows_lying_in(event.rect()):
            index = rows.index(row, 0)
            self._paint_cell(
                painter, self.visualRect(index), row, self.selectionModel().isSelected(index), row == current
            )
        if self.state() == QAbstractItemView.State.DragSelectingState and self._dragged_from is not None:
            self._paint_band(painter, QRect(self._dragged_from, self._dragged_to).normalized())
        ahead = range(in_view.stop, min(in_view.stop + len(in_view), self._count()))
        self._thumbnails.want([(rows.path(row), rows.content(row)) for row in (*in_view, *ahead)])

    def _paint_cell(self, painter: QPainter, place: QRect, row: int, chosen: bool, current: bool) -> None:
        tokens, rows = theme.current(), self._rows()
        inside = place.adjusted(2, 2, -2, -2)
        if chosen or current:
            painter.setPen(QPen(QColor(tokens.accent if chosen else tokens.outline), 2 if current else 1))
            painter.setBrush(QColor(tokens.tint) if chosen else Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(inside, theme.CORNER_PX, theme.CORNER_PX)
        left = place.left() + (place.width() - self._side_px) // 2
        square = QRect(left, place.top() + theme.SPACE_TIGHT, self._side_px, self._side_px)
        thumbnail = self._thumbnails.get(rows.path(row))
        faded = rows.is_faded(row)
        if thumbnail is not None:
            painter.setOpacity(FADED if faded else 1)
            painter.drawPixmap(square, thumbnail)
            painter.setOpacity(1)
        else:
            painter.setPen(QColor(tokens.hairline))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(square.adjusted(6, 6, -7, -7))
        for position, name in enumerate(rows.marks(row)):
            painter.drawPixmap(square.right() - (position + 1) * (MARK_PX + 2), square.top() + 2, self._mark(name))
        painter.setPen(QColor(tokens.muted if faded else tokens.text))
        metrics = painter.fontMetrics()
        top = square.bottom() + 1
        # File names differ at both ends, sentences begin with what matters.
        lines = zip(rows.caption(row).split("\n")[: self._caption_lines()], _ELIDED, strict=False)
        for line, elided in lines:
            text = metrics.elidedText(line, elided, inside.width() - 2 * theme.SPACE_TIGHT)
            painter.drawText(inside.left(), top, inside.width(), metrics.height(), Qt.AlignmentFlag.AlignHCenter, text)
            top += metrics.height()

    def _paint_band(self, painter: QPainter, band: QRect) -> None:
        accent = QColor(theme.current().accent)
        painter.setPen(accent)
        accent.setAlphaF(0.15)
        painter.setBrush(accent)
        painter.drawRect(band.translated(0, -self.verticalOffset()))

    def _mark(self, name: str) -> QPixmap:
        if name not in self._marks:
            tokens = theme.current()
            ground = QPixmap(MARK_PX, MARK_PX)
            ground.fill(Qt.GlobalColor.transparent)
            painter = QPainter(ground)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QColor(tokens.outline))
            painter.setBrush(QColor(tokens.raised))
            painter.drawEllipse(0, 0, MARK_PX - 1, MARK_PX - 1)
            painter.drawPixmap(4, 4, theme.icon_pixmap(name, MARK_PX - 8, tokens.text))
            painter.end()
            self._marks[name] = ground
        return self._marks[name]

    def _rows(self) -> PictureRows:
        model = self.model()
        assert isinstance(model, PictureRows)
        return model

    def _count(self) -> int:
        return self._rows().rowCount()

    def _columns(self) -> int:
        return max(1, self.viewport().width() // (self._side_px + 2 * theme.SPACE_INSIDE))

    def _cell_width(self) -> int:
        return max(1, self.viewport().width() // self._columns())

    def _caption_lines(self) -> int:
        return self._lines if self._side_px >= _CAPTION_LEAST_PX else 0

    def _cell_height(self) -> int:
        return self._side_px + self._caption_lines() * self.fontMetrics().height() + 3 * theme.SPACE_TIGHT

    def _first_in_view(self) -> int:
        return self.verticalOffset() // self._cell_height() * self._columns()

    def _rows_lying_in(self, rect: QRect) -> range:
        """Return the rows of all lines that a rectangle of the viewport touches."""
        columns, height = self._columns(), self._cell_height()
        first = max(0, rect.top() + self.verticalOffset()) // height
        last = (rect.bottom() + self.verticalOffset()) // height
        return range(min(first * columns, self._count()), min((last + 1) * columns, self._count()))

    def _rows_touched(self, rect: QRect) -> list[tuple[int, int]]:
        """Return the first and last row of every line's part that a rectangle touches."""
        columns = self._columns()
        first = max(0, rect.left() // self._cell_width())
        last = min(columns - 1, rect.right() // self._cell_width())
        lines = range(0, len(self._rows_lying_in(rect)), columns)
        start = self._rows_lying_in(rect).start
        ends = ((start + line + first, min(start + line + last, self._count() - 1)) for line in lines)
        return [(begin, end) for begin, end in ends if begin <= end]

    @Slot(str)
    def _show_arrived(self, path: str) -> None:
        row = self._rows_in_view.get(path)
        if row is not None:
            self.viewport().update(self.visualRect(self.model().index(row, 0)))

    @Slot(QModelIndex, QModelIndex)
    def _tell_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if index.isValid():
            self.picture_moved_to.emit(index.row())


if __name__ == "__main__":

    class _Files(PictureRows):
        def rowCount(self, parent: Index = NOWHERE) -> int:
            return 0 if parent.isValid() else 50_000

        def path(self, row: int) -> str:
            return f"{row}.png"

        def caption(self, row: int) -> str:
            return self.path(row)

        spoken = caption

    app = QApplication([])
    theme.apply(app, "system")
    view = GridView("Example")
    view.setModel(_Files(view))
    view.resize(800, 600)
    view.show()
    app.exec()
