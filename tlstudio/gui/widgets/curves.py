"""Loss and accuracy over the epochs of a run, live or replayed. Takes events, knows no page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QRectF, Qt, QTimer, Slot
from PySide6.QtGui import QColor, QPainter
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from tlstudio.core.events import BatchEnded, EpochEnded, Event, RunEnded, StageStarted
from tlstudio.gui import theme, words

DRAW_INTERVAL_MS = 100
LINE_PX = 2
BAND_OPACITY = 22
PLOTS = 2
MOST_EPOCH_TICKS = 15
LEGEND_COLUMNS = 4
LEGEND_PX, STAGE_NAMES_PX = 28, 20
TO_BEAT = "to beat: the new head alone"
HEADROOM = 1.1
FAR = 1e4
"""An x beyond every run, where the last stage's band ends."""


class GrowingPoints:
    """Points in numpy columns that double when full, so that appending stays cheap."""

    def __init__(self) -> None:
        self._table = np.empty((2, 64))
        self._count = 0

    def append(self, x: float, y: float) -> None:
        """Add a point."""
        if self._count == self._table.shape[1]:
            self._table = np.concatenate((self._table, np.empty_like(self._table)), axis=1)
        self._table[:, self._count] = x, y
        self._count += 1

    @property
    def xs(self) -> np.ndarray:
        return self._table[0, : self._count]

    @property
    def ys(self) -> np.ndarray:
        return self._table[1, : self._count]


class RunPoints:
    """What the events of a run say about its curves. x counts epochs on from stage to stage; accuracies in percent."""

    def __init__(self) -> None:
        self.batch_loss = GrowingPoints()
        self.train_loss, self.val_loss = GrowingPoints(), GrowingPoints()
        self.train_accuracy, self.val_accuracy = GrowingPoints(), GrowingPoints()
        self.stages: list[tuple[str, float]] = []
        """Name and first x of each stage."""
        self.end = 1.0
        """The x at which the stages so far are planned to end, or where the run did."""
        self.kept: tuple[float, float] | None = None
        """x and val accuracy of the state that is kept so far."""
        self.champion: tuple[float, float, float] | None = None
        """x, val loss and val accuracy of the first stage, once there is a second to beat them."""
        self._x = 0.0
        self._judged: dict[tuple[int, int], tuple[float, float, float]] = {}
        """x, val loss and val accuracy by number of stages and epoch."""

    def add(self, event: Event) -> bool:
        """Take an event; return whether it changed anything."""
        match event:
            case StageStarted():
                if len(self.stages) == 1:
                    self.champion = self._first_stage()
                self.stages.append((event.stage, self._x))
                self.end = self._x + event.epochs
            case BatchEnded():
                self.batch_loss.append(self._start() + event.epoch - 1 + event.batch / event.batches, event.loss)
            case EpochEnded():
                self._add_epoch(event)
            case RunEnded():
                self._add_end(event)
            case _:
                return False
        return True

    def stage_middles(self) -> list[tuple[str, float]]:
        """Return name and middle x of each stage."""
        ends = [start for _, start in self.stages[1:]] + [self.end]
        return [(name, (start + end) / 2) for (name, start), end in zip(self.stages, ends, strict=False)]

    def joined(self, xs: np.ndarray) -> np.ndarray:
        """Return for each point whether a line leads on to the next one: none does from stage to stage."""
        joined = np.ones(len(xs), dtype=bool)
        if xs.size:
            joined[[np.searchsorted(xs, start, "right") - 1 for _, start in self.stages]] = False
        return joined

    def _start(self) -> float:
        return self.stages[-1][1] if self.stages else 0.0

    def _first_stage(self) -> tuple[float, float, float] | None:
        """Return how the first stage ended, as far as it was judged."""
        return next((judged for (stages, _), judged in reversed(self._judged.items()) if stages == 1), None)

    def _add_epoch(self, event: EpochEnded) -> None:
        self._x = self._start() + event.epoch
        self.train_loss.append(self._x, event.train_loss)
        self.train_accuracy.append(self._x, 100 * event.train_accuracy)
        if event.val_loss is None or event.val_accuracy is None:
            return
        accuracy = 100 * event.val_accuracy
        self.val_loss.append(self._x, event.val_loss)
        self.val_accuracy.append(self._x, accuracy)
        self._judged[len(self.stages), event.epoch] = (self._x, event.val_loss, accuracy)
        if event.best:
            self.kept = (self._x, accuracy)

    def _add_end(self, event: RunEnded) -> None:
        """Move the mark to what was kept: without an epoch that is the first stage's state."""
        self.end = max(self._x, 1.0)
        if event.kept_epoch is None:
            kept = self._first_stage()
        else:
            kept = self._judged.get((len(self.stages), event.kept_epoch))
        self.kept = (kept[0], kept[2]) if kept else None


