"""The third step: how much of the old network should change."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from tlstudio.core.backbones import BackboneSpec
from tlstudio.core.regimes import Regime, advise
from tlstudio.gui import theme
from tlstudio.gui.widgets.regime_chart import BlockStrip, RegimeChart, treatments
from tlstudio.gui.wizard.step import Step


class RegimeStep(Step):
    """The chart with the advice lit, its reasons, and a strip of blocks for what is chosen."""

    title = "Regime"
    question = "How much of the old network should change?"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._blocks: tuple[str, ...] = ()
        self._reasons = QLabel()
        self._reasons.setTextFormat(Qt.TextFormat.PlainText)
        self._reasons.setWordWrap(True)
        self.chart = RegimeChart()
        self.chart.chosen.connect(self._show_blocks)
        self.setFocusProxy(self.chart)
        self.strip = BlockStrip()
        strip_title = QLabel("What happens to the parts of the network, from the first to the last")
        strip_title.setProperty("role", "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._reasons)
        layout.addWidget(self.chart, 1)
        layout.addSpacing(theme.SPACE_INSIDE)
        layout.addWidget(strip_title)
        layout.addWidget(self.strip)

    def show_counts(self, class_counts: Sequence[int]) -> None:
        """Advise for these numbers of training pictures a class."""
        advice = advise(class_counts)
        self._reasons.setText(" ".join(advice.reasons))
        self.chart.advise(advice.regime)
        self.chart.choose(advice.regime)

    @Slot(object)
    def show_backbone(self, spec: BackboneSpec) -> None:
        """Show the blocks of this backbone."""
        self._blocks = tuple(block.name for block in spec.blocks)
        self._show_blocks()

    def regime(self) -> Regime:
        """Return the chosen regime."""
        return self.chart.regime()

    @Slot()
    def _show_blocks(self) -> None:
        self.strip.show_blocks(treatments(self.regime(), self._blocks))
