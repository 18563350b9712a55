"""The fourth step: a name, and a few things only the user can know."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.augment import augmentation_for, changes_in_words, learns_from_changes
from tlstudio.core.paths import runs_dir
from tlstudio.core.regimes import FITTED, Head, Regime
from tlstudio.gui import theme
from tlstudio.gui.widgets.augmentation_preview import AugmentationPreview
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.wizard.step import Step

DEVICES = (
    ("auto", "The fastest there is"),
    ("cpu", "Processor (CPU)"),
    ("cuda", "NVIDIA graphics card"),
    ("mps", "Apple graphics processor"),
)
MAX_EPOCHS = 500
MAX_SEED = 2**31 - 1
WHY_ASKED = "Only you know which changes leave the class the same."
CHANGES_LINES = 4


class OptionsStep(Step):
    """Defaults are good for most; the rest is folded away."""

    title = "Options"
    question = "A name, and what you know about your pictures"
    device_chosen = Signal()
    seed_chosen = Signal(int)
    """Another seed, once it is typed to its end: it deals the pictures out anew."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = QLineEdit()
        self._name.textChanged.connect(self._check_name)
        self.setFocusProxy(self._name)
        self._name_note = QLabel()
        self._name_note.setProperty("role", "muted")
        self._name_note.setTextFormat(Qt.TextFormat.PlainText)
        self._regime: Regime = "head"
        self._head: Head = "linear"
        self._images = 0
        self._why = Sentence("muted")
        self._mirror = QCheckBox("A &mirrored picture still shows the same class")
        self._mirror.setChecked(True)
        self._turned = QCheckBox("A picture &turned by a quarter still shows the same class")
        self._recoloured = QCheckBox("A re&coloured picture still shows the same class")
        self._recoloured.setChecked(True)
        self._questions = (self._mirror, self._turned, self._recoloured)
        for question in self._questions:
            question.toggled.connect(self._show_changes)
        self._changes = Sentence("muted")
        self._preview = AugmentationPreview()
        self._more = QToolButton()
        self._more.setText("More")
        self._more.setCheckable(True)
        self._more.setProperty("role", "fold")
        self._more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._more.toggled.connect(self._fold)
        self._epochs = QSpinBox()
        self._epochs.setRange(0, MAX_EPOCHS)
        self._epochs.setSpecialValueText("automatic")
        self._seed = QSpinBox()
        self._seed.setRange(0, MAX_SEED)
        self._seed.setKeyboardTracking(False)
        self._seed.valueChanged.connect(self.seed_chosen)
        self._device = QComboBox()
        for name, words in DEVICES:
            self._device.addItem(words, name)
        self._device.currentIndexChanged.connect(self.device_chosen)
        self._all_cores = QCheckBox("Use &all processor cores, even if the computer feels slow")
        self._folded = QWidget()
        self._lay_out()
        self._fold(False)
        self.show_regime(self._regime, self._head)

    def propose_name(self, folder: Path) -> None:
        """Fill in a name that no run has yet, unless the user typed one."""
        if not self._name.isModified():
            self._name.setText(free_name(folder.stem if folder.is_file() else folder.name, runs_dir()))

    def show_pictures(self, paths: Sequence[str]) -> None:
        """Take the training pictures, and show on a few what training makes of them."""
        self._images = len(paths)
        self._preview.show_pictures(paths)
        self.show_regime(self._regime, self._head)

    def show_regime(self, regime: Regime, head: Head) -> None:
        """Ask only what matters: of changes where some are made, of epochs where the old network learns too."""
        self._regime, self._head = regime, head
        changing, trains_network = learns_from_changes(regime, head, self._images), regime not in FITTED
        self._why.setVisible(changing)
        for question in self._questions:
            question.setEnabled(changing)
        self._preview.setVisible(changing)
        self._epochs.setEnabled(trains_network)
        self._epochs.setToolTip("" if trains_network else "A new head alone is fitted in one go.")
        self._show_changes()

    def name(self) -> str:
        """Return the name of the run."""
        return self._name.text().strip()

    def run_folder(self) -> Path:
        """Return the folder the run will be kept in."""
        return runs_dir() / folder_name(self.name())

    def mirror(self) -> bool:
        """Return whether training may mirror pictures."""
        return self._mirror.isChecked()

    def turned(self) -> bool:
        """Return whether training may turn pictures by quarters."""
        return self._turned.isChecked()

    def recoloured(self) -> bool:
        """Return whether training may change brightness, contrast and colours."""
        return self._recoloured.isChecked()

    def epochs(self) -> int | None:
        """Return the number of epochs, or None for automatic."""
        return self._epochs.value() or None if self._epochs.isEnabled() else None

    def seed(self) -> int:
        """Return the seed of everything random."""
        return self._seed.value()

    def device(self) -> str:
        """Return the wished device: auto, cpu, cuda or mps."""
        return str(self._device.currentData())

    def threads(self) -> int | None:
        """Return the number of processor threads, or None for all; one is left to the rest of the computer."""
        return None if self._all_cores.isChecked() else max(1, (os.cpu_count() or 1) - 1)

    def is_complete(self) -> bool:
        return bool(folder_name(self.name())) and not self.run_folder().exists()

    @Slot()
    def _check_name(self) -> None:
        if not folder_name(self.name()):
            self._name_note.setText("The run needs a name.")
        elif self.run_folder().exists():
            self._name_note.setText("There is a run of this name already. Nothing is overwritten: choose another name.")
        else:
            self._name_note.setText("")
        self.completeness_changed.emit()

    @Slot()
    def _show_changes(self) -> None:
        wanted = augmentation_for(self._regime, self.mirror(), self.turned(), self.recoloured())
        in_words = changes_in_words(self._regime, self._head, self._images, wanted)
        self._changes.setText(in_words)
        self._preview.show_changes(wanted, in_words)

    @Slot(bool)
    def _fold(self, shown: bool) -> None:
        self._folded.setVisible(shown)
        theme.set_icon(self._more, "chevron-down" if shown else "chevron-right")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setSpacing(theme.SPACE_INSIDE)
        form.addRow("Name of the &run", self._name)
        form.addRow("", self._name_note)
        self._name.setMaximumWidth(420)
        self._why.setText(WHY_ASKED)
        # What lies below stays in its place whatever is answered.
        self._changes.setFixedHeight(CHANGES_LINES * self.fontMetrics().lineSpacing())
        self._changes.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        folded = QFormLayout(self._folded)
        folded.setContentsMargins(theme.SPACE_PAGE, 0, 0, 0)
        folded.setSpacing(theme.SPACE_INSIDE)
        folded.addRow("&Epochs", self._epochs)
        folded.addRow("&Seed", self._seed)
        folded.addRow("&Device", self._device)
        folded.addRow(self._all_cores)
        for field in (self._epochs, self._seed, self._device):
            field.setFixedWidth(220)
        for number in (self._epochs, self._seed):
            # A spin box takes no padding from the style sheet.
            number.lineEdit().setTextMargins(theme.SPACE_TIGHT, 0, 0, 0)
        seed_note = "Equal seeds give equal splits and equal runs."
        self._seed.setToolTip(seed_note)
        self._seed.setAccessibleDescription(seed_note)
        column = QVBoxLayout()
        column.setSpacing(theme.SPACE_INSIDE)
        column.addLayout(form)
        column.addSpacing(theme.SPACE_INSIDE)
        column.addWidget(self._why)
        for question in self._questions:
            column.addWidget(question)
        column.addWidget(self._changes)
        column.addSpacing(theme.SPACE_INSIDE)
        column.addWidget(self._more, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._folded)
        column.addStretch()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_PAGE)
        layout.addLayout(column, 1)
        layout.addWidget(self._preview, 0, Qt.AlignmentFlag.AlignTop)


def folder_name(name: str) -> str:
    """Return a name as every file system takes it; "" if nothing of it can be kept."""
    kept = re.sub(r'[\x00-\x1f<>:"/\\|?*]', " ", name)
    return " ".join(kept.split()).strip(" .")[:100].rstrip(" .")


def free_name(wished: str, folder: Path) -> str:
    """Return the wished name, with a number behind it if the folder already holds it."""
    wished = folder_name(wished) or "Pictures"
    names = (wished, *(f"{wished} {number}" for number in range(2, 10_000)))
    return next(name for name in names if not (folder / name).exists())
