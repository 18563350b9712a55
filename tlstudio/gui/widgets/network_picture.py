"""The network as a row of blocks: what a regime does with each, how fast each learns, and where it is cut."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from tlstudio.core.plan import BODY_LR_SPAN
from tlstudio.core.regimes import Regime
from tlstudio.gui import theme

What = Literal["frozen", "light", "strong", "removed", "new"]
Treatment = tuple[str, What]
"""(name of a block, what happens to it)."""
SAID: dict[What, str] = {
    "frozen": "frozen",
    "light": "lightly trained",
    "strong": "intensely trained",
    "removed": "removed",
    "new": "NEW",
}
SPANS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0)
"""How many times slower than the last block the first one can learn."""
BLOCK_PX = 44
METER_PX = 6
METER_GAP_PX = 5
GAP_PX = 16
GRIP_PX = 10
KNOB_PX = 7
REACH_PX = 12
"""How far beside the grip or the knob a press still takes it."""
SLOWEST_SHARE = 0.12
"""How full the meter of a block is that learns 100 times slower than the last."""


class NetworkState(msgspec.Struct, frozen=True):
    """What is to be drawn. `cut` is the position of the last block that is kept in the regime "cut"."""

    regime: Regime = "head"
    blocks: tuple[str, ...] = ()
    cut: int = 0
    body_lr_span: float = BODY_LR_SPAN


def treatments(state: NetworkState) -> tuple[Treatment, ...]:
    """Return what happens to each block, the new head last."""
    return (*((name, _what(state, position)) for position, name in enumerate(state.blocks)), ("head", "new"))


def learning_shares(state: NetworkState) -> tuple[float, ...]:
    """Return how full the meter of each block is, the head's last: on a logarithmic scale of learning rates."""
    last = max(1, len(state.blocks) - 1)
    shares = []
    for position, (_, what) in enumerate(treatments(state)):
        rate = state.body_lr_span ** (min(position, last) / last - 1)
        shares.append(0.0 if what in ("frozen", "removed") else _share(rate) if state.regime == "fine-tune" else 1.0)
    return tuple(shares)


def _what(state: NetworkState, position: int) -> What:
    match state.regime:
        case "head":
            return "frozen"
        case "cut":
            return "frozen" if position <= state.cut else "removed"
        case "fine-tune" if state.body_lr_span > 1 and position < len(state.blocks) - 1:
            return "light"
        case _:
            return "strong"


def _share(rate: float) -> float:
    return 1 + (1 - SLOWEST_SHARE) * math.log10(rate) / 2


