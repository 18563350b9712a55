"""How the regimes do in a race: a bar each with its interval, growing as results come in."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from tlstudio.core.regimes import REGIME_NAMES, regime_facts
from tlstudio.core.results import RaceRow
from tlstudio.gui import theme, words

ROW_PX = 32
BAR_PX = 8
NOTE_PX = 16
CAP_PX = 4
ICON_PX = 16
BRIEF_SECONDS = 100
MIDDLE_LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
MIDDLE_RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight


class RaceChart(QWidget):
    """A row a regime: its name, what is known of it in words, and a bar. The winner carries a mark and the word."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[RaceRow, ...] = ()
        self._instead = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("How the regimes do")

    def show_rows(self, rows: Sequence[RaceRow], instead: str = "") -> None:
        """Show a race as it stands; `instead` is said while there are no rows."""
        self._rows, self._instead = tuple(rows), instead
        said = [f"{regime_facts(row.regime).title}: {outcome(row)}. {row.note}".strip() for row in self._rows]
        self.setToolTip("\n".join(said))
        self.setAccessibleDescription(" ".join(said) or instead)
        self.updateGeometry()
        self.update()

    def rows(self) -> tuple[RaceRow, ...]:
        """Return what is shown."""
        return self._rows

    def sizeHint(self) -> QSize:
        return QSize(360, ROW_PX * max(len(REGIME_NAMES), len(self._rows)))

    def minimumSizeHint(self) -> QSize:
        return QSize(320, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._rows:
            painter.setPen(QColor(theme.current().muted))
            painter.drawText(QRectF(self.rect()), Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignTop, self._instead)
        for number, row in enumerate(self._rows):
            place = QRectF(0, number * ROW_PX, self.width(), ROW_PX)
            self._draw_words(painter, place.adjusted(0, 0, 0, -BAR_PX - 6), row)
            if row.state == "left out":
                self._draw_note(painter, place.adjusted(0, ROW_PX - NOTE_PX, 0, 0), row.note)
            else:
                self._draw_bar(painter, QRectF(0, place.bottom() - BAR_PX - 5, place.width(), BAR_PX), row)

    def _draw_words(self, painter: QPainter, line: QRectF, row: RaceRow) -> None:
        tokens = theme.current()
        font = painter.font()
        font.setWeight(font.Weight.DemiBold)
        painter.save()
        painter.setFont(font)
        title = regime_facts(row.regime).title
        width = painter.fontMetrics().horizontalAdvance(title)
        painter.setPen(QColor(tokens.muted if row.state == "left out" else tokens.text))
        painter.drawText(line, MIDDLE_LEFT, title)
        if row.winner:
            x = width + theme.SPACE_INSIDE
            icon = theme.icon_pixmap("check", ICON_PX, tokens.good)
            painter.drawPixmap(QPointF(x, line.center().y() - ICON_PX / 2), icon)
            painter.setPen(QColor(tokens.good))
            painter.drawText(line.adjusted(x + ICON_PX + 3, 0, 0, 0), MIDDLE_LEFT, "winner")
        painter.restore()
        painter.setPen(QColor(tokens.text if row.accuracy is not None else tokens.muted))
        painter.drawText(line, MIDDLE_RIGHT, outcome(row))

    def _draw_note(self, painter: QPainter, line: QRectF, note: str) -> None:
        painter.setPen(QColor(theme.current().muted))
        shown = painter.fontMetrics().elidedText(note, Qt.TextElideMode.ElideRight, int(line.width()))
        painter.drawText(line, MIDDLE_LEFT, shown)

    def _draw_bar(self, painter: QPainter, place: QRectF, row: RaceRow) -> None:
        tokens = theme.current()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens.hairline))
        painter.drawRoundedRect(place, BAR_PX / 2, BAR_PX / 2)
        if row.accuracy is None:
            return
        painter.setBrush(QColor(tokens.good if row.winner else tokens.accent))
        bar = QRectF(place.left(), place.top(), place.width() * row.accuracy, BAR_PX)
        painter.drawRoundedRect(bar, BAR_PX / 2, BAR_PX / 2)
        if row.interval is None:
            return
        low, high = (place.left() + place.width() * bound for bound in row.interval)
        y = place.center().y()
        painter.setPen(QPen(QColor(tokens.text), 1.5))
        painter.drawLine(QPointF(low, y), QPointF(high, y))
        for end in (low, high):
            painter.drawLine(QPointF(end, y - CAP_PX), QPointF(end, y + CAP_PX))


def outcome(row: RaceRow) -> str:
    """Return what is known of a regime so far, in words."""
    if row.state == "left out":
        return "left out"
    if row.accuracy is None:
        return "running …" if row.state == "running" else "waiting"
    brief = f"{row.seconds:.0f} s" if row.seconds < BRIEF_SECONDS else f"{row.seconds / 60:.0f} min"
    so_far = ", running …" if row.state == "running" else f", {brief}"
    return f"{words.accuracy(row.accuracy, row.interval)}{so_far}"


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    chart = RaceChart()
    chart.show_rows(
        (
            RaceRow("head", "done", 244, 0.941, (0.902, 0.968), 0.2, 14.0, winner=True),
            RaceRow("cut", "done", 244, 0.91, (0.87, 0.94), 0.25, 16.0),
            RaceRow("fine-tune", "running", 80, 0.93, (0.85, 0.97), 0.2, 100.0),
            RaceRow("full", "waiting"),
            RaceRow("scratch", "left out", note="It would need about 12 minutes."),
        )
    )
    chart.show()
    app.exec()