class Curves(QWidget):
    """Loss above accuracy over one axis. `add` only remembers; a timer draws."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.points = RunPoints()
        self._loss = make_plot("Loss")
        self._accuracy = make_plot("Accuracy, %")
        self._loss.setXLink(self._accuracy)
        # Both plots have the same epochs; the upper one has the names of the stages at its top instead.
        self._loss.getAxis("bottom").setStyle(showValues=False)
        self._stage_names = self._loss.getAxis("top")
        self._stage_names.setStyle(tickLength=0, tickAlpha=0, hideOverlappingLabels=False)
        self._stage_names.setHeight(STAGE_NAMES_PX)
        self._loss.showAxis("top")
        self._accuracy.setLabel("bottom", "Epoch")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._loss)
        layout.addWidget(self._accuracy)

        self._batch_loss = self._loss.plot()
        self._train_loss, self._val_loss, self._champion_loss = (self._loss.plot() for _ in range(3))
        self._train_accuracy, self._val_accuracy, self._champion_accuracy = (self._accuracy.plot() for _ in range(3))
        self._ring = pg.ScatterPlotItem(symbol="o", size=18)
        self._ring.setZValue(2)
        self._accuracy.addItem(self._ring)
        # One legend for both, above the upper plot: inside, it would lie on the curves.
        self._loss.getPlotItem().layout.setRowFixedHeight(0, LEGEND_PX)
        self._legend = pg.LegendItem(colCount=LEGEND_COLUMNS)
        self._legend.setParentItem(self._loss.getPlotItem())
        self._legend.anchor((1, 0), (1, 0))
        self._legend.addItem(self._train_loss, "train")
        self._legend.addItem(self._val_loss, "val")
        self._bands: list[tuple[Any, Any]] = []
        """A plot, and a band in it that shows a stage."""

        self._zoomed = False
        for plot in (self._loss, self._accuracy):
            plot.getViewBox().sigRangeChangedManually.connect(self._note_zoom)
        self._timer = QTimer(self)
        self._timer.setInterval(DRAW_INTERVAL_MS)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.draw)
        self._restyle()

    def clear(self) -> None:
        """Forget the run."""
        self.points = RunPoints()
        self.reset_zoom()

    def add(self, event: Event) -> None:
        """Remember what an event says; it is drawn within a tenth of a second."""
        if self.points.add(event) and not self._timer.isActive():
            self._timer.start()

    @Slot()
    def draw(self) -> None:
        """Draw what is known now."""
        points = self.points
        self._batch_loss.setData(points.batch_loss.xs, points.batch_loss.ys)
        for line, known in (
            (self._train_loss, points.train_loss),
            (self._val_loss, points.val_loss),
            (self._train_accuracy, points.train_accuracy),
            (self._val_accuracy, points.val_accuracy),
        ):
            line.setData(known.xs, known.ys, connect=points.joined(known.xs))
        self._ring.setData(*([value] for value in points.kept or ()))
        self._legend.setVisible(points.train_loss.xs.size > 0)
        self._draw_champion()
        if len(points.stages) * PLOTS != len(self._bands):
            self._draw_bands()
        self._stage_names.setTicks([[(middle, words.stage(name)) for name, middle in points.stage_middles()]])
        if not self._zoomed:
            self._fit()

    @Slot()
    def reset_zoom(self) -> None:
        """Show the whole run again."""
        self._zoomed = False
        self.draw()

    def save(self, path: Path) -> None:
        """Write both plots as they stand to a file, as drawing if it ends in .svg, else as pixels. Raises OSError."""
        self.draw()
        if path.suffix.lower() != ".svg":
            if not self.grab().save(str(path)):
                raise OSError(f"“{path.name}” could not be written in {path.parent}.")
            return
        file = QSvgGenerator()
        file.setFileName(str(path))
        file.setResolution(self.logicalDpiX())
        file.setSize(self.size())
        file.setViewBox(self.rect())
        painter = QPainter()
        if not painter.begin(file):
            raise OSError(f"“{path.name}” could not be written in {path.parent}.")
        for plot in (self._loss, self._accuracy):
            plot.render(painter, QRectF(plot.geometry()))
        painter.end()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._restyle()

    @Slot()
    def _note_zoom(self) -> None:
        self._zoomed = True

    def _draw_champion(self) -> None:
        champion = self.points.champion
        if (champion is not None) != (len(self._legend.items) > 2):
            self._extend_legend(champion is not None)
        if champion is None:
            self._champion_loss.clear()
            self._champion_accuracy.clear()
        else:
            start, loss, accuracy = champion
            span = [start, max(self.points.end, start)]
            self._champion_loss.setData(span, [loss, loss])
            self._champion_accuracy.setData(span, [accuracy, accuracy])

    def _extend_legend(self, has_champion: bool) -> None:
        """Name what only runs with a second stage have: the line to beat and the ring."""
        for item, name in ((self._champion_loss, TO_BEAT), (self._ring, "kept")):
            if has_champion:
                self._legend.addItem(item, name)
            else:
                self._legend.removeItem(item)

    def _draw_bands(self) -> None:
        """Shade every stage in both plots."""
        for plot, band in self._bands:
            plot.removeItem(band)
        self._bands = []
        tokens = theme.current()
        starts = [start for _, start in self.points.stages]
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], FAR], strict=False)):
            shade = QColor((tokens.probe, tokens.accent)[number % 2])
            shade.setAlpha(BAND_OPACITY)
            for plot in (self._loss, self._accuracy):
                band = pg.LinearRegionItem((start, end), movable=False, brush=shade, pen=pg.mkPen(None))
                band.setZValue(-10)
                plot.addItem(band, ignoreBounds=True)
                self._bands.append((plot, band))

    def _fit(self) -> None:
        points = self.points
        # A single epoch stands in the middle, more of them end a little before the edge.
        room = max(0.25, 0.02 * points.end) if points.end > 1 else 1.0
        self._accuracy.setXRange(0, points.end + room, padding=0)
        for plot in (self._loss, self._accuracy):
            plot.getAxis("bottom").setTicks([self._epoch_ticks()])
        fit_loss(self._loss, np.concatenate((points.batch_loss.ys, points.train_loss.ys, points.val_loss.ys)))
        fit_accuracy(self._accuracy, np.concatenate((points.train_accuracy.ys, points.val_accuracy.ys)))

    def _epoch_ticks(self) -> list[tuple[float, str]]:
        """Return positions and numbers of epochs, which count from 1 in each stage."""
        starts = [start for _, start in self.points.stages] or [0.0]
        step = max(1, round(np.ceil(self.points.end / MOST_EPOCH_TICKS)))
        positions = [x for x in range(1, round(self.points.end) + 1) if (x - starts[-1]) % step == 0]
        return [(x, f"{x - max(start for start in starts if start < x):.0f}") for x in positions]

    def _restyle(self) -> None:
        tokens = theme.current()
        for plot in (self._loss, self._accuracy):
            restyle_plot(plot)
        self._stage_names.setPen(pg.mkPen(None))
        self._stage_names.setTextPen(tokens.muted)
        self._batch_loss.setPen(_faint(tokens.train))
        for line in (self._train_loss, self._train_accuracy):
            line.setPen(tokens.train, width=LINE_PX)
            line.setSymbol("s")
            line.setSymbolSize(5)
            line.setSymbolBrush(tokens.train)
            line.setSymbolPen(tokens.train)
        for line in (self._val_loss, self._val_accuracy):
            line.setPen(tokens.val, width=LINE_PX)
            line.setSymbol("o")
            line.setSymbolSize(8)
            line.setSymbolBrush(tokens.val)
            line.setSymbolPen(tokens.surface)
        for line in (self._champion_loss, self._champion_accuracy):
            line.setPen(tokens.probe, width=LINE_PX, style=Qt.PenStyle.DashLine)
        self._ring.setPen(tokens.text, width=LINE_PX)
        self._ring.setBrush(None)
        self._legend.setLabelTextColor(tokens.text)
        for _, label in self._legend.items:
            label.setText(label.text, color=tokens.text)
        self._draw_bands()
        self.draw()


def make_plot(quantity: str) -> Any:
    """Return an empty plot of a quantity over the epochs; `restyle_plot` gives it its colours."""
    plot = pg.PlotWidget()
    plot.setLabel("left", quantity)
    plot.getAxis("left").setWidth(76)
    plot.getAxis("left").enableAutoSIPrefix(False)
    plot.setDownsampling(auto=True, mode="peak")
    plot.setClipToView(True)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    plot.setAccessibleName(f"Plot of {quantity.rstrip(', %').lower()} over the epochs")
    plot.setAccessibleDescription("The same numbers are in the table under Details.")
    plot.setMinimumHeight(120)
    return plot


def restyle_plot(plot: Any) -> None:
    """Paint a plot in the colours of the current scheme."""
    tokens = theme.current()
    plot.setBackground(tokens.surface)
    plot.showGrid(x=False, y=True, alpha=0.15)
    for side in ("left", "bottom"):
        plot.getAxis(side).setPen(tokens.outline)
        plot.getAxis(side).setTextPen(tokens.text)


def fit_loss(plot: Any, losses: np.ndarray) -> None:
    """Let a plot show all these losses, from 0 on."""
    plot.setYRange(0, HEADROOM * losses.max(initial=0.0) or 1.0, padding=0)


def fit_accuracy(plot: Any, accuracies: np.ndarray) -> None:
    """Let a plot show all these accuracies, in percent, from a round number on."""
    low = max(0.0, 10 * np.floor(accuracies.min(initial=100.0) / 10) - 10)
    plot.setYRange(low if accuracies.size else 0, 102, padding=0)


def _faint(colour: str) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(110)
    return faint


def example_events() -> list[Event]:
    """Return the events of a made-up run: a new head, then ten epochs of fine-tuning."""
    events: list[Event] = [StageStarted(stage="head", index=0, epochs=1, sentence="Only a new last layer learns.")]
    for epoch in range(11):
        if epoch == 1:
            events.append(StageStarted(stage="fine-tune", index=1, epochs=10, sentence="Now everything learns gently."))
        stage = "fine-tune" if epoch else "head"
        loss = 0.5 * 0.8**epoch
        if epoch:
            events += [
                BatchEnded(
                    stage=stage, epoch=epoch, batch=batch, batches=20, loss=loss * (1.2 + 0.3 * (batch % 3 - 1)),
                    images_per_second=212.0, seconds_left=24.0 * (11 - epoch),
                )
                for batch in range(1, 21)
            ]  # fmt: skip
        events.append(
            EpochEnded(
                stage=stage, epoch=epoch or 1, epochs=10 if epoch else 1, train_loss=loss, train_accuracy=1 - loss / 3,
                val_loss=loss + 0.08 + 0.01 * abs(epoch - 8),
                val_accuracy=0.86 + 0.01 * epoch - 0.004 * max(0, epoch - 8) ** 2,
                images_per_second=212.0, seconds_left=24.0 * (10 - epoch), best=epoch in (0, 2, 5, 8),
            )
        )  # fmt: skip
    return events


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    curves = Curves()
    for example in example_events():
        curves.add(example)
    curves.resize(900, 600)
    curves.show()
    app.exec()
