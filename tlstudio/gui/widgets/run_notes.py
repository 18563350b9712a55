"""Tags and note of the selected run, kept as soon as the user goes on to something else."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QStringListModel, Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QHideEvent
from PySide6.QtWidgets import (
    QApplication,
    QCompleter,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from tlstudio.core.run_history import KnownRun, RunFacts, RunNotes
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import theme

NOTE_LINES = 2


class RunNotesForm(QFrame):
    """A line for tags, with commas between, and some lines for a note."""

    changed = Signal(object, object)
    """(KnownRun, RunNotes as they are to be kept); the name is the one that was shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: KnownRun | None = None
        self._tags = QLineEdit()
        self._tags.setPlaceholderText("For example: field 2026, checked")
        self._tags.editingFinished.connect(self._tell)
        self._offered = QStringListModel(self)
        completer = _TagCompleter(self._offered, self)
        self._tags.setCompleter(completer)
        self._note = _NoteEdit()
        self._note.left.connect(self._tell)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(theme.SPACE_INSIDE)
        for row, (title, field) in enumerate((("&Tags", self._tags), ("&Note", self._note))):
            label = QLabel(title)
            label.setBuddy(field)
            field.setAccessibleName(title.replace("&", ""))
            grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(field, row, 1)

    def show_run(self, known: KnownRun | None) -> None:
        """Show what the user wrote about this run instead; what is being typed about the same one stays."""
        before = self._known
        if before and known and before.run.path == known.run.path and self._typed(before) != before.notes:
            return
        self._known = known
        notes = known.notes if known else RunNotes()
        self._tags.setText(", ".join(notes.tags))
        self._note.setPlainText(notes.note)

    def offer_tags(self, tags: list[str]) -> None:
        """Offer the tags of other runs while one is typed."""
        self._offered.setStringList(tags)

    def hideEvent(self, event: QHideEvent) -> None:
        self._tell()
        super().hideEvent(event)

    def _typed(self, known: KnownRun) -> RunNotes:
        tags = (" ".join(tag.split()) for tag in self._tags.text().split(","))
        return RunNotes(known.notes.name, tuple(tag for tag in tags if tag), self._note.toPlainText().strip())

    @Slot()
    def _tell(self) -> None:
        known = self._known
        if known and (notes := self._typed(known)) != known.notes:
            self._known = known._replace(notes=notes)
            self.changed.emit(known, notes)


class _TagCompleter(QCompleter):
    """Completes the last of several tags."""

    def __init__(self, known: QStringListModel, parent: QObject) -> None:
        super().__init__(known, parent)
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def splitPath(self, path: str) -> list[str]:
        return [path.rpartition(",")[2].strip()]

    def pathFromIndex(self, index: object) -> str:
        widget = self.widget()
        before = widget.text().rpartition(",")[0] if isinstance(widget, QLineEdit) else ""
        tag = super().pathFromIndex(index)  # type: ignore[arg-type]
        return f"{before}, {tag}" if before else tag


class _NoteEdit(QPlainTextEdit):
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setPlaceholderText("What you want to remember about this run.")
        self.setFixedHeight(self.fontMetrics().lineSpacing() * NOTE_LINES + 2 * theme.SPACE)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.left.emit()


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    form = RunNotesForm()
    notes = RunNotes("", ("field 2026", "checked"), "The light was good.")
    form.show_run(KnownRun(RunFolder(Path("run")), RunFacts("finished", 0.0), notes))
    form.show()
    app.exec()
