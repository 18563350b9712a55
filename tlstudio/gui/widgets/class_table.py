"""The scores of every class, one row each."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QApplication, QWidget

from tlstudio.core.results import ClassScore
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.record_table import Column, RecordTable

COLUMNS = (
    Column("Class"),
    Column("Pictures", "{:,}".format, "How many pictures of this class were judged.", number=True),
    Column("Found (recall)", words.percent, "Of the pictures of this class, how many were given it.", number=True),
    Column("Trusted (precision)", words.percent, "Of the pictures given this class, how many are of it.", number=True),
    Column("Both (F1)", words.percent, "The harmonic mean of the two: high only if both are.", number=True),
)


class ClassTable(RecordTable):
    """Sortable by every column; Ctrl+C copies it for a spreadsheet."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Scores of every class", COLUMNS, parent)

    def show_scores(self, scores: Sequence[ClassScore]) -> None:
        """Show these classes."""
        self.set_rows([(s.class_, s.support, s.recall, s.precision, s.f1) for s in scores])


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    table = ClassTable()
    table.show_scores(
        [
            ClassScore(class_="crack", precision=0.8, recall=0.9, f1=0.847, support=10),
            ClassScore(class_="free", precision=0.95, recall=0.89, f1=0.919, support=18),
        ]
    )
    table.resize(600, 160)
    table.show()
    app.exec()
