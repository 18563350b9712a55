"""Which pictures belong together, so that no split tears them apart: what was found, and the user's decision."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, propose_groups
from tlstudio.core.dataset_setup import DatasetSetup, Grouping
from tlstudio.core.groups import GroupProposal
from tlstudio.core.images import Reading
from tlstudio.core.split import Split
from tlstudio.gui import plain_text, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.layouts import remove_all
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip

EXAMPLE_PX = 56
EXAMPLES_A_GROUP = 5
GROUPS_SHOWN = 3
ORDER: tuple[Grouping, ...] = get_args(Grouping)
TITLES: dict[Grouping, str] = {
    "near-copies": "Copies with small changes",
    "folders": "Folders inside the classes",
    "names": "Names that begin alike",
    "bursts": "Taken within moments by one camera",
    "labels": "What your table or pattern calls a group",
}
WHY = (
    "Pictures of one specimen, patient or moment are nearly the same picture. If some teach and others judge, the "
    "accuracy comes out too good. Tick what belongs together; exact copies always stay together."
)
NOTHING = "No pictures were found that seem to belong together, besides exact copies."


class GroupsPanel(QWidget):
    """A card a proposal, with examples, and what follows from those that are ticked."""

    proposed = Signal(object)
    """The tuple of GroupProposals that were found."""

    def __init__(self, edits: DatasetEdits, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edits = edits
        self._proposals: tuple[GroupProposal, ...] = ()
        self._reading = Reading()
        self._boxes: dict[Grouping, QCheckBox] = {}
        self._background = Background(self)
        self._background.done.connect(self._take_proposals)
        why = Sentence("muted")
        why.setText(WHY)
        self._consequence = Sentence("lead")
        self._cards = QVBoxLayout()
        self._cards.setSpacing(theme.SPACE_INSIDE)
        self._cards.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        inside = QWidget()
        inside.setLayout(self._cards)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(inside)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._consequence)
        layout.addWidget(why)
        layout.addWidget(scroll, 1)

    def show_dealt(self, index: DatasetIndex, parts: Split | None) -> None:
        """Show what follows from the set-up, and look for groups in it."""
        self._consequence.setText(consequence(index, parts))
        if index.reading != self._reading:
            self._reading = index.reading
            self._fill()
        scanned, setup = self._edits.scanned, self._edits.setup
        self._background.forget()
        self._background.start("proposals", lambda: propose_groups(scanned, setup))
        self._show_ticks()

    def proposals(self) -> tuple[GroupProposal, ...]:
        """Return what was found."""
        return self._proposals

    def box(self, kind: Grouping) -> QCheckBox:
        """Return the check box of a proposal."""
        return self._boxes[kind]

    def consequence(self) -> str:
        """Return what follows from the decision, in words."""
        return self._consequence.text()

    @Slot(object, object)
    def _take_proposals(self, _key: object, found: tuple[GroupProposal, ...]) -> None:
        if found != self._proposals or not self._cards.count():
            self._proposals = found
            self._fill()
        self.proposed.emit(found)

    def _fill(self) -> None:
        remove_all(self._cards)
        self._boxes.clear()
        for proposal in self._proposals:
            box = QCheckBox(TITLES[proposal.kind])
            box.setAccessibleDescription(proposal.sentence)
            box.clicked.connect(self._decide)
            self._boxes[proposal.kind] = box
            self._cards.addWidget(_card(proposal, box, self._reading))
        if not self._proposals:
            none = Sentence()
            none.setText(NOTHING)
            self._cards.addWidget(none)
        self._cards.addStretch(1)
        self._show_ticks()

    def _show_ticks(self) -> None:
        for kind, box in self._boxes.items():
            box.setChecked(kind in self._edits.setup.groupings)

    @Slot()
    def _decide(self) -> None:
        setup = self._edits.setup
        ticked = {kind for kind, box in self._boxes.items() if box.isChecked()}
        kept = {kind for kind in setup.groupings if kind not in self._boxes}
        self._edits.change(with_groupings(setup, ticked | kept), "Decide what belongs together")


def _card(proposal: GroupProposal, box: QCheckBox, reading: Reading) -> QFrame:
    """Return the box, the sentence and the first groups side by side."""
    card = QFrame()
    card.setProperty("role", "card")
    sentence = Sentence()
    sentence.setText(proposal.sentence)
    examples = QHBoxLayout()
    examples.setSpacing(theme.SPACE)
    for number, group in enumerate(proposal.examples[:GROUPS_SHOWN], 1):
        column = QVBoxLayout()
        column.setSpacing(theme.SPACE_TIGHT)
        strip = ThumbnailStrip(EXAMPLE_PX, EXAMPLES_A_GROUP)
        strip.show_pictures(group, reading=reading)
        strip.setToolTip(plain_text.tooltip("\n".join(group)))
        caption = QLabel(f"Example {number}")
        caption.setProperty("role", "muted")
        column.addWidget(strip)
        column.addWidget(caption)
        examples.addLayout(column)
    examples.addStretch(1)
    layout = QVBoxLayout(card)
    layout.setContentsMargins(theme.SPACE, theme.SPACE - 4, theme.SPACE, theme.SPACE - 4)
    layout.setSpacing(theme.SPACE_TIGHT)
    layout.addWidget(box)
    layout.addWidget(sentence)
    layout.addLayout(examples)
    return card


def with_groupings(setup: DatasetSetup, wanted: set[Grouping]) -> DatasetSetup:
    """Return the set-up in which these belong together, in the order of `Grouping`."""
    return msgspec.structs.replace(setup, groupings=tuple(kind for kind in ORDER if kind in wanted))


def consequence(index: DatasetIndex, parts: Split | None) -> str:
    """Return how many groups there are, and how many of them judge."""
    sizes = Counter(image.kept_with for image in index.images)
    together = [size for size in sizes.values() if size > 1]
    if not together:
        return f"{words.pictures(len(index.images))}, each on its own."
    sentence = (
        f"{words.pictures(len(index.images))} in {len(sizes):,} groups, "
        f"{len(together):,} of them with several pictures (the largest has {max(together):,})"
    )
    if parts is None:
        return f"{sentence}."
    judges = {index.images[position].kept_with for position in parts.val}
    return f"{sentence}; val gets {len(judges):,} groups with {words.pictures(len(parts.val))}."


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    panel = GroupsPanel(DatasetEdits())
    panel._take_proposals(
        "proposals",
        (GroupProposal("folders", 38, 412, 24, "412 pictures lie in 38 folders inside the classes.", ()),),
    )
    panel.resize(900, 400)
    panel.show()
    app.exec()
