"""How the class of a picture is told, what is left out, and how deep pictures are read. All of it can be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, shown_classes
from tlstudio.core.dataset_setup import Layout
from tlstudio.core.images import Reading
from tlstudio.core.layout import Exclusion, excluder
from tlstudio.gui import theme
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.exclusions_form import ExclusionsForm
from tlstudio.gui.widgets.names_form import NamesForm
from tlstudio.gui.widgets.reading_form import ReadingForm
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.table_form import TableForm

LayoutKind = Literal["folders", "table", "names"]
KINDS: tuple[tuple[LayoutKind, str], ...] = (
    ("folders", "In the names of &folders"),
    ("table", "In a &table"),
    ("names", "In the &names of the files"),
)
MOST_LEVELS = 6
NAMES_SHOWN = 3


class LayoutSetup(QWidget):
    """The set-up of a data set that no picture has to be looked at for."""

    def __init__(self, edits: DatasetEdits, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edits = edits
        self._shown: Layout | None = None
        self._group = QButtonGroup(self)
        self._kinds: dict[str, QRadioButton] = {}
        self.folders = _FoldersForm()
        self.table = TableForm()
        self.names = NamesForm()
        for number, (kind, title) in enumerate(KINDS):
            self._kinds[kind] = QRadioButton(title)
            self._group.addButton(self._kinds[kind], number)
        for decided in (self.folders.decided, self.table.decided, self.names.decided):
            decided.connect(self._take_layout)
        self._group.idClicked.connect(self._choose_kind)
        self.exclusions = ExclusionsForm()
        self.exclusions.decided.connect(self._take_exclusions)
        self.reading = ReadingForm()
        self.reading.decided.connect(self._take_reading)
        self._lay_out()

    def show_index(self, index: DatasetIndex | None, proposed: Sequence[Exclusion]) -> None:
        """Show the set-up in force, what it makes of the files, and patterns that are proposed."""
        setup, files = self._edits.setup, self._edits.scanned.files
        excluded = excluder(setup.exclude)
        places = [file.place for file in files if file.facts and not excluded(file.place)]
        self.folders.show_places(places, setup.layout, index.classes if index else ())
        self.table.show_files(files, setup.exclude, setup.layout)
        self.names.show_places(places, setup.layout.pattern)
        self.exclusions.show_files(files, setup.exclude, proposed)
        if setup.layout != self._shown:  # what the user looks at stays in view as long as nothing decides otherwise
            self._shown = setup.layout
            told = setup.layout.kind if index and len(index.classes) > 1 else self._likely_kind()
            self._kinds[told].setChecked(True)
            self._show_form()
        decided = index.reading if index else setup.reading
        self._deep.setVisible(self.reading.show_files(files, setup.reading, decided))

    def offer_table(self, file: Path) -> None:
        """Show what this table says, for the user to decide on."""
        self._kinds["table"].setChecked(True)
        self._show_form()
        self.table.choose(file)

    def kind(self, kind: str) -> QRadioButton:
        """Return the button of a kind of layout."""
        return self._kinds[kind]

    def _likely_kind(self) -> LayoutKind:
        """Return where the classes may be found if the set-up in force finds none."""
        kind = self._edits.setup.layout.kind
        if kind != "folders":
            return kind
        return "table" if self.table.table() else "names" if self.names.pattern() else "folders"

    def _show_form(self) -> None:
        for position, form in enumerate((self.folders, self.table, self.names)):
            form.setVisible(position == self._group.checkedId())

    @Slot(int)
    def _choose_kind(self, number: int) -> None:
        """Show the form of that kind; the folders need nothing more to be decided."""
        self._show_form()
        if KINDS[number][0] == "folders" and self._edits.setup.layout.kind != "folders":
            self._take_layout(Layout())

    @Slot(object)
    def _take_layout(self, layout: Layout) -> None:
        titles = {"folders": "Take classes from folders", "table": "Take classes from a table"}
        text = titles.get(layout.kind, "Take classes from names of files")
        self._edits.change(msgspec.structs.replace(self._edits.setup, layout=layout), text)

    @Slot(object)
    def _take_exclusions(self, patterns: tuple[str, ...]) -> None:
        self._edits.change(msgspec.structs.replace(self._edits.setup, exclude=patterns), "Choose what to leave out")

    @Slot(object)
    def _take_reading(self, reading: Reading) -> None:
        self._edits.change(msgspec.structs.replace(self._edits.setup, reading=reading), "Choose how pictures are read")

    def _lay_out(self) -> None:
        kinds = QHBoxLayout()
        kinds.setSpacing(theme.SPACE)
        for button in self._kinds.values():
            kinds.addWidget(button)
        kinds.addStretch(1)
        where = _section("Where is the class of a picture written?")
        where_inside = where.layout()
        assert isinstance(where_inside, QVBoxLayout)
        where_inside.addLayout(kinds)
        for form in (self.folders, self.table, self.names):
            where_inside.addWidget(form)
        out = _section("Which files are no pictures to learn from?")
        self._deep = _section("How are the values of the pictures read?")
        for section, inner in ((out, self.exclusions), (self._deep, self.reading)):
            inside = section.layout()
            assert inside is not None
            inside.addWidget(inner)
        self._deep.hide()
        column = QWidget()
        sections = QVBoxLayout(column)
        sections.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        sections.setSpacing(theme.SPACE)
        for section in (where, out, self._deep):
            sections.addWidget(section)
        sections.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        layout.addWidget(scroll)


class _FoldersForm(QWidget):
    """On which level the class folders lie, told by the folders' own names."""

    decided = Signal(object)
    """The Layout to use."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._level = QComboBox()
        self._level.setAccessibleName("Which folder names the class")
        self._level.activated.connect(self._decide)
        self._said = Sentence("muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        across = QHBoxLayout()
        across.setSpacing(theme.SPACE_INSIDE)
        across.addWidget(QLabel("The class is the folder on"))
        across.addWidget(self._level, 1)
        layout.addLayout(across)
        layout.addWidget(self._said)

    def show_places(self, places: Sequence[str], layout: Layout, classes: Sequence[str]) -> None:
        """Offer the levels of folders that these pictures lie in."""
        names: list[Counter[str]] = []
        for place in places:
            for level, step in enumerate(place.split("/")[:-1][:MOST_LEVELS]):
                if level == len(names):
                    names.append(Counter())
                names[level][step] += 1
        self._level.clear()
        self._level.addItem("the level that fits, found by itself", None)
        for level, found in enumerate(names, 1):
            shown = ", ".join(name for name, _ in found.most_common(NAMES_SHOWN))
            more = f" and {len(found) - NAMES_SHOWN:,} more" if len(found) > NAMES_SHOWN else ""
            self._level.addItem(f"level {level}: {shown}{more}", level)
        self._level.setCurrentIndex(layout.class_level or 0 if layout.kind == "folders" else 0)
        self._level.setEnabled(bool(names))
        if not names:
            self._said.setText("These pictures lie in no folders inside the dropped one.")
        else:
            self._said.setText(f"The classes are {shown_classes(classes)}." if classes else "")

    def level(self) -> QComboBox:
        """Return the box to choose the level in."""
        return self._level

    @Slot()
    def _decide(self) -> None:
        self.decided.emit(Layout("folders", class_level=self._level.currentData()))


def _section(title: str) -> QFrame:
    section = QFrame()
    section.setProperty("role", "card")
    heading = QLabel(title)
    heading.setProperty("role", "section")
    layout = QVBoxLayout(section)
    layout.setContentsMargins(theme.SPACE, theme.SPACE - 4, theme.SPACE, theme.SPACE - 4)
    layout.setSpacing(theme.SPACE_INSIDE)
    layout.addWidget(heading)
    return section


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    setup = LayoutSetup(DatasetEdits())
    setup.resize(900, 560)
    setup.show()
    app.exec()
