"""The curves of several runs over each other: a colour and a mark a run, val solid, train dashed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QHBoxLayout, QWidget

from tlstudio.gui import theme
from tlstudio.gui.widgets.curves import (
    LINE_PX,
    GrowingPoints,
    RunPoints,
    example_events,
    fit_accuracy,
    fit_loss,
    make_plot,
    restyle_plot,
)

MARKS = ("o", "s", "t", "d", "+", "star")
"""A mark a run, because colour alone tells nothing to some readers."""
MARK_PX = 9
KEY_PX = 16
HEIGHT_PX = 240
MOST_TICKS = 10


class CurvesTogether(QWidget):
    """Loss beside val accuracy, over the epochs of all stages."""

    def __init__(self, runs: Sequence[RunPoints], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loss, self._accuracy = make_plot("Loss"), make_plot("Val accuracy, %")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        self._train: list[pg.PlotDataItem] = []
        self._val: list[tuple[pg.PlotDataItem, pg.PlotDataItem]] = []
        """Val loss and val accuracy of each run."""
        for plot in (self._loss, self._accuracy):
            plot.setLabel("bottom", "Epoch")
            plot.setMouseEnabled(x=False, y=False)
            plot.setFixedHeight(HEIGHT_PX)
            plot.setAccessibleDescription("How every run ended is told under Results.")
            layout.addWidget(plot)
        for run in runs:
            self._train.append(_line(self._loss, run, run.train_loss))
            self._val.append((_line(self._loss, run, run.val_loss), _line(self._accuracy, run, run.val_accuracy)))
        self._fit(runs)
        self._restyle()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._restyle()

    def _fit(self, runs: Sequence[RunPoints]) -> None:
        losses = np.concatenate([points.ys for run in runs for points in (run.train_loss, run.val_loss)])
        accuracies = np.concatenate([run.val_accuracy.ys for run in runs])
        fit_loss(self._loss, losses)
        fit_accuracy(self._accuracy, accuracies)
        end = max(points.xs.max(initial=1.0) for run in runs for points in (run.train_loss, run.val_loss))
        step = max(1, round(end / MOST_TICKS))
        for plot in (self._loss, self._accuracy):
            plot.setXRange(0, end + max(0.25, 0.02 * end), padding=0)
            plot.getAxis("bottom").setTicks([[(x, str(x)) for x in range(step, round(end) + 1, step)]])

    def _restyle(self) -> None:
        for plot in (self._loss, self._accuracy):
            restyle_plot(plot)
        for number, (train, val) in enumerate(zip(self._train, self._val, strict=True)):
            colour = theme.current().classes[number]
            train.setPen(colour, width=1, style=Qt.PenStyle.DashLine)
            for line in val:
                line.setPen(colour, width=LINE_PX)
                line.setSymbol(MARKS[number])
                line.setSymbolSize(MARK_PX)
                line.setSymbolBrush(colour)
                line.setSymbolPen(colour)


def key_icon(number: int) -> QIcon:
    """Return the mark of a run in its colour, as the curves have it."""
    pixmap = QPixmap(KEY_PX, KEY_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(KEY_PX / 2, KEY_PX / 2)
    colour = QColor(theme.current().classes[number])
    pg.graphicsItems.ScatterPlotItem.drawSymbol(painter, MARKS[number], MARK_PX, pg.mkPen(colour), pg.mkBrush(colour))
    painter.end()
    return QIcon(pixmap)


def _line(plot: pg.PlotWidget, run: RunPoints, points: GrowingPoints) -> pg.PlotDataItem:
    return plot.plot(points.xs, points.ys, connect=run.joined(points.xs))


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    examples = [RunPoints(), RunPoints()]
    for example, length in zip(examples, (None, -4), strict=True):
        for event in example_events()[:length]:
            example.add(event)
    together = CurvesTogether(examples)
    together.resize(900, 300)
    together.show()
    app.exec()
