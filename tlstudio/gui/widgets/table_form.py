"""Classes from a table: which file it is, which of its columns tells what, and how many pictures it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset_setup import NO_COLUMN, Layout
from tlstudio.core.errors import StudioError
from tlstudio.core.labels_table import DELIMITERS, TABLE_SUFFIXES, TableReading, find_tables, read_labels, read_table
from tlstudio.core.layout import excluder
from tlstudio.core.picture_facts import ScannedFile
from tlstudio.gui import plain_text, remembered, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.widgets.record_table import Column, RecordTable
from tlstudio.gui.widgets.sentence import Sentence

DELIMITER_TITLES = {"": "found by itself", ",": "a comma ,", ";": "a semicolon ;", "\t": "a tab", "|": "a bar |"}
FOUND, NONE = "(found by itself)", "(no such column)"
COLUMN_TITLES = {
    "path_column": "Files are named in",
    "class_column": "Classes are named in",
    "part_column": "Train, val or test is in",
    "group_column": "What belongs together is in",
}
OPTIONAL = ("part_column", "group_column")
EXAMPLE_COLUMNS = (Column("File"), Column("Class"), Column("Part"), Column("Belongs together by"))


class Understood(msgspec.Struct, frozen=True):
    """A table's columns, and how it was understood or why it was not."""

    columns: tuple[str, ...]
    reading: TableReading | None
    problem: str = ""


