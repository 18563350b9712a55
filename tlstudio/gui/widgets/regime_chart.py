"""The regimes as quarters of a chart over two measured axes, and the user's pictures as a point on it.

From left to right: how little the pictures resemble what the old network learned from. From bottom to top: how many
they are. A level of 1,000 stands for 1,000 pictures with 50 a class: what the size is judged by, on one axis.
"""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QButtonGroup, QSizePolicy, QWidget

from tlstudio.core.advice import (
    DIFFERENT_BELOW,
    SIMILAR_FROM,
    SMALL_IMAGES,
    SMALL_MEDIAN_CLASS,
    Advice,
    Similarity,
    Size,
    advise,
)
from tlstudio.core.regimes import REGIMES, Regime, RegimeFacts
from tlstudio.gui import theme, words

MOST_SIMILAR = 1.0
LEAST_SIMILAR = SIMILAR_FROM + DIFFERENT_BELOW - MOST_SIMILAR
"""Puts the boundary, midway between the two thresholds, in the middle of the axis."""
DECADES = 2
"""Levels from a hundredth to a hundred times the limit between few and many pictures."""
LEFT_PX, BOTTOM_PX = 76, 38
ROW_GAP_PX = theme.SPACE_INSIDE
POINT_PX = 7
HALO_PX = 2
WHISKER_PX = 12
WHISKER_OPACITY = 80
"""Of 255: the words of a quarter stay readable below it."""
BADGE_PX = 20
MIDDLE_LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
TOP_LEFT = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft


def likeness_share(similarity: float) -> float:
    """Return where a similarity lies from left (0) to right (1)."""
    return min(max((MOST_SIMILAR - similarity) / (MOST_SIMILAR - LEAST_SIMILAR), 0.0), 1.0)


def level_share(level: float) -> float:
    """Return where a level of so many pictures lies from bottom (0) to top (1)."""
    decades = math.log10(max(level, 1) / SMALL_IMAGES)
    return min(max(0.5 + decades / (2 * DECADES), 0.0), 1.0)


def levels(size: Size) -> tuple[float, float]:
    """Return (level, level that the smallest class alone would allow): on the side of the limit the verdict says."""
    a_class = SMALL_IMAGES / SMALL_MEDIAN_CLASS
    smallest = min(size.value, a_class * size.smallest_class)
    if size.verdict == "few-shot":
        return smallest, smallest
    return min(size.value, a_class * size.median_class), smallest