class NetworkPicture(QWidget):
    """Blocks from left to right. The cut and the rate of the first block can be dragged, or moved by arrow keys."""

    cut_moved = Signal(int)
    """The position of the last block that is kept, once a drag has ended or a key was pressed."""
    slowed = Signal(float)
    """How many times slower the first block is to learn, likewise."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = NetworkState()
        self._dragging = False
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("What happens to the parts of the network")

    def show_state(self, state: NetworkState) -> None:
        """Show a network."""
        self._state = state
        self._dragging = False
        movable = state.regime in ("cut", "fine-tune")
        self.setToolTip("Drag, or press the left and right arrow keys." if movable else "")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if movable else Qt.FocusPolicy.NoFocus)
        self._describe()

    def state(self) -> NetworkState:
        """Return what is shown, also in the middle of a drag."""
        return self._state

    def blocks(self) -> tuple[Treatment, ...]:
        """Return what is shown of each block."""
        return treatments(self._state)

    def grip(self) -> QPointF:
        """Return where the cut or the knob can be taken, in pixels of this widget."""
        if self._state.regime == "cut":
            return QPointF(self._block(self._state.cut).right() + GAP_PX / 2, BLOCK_PX / 2)
        meter = self._meter(0)
        return QPointF(meter.left() + meter.width() * learning_shares(self._state)[0], meter.center().y())

    def sizeHint(self) -> QSize:
        return QSize(640, self.minimumSizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(480, 2 + BLOCK_PX + METER_GAP_PX + METER_PX + 6)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._reaches(event.position()):
            self._dragging = True

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragging:
            moved = self._moved_to(event.position().x())
            if moved != self._state:
                self._state = moved
                self._describe()
        over = self._dragging or self._reaches(event.position())
        self.setCursor(Qt.CursorShape.SizeHorCursor if over else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._dragging and event.button() == Qt.MouseButton.LeftButton:
            self._dragging = False
            self._announce()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        step = steps.get(Qt.Key(event.key()))
        if step is None or self._state.regime not in ("cut", "fine-tune"):
            super().keyPressEvent(event)
            return
        if self._state.regime == "cut":
            cut = min(max(self._state.cut + step, 0), len(self._state.blocks) - 1)
            self._state = msgspec.structs.replace(self._state, cut=cut)
        else:
            nearest = min(range(len(SPANS)), key=lambda number: abs(SPANS[number] - self._state.body_lr_span))
            span = SPANS[min(max(nearest - step, 0), len(SPANS) - 1)]
            self._state = msgspec.structs.replace(self._state, body_lr_span=span)
        self._describe()
        self._announce()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._state.blocks:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for position, (name, what) in enumerate(self.blocks()):
            if position:
                self._draw_link(painter, position)
            self._draw_block(painter, position, name, what)
            if what != "removed":
                self._draw_meter(painter, position)
        if self._state.regime == "cut":
            self._draw_grip(painter)
        elif self._state.regime == "fine-tune":
            self._draw_knob(painter)

    def _draw_block(self, painter: QPainter, position: int, name: str, what: What) -> None:
        tokens = theme.current()
        place = self._block(position)
        draw_ground(painter, place, what)
        filled = what in ("strong", "new")
        painter.setPen(QColor(tokens.on_accent if filled else tokens.muted if what == "removed" else tokens.text))
        said = SAID[what].removesuffix(" trained")
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{name}\n{said}")

    def _draw_link(self, painter: QPainter, position: int) -> None:
        painter.setPen(QPen(QColor(theme.current().outline), 1.5))
        y = self._block(position).center().y()
        left, right = self._block(position - 1).right() + 4, self._block(position).left() - 4
        painter.drawLine(QPointF(left, y), QPointF(right, y))

    def _draw_meter(self, painter: QPainter, position: int) -> None:
        tokens = theme.current()
        place = self._meter(position)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens.hairline))
        painter.drawRoundedRect(place, METER_PX / 2, METER_PX / 2)
        place.setWidth(place.width() * learning_shares(self._state)[position])
        painter.setBrush(QColor(tokens.accent))
        painter.drawRoundedRect(place, METER_PX / 2, METER_PX / 2)

    def _draw_grip(self, painter: QPainter) -> None:
        tokens = theme.current()
        middle = self.grip()
        painter.setPen(QPen(QColor(tokens.warn), 2))
        painter.drawLine(QPointF(middle.x(), 0), QPointF(middle.x(), self.height()))
        self._draw_handle(painter, QRectF(middle.x() - GRIP_PX / 2, middle.y() - 12, GRIP_PX, 24), tokens.warn)

    def _draw_knob(self, painter: QPainter) -> None:
        middle = self.grip()
        place = QRectF(middle.x() - KNOB_PX, middle.y() - KNOB_PX, 2 * KNOB_PX, 2 * KNOB_PX)
        self._draw_handle(painter, place, theme.current().accent)

    def _draw_handle(self, painter: QPainter, place: QRectF, colour: str) -> None:
        tokens = theme.current()
        painter.setPen(QPen(QColor(tokens.text if self.hasFocus() else colour), 2))
        painter.setBrush(QColor(tokens.raised))
        painter.drawRoundedRect(place, place.width() / 2, place.width() / 2)

    def _block(self, position: int) -> QRectF:
        count = len(self._state.blocks) + 1
        width = (self.width() - 2 - GAP_PX * (count - 1)) / count
        return QRectF(1 + position * (width + GAP_PX), 1, width, BLOCK_PX)

    def _meter(self, position: int) -> QRectF:
        block = self._block(position)
        return QRectF(block.left(), block.bottom() + METER_GAP_PX, block.width(), METER_PX)

    def _reaches(self, place: QPointF) -> bool:
        if self._state.regime not in ("cut", "fine-tune") or not self._state.blocks:
            return False
        away = place - self.grip()
        return abs(away.x()) <= REACH_PX and (self._state.regime == "cut" or abs(away.y()) <= REACH_PX)

    def _moved_to(self, x: float) -> NetworkState:
        if self._state.regime == "cut":
            ends = range(len(self._state.blocks))
            cut = min(ends, key=lambda position: abs(self._block(position).right() + GAP_PX / 2 - x))
            return msgspec.structs.replace(self._state, cut=cut)
        meter = self._meter(0)
        share = (x - meter.left()) / meter.width()
        span = min(SPANS, key=lambda span: abs(_share(1 / span) - share))
        return msgspec.structs.replace(self._state, body_lr_span=span)

    def _announce(self) -> None:
        if self._state.regime == "cut":
            self.cut_moved.emit(self._state.cut)
        else:
            self.slowed.emit(self._state.body_lr_span)

    def _describe(self) -> None:
        self.setAccessibleDescription(", ".join(f"{name}: {SAID[what]}" for name, what in self.blocks()))
        self.update()


class NetworkLegend(QWidget):
    """What the looks of the blocks mean, in one line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        words = sum(self.fontMetrics().horizontalAdvance(said) for said in SAID.values())
        return QSize(words + len(SAID) * (SWATCH.width() + 6) + (len(SAID) - 1) * theme.SPACE, 18)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x = 0.0
        for what, said in SAID.items():
            draw_ground(
                painter, QRectF(x + 1, (self.height() - SWATCH.height()) / 2, SWATCH.width() - 2, SWATCH.height()), what
            )
            x += SWATCH.width() + 6
            painter.setPen(QColor(theme.current().muted))
            width = self.fontMetrics().horizontalAdvance(said)
            painter.drawText(QRectF(x, 0, width + 1, self.height()), Qt.AlignmentFlag.AlignVCenter, said)
            x += width + theme.SPACE


SWATCH = QSize(16, 12)


def draw_ground(painter: QPainter, place: QRectF, what: What) -> None:
    """Draw a block without its words."""
    tokens = theme.current()
    grounds: dict[What, str] = {
        "frozen": tokens.surface,
        "light": tokens.tint,
        "strong": tokens.accent,
        "removed": tokens.window,
        "new": tokens.good,
    }
    edges = {"light": tokens.accent, "strong": tokens.accent, "new": tokens.good}
    pen = QPen(QColor(edges.get(what, tokens.outline)), 1.5)
    pen.setStyle(Qt.PenStyle.DashLine if what == "removed" else Qt.PenStyle.SolidLine)
    painter.setPen(pen)
    painter.setBrush(QColor(grounds[what]))
    corner = min(theme.CORNER_PX, place.height() / 4)
    painter.drawRoundedRect(place, corner, corner)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    picture = NetworkPicture()
    picture.show_state(NetworkState("fine-tune", ("edges", "textures", "parts", "objects")))
    picture.show()
    app.exec()
