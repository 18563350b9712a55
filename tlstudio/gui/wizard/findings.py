"""What needs the user's decision before a training, one sentence and one button each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.groups import GroupProposal
from tlstudio.core.layout import Exclusion
from tlstudio.core.results import ShortcutRow
from tlstudio.gui import theme, words
from tlstudio.gui.layouts import remove_all
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.shortcuts_panel import in_short

Deed = Literal["exclude", "groups", "copies", "shortcuts", "files", "framing", "layout", "leave out", "afresh", "none"]
MOST_IN_VIEW = 3


class Finding(msgspec.Struct, frozen=True):
    """Something to decide or to know. `deed` is what its button does, with `names`; `urgent` comes first."""

    deed: Deed
    sentence: str
    action: str
    names: tuple[str, ...] = ()
    urgent: bool = False


class FindingsList(QWidget):
    """The findings below each other. One that the user puts away stays away for as long as the wizard lives."""

    acted = Signal(object)
    """The Finding whose button was pressed."""
    put_away = Signal()
    """The user does not want to see one of them any more."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._findings: tuple[Finding, ...] = ()
        self._put_away: set[str] = set()
        self._unfolded = False
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setSpacing(theme.SPACE_TIGHT)
        self.hide()

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Show these, urgent ones first, without those that were put away."""
        kept = [finding for finding in findings if finding.sentence not in self._put_away]
        shown = tuple(sorted(kept, key=lambda finding: not finding.urgent))
        if shown != self._findings:
            self._findings = shown
            self._fill()

    def _fill(self) -> None:
        remove_all(self._lines)
        # A button that unfolds a single one would take the same place as that one.
        unfolded = self._unfolded or len(self._findings) <= MOST_IN_VIEW + 1
        in_view = self._findings if unfolded else self._findings[:MOST_IN_VIEW]
        for finding in in_view:
            line = _Line(finding)
            line.acted.connect(self.acted)
            line.put_away.connect(self._put)
            self._lines.addWidget(line)
        more = len(self._findings) - len(in_view)
        if more:
            unfold = QPushButton(f"{more} more to decide or to know …")
            unfold.clicked.connect(self._unfold)
            self._lines.addWidget(unfold, 0, Qt.AlignmentFlag.AlignLeft)
        self.setVisible(bool(self._findings))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:  # icons have the colours of the scheme
            self._fill()

    def was_put_away(self, sentence: str) -> bool:
        """Return whether the user has put a finding of that sentence away."""
        return sentence in self._put_away

    @Slot()
    def _unfold(self) -> None:
        self._unfolded = True
        self._fill()

    def findings(self) -> tuple[Finding, ...]:
        """Return what is shown."""
        return self._findings

    @Slot(object)
    def _put(self, finding: Finding) -> None:
        self._put_away.add(finding.sentence)
        self.put_away.emit()


class _Line(QFrame):
    acted = Signal(object)
    put_away = Signal(object)

    def __init__(self, finding: Finding, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._finding = finding
        self.setProperty("role", "card")
        tokens = theme.current()
        mark = QLabel()
        name, colour = ("warning", tokens.warn) if finding.urgent else ("info", tokens.accent)
        mark.setPixmap(theme.icon_pixmap(name, 16, colour))
        sentence = Sentence()
        sentence.setText(finding.sentence)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_INSIDE, theme.SPACE_TIGHT, theme.SPACE_TIGHT, theme.SPACE_TIGHT)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(mark)
        layout.addWidget(sentence, 1)
        if finding.deed != "none":
            act = QPushButton(finding.action)
            act.setAccessibleDescription(finding.sentence)
            act.clicked.connect(self._act)
            layout.addWidget(act)
        away = QPushButton("Put away")
        away.setProperty("role", "quiet")
        away.setAccessibleDescription(finding.sentence)
        away.clicked.connect(self._put)
        layout.addWidget(away)

    @Slot()
    def _act(self) -> None:
        self.acted.emit(self._finding)

    @Slot()
    def _put(self) -> None:
        self.put_away.emit(self._finding)


def findings(
    index: DatasetIndex,
    setup: DatasetSetup,
    exclusions: Sequence[Exclusion] = (),
    proposals: Sequence[GroupProposal] = (),
    shortcuts: Sequence[ShortcutRow] = (),
    framing: str = "",
) -> list[Finding]:
    """Return what the user should decide about these pictures, `framing`, a sentence on what is cut off, included.

    Which files are pictures at all comes before everything else.
    """
    if exclusions:  # masks would be taken for twins and for the same picture in several classes
        return [
            Finding("exclude", exclusion.sentence, "Leave them out", (exclusion.pattern,), urgent=True)
            for exclusion in exclusions
        ]
    found = []
    counts = Counter(problem.code for problem in index.problems)
    if conflicts := counts["label-conflict"]:
        look = "looks" if conflicts == 1 else "look"
        sentence = f"{words.pictures(conflicts)} {look} the same as one in another class."
        found.append(Finding("copies", sentence, "Look", urgent=True))
    for name, count in index.class_counts().items():
        if count == 1:
            sentence = f"“{name}” has one picture only: it cannot teach and be judged as well."
            found.append(Finding("leave out", sentence, "Leave the class out", (name,), urgent=True))
    if leaks := counts["leak"]:
        lie = "lies" if leaks == 1 else "lie"
        sentence = f"{words.pictures(leaks)} {lie} in two of your folders for training, val and test."
        found.append(Finding("copies", sentence, "Look", urgent=True))
    for proposal in proposals:
        if proposal.kind not in setup.groupings:
            found.append(Finding("groups", f"{proposal.sentence} Keep them together?", "Look at the groups"))
    if telling := in_short(shortcuts):
        found.append(Finding("shortcuts", telling, "Look"))
    if framing:
        found.append(Finding("framing", framing, "Look"))
    if index.images and (aside := len(index.set_aside())):
        what = "One file was" if aside == 1 else f"{aside:,} files were"
        found.append(Finding("files", f"{what} set aside; nothing was deleted or moved.", "See why"))
    return found


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    shown_list = FindingsList()
    shown_list.show_findings(
        [
            Finding("exclude", "212 PNG files lie beside pictures of the same name.", "Leave them out", urgent=True),
            Finding("groups", "38 specimens: keep each on one side of the split?", "Look at the groups"),
        ]
    )
    shown_list.resize(900, 120)
    shown_list.show()
    app.exec()
