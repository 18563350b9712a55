"""What a scan found: classes with pictures and counts, and what was set aside and why."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.problem import Problem
from tlstudio.gui import theme, words
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.class_list import ClassList
from tlstudio.gui.widgets.record_table import Column, RecordTable

IMBALANCE = 3.0
"""From this ratio of the largest to the smallest class on, the user is told."""
FEW_A_CLASS = 10
PROBLEMS_SHOWN = 1000

PROBLEM_COLUMNS = (Column("What"), Column("File or folder"), Column("Where"))


class PictureOverview(QWidget):
    """The classes, a table of problems and the sentences that matter about a DatasetIndex."""

    def __init__(self, edits: DatasetEdits | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._summary = _label("lead")
        self._advice = _label("muted")
        self._classes = ClassList(edits)
        self._problems_title = _label("section")
        self._problems = RecordTable("Set aside or worth knowing", PROBLEM_COLUMNS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._summary)
        layout.addWidget(self._advice)
        layout.addWidget(self._classes, 3)
        layout.addSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._problems_title)
        layout.addWidget(self._problems, 2)

    def show_index(self, index: DatasetIndex) -> None:
        """Show what was found."""
        self._summary.setText(summary_sentence(index))
        advice = " ".join(advice_sentences(index))
        self._advice.setText(advice)
        self._advice.setVisible(bool(advice))
        self._classes.show_index(index)
        self._problems.set_rows([_problem_row(problem) for problem in index.problems[:PROBLEMS_SHOWN]])
        count = len(index.problems)
        title = f"Set aside or worth knowing: {count:,} of the files and folders"
        if count > PROBLEMS_SHOWN:
            title += f", the first {PROBLEMS_SHOWN:,} of them here"
        self._problems_title.setText(title if count else "Nothing was set aside.")
        self._problems.setVisible(bool(count))

    def classes(self) -> ClassList:
        """Return the list of classes."""
        return self._classes


def summary_sentence(index: DatasetIndex) -> str:
    """Return one sentence on how many pictures of how many classes there are, and how they are divided."""
    sentence = f"{words.pictures(len(index.images))} in {len(index.classes):,} classes"
    parts = index.part_counts()
    if parts:
        names = {"train": "to learn from", "val": "to judge with (val)", "test": "for the last test"}
        sentence += ": " + ", ".join(f"{count:,} {names[part]}" for part, count in parts.items())
    return sentence + "."


def advice_sentences(index: DatasetIndex) -> list[str]:
    """Return what the user should know about the sizes of the classes."""
    counts = index.class_counts()
    if not counts:
        return []
    fewest, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    sentences = []
    if counts[fewest] and counts[most] >= IMBALANCE * counts[fewest]:
        sentences.append(
            f"“{most}” has {counts[most] / counts[fewest]:.0f} times as many pictures as “{fewest}”: "
            "look at every class in the results, not only at the accuracy."
        )
    if counts[fewest] < FEW_A_CLASS:
        sentences.append(f"“{fewest}” has only {words.pictures(counts[fewest])}; a few more would help most there.")
    return sentences


def _problem_row(problem: Problem) -> tuple[str, str, str]:
    path = Path(problem.path)
    return problem.message, path.name, str(path.parent) if path.is_absolute() else ""


def _label(role: str) -> QLabel:
    label = QLabel()
    label.setProperty("role", role)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label


if __name__ == "__main__":
    from tlstudio.core.dataset import ImageRecord

    app = QApplication([])
    theme.apply(app, "system")
    overview = PictureOverview()
    pictures = tuple(ImageRecord(f"{number}.png", number % 2, None, str(number), 64, 64) for number in range(40))
    overview.show_index(DatasetIndex(("drawn",), ("ants", "bees"), pictures, (), 0.1))
    overview.show()
    app.exec()