class TableForm(QWidget):
    """Everything that was guessed about a table, to be corrected. It counts once the user says so."""

    decided = Signal(object)
    """The Layout to use."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._files: Sequence[ScannedFile] = ()
        self._exclude: tuple[str, ...] = ()
        self._understood: Understood | None = None
        self._background = Background(self)
        self._background.done.connect(self._show_understood)
        self._table = QComboBox()
        self._table.setAccessibleName("Table of labels")
        self._table.activated.connect(self._read_anew)
        self._choose = QPushButton("&Another file …")
        self._choose.clicked.connect(self._choose_file)
        self._delimiter = QComboBox()
        self._delimiter.setAccessibleName("What separates the columns")
        for delimiter in ("", *DELIMITERS):
            self._delimiter.addItem(DELIMITER_TITLES[delimiter], delimiter)
        self._delimiter.activated.connect(self._read_anew)
        self._columns: dict[str, QComboBox] = {}
        for name, title in COLUMN_TITLES.items():
            self._columns[name] = QComboBox()
            self._columns[name].setAccessibleName(title)
            self._columns[name].activated.connect(self._read)
        self._said = Sentence()
        self._use = QPushButton("&Use this table")
        self._use.clicked.connect(self._decide)
        self._examples = RecordTable("What the table says", EXAMPLE_COLUMNS)
        self._examples.setMinimumHeight(120)
        self._lay_out()

    def show_files(self, files: Sequence[ScannedFile], exclude: tuple[str, ...], layout: Layout) -> None:
        """Offer the tables among these files; start with the one in use, or the likeliest."""
        self._files, self._exclude = files, exclude
        tables = find_tables(files)
        wanted = layout.table or self.table()
        self._table.clear()
        for table in dict.fromkeys((*((wanted,) if wanted else ()), *tables)):
            self._table.addItem(Path(table).name, table)
            self._table.setItemData(self._table.count() - 1, plain_text.tooltip(table), Qt.ItemDataRole.ToolTipRole)
        if layout.kind == "table" and self._understood is None:
            self._delimiter.setCurrentIndex(max(0, self._delimiter.findData(layout.delimiter)))
            for name, combo in self._columns.items():
                column = getattr(layout, name)
                combo.addItem(column, column)
                combo.setCurrentIndex(combo.count() - 1)
        self._read()

    def table(self) -> str:
        """Return the path of the table that is shown, "" for none."""
        return str(self._table.currentData() or "")

    def layout_shown(self) -> Layout:
        """Return the Layout as chosen here; what is left to be found is ""."""
        chosen = {name: str(combo.currentData() or "") for name, combo in self._columns.items()}
        return Layout(
            "table",
            table=self.table(),
            delimiter=str(self._delimiter.currentData()),
            path_column=chosen["path_column"],
            class_column=chosen["class_column"],
            part_column=chosen["part_column"],
            group_column=chosen["group_column"],
        )

    def message(self) -> str:
        """Return what is said about the table."""
        return self._said.text()

    def column(self, name: str) -> QComboBox:
        """Return the box of one of Layout's columns, such as "class_column"."""
        return self._columns[name]

    def choose(self, file: Path) -> None:
        """Read this table, wherever it lies."""
        self._table.insertItem(0, file.name, str(file))
        self._table.setItemData(0, plain_text.tooltip(str(file)), Qt.ItemDataRole.ToolTipRole)
        self._table.setCurrentIndex(0)
        self._read_anew()

    @Slot()
    def _choose_file(self) -> None:
        patterns = " ".join(f"*{suffix}" for suffix in sorted(TABLE_SUFFIXES))
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Choose a table", str(remembered.folder("tables", Path.home())), f"Tables ({patterns})"
        )
        if chosen:
            remembered.remember_folder("tables", Path(chosen).parent)
            self.choose(Path(chosen))

    @Slot()
    def _read_anew(self) -> None:
        """Read another table, or with another delimiter: its columns are found by themselves first."""
        for combo in self._columns.values():
            combo.clear()
        self._read()

    @Slot()
    def _read(self) -> None:
        self._background.forget()
        self._use.setEnabled(False)
        for combo in (self._delimiter, *self._columns.values()):
            combo.setEnabled(bool(self.table()))
        if not self.table():
            self._said.setText("No table lies in this folder. Choose a CSV file or a spreadsheet.")
            return
        self._said.setText("Reading the table …")
        self._background.start("table", understanding(self.layout_shown(), self._files, self._exclude))

    @Slot(object, object)
    def _show_understood(self, _key: object, found: Understood | StudioError) -> None:
        if isinstance(found, StudioError):
            self._said.setText(str(found))
            self._examples.set_rows(())
            return
        self._understood = found
        for name, combo in self._columns.items():
            chosen = str(combo.currentData() or "")
            guessed = getattr(found.reading, name) if found.reading else ""
            combo.clear()
            combo.addItem(f"{guessed}  {FOUND}" if guessed else FOUND, "")
            if name in OPTIONAL:
                combo.addItem(NONE, NO_COLUMN)
            for column in found.columns:
                combo.addItem(column, column)
            combo.setCurrentIndex(max(0, combo.findData(chosen)))
        reading = found.reading
        self._said.setText(in_words(reading) if reading else found.problem)
        self._use.setEnabled(reading is not None and reading.matched > 0)
        examples = reading.examples if reading else ()
        self._examples.set_rows([(one.place, one.class_name, one.part, one.group) for one in examples])

    @Slot()
    def _decide(self) -> None:
        self.decided.emit(self.layout_shown())

    def _lay_out(self) -> None:
        file = QHBoxLayout()
        file.setSpacing(theme.SPACE_INSIDE)
        file.addWidget(self._table, 1)
        file.addWidget(self._choose)
        file.addWidget(self._use)
        left, right = QFormLayout(), QFormLayout()
        left.addRow("Columns are separated by", self._delimiter)
        for number, name in enumerate(COLUMN_TITLES):
            (left if number < 2 else right).addRow(COLUMN_TITLES[name], self._columns[name])
        columns = QHBoxLayout()
        columns.setSpacing(theme.SPACE_PAGE)
        columns.addLayout(left, 1)
        columns.addLayout(right, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(file)
        layout.addLayout(columns)
        layout.addWidget(self._said)
        layout.addWidget(self._examples, 1)


def understanding(layout: Layout, files: Sequence[ScannedFile], exclude: tuple[str, ...]) -> Callable[[], Understood]:
    """Return the work of reading a table; it raises StudioError for one that cannot be read at all."""

    def work() -> Understood:
        columns = read_table(Path(layout.table), layout.delimiter).columns
        excluded = excluder(exclude)
        wanted = [file.facts is not None and not excluded(file.place) for file in files]
        try:
            reading = read_labels(layout, files, wanted).reading
        except StudioError as error:
            return Understood(columns, None, str(error))
        return Understood(reading.columns, reading)

    return work


def in_words(reading: TableReading) -> str:
    """Return how many pictures have a class by the table, and what does not fit."""
    sentences = [
        f"{words.pictures(reading.matched)} {'has' if reading.matched == 1 else 'have'} a class by this table."
    ]
    if reading.unlabelled_files:
        sentences.append(f"{words.pictures(reading.unlabelled_files)} would be set aside: no row tells their class.")
    if reading.unmatched_rows:
        name = "row names" if reading.unmatched_rows == 1 else "rows name"
        sentences.append(f"{reading.unmatched_rows:,} {name} no file here.")
    return " ".join(sentences)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    form = TableForm()
    form.resize(900, 420)
    form.show()
    app.exec()
