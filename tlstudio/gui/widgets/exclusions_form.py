"""Patterns for files that are no pictures to learn from, with what each of them hits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.layout import Exclusion, excluder
from tlstudio.core.picture_facts import ScannedFile
from tlstudio.gui import theme, words
from tlstudio.gui.layouts import remove_all
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip

HITS_SHOWN = 8
HIT_PX = 48
NAMES_SHOWN = 3


class ExclusionsForm(QWidget):
    """The patterns in force, those proposed, and a line for another one that shows what it would hit."""

    decided = Signal(object)
    """The tuple of patterns to use."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._files: Sequence[ScannedFile] = ()
        self._patterns: tuple[str, ...] = ()
        self._rows = QVBoxLayout()
        self._rows.setSpacing(theme.SPACE_TIGHT)
        self._line = QLineEdit()
        self._line.setPlaceholderText("A pattern, as *_mask.* or */masks/* or *.png")
        self._line.setAccessibleName("Pattern of files to leave out")
        self._line.textChanged.connect(self._show_hits)
        self._line.returnPressed.connect(self._add)
        self._button = QPushButton("Leave t&hem out")
        self._button.clicked.connect(self._add)
        self._hits = Sentence("muted")
        self._strip = ThumbnailStrip(HIT_PX, HITS_SHOWN)
        across = QHBoxLayout()
        across.setSpacing(theme.SPACE_INSIDE)
        across.addWidget(self._line, 1)
        across.addWidget(self._button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(self._rows)
        layout.addLayout(across)
        layout.addWidget(self._hits)
        layout.addWidget(self._strip)
        self._show_hits()

    def show_files(
        self, files: Sequence[ScannedFile], patterns: tuple[str, ...], proposed: Sequence[Exclusion]
    ) -> None:
        """Show the patterns in force among these files, and those that are proposed."""
        self._files, self._patterns = files, patterns
        remove_all(self._rows)
        for pattern in patterns:
            count = len(self._hit_by(pattern))
            row = _Row(pattern, f"{pattern}  leaves out {words.pictures(count)}.", "Take in again")
            row.pressed.connect(self._remove)
            self._rows.addWidget(row)
        for exclusion in proposed:
            row = _Row(exclusion.pattern, exclusion.sentence, f"Leave out {exclusion.pattern.replace('&', '&&')}")
            row.pressed.connect(self._take)
            self._rows.addWidget(row)
        self._show_hits()

    def message(self) -> str:
        """Return what is said about the pattern that is being typed."""
        return self._hits.text()

    def _hit_by(self, pattern: str) -> list[ScannedFile]:
        excluded = excluder([pattern])
        return [file for file in self._files if file.facts and excluded(file.place)]

    @Slot()
    def _show_hits(self) -> None:
        pattern = self._line.text().strip()
        hit = self._hit_by(pattern) if pattern else []
        self._button.setEnabled(bool(hit) and pattern not in self._patterns)
        self._strip.setVisible(bool(hit))
        shown = hit[:: max(1, len(hit) // HITS_SHOWN)][:HITS_SHOWN]
        self._strip.show_pictures([file.path for file in shown])
        if not pattern:
            self._hits.setText("* stands for any letters, ? for one. Without a / the pattern is for names of files.")
        elif not hit:
            self._hits.setText("No picture is hit by this pattern.")
        else:
            names = ", ".join(Path(file.place).name for file in hit[:NAMES_SHOWN])
            more = " …" if len(hit) > NAMES_SHOWN else ""
            self._hits.setText(f"Hits {words.pictures(len(hit))}: {names}{more}")

    @Slot()
    def _add(self) -> None:
        if self._button.isEnabled():
            self._take(self._line.text().strip())
            self._line.clear()

    @Slot(str)
    def _take(self, pattern: str) -> None:
        self.decided.emit((*self._patterns, pattern))

    @Slot(str)
    def _remove(self, pattern: str) -> None:
        self.decided.emit(tuple(kept for kept in self._patterns if kept != pattern))


class _Row(QWidget):
    pressed = Signal(str)
    """The pattern of this row."""

    def __init__(self, pattern: str, sentence: str, action: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pattern = pattern
        label = QLabel(sentence)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        button = QPushButton(action)
        button.setAccessibleDescription(sentence)
        button.clicked.connect(self._press)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(label, 1)
        layout.addWidget(button)

    @Slot()
    def _press(self) -> None:
        self.pressed.emit(self._pattern)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    form = ExclusionsForm()
    form.show_files((), ("*.png",), [Exclusion("*/masks/*", 40, "40 pictures lie in folders named “masks”.")])
    form.resize(700, 240)
    form.show()
    app.exec()
