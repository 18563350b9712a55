"""Backbones side by side, as measured on the user's own pictures."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QAbstractItemView, QApplication, QVBoxLayout, QWidget

from tlstudio.core.backbones import backbone
from tlstudio.core.results import Interval, RankRow
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.sentence import Sentence

MOST_ROWS_IN_VIEW = 4
ROW_PX = 28
WORTH_SAYING = 1.5
"""How many times quicker a backbone must be to be recommended for it."""


def _accuracy(value: tuple[float, Interval]) -> str:
    return words.accuracy(*value)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < words.MINUTE else words.duration(seconds).removeprefix("about ")


COLUMNS = (
    Column("Backbone"),
    Column("Accuracy", _accuracy, "Measured on training pictures in turn; val and test pictures are not used.", True),
    Column("All pictures once", _time, "How long it takes this computer to show it all training pictures.", True),
    Column("Memory", "{:,.0f} MB".format, "What it needs at most, beyond the program itself.", True),
    Column("Exported", "{:,.1f} MB".format, "Size of the file that holds your finished classifier.", True),
)


class BackboneRanking(QWidget):
    """A table, best first, under a sentence of what it says. A click or Enter chooses."""

    chosen = Signal(str)
    """The name of a backbone."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[RankRow, ...] = ()
        self._verdict = Sentence()
        self._table = RecordTable("Backbones compared on your pictures", COLUMNS)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.verticalHeader().setDefaultSectionSize(ROW_PX)
        self._table.clicked.connect(self._table.activated)
        self._table.row_chosen.connect(self._choose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._verdict)
        layout.addWidget(self._table)

    def show_rows(self, rows: Sequence[RankRow]) -> None:
        """Show what was measured, best first."""
        self._rows = tuple(rows)
        self._verdict.setText(verdict(self._rows))
        self._table.set_rows(
            [
                (backbone(row.backbone).title, (row.accuracy, row.interval), row.seconds, row.memory_mb, row.export_mb)
                for row in self._rows
            ]
        )
        edges = 2 * self._table.frameWidth()
        shown = min(MOST_ROWS_IN_VIEW, len(self._rows))
        self._table.setFixedHeight(self._table.horizontalHeader().sizeHint().height() + shown * ROW_PX + edges)

    def select(self, name: str) -> None:
        """Mark the row of a backbone, or none if it was not compared."""
        title = backbone(name).title
        titles = [texts[0] for texts in self._table.texts()]
        if title in titles:
            self._table.selectRow(titles.index(title))
        else:
            self._table.clearSelection()

    def verdict(self) -> str:
        """Return the sentence above the table."""
        return self._verdict.text()

    @Slot(int)
    def _choose(self, row: int) -> None:
        self.chosen.emit(self._rows[row].backbone)


def verdict(rows: Sequence[RankRow]) -> str:
    """Return what a comparison says, best first: who does best, and who is as good but quicker."""
    best = rows[0]
    title = backbone(best.backbone).title
    if len(rows) == 1:
        return f"Only {title} is on this computer. Fetch or import others to compare them with it."
    as_good = [row for row in rows if row.accuracy >= best.interval[0]]
    quickest = min(as_good, key=lambda row: row.seconds)
    times = best.seconds / quickest.seconds if quickest.seconds else 1.0
    if times < WORTH_SAYING:
        return f"With a new head alone, {title} does best on your pictures."
    return (
        f"With a new head alone, {title} does best on your pictures. {backbone(quickest.backbone).title} is as good "
        f"within the uncertainty, and {times:.1f} times as quick."
    )


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    ranking = BackboneRanking()
    ranking.show_rows(
        (
            RankRow("resnet50", "IMAGENET1K_V1", 0.961, (0.924, 0.981), 25.0, 9.8, 612.0, 94.1),
            RankRow("mobilenet_v2", "IMAGENET1K_V1", 0.952, (0.912, 0.974), 4.1, 59.0, 210.0, 8.9),
        )
    )
    ranking.resize(860, 160)
    ranking.show()
    app.exec()
