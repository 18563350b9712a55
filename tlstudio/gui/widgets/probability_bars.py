"""The most probable classes of one picture as bars with their names and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from tlstudio.gui import theme, words

ROW_PX = 24
BAR_PX = 10
NUMBER_WIDTH_PX = 60
MOST_ROWS = 5


class ProbabilityBars(QWidget):
    """At most five classes, the most probable first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[tuple[str, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_probabilities(self, classes: Sequence[str], probabilities: Sequence[float]) -> None:
        """Show these; both sequences follow the class order."""
        self._rows = sorted(zip(classes, probabilities, strict=True), key=lambda row: -row[1])[:MOST_ROWS]
        self.setAccessibleName("; ".join(f"{name} {words.percent(share)}" for name, share in self._rows))
        self.updateGeometry()
        self.update()

    def rows(self) -> list[tuple[str, float]]:
        """Return the classes and probabilities shown."""
        return self._rows

    def sizeHint(self) -> QSize:
        return QSize(280, ROW_PX * len(self._rows))

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        longest = max((self.fontMetrics().horizontalAdvance(name) for name, _ in self._rows), default=0)
        name_width = min(longest + 12, self.width() // 3)
        left, room = name_width, max(0, self.width() - name_width - NUMBER_WIDTH_PX)
        for number, (name, share) in enumerate(self._rows):
            top = number * ROW_PX
            painter.setPen(QColor(tokens.text))
            shown = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, name_width - 8)
            middle_left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(QRectF(0, top, name_width, ROW_PX), middle_left, shown)
            middle_right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(left + room, top, NUMBER_WIDTH_PX, ROW_PX), middle_right, words.percent(share))
            painter.setPen(Qt.PenStyle.NoPen)
            bar = QRectF(left, top + (ROW_PX - BAR_PX) / 2, room, BAR_PX)
            painter.setBrush(QColor(tokens.hairline))
            painter.drawRoundedRect(bar, 4, 4)
            painter.setBrush(QColor(tokens.accent if number == 0 else tokens.probe))
            bar.setWidth(room * share)
            painter.drawRoundedRect(bar, 4, 4)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    bars = ProbabilityBars()
    bars.show_probabilities(("crack", "free", "break"), (0.7, 0.2, 0.1))
    bars.show()
    app.exec()
