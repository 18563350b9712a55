"""Classes from the names of files: a regular expression, and what it finds, while it is typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QApplication, QComboBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from tlstudio.core.dataset_setup import Layout
from tlstudio.core.errors import StudioError
from tlstudio.core.layout import NameFound, propose_pattern, read_names
from tlstudio.gui import theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.sentence import Sentence

LOOKED_AT = 2000
"""Of more names than that, every n-th is tried while the user types."""
SHOWN = 200
TYPING_MS = 250
CLASSES_NAMED = 4
READY_MADE = (
    ("Choose a common one …", ""),
    ("cat_001.jpg: what comes before the number", r"(?P<class>[^/]*?[^/\d _.()-])[ _.-]*\(?\d+\)?\.\w+$"),
    ("001_cat.jpg: what comes after the number", r"(?:^|/)\d+[ _.-]+(?P<class>[^/]+?)\.\w+$"),
    ("cat_anything.jpg: what comes before the first _", r"(?:^|/)(?P<class>[^/_]+)_[^/]*$"),
    ("anything_cat.jpg: what comes after the last _", r"_(?P<class>[^/_]+)\.\w+$"),
    ("specimen-cat-01.jpg: group, class and number", r"(?:^|/)(?P<group>[^/_-]+)[_-](?P<class>[^/_-]+)[_-][^/]*$"),
)
COLUMNS = (Column("File"), Column("Class"), Column("Part"), Column("Belongs together by"))
EXPLAINED = (
    "The expression marks the piece of the name that is the class with (?P<class> and ); in the same way (?P<group> "
    "marks a specimen or patient, (?P<part> train, val or test."
)


class NamesForm(QWidget):
    """An expression with its live preview. It counts once the user says so."""

    decided = Signal(object)
    """The Layout to use."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._places: Sequence[str] = ()
        self._background = Background(self)
        self._background.done.connect(self._show_found)
        self._ready_made = QComboBox()
        self._ready_made.setAccessibleName("Common kinds of names")
        for title, pattern in READY_MADE:
            self._ready_made.addItem(title, pattern)
        self._ready_made.activated.connect(self._take_ready_made)
        self._line = QLineEdit()
        self._line.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._line.setAccessibleName("Regular expression")
        self._line.setPlaceholderText("(?P<class>[a-z]+)_")
        self._line.textChanged.connect(self._wait)
        self._use = QPushButton("&Use this expression")
        self._use.clicked.connect(self._decide)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self._try)
        self._said = Sentence()
        self._table = RecordTable("What the expression finds", COLUMNS)
        explained = Sentence("muted")
        explained.setText(EXPLAINED)
        across = QHBoxLayout()
        across.setSpacing(theme.SPACE_INSIDE)
        across.addWidget(self._line, 1)
        across.addWidget(self._use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._ready_made)
        layout.addLayout(across)
        layout.addWidget(self._said)
        layout.addWidget(self._table, 1)
        layout.addWidget(explained)
        self._table.setMinimumHeight(150)

    def show_places(self, places: Sequence[str], pattern: str) -> None:
        """Try expressions on these places; start with the one in use, or with a proposal."""
        self._places = places
        if pattern:
            self._line.setText(pattern)
        elif not self._line.text():
            self._line.setText(propose_pattern(places))
        self._try()

    def pattern(self) -> str:
        """Return the expression as typed."""
        return self._line.text()

    def message(self) -> str:
        """Return what is said about the expression."""
        return self._said.text()

    def rows(self) -> list[tuple[str, ...]]:
        """Return the preview as shown."""
        return self._table.texts()

    @Slot()
    def _wait(self) -> None:
        self._use.setEnabled(False)
        self._typing.start()

    @Slot(int)
    def _take_ready_made(self, position: int) -> None:
        if pattern := self._ready_made.itemData(position):
            self._line.setText(pattern)

    @Slot()
    def _try(self) -> None:
        self._background.forget()
        pattern = self._line.text()
        self._use.setEnabled(False)
        if not pattern:
            self._said.setText("Type an expression, or choose a common one.")
            self._table.set_rows(())
            return
        places = self._places[:: max(1, len(self._places) // LOOKED_AT)]
        self._background.start(pattern, lambda: read_names(pattern, places))

    @Slot(object, object)
    def _show_found(self, _pattern: str, found: list[NameFound] | StudioError) -> None:
        if isinstance(found, StudioError):
            self._said.setText(str(found))
            self._table.set_rows(())
            return
        self._said.setText(in_words(found, len(self._places)))
        self._use.setEnabled(any(name.class_name for name in found))
        shown = sorted(found[:: max(1, len(found) // SHOWN)], key=lambda name: bool(name.class_name))
        self._table.set_rows([(name.place, name.class_name or None, name.part, name.group) for name in shown])

    @Slot()
    def _decide(self) -> None:
        self.decided.emit(Layout("names", pattern=self._line.text()))


def in_words(found: Sequence[NameFound], files: int) -> str:
    """Return how many of the names tell a class, and which classes that are."""
    counts = Counter(name.class_name for name in found if name.class_name)
    if not counts:
        return f"It finds a class in none of {words.pictures(len(found))}."
    named = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(CLASSES_NAMED))
    more = f" and {len(counts) - CLASSES_NAMED:,} more" if len(counts) > CLASSES_NAMED else ""
    tried = f" that were tried, of {files:,}" if files > len(found) else ""
    return f"It finds a class in {counts.total():,} of {words.pictures(len(found))}{tried}: {named}{more}."


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    form = NamesForm()
    form.show_places([f"{name}_{number:03}.jpg" for name in ("cat", "dog") for number in range(40)], "")
    form.resize(800, 420)
    form.show()
    app.exec()
