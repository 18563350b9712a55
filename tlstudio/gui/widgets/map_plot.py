"""Points that stand for pictures, marked by class: to hover over, to click and to draw a line around."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal, Slot
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from tlstudio.gui import theme

SYMBOLS = ("o", "s", "t", "d", "star", "p", "h", "+", "x")
COLOURS = len(theme.LIGHT.classes)
MARKS = COLOURS * len(SYMBOLS)
"""Marks that can be told apart; with more classes some share theirs."""
POINT_PX, FEW_POINT_PX = 6, 9
FEW_POINTS = 1000
REACH_PX = 10
"""How near the pointer must be to a point."""
LEAST_LASSO_POINTS = 3
ICON_PX = 16


class MapPlot(QWidget):
    """A plane of points. The left button draws around points, the right one moves the plane, the wheel zooms."""

    hovered = Signal(int)
    """The point below the pointer, -1 for none."""
    clicked = Signal(int)
    """The point that was clicked."""
    lassoed = Signal(object)
    """An array of the visible points within the line that was drawn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._positions = np.zeros((0, 2))
        self._marks = np.zeros(0, int)
        self._visible = np.zeros(0, bool)
        self._chosen = np.zeros(0, int)
        self._under = -1
        self._box = _LassoBox()
        self._box.drawn.connect(self._draw_lasso)
        self._box.closed.connect(self._close_lasso)
        self._plot: Any = pg.PlotWidget(viewBox=self._box)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.hideAxis("left")
        self._plot.hideAxis("bottom")
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._plot.scene().sigMouseMoved.connect(self._follow_pointer)
        self._plot.scene().sigMouseClicked.connect(self._take_click)
        self._items: dict[int, Any] = {}
        self._ring: Any = pg.ScatterPlotItem(symbol="o", pxMode=True)
        self._lasso: Any = pg.PlotCurveItem()
        for item, height in ((self._ring, 2), (self._lasso, 3)):
            item.setZValue(height)
            self._plot.addItem(item, ignoreBounds=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self._restyle()

    def show_points(self, positions: np.ndarray, marks: np.ndarray) -> None:
        """Show points at positions (n, 2), each with the mark of that number (n); all are visible."""
        self._positions, self._marks = positions, marks % MARKS
        self._visible = np.ones(len(positions), bool)
        self._chosen = np.zeros(0, int)
        self._draw()
        self._plot.getViewBox().autoRange(padding=0.05)

    def show_marks(self, marks: np.ndarray) -> None:
        """Give the points other marks where they are."""
        self._marks = marks % MARKS
        self._draw()

    def show_visible(self, visible: np.ndarray) -> None:
        """Hide the points that are not in this mask (n)."""
        self._visible = visible
        self._draw()

    def show_chosen(self, chosen: np.ndarray) -> None:
        """Put a ring around these points."""
        self._chosen = chosen
        self._draw()

    def place(self, number: int) -> QPointF:
        """Return where a point is, in pixels of this widget."""
        scene = self._plot.getViewBox().mapViewToScene(QPointF(*self._positions[number]))
        return QPointF(self._plot.mapTo(self, self._plot.mapFromScene(scene)))

    def surface(self) -> QWidget:
        """Return the widget that takes the mouse."""
        viewport: QWidget = self._plot.viewport()
        return viewport

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._restyle()

    def _draw(self) -> None:
        size = FEW_POINT_PX if len(self._positions) <= FEW_POINTS else POINT_PX
        tokens = theme.current()
        wanted = set(np.unique(self._marks).tolist())
        for mark in sorted(wanted | self._items.keys()):
            item = self._items.get(mark)
            if item is None:
                item = self._items[mark] = pg.ScatterPlotItem(pxMode=True, symbol=SYMBOLS[mark // COLOURS])
                self._plot.addItem(item)
            points = self._positions[(self._marks == mark) & self._visible]
            item.setData(
                points[:, 0],
                points[:, 1],
                size=size,
                brush=pg.mkBrush(tokens.classes[mark % COLOURS]),
                pen=pg.mkPen(tokens.surface, width=0.5),
            )
        chosen = self._positions[self._chosen]
        self._ring.setData(chosen[:, 0], chosen[:, 1], size=size + 6, brush=None, pen=pg.mkPen(tokens.text, width=1.5))

    def _restyle(self) -> None:
        tokens = theme.current()
        self._plot.setBackground(tokens.surface)
        tint = QColor(tokens.accent)
        tint.setAlpha(40)
        self._lasso.setPen(pg.mkPen(tokens.accent, width=1.5))
        self._lasso.setBrush(pg.mkBrush(tint))
        self._lasso.setFillLevel(None)
        self._draw()

    def _nearest(self, scene: QPointF) -> int:
        """Return the visible point nearest to a place of the scene, -1 if none is within reach."""
        if not self._visible.any():
            return -1
        here = self._box.mapSceneToView(scene)
        width, height = self._box.viewPixelSize()
        away = (self._positions - (here.x(), here.y())) / (width or 1.0, height or 1.0)
        distance = np.where(self._visible, np.hypot(away[:, 0], away[:, 1]), np.inf)
        nearest = int(distance.argmin())
        return nearest if distance[nearest] <= REACH_PX else -1

    @Slot(object)
    def _follow_pointer(self, scene: QPointF) -> None:
        under = self._nearest(scene)
        if under != self._under:
            self._under = under
            self.hovered.emit(under)

    @Slot(object)
    def _take_click(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            under = self._nearest(event.scenePos())
            if under >= 0:
                self.clicked.emit(under)

    @Slot(object)
    def _draw_lasso(self, line: list[tuple[float, float]]) -> None:
        corners = np.array(line)
        self._lasso.setData(corners[:, 0], corners[:, 1])

    @Slot(object)
    def _close_lasso(self, line: list[tuple[float, float]]) -> None:
        self._lasso.setData([], [])
        if len(line) >= LEAST_LASSO_POINTS:
            self.lassoed.emit(np.flatnonzero(within(np.array(line), self._positions) & self._visible))


class _LassoBox(pg.ViewBox):  # type: ignore[misc]
    """Hands the line that the left button draws on, in the plane's own coordinates."""

    drawn = Signal(object)
    closed = Signal(object)

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self._line: list[tuple[float, float]] = []

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.accept()
            self._move(event)
            return
        event.accept()
        if event.isStart():
            start = self.mapSceneToView(event.buttonDownScenePos())
            self._line = [(start.x(), start.y())]
        here = self.mapSceneToView(event.scenePos())
        self._line.append((here.x(), here.y()))
        if event.isFinish():
            self.closed.emit(self._line)
        else:
            self.drawn.emit(self._line)

    def _move(self, event: Any) -> None:
        before, now = self.mapSceneToView(event.lastScenePos()), self.mapSceneToView(event.scenePos())
        self.translateBy(x=before.x() - now.x(), y=before.y() - now.y())


def within(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which points (n, 2) lie within the polygon of these corners (m, 2), by the even-odd rule: bool (n)."""
    inside = np.zeros(len(points), bool)
    x, y = points[:, 0], points[:, 1]
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def mark_icon(number: int) -> QIcon:
    """Return the mark of that number as the plot draws it."""
    number %= MARKS
    pixmap = QPixmap(ICON_PX, ICON_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(ICON_PX / 2, ICON_PX / 2)
    painter.scale(0.7 * ICON_PX, 0.7 * ICON_PX)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.current().classes[number % COLOURS]))
    painter.drawPath(pg.graphicsItems.ScatterPlotItem.Symbols[SYMBOLS[number // COLOURS]])
    painter.end()
    return QIcon(pixmap)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, 50_000)
    plot = MapPlot()
    plot.show_points(random.normal(size=(50_000, 2)) * 0.2 + np.stack([kinds, kinds % 2], 1) * 0.5, kinds)
    plot.lassoed.connect(plot.show_chosen)
    plot.resize(800, 600)
    plot.show()
    app.exec()
