"""The four regimes as quarters of a chart: few or many pictures, similar to everyday photographs or different."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QButtonGroup,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.regimes import REGIMES, Regime, RegimeFacts
from tlstudio.gui import theme

NOT_YET = "Not in this version yet."
Treatment = tuple[str, str]
"""(name of a block, what happens to it: frozen, light, strong, removed or new)."""


class RegimeChart(QWidget):
    """Quarters to choose from by click or arrow keys. The advised one carries a mark."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self._quarters: dict[str, _Quarter] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(theme.SPACE_INSIDE)
        for row, amount in enumerate(("many\npictures", "few\npictures")):
            grid.addWidget(_axis_label(amount), row, 0)
        for column, likeness in enumerate(("similar to", "different from"), 1):
            grid.addWidget(_axis_label(f"{likeness} everyday photographs"), 2, column)
            grid.setColumnStretch(column, 1)
        # Rows first, so that the arrow keys walk as the eye reads.
        for facts in sorted(REGIMES, key=lambda facts: (facts.quarter[0] == "small", facts.quarter[1] == "different")):
            size, likeness = facts.quarter
            quarter = _Quarter(facts)
            self._quarters[facts.name] = quarter
            self._group.addButton(quarter)
            grid.addWidget(quarter, 0 if size == "large" else 1, 1 if likeness == "similar" else 2)
            grid.setRowStretch(0 if size == "large" else 1, 1)
        self._group.buttonToggled.connect(self._on_toggle)

    def advise(self, regime: Regime) -> None:
        """Mark the advised quarter."""
        for name, quarter in self._quarters.items():
            quarter.show_advised(name == regime)

    def choose(self, regime: Regime) -> None:
        """Choose a quarter."""
        self._quarters[regime].setChecked(True)

    def regime(self) -> Regime:
        """Return the chosen regime; the first one before anything was chosen."""
        button = self._group.checkedButton()
        return button.facts.name if isinstance(button, _Quarter) else REGIMES[0].name

    def quarter(self, regime: Regime) -> QPushButton:
        """Return the button of a regime."""
        return self._quarters[regime]

    @Slot(QAbstractButton, bool)
    def _on_toggle(self, quarter: QAbstractButton, checked: bool) -> None:
        if checked:
            self.setFocusProxy(quarter)
            self.chosen.emit(self.regime())


class _Quarter(QPushButton):
    def __init__(self, facts: RegimeFacts) -> None:
        super().__init__()
        self.facts = facts
        self.setCheckable(True)
        self.setAutoDefault(False)
        self.setEnabled(facts.available)
        self.setProperty("role", "card")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._title = QLabel(facts.title)
        self._title.setProperty("role", "section")
        self._sentence = QLabel(facts.sentence)
        self._note = QLabel("" if facts.available else NOT_YET)
        self._note.setProperty("role", "badge" if facts.available else "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, theme.SPACE_INSIDE, theme.SPACE, theme.SPACE_INSIDE)
        layout.setSpacing(theme.SPACE_TIGHT)
        self._sentence.setWordWrap(True)
        for label in (self._title, self._sentence):
            layout.addWidget(label)
        layout.addSpacing(theme.SPACE_TIGHT)
        layout.addWidget(self._note, 0, Qt.AlignmentFlag.AlignLeft)
        for label in (self._title, self._sentence, self._note):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout.addStretch()
        self.setAccessibleName(facts.title)
        self.show_advised(False)

    def show_advised(self, advised: bool) -> None:
        if self.facts.available:
            self._note.setText("Advised for your pictures" if advised else "")
            self._note.setVisible(advised)
        self.setAccessibleDescription(f"{self.facts.sentence} {self._note.text()}".strip())
        self.setToolTip("" if self.facts.available else NOT_YET)

    def sizeHint(self) -> QSize:
        return QSize(280, 116)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, 104)


class BlockStrip(QWidget):
    """The blocks of the network from left to right, and what the regime does with each."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._blocks: tuple[Treatment, ...] = ()
        self.setMinimumHeight(52)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_blocks(self, blocks: tuple[Treatment, ...]) -> None:
        """Show these blocks."""
        self._blocks = blocks
        self.setAccessibleName("What happens to the parts of the network")
        self.setAccessibleDescription(", ".join(f"{name}: {what}" for name, what in blocks))
        self.update()

    def blocks(self) -> tuple[Treatment, ...]:
        """Return what is shown."""
        return self._blocks

    def sizeHint(self) -> QSize:
        return QSize(480, 52)

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._blocks:
            return
        tokens = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        gap = theme.SPACE_INSIDE
        width = (self.width() - gap * (len(self._blocks) - 1)) / len(self._blocks)
        grounds = {
            "frozen": tokens.surface, "light": tokens.tint, "strong": tokens.accent, "new": tokens.accent,
            "removed": tokens.window,
        }  # fmt: skip
        for position, (name, what) in enumerate(self._blocks):
            place = QRectF(position * (width + gap) + 1, 1, width - 2, self.height() - 2)
            filled = what in ("strong", "new")
            pen = QPen(QColor(tokens.accent if filled or what == "light" else tokens.outline), 1.5)
            pen.setStyle(Qt.PenStyle.DashLine if what == "removed" else Qt.PenStyle.SolidLine)
            painter.setPen(pen)
            painter.setBrush(QColor(grounds[what]))
            painter.drawRoundedRect(place, theme.CORNER_PX, theme.CORNER_PX)
            painter.setPen(QColor(tokens.on_accent if filled else tokens.muted if what == "removed" else tokens.text))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{name}\n{what.upper() if what == 'new' else what}")


def treatments(regime: Regime, blocks: tuple[str, ...]) -> tuple[Treatment, ...]:
    """Return what a regime does to each block of a network, the new head last."""
    last = len(blocks) - 1
    match regime:
        case "head":
            kept = [(name, "frozen") for name in blocks]
        case "fine-tune":
            kept = [(name, "strong" if position == last else "light") for position, name in enumerate(blocks)]
        case "cut":
            middle = (len(blocks) + 1) // 2
            kept = [(name, "frozen" if position < middle else "removed") for position, name in enumerate(blocks)]
        case _:
            kept = [(name, "strong") for name in blocks]
    return (*kept, ("head", "new"))


def _axis_label(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "muted")
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    return label


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    chart = RegimeChart()
    chart.advise("head")
    chart.choose("head")
    chart.show()
    app.exec()
