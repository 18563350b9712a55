"""How far each part of the old network helps: accuracies of a fresh head by depth, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from tlstudio.core.advice import DepthScore
from tlstudio.gui import theme

ROW_PX = 28
HEADER_PX = 24
ALONE_PX, JOINED_PX = 10, 6
BARS_GAP_PX = 2
CAP_PX = 3
SWATCH_PX = 10
COLUMN_PX = 56
BEST_PX = 42
MOST_ROWS = 4
STANDARD_ERRORS = 1.96
ALONE, JOINED = "alone", "with all before it"
MIDDLE_LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
MIDDLE_RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight


class DepthProfile(QWidget):
    """Two bars a block: a head on its features alone, and on those of all blocks up to it. The best is marked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._depths: tuple[DepthScore, ...] = ()
        self._instead = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("How far each part of the old network helps")

    def show_depths(self, depths: Sequence[DepthScore], instead: str = "") -> None:
        """Show these blocks, the first one first; `instead` is said while there are none."""
        self._depths, self._instead = tuple(depths), instead
        said = [
            f"{depth.block}: {depth.accuracy:.0%} {ALONE}, {depth.joined_accuracy:.0%} {JOINED}" for depth in depths
        ]
        self.setAccessibleDescription("; ".join(said) or instead)
        self.setToolTip(f"{self.accessibleDescription()}. The lines span 95 % of what chance allows." if said else "")
        self.updateGeometry()
        self.update()

    def best(self) -> tuple[str, str] | None:
        """Return (block, "alone" or "with all before it") of the highest accuracy; alone where they are level."""
        bars = [(depth.accuracy, depth.block, ALONE) for depth in self._depths]
        bars += [(depth.joined_accuracy, depth.block, JOINED) for depth in self._depths]
        return max(bars, key=lambda bar: bar[0])[1:] if bars else None

    def sizeHint(self) -> QSize:
        return QSize(380, HEADER_PX + ROW_PX * max(MOST_ROWS, len(self._depths)))

    def minimumSizeHint(self) -> QSize:
        return QSize(320, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._depths:
            painter.setPen(QColor(theme.current().muted))
            flags = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
            painter.drawText(QRectF(self.rect()).adjusted(0, theme.SPACE_TIGHT, 0, 0), flags, self._instead)
            return
        self._draw_header(painter)
        names = max(self.fontMetrics().horizontalAdvance(depth.block) for depth in self._depths)
        left = names + 12.0
        bars = QRectF(left, 0, self.width() - left - 2 * COLUMN_PX - BEST_PX, ROW_PX)
        for row, depth in enumerate(self._depths):
            bars.moveTop(HEADER_PX + row * ROW_PX)
            painter.setPen(QColor(theme.current().text))
            painter.drawText(QRectF(0, bars.top(), names, ROW_PX), MIDDLE_LEFT, depth.block)
            self._draw_bars(painter, bars, depth)
            self._draw_numbers(painter, bars, depth)

    def _draw_header(self, painter: QPainter) -> None:
        tokens = theme.current()
        x = 0.0
        for colour, text in ((tokens.accent, ALONE), (tokens.probe, JOINED)):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(QRectF(x, (HEADER_PX - SWATCH_PX) / 2 - 2, SWATCH_PX, SWATCH_PX), 2, 2)
            x += SWATCH_PX + 6
            painter.setPen(QColor(tokens.muted))
            width = self.fontMetrics().horizontalAdvance(text)
            painter.drawText(QRectF(x, -2, width + 1, HEADER_PX), MIDDLE_LEFT, text)
            x += width + theme.SPACE

    def _draw_bars(self, painter: QPainter, place: QRectF, depth: DepthScore) -> None:
        tokens = theme.current()
        top = place.top() + (ROW_PX - ALONE_PX - JOINED_PX - BARS_GAP_PX) / 2
        for share, error, colour, y, height in (
            (depth.accuracy, depth.standard_error, tokens.accent, top, ALONE_PX),
            (
                depth.joined_accuracy,
                depth.joined_standard_error,
                tokens.probe,
                top + ALONE_PX + BARS_GAP_PX,
                JOINED_PX,
            ),
        ):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tokens.hairline))
            painter.drawRoundedRect(QRectF(place.left(), y, place.width(), height), 2, 2)
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(QRectF(place.left(), y, place.width() * share, height), 2, 2)
            middle = y + height / 2
            low, high = (
                place.left() + place.width() * min(max(share + sign * STANDARD_ERRORS * error, 0.0), 1.0)
                for sign in (-1, 1)
            )
            painter.setPen(QPen(QColor(tokens.text), 1))
            painter.drawLine(QPointF(low, middle), QPointF(high, middle))
            for end in (low, high):
                painter.drawLine(QPointF(end, middle - CAP_PX), QPointF(end, middle + CAP_PX))

    def _draw_numbers(self, painter: QPainter, place: QRectF, depth: DepthScore) -> None:
        tokens = theme.current()
        columns = ((ALONE, depth.accuracy, tokens.text), (JOINED, depth.joined_accuracy, tokens.muted))
        for column, (kind, share, colour) in enumerate(columns):
            best = (depth.block, kind) == self.best()
            font = painter.font()
            font.setWeight(font.Weight.DemiBold if best else font.Weight.Normal)
            painter.setFont(font)
            painter.setPen(QColor(tokens.good if best else colour))
            cell = QRectF(place.right() + column * COLUMN_PX, place.top(), COLUMN_PX, ROW_PX)
            painter.drawText(cell, MIDDLE_RIGHT, f"{100 * share:.0f} %")
            if best:
                cell = QRectF(self.width() - BEST_PX, place.top(), BEST_PX, ROW_PX)
                painter.drawText(cell, MIDDLE_RIGHT, "best")
        font = painter.font()
        font.setWeight(font.Weight.Normal)
        painter.setFont(font)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    profile = DepthProfile()
    profile.show_depths(
        (
            DepthScore("edges", 0.61, 0.03, 0.61, 0.03),
            DepthScore("textures", 0.78, 0.03, 0.8, 0.03),
            DepthScore("parts", 0.86, 0.02, 0.88, 0.02),
            DepthScore("objects", 0.83, 0.02, 0.88, 0.02),
        )
    )
    profile.show()
    app.exec()