class RegimeChart(QWidget):
    """Quarters to choose from by click or arrow keys; the advised one is lit, the chosen one outlined."""

    chosen = Signal(str)
    """The regime the user chose; not sent for `choose`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self._quarters: dict[str, _Quarter] = {}
        # Rows first, so that the Tab key walks as the eye reads.
        for facts in sorted(REGIMES, key=lambda facts: (facts.quarter[0] == "small", facts.quarter[1] == "different")):
            quarter = _Quarter(facts, self)
            self._quarters[facts.name] = quarter
            self._group.addButton(quarter)
        self._group.buttonClicked.connect(self._on_click)
        self._point = _Point(self)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("How many pictures, and how similar to what the network learned from")
        self.choose(REGIMES[0].name)

    def show_advice(self, advice: Advice) -> None:
        """Light the advised quarter, and show the point if both axes were measured."""
        for name, quarter in self._quarters.items():
            quarter.show_advised(name == advice.regime)
        measured = advice.similarity is not None and advice.size is not None
        self._point.show_place(advice.similarity if measured else None, advice.size)
        self._clear_words()
        self.setAccessibleDescription(_place_in_words(advice) if measured else "Not measured yet.")
        self.setToolTip(self.accessibleDescription())

    def choose(self, regime: Regime) -> None:
        """Outline a quarter."""
        quarter = self._quarters[regime]
        quarter.setChecked(True)
        self.setFocusProxy(quarter)
        if any(other.hasFocus() for other in self._quarters.values()):
            quarter.setFocus()

    def regime(self) -> Regime:
        """Return the chosen regime."""
        button = self._group.checkedButton()
        assert isinstance(button, _Quarter)
        return button.facts.name

    def quarter(self, regime: Regime) -> QAbstractButton:
        """Return the button of a regime."""
        return self._quarters[regime]

    def place(self) -> QPointF | None:
        """Return where the point is, in pixels of the chart; None before anything was measured."""
        return self._point.centre()

    def sizeHint(self) -> QSize:
        return QSize(500, 310)

    def minimumSizeHint(self) -> QSize:
        return QSize(460, 280)

    def resizeEvent(self, event: QResizeEvent) -> None:
        plot = self._plot()
        left_end = plot.left() + round(plot.width() * likeness_share(SIMILAR_FROM))
        right_start = plot.left() + round(plot.width() * likeness_share(DIFFERENT_BELOW))
        height = (plot.height() - ROW_GAP_PX) // 2
        for quarter in self._quarters.values():
            size, likeness = quarter.facts.quarter
            top = plot.top() if size == "large" else plot.bottom() + 1 - height
            if likeness == "similar":
                quarter.setGeometry(plot.left(), top, left_end - plot.left(), height)
            else:
                quarter.setGeometry(right_start, top, plot.right() + 1 - right_start, height)
        self._point.setGeometry(self.rect())
        self._point.show_plot(plot)
        self._clear_words()

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = theme.current()
        plot = QRectF(self._plot())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(tokens.outline), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(plot.center().x(), plot.top()), QPointF(plot.center().x(), plot.bottom()))
        painter.drawLine(QPointF(plot.left() - 6, plot.center().y()), QPointF(plot.right(), plot.center().y()))
        painter.setPen(QColor(tokens.muted))
        line = self.fontMetrics().height()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        ticks = (
            (plot.top() + line, "many\npictures"),
            (plot.center().y(), f"{SMALL_IMAGES:,}\n{SMALL_MEDIAN_CLASS} a class"),
            (plot.bottom() - line, "few\npictures"),
        )
        for y, text in ticks:
            painter.drawText(QRectF(0, y - line, LEFT_PX - 10, 2 * line), right, text)
        below = QRectF(plot.left(), plot.bottom() + 4, plot.width(), BOTTOM_PX - 4)
        top = Qt.AlignmentFlag.AlignTop
        painter.drawText(below, top | Qt.AlignmentFlag.AlignLeft, "similar")
        painter.drawText(below, top | Qt.AlignmentFlag.AlignHCenter, "not clear")
        painter.drawText(below, top | Qt.AlignmentFlag.AlignRight, "different")
        axis = "to what this network learned from"
        bottom = Qt.AlignmentFlag.AlignBottom
        painter.drawText(below, bottom | Qt.AlignmentFlag.AlignHCenter, axis)
        if self.place() is not None:
            below.setLeft(2 * POINT_PX + theme.SPACE_TIGHT)
            painter.drawText(below, bottom | Qt.AlignmentFlag.AlignLeft, "your pictures")
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tokens.val))
            painter.drawEllipse(QPointF(POINT_PX, below.bottom() - line / 2), POINT_PX - HALO_PX, POINT_PX - HALO_PX)

    def _plot(self) -> QRect:
        return self.rect().adjusted(LEFT_PX, 0, 0, -BOTTOM_PX)

    def _clear_words(self) -> None:
        """Keep the words of the quarter that holds the point from under it."""
        centre = self.place()
        for quarter in self._quarters.values():
            holds = centre is not None and quarter.geometry().contains(centre.toPoint())
            quarter.keep_clear(centre.y() - quarter.y() if centre is not None and holds else None)

    @Slot(QAbstractButton)
    def _on_click(self, quarter: QAbstractButton) -> None:
        self.setFocusProxy(quarter)
        self.chosen.emit(self.regime())


class _Quarter(QAbstractButton):
    def __init__(self, facts: RegimeFacts, chart: QWidget) -> None:
        super().__init__(chart)
        self.facts = facts
        self._advised = False
        self._point_y: float | None = None
        self.setCheckable(True)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(facts.title)
        self.setAccessibleDescription(facts.sentence)

    def show_advised(self, advised: bool) -> None:
        self._advised = advised
        note = " Advised for your pictures." if advised else ""
        self.setAccessibleDescription(f"{self.facts.sentence}{note}")
        self.update()

    def keep_clear(self, point_y: float | None) -> None:
        self._point_y = point_y
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen, hovered = self.isChecked(), self.underMouse()
        edge = 2 if chosen or self.hasFocus() else 1
        colour = tokens.accent if chosen else tokens.outline if hovered else tokens.hairline
        painter.setPen(QPen(QColor(tokens.text if self.hasFocus() else colour), edge))
        painter.setBrush(QColor(tokens.tint if self._advised else tokens.surface))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), theme.CORNER_PX, theme.CORNER_PX)
        inner = QRectF(self.rect()).adjusted(12, theme.SPACE_INSIDE, -12, -theme.SPACE_INSIDE)
        self._draw_words(painter, inner)
        self._draw_badges(painter, inner)

    def _draw_words(self, painter: QPainter, inner: QRectF) -> None:
        tokens = theme.current()
        painter.setPen(QColor(tokens.text))
        bold = painter.font()
        bold.setWeight(bold.Weight.DemiBold)
        painter.save()
        painter.setFont(bold)
        title = painter.boundingRect(inner, TOP_LEFT, self.facts.title)
        painter.drawText(title, TOP_LEFT, self.facts.title)
        painter.restore()
        painter.setPen(QColor(tokens.muted))
        sentence = inner.adjusted(0, title.height() + 2, 0, -BADGE_PX - 2)
        flags = Qt.TextFlag.TextWordWrap | TOP_LEFT
        if self._point_y is not None:
            needed = painter.boundingRect(sentence, flags, self.facts.sentence).height()
            low, high = self._point_y - POINT_PX, self._point_y + POINT_PX + HALO_PX
            if low < sentence.top() + needed and high > sentence.top() and high + needed <= sentence.bottom() + 2:
                sentence.setTop(high)
        painter.drawText(sentence, flags, self.facts.sentence)

    def _draw_badges(self, painter: QPainter, inner: QRectF) -> None:
        tokens = theme.current()
        place = QRectF(inner.left(), inner.bottom() - BADGE_PX, inner.width(), BADGE_PX)
        if self._advised:
            width = self.fontMetrics().horizontalAdvance("Advised") + 2 * theme.SPACE_INSIDE
            badge = QRectF(place.left(), place.top(), width, BADGE_PX)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tokens.accent))
            painter.drawRoundedRect(badge, theme.CORNER_PX, theme.CORNER_PX)
            painter.setPen(QColor(tokens.on_accent))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, "Advised")
            place.setLeft(badge.right() + theme.SPACE_INSIDE)
        if self.isChecked():
            icon = theme.icon_pixmap("check", 16, tokens.accent)
            painter.drawPixmap(QPointF(place.left(), place.center().y() - 8), icon)
            painter.setPen(QColor(tokens.accent))
            painter.drawText(place.adjusted(16 + theme.SPACE_TIGHT, 0, 0, 0), MIDDLE_LEFT, "Chosen")


class _Point(QWidget):
    """Lies over the quarters and lets every click through."""

    def __init__(self, chart: QWidget) -> None:
        super().__init__(chart)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._within = QRectF()
        self._similarity: Similarity | None = None
        self._size: Size | None = None

    def show_plot(self, plot: QRect) -> None:
        inset = POINT_PX + HALO_PX
        self._within = QRectF(plot).adjusted(inset, inset, -inset, -inset)
        self.update()

    def show_place(self, similarity: Similarity | None, size: Size | None) -> None:
        self._similarity, self._size = similarity, size
        self.update()

    def centre(self) -> QPointF | None:
        if self._similarity is None or self._size is None:
            return None
        return QPointF(self._x(self._similarity.value), self._y(levels(self._size)[0]))

    def paintEvent(self, event: QPaintEvent) -> None:
        centre = self.centre()
        if centre is None or self._similarity is None or self._size is None:
            return
        tokens = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        low, high = self._x(self._similarity.high), self._x(self._similarity.low)
        self._draw_whisker(painter, QRectF(low, centre.y() - WHISKER_PX / 2, high - low, WHISKER_PX))
        smallest = self._y(levels(self._size)[1])
        if smallest - centre.y() > POINT_PX:
            height = smallest - centre.y()
            self._draw_whisker(painter, QRectF(centre.x() - WHISKER_PX / 2, centre.y(), WHISKER_PX, height))
        painter.setPen(QPen(QColor(tokens.surface), HALO_PX))
        painter.setBrush(QColor(tokens.val))
        painter.drawEllipse(centre, POINT_PX + HALO_PX / 2, POINT_PX + HALO_PX / 2)

    def _draw_whisker(self, painter: QPainter, place: QRectF) -> None:
        """Draw an error bar with its ends marked; one that stands has its lower end marked only."""
        colour = QColor(theme.current().val)
        painter.setPen(QPen(colour, 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        if place.width() > place.height():
            painter.drawLine(place.topLeft(), place.bottomLeft())
            painter.drawLine(place.topRight(), place.bottomRight())
        else:
            painter.drawLine(place.bottomLeft(), place.bottomRight())
        colour.setAlpha(WHISKER_OPACITY)
        painter.fillRect(place, colour)

    def _x(self, similarity: float) -> float:
        return self._within.left() + self._within.width() * likeness_share(similarity)

    def _y(self, level: float) -> float:
        return self._within.bottom() - self._within.height() * level_share(level)


def _place_in_words(advice: Advice) -> str:
    assert advice.similarity is not None and advice.size is not None
    likeness, size = advice.similarity, advice.size
    return (
        f"Your pictures: likeness {likeness.value:.2f}, between {likeness.low:.2f} and {likeness.high:.2f}, where "
        f"{SIMILAR_FROM:.2f} and more is similar and less than {DIFFERENT_BELOW:.2f} different. "
        f"{words.pictures(size.value)} to learn from, about {size.median_class:,} a class, "
        f"{size.smallest_class:,} in the smallest."
    )


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    chart = RegimeChart()
    chart.show_advice(advise((120, 80, 60)))
    chart.show()
    app.exec()
