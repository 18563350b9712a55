"""Two to six runs beside each other: which is better, how they learned, and what was different about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PySide6.QtCore import QEvent, QSize, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.run_comparison import (
    NONE,
    ComparedRun,
    Difference,
    Verdict,
    data_differences,
    plan_differences,
    read_runs,
    verdicts,
)
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.curves import RunPoints
from tlstudio.gui.widgets.curves_together import KEY_PX, CurvesTogether, key_icon
from tlstudio.gui.widgets.sentence import Sentence

RESULTS = ("Run", "Accuracy", "Judged on", "Loss", "Kept", "Training took")
SEVERAL = (
    "Several runs are compared at once, so that chance has several tries: a difference has to be larger to be called "
    "clear, and the intervals are wider."
)


class Comparison(NamedTuple):
    """Everything the page shows."""

    runs: list[ComparedRun]
    points: list[RunPoints]
    verdicts: list[Verdict]


class RunComparison(QWidget):
    """A page of its own, with a way back."""

    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys: list[QLabel] = []
        back = QPushButton("All runs")
        theme.set_icon(back, "chevron-left")
        back.setShortcut(Qt.Key.Key_Escape)
        back.setAccessibleDescription("Ends the comparison.")
        back.clicked.connect(self._leave)
        self.setFocusProxy(back)
        self._title = Sentence("title")
        top = QHBoxLayout()
        top.setSpacing(theme.SPACE)
        top.addWidget(back)
        top.addWidget(self._title, 1)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # One that comes and goes would change the width, and with it the height, of all sentences.
        self._area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self._area.setAccessibleName("Comparison of runs")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addLayout(top)
        layout.addWidget(self._area, 1)

    def show_comparison(self, comparison: Comparison) -> None:
        """Show these runs instead of those before."""
        runs = comparison.runs
        self._title.setText(f"Comparing {len(runs)} runs")
        self._keys = [QLabel() for _ in runs]
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        column.setSpacing(theme.SPACE_INSIDE)
        column.addWidget(_section("Which one is better"))
        for verdict in comparison.verdicts:
            column.addWidget(_sentence(verdict.sentence))
        if len(comparison.verdicts) > 1:
            column.addWidget(_sentence(SEVERAL, muted=True))
        column.addWidget(_section("Results"))
        column.addWidget(_table(RESULTS, [_result(run) for run in runs], self._keys))
        column.addWidget(_section("How they learned (val solid, train dashed)"))
        column.addWidget(CurvesTogether(comparison.points))
        for title, differences, alike in (
            ("What was planned differently", plan_differences(runs), "The plans are alike."),
            ("What is different about the pictures", data_differences(runs), "The pictures and their split are alike."),
        ):
            column.addWidget(_section(title))
            column.addWidget(_differences(runs, differences) if differences else _sentence(alike, muted=True))
        column.addStretch()
        self._area.setWidget(inside)
        self._draw_keys()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw_keys()

    def _draw_keys(self) -> None:
        for number, label in enumerate(self._keys):
            label.setPixmap(key_icon(number).pixmap(QSize(KEY_PX, KEY_PX)))

    @Slot()
    def _leave(self) -> None:
        self.left.emit()


def compare(chosen: Sequence[RunFolder]) -> Comparison:
    """Read what a comparison shows. Raises StudioError for a run that cannot be read."""
    runs = read_runs(chosen)
    points = [RunPoints() for _ in chosen]
    for run, its_points in zip(chosen, points, strict=True):
        for event in run.events():
            its_points.add(event)
    return Comparison(runs, points, verdicts(runs))


def _result(run: ComparedRun) -> tuple[str, ...]:
    ended, judged = run.ended, run.evaluation
    share = judged.accuracy if judged else ended.val_accuracy if ended else None
    bounds = judged.accuracy_interval if judged else ended.val_interval if ended else None
    loss = judged.nll if judged else ended.val_nll if ended else None
    images, part = (judged.images, judged.part) if judged else (ended.val_images if ended else 0, "val")
    return (
        run.name,
        NONE if share is None else words.accuracy(share, bounds),
        f"{words.pictures(images)} ({part})" if images else NONE,
        NONE if loss is None else f"{loss:.3f}",
        (ended and ended.kept) or NONE,
        words.duration(ended.seconds) if ended else NONE,
    )


def _differences(runs: Sequence[ComparedRun], rows: Sequence[Difference]) -> QWidget:
    return _table(("", *(run.name for run in runs)), [(row.what, *row.values) for row in rows])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], keys: Sequence[QLabel] = ()) -> QWidget:
    """Return a card with sentences in rows and columns, for long ones that are broken into lines."""
    card = QFrame()
    card.setProperty("role", "card")
    grid = QGridLayout(card)
    grid.setContentsMargins(theme.SPACE, theme.SPACE_INSIDE, theme.SPACE, theme.SPACE_INSIDE)
    grid.setHorizontalSpacing(theme.SPACE)
    grid.setVerticalSpacing(theme.SPACE_INSIDE)
    for row, texts in enumerate((titles, *rows)):
        for column, text in enumerate(texts):
            is_title = row == 0 or (column == 0 and not keys)
            grid.addWidget(_sentence(text, muted=is_title), row, column + 1, Qt.AlignmentFlag.AlignTop)
    for row, key in enumerate(keys, 1):
        grid.addWidget(key, row, 0, Qt.AlignmentFlag.AlignTop)
    for column in range(len(titles)):
        grid.setColumnStretch(column + 1, 1)
    return card


def _section(title: str) -> QLabel:
    label = QLabel(title)
    label.setProperty("role", "section")
    label.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
    return label


def _sentence(text: str, muted: bool = False) -> Sentence:
    sentence = Sentence("muted" if muted else "")
    sentence.setText(text)
    return sentence


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    view = RunComparison()
    view.resize(1024, 700)
    view.show()
    app.exec()
