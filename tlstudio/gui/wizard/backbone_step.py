"""The second step: which network that already learned to see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core import weights_folder
from tlstudio.core.backbones import BACKBONES, BackboneSpec
from tlstudio.core.events import Event, JobEnded, Progress
from tlstudio.core.jobs import Download, Import
from tlstudio.core.results import RankRow
from tlstudio.gui import remembered, theme
from tlstudio.gui.widgets.backbone_card import BackboneCard
from tlstudio.gui.widgets.backbone_ranking import BackboneRanking
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.wizard.step import Step

COLUMNS = 3
WHAT_COMPARING_DOES = "Tries each network that is on this computer with a new head alone."
WEIGHTS_FILTER = "Weights (*.pth *.pt *.safetensors)"


class BackboneStep(Step):
    """Cards to choose from; weights that are missing can be fetched or imported.

    Those that are here can be compared on the user's pictures.
    """

    title = "Backbone"
    question = "Which network should learn your classes?"
    chosen = Signal(object)
    """The BackboneSpec that is now chosen."""
    comparison_requested = Signal()
    """The user wants a Rank job; its events belong to this step."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self._cards: dict[str, BackboneCard] = {}
        cards = QWidget()
        grid = QGridLayout(cards)
        grid.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        grid.setSpacing(theme.SPACE_INSIDE)
        for position, spec in enumerate(_in_order()):
            card = BackboneCard(spec)
            self._cards[spec.name] = card
            self._group.addButton(card)
            grid.addWidget(card, position // COLUMNS, position % COLUMNS)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(cards)
        self._sentence = QLabel()
        self._sentence.setTextFormat(Qt.TextFormat.PlainText)
        self._sentence.setWordWrap(True)
        self._download = QPushButton()
        self._download.clicked.connect(self._fetch)
        self._import = QPushButton("&Import weights file …")
        self._import.setAccessibleDescription("Use a .pth or .safetensors file that is already on this computer.")
        self._import.clicked.connect(self._choose_file)
        self._compare = QPushButton("&Compare on your pictures")
        self._compare.clicked.connect(self._begin_comparison)
        self._comparing = False
        self._outdated = False
        """The comparison that runs was begun for other pictures."""
        self._why_not = ""
        self._ranking = BackboneRanking()
        self._ranking.chosen.connect(self.choose)
        self._ranking.hide()
        self._progress = JobProgress()
        self._progress.cancelled.connect(self.stop_requested)
        self._progress.hide()
        self.allow_comparison("")
        self._lay_out()
        preferred = weights_folder.best_present()
        self._cards[preferred.name].setChecked(True)
        self.setFocusProxy(self._cards[preferred.name])
        self._group.buttonToggled.connect(self._on_toggle)
        self._show_presence()

    def spec(self) -> BackboneSpec:
        """Return the chosen backbone."""
        card = self._group.checkedButton()
        assert isinstance(card, BackboneCard)
        return card.spec

    def present(self) -> tuple[str, ...]:
        """Return the names of the backbones whose weights are here."""
        return tuple(name for name, card in self._cards.items() if weights_folder.weights_present(card.spec))

    @Slot(str)
    def choose(self, name: str) -> None:
        """Choose a backbone by name."""
        self._cards[name].setChecked(True)

    def show_speeds(self, images_per_second: Mapping[str, float]) -> None:
        """Show what was measured on this computer."""
        for name, speed in images_per_second.items():
            self._cards[name].show_speed(speed)

    def allow_comparison(self, why_not: str) -> None:
        """Let the user compare networks, unless there is a reason not to."""
        self._why_not = why_not
        self._compare.setEnabled(not why_not and self._import.isEnabled())
        self._compare.setToolTip(why_not or WHAT_COMPARING_DOES)
        self._compare.setAccessibleDescription(self._compare.toolTip())

    def forget_comparison(self) -> None:
        """Show that nothing was compared: these are other pictures."""
        self._ranking.hide()
        if self._comparing:
            self._outdated = True
            self.stop_requested.emit()

    def message(self) -> str:
        """Return the sentence about the chosen backbone or the last try to get weights."""
        return self._sentence.text()

    def is_complete(self) -> bool:
        return weights_folder.weights_present(self.spec())

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case Progress():
                self._progress.show_progress(event)
            case JobEnded():
                self._end_of_job(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for card in self._cards.values():
                card.show_weights(weights_folder.weights_file_for(card.spec))

    def showEvent(self, event: QShowEvent) -> None:
        self._scroll.ensureWidgetVisible(self._cards[self.spec().name])

    def _end_of_job(self, event: JobEnded) -> None:
        comparing, self._comparing = self._comparing, False
        outdated, self._outdated = self._outdated, False
        self._progress.hide()
        self._import.setEnabled(True)
        self.allow_comparison(self._why_not)
        if event.status == "finished" and event.result and event.result.get("backbone") in self._cards:
            self.choose(event.result["backbone"])
        self._show_presence()
        if outdated:
            return
        if event.status != "finished":
            stopped = "The comparison was stopped." if comparing else "Stopped. What was fetched so far is kept."
            self._sentence.setText(f"{event.what} {event.hint}".strip() or stopped)
        elif comparing and event.result:
            self._show_ranking(msgspec.convert(event.result["rows"], tuple[RankRow, ...]))

    def _show_ranking(self, rows: tuple[RankRow, ...]) -> None:
        self._ranking.show_rows(rows)
        self._ranking.select(self.spec().name)
        self._ranking.show()

    def _show_presence(self) -> None:
        spec = self.spec()
        for card in self._cards.values():
            card.show_weights(weights_folder.weights_file_for(card.spec))
        present = weights_folder.weights_present(spec)
        is_small = present and weights_folder.weights_in_use(spec).built_in
        self._download.setVisible(is_small or not present)
        self._download.setEnabled(self._import.isEnabled())
        self._download.setText(f"&Download {spec.weights[0].download_mb:.0f} MB")
        if is_small:
            sentence = (
                f"{spec.title} is ready to use. Its full weights know more photographs; "
                "they come from download.pytorch.org."
            )
        elif present:
            sentence = f"{spec.title} is ready to use."
        else:
            sentence = (
                f"{spec.title} is not on this computer yet. It comes from download.pytorch.org, once; "
                "your pictures stay here."
            )
        self._sentence.setText(sentence)
        self.completeness_changed.emit()

    def _work(self, what: str) -> None:
        self._import.setEnabled(False)
        self._download.setEnabled(False)
        self.allow_comparison(self._why_not)
        self._progress.begin(what)
        self._progress.show()

    @Slot(QAbstractButton, bool)
    def _on_toggle(self, card: QAbstractButton, checked: bool) -> None:
        if checked:
            self.setFocusProxy(card)
            self._show_presence()
            self._scroll.ensureWidgetVisible(card)
            self._ranking.select(self.spec().name)
            self.chosen.emit(self.spec())

    @Slot()
    def _begin_comparison(self) -> None:
        self._comparing = True
        self._work("Comparing the networks on this computer")
        self.comparison_requested.emit()

    @Slot()
    def _fetch(self) -> None:
        self._work(f"Fetching {self.spec().title}")
        self.job_requested.emit(Download(backbone=self.spec().name))

    @Slot()
    def _choose_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Choose a weights file", str(remembered.folder("weights", Path.home())), WEIGHTS_FILTER
        )
        if chosen:
            remembered.remember_folder("weights", Path(chosen).parent)
            self.import_file(Path(chosen))

    def import_file(self, file: Path) -> None:
        """Check a weights file and copy it to the others."""
        self._work(f"Checking {file.name}")
        self.job_requested.emit(Import(file=str(file)))

    def _lay_out(self) -> None:
        lead = QLabel("A backbone is a network that already learned to see, from a million everyday photographs.")
        lead.setProperty("role", "muted")
        lead.setWordWrap(True)
        above = QHBoxLayout()
        above.setSpacing(theme.SPACE)
        above.addWidget(lead, 1)
        above.addWidget(self._compare)
        below = QHBoxLayout()
        below.setSpacing(theme.SPACE_INSIDE)
        below.addWidget(self._sentence, 1)
        below.addWidget(self._download)
        below.addWidget(self._import)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(above)
        layout.addWidget(self._ranking)
        layout.addWidget(self._scroll, 1)
        layout.addWidget(self._progress)
        layout.addLayout(below)


def _in_order() -> list[BackboneSpec]:
    """Return what is on this computer first, then the quick ones."""
    return sorted(BACKBONES, key=lambda spec: (not weights_folder.weights_present(spec), spec.giga_ops))
