"""Classes from a table beside the pictures: CSV text of any usual kind, or a spreadsheet.

Everything that is guessed here is shown to the user, who can say it better: the delimiter and which column tells what.
"""

from __future__ import annotations

import csv
import io
import re
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from tlstudio.core.dataset_setup import NO_COLUMN, Layout
from tlstudio.core.errors import StudioError, refused, shown
from tlstudio.core.layout import Told, part_of
from tlstudio.core.picture_facts import ScannedFile
from tlstudio.core.problem import Problem
from tlstudio.core.sheet_reader import sheet_rows

TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt"})
SHEET_SUFFIXES = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
TABLE_SUFFIXES = TEXT_SUFFIXES | SHEET_SUFFIXES
DELIMITERS = (",", ";", "\t", "|")
MAX_TABLE_BYTES = 256 * 2**20
MAX_CELLS = 20_000_000
"""Rows are padded to the length of the longest, so a small file can ask for any number of them."""
GUESSED_FROM_ROWS = 2000
EXAMPLES = 8
SHOWN_PROBLEM_ROWS = 1000
"""Of more rows than that which name no file, only the first are told one by one."""

_PATH_WORDS = frozenset({"file", "filename", "path", "filepath", "image", "picture", "img", "name", "id"})
_CLASS_WORDS = frozenset({
    "class", "label", "labels", "species", "category", "target", "diagnosis", "dx", "type", "kind", "genus", "y",
    "classname", "klasse", "art", "name", "group", "grade", "condition", "phenotype",
})  # fmt: skip
_PART_WORDS = frozenset({"part", "split", "set", "subset", "partition", "usage", "fold", "dataset"})
_GROUP_WORDS = frozenset({
    "patient", "subject", "specimen", "lesion", "individual", "animal", "plant", "slide", "case", "donor", "person",
    "group", "sample", "plate", "well", "burst", "session", "participant", "mouse", "tree", "site", "batch",
})  # fmt: skip


class Table(msgspec.Struct, frozen=True):
    """A table of texts. Every row is as long as `columns`, whose names are all different and not empty."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    delimiter: str
    """Between the cells of a text file; "" in a spreadsheet."""


class LabelExample(msgspec.Struct, frozen=True):
    """What the table says of one picture."""

    place: str
    class_name: str
    part: str = ""
    group: str = ""


class TableReading(msgspec.Struct, frozen=True):
    """How a table was understood, for the user to check. A column that tells nothing is ""."""

    columns: tuple[str, ...]
    delimiter: str
    path_column: str
    class_column: str
    part_column: str
    group_column: str
    matched: int
    """Pictures that have a class by it."""
    unmatched_rows: int
    """Rows that name no file, or one among several that it cannot tell apart."""
    unlabelled_files: int
    """Pictures of which no row, or rows that disagree, tell the class."""
    examples: tuple[LabelExample, ...]


class Labels(NamedTuple):
    """What a table says: of every file, in the order asked for, and what is wrong with its rows."""

    reading: TableReading
    told: list[Told]
    problems: list[Problem]


def find_tables(files: Sequence[ScannedFile]) -> tuple[str, ...]:
    """Return the paths of files among those scanned that may be a table of labels, the largest group's home first.

    Tables that lie higher in the folders come first.
    """
    found = [file for file in files if not file.facts and Path(file.place).suffix.lower() in TABLE_SUFFIXES]
    likely = [file for file in found if not file.place.lower().endswith(".txt")] or found
    return tuple(file.path for file in sorted(likely, key=lambda file: (file.place.count("/"), file.place)))


def read_table(path: Path, delimiter: str = "") -> Table:
    """Return the content of a table; `delimiter` "" finds it. Its first row names the columns.

    Raises StudioError for a file that is gone, too large or no table.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise StudioError(f"“{shown(path.name)}” is no file with a table.", "Choose a CSV file or a spreadsheet.")
        if facts.st_size > MAX_TABLE_BYTES:
            raise StudioError(f"The table “{path.name}” is larger than {MAX_TABLE_BYTES >> 20} MB.", "Split it.")
        return _read(path, delimiter, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise refused(error) from error


def read_labels(layout: Layout, files: Sequence[ScannedFile], wanted: Sequence[bool] | None = None) -> Labels:
    """Return what the table of the layout says of the files.

    `wanted` says which files are pictures that need a class; None means all. Columns that the layout leaves open are
    guessed. Raises StudioError for a table that cannot be read, or in which a column is missing or cannot be found.
    """
    path = Path(layout.table)
    table = read_table(path, layout.delimiter)
    finder = _Finder(files)
    if not _has_header(table, finder):
        numbered = tuple(f"column {number}" for number in range(1, len(table.columns) + 1))
        table = Table(numbered, (table.columns, *table.rows), table.delimiter)
    chosen = _columns(layout, table, finder)
    cells = [table.columns.index(name) if name else None for name in chosen]

    said: defaultdict[int, list[tuple[str, str, str]]] = defaultdict(list)
    problems: list[Problem] = []
    unmatched = 0
    for number, row in enumerate(table.rows, 2):
        named, *rest = ("" if cell is None else row[cell] for cell in cells)
        positions = finder.find(named) if named else []
        if len(positions) == 1:
            said[positions[0]].append((rest[0], rest[1], rest[2]))
            continue
        if not any(row):
            continue
        unmatched += 1
        if unmatched <= SHOWN_PROBLEM_ROWS:
            problems.append(Problem(str(path), "no-file", _row_problem(number, named, len(positions))))
    told = [_told(said.get(position, [])) for position in range(len(files))]
    needed = [one for position, one in enumerate(told) if wanted is None or wanted[position]]
    matched = sum(bool(one.class_name) for one in needed)
    examples = [
        LabelExample(files[position].place, one.class_name, one.part or "", one.group)
        for position, one in enumerate(told)
        if one.class_name and position in said
    ]
    reading = TableReading(
        table.columns,
        table.delimiter,
        *chosen,
        matched,
        unmatched,
        len(needed) - matched,
        tuple(examples[:: max(1, len(examples) // EXAMPLES)][:EXAMPLES]),
    )
    return Labels(reading, told, problems)


def _row_problem(number: int, named: str, files: int) -> str:
    if not named:
        return f"Row {number} of the table names no file."
    if files:
        return f"Row {number} of the table names “{shown(named)}”, which {files} files are called."
    return f"Row {number} of the table names “{shown(named)}”, and there is no such file."


def _told(rows: Sequence[tuple[str, str, str]]) -> Told:
    if not rows:
        return Told(code="no-label", message="No row of the table names this file.")
    classes = sorted({name for name, _, _ in rows})
    if len(classes) > 1:
        said = " and ".join(f"“{name}”" for name in classes[:2])
        return Told(code="label-conflict", message=f"Rows of the table disagree about this file: {said}.")
    name, part_name, group = rows[0]
    if not name:
        return Told(code="no-label", message="The table has no class for this file.")
    part = part_of(part_name)
    if part_name and part is None:
        return Told(code="no-part", message=f"“{part_name}” in the table means none of train, val and test.")
    name = unicodedata.normalize("NFC", name)
    return Told(name, part, group, home=name)


# --- reading ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _read(path: Path, delimiter: str, _size_bytes: int, _mtime_ns: int) -> Table:
    """Read a table once while it stays unchanged: every decision of the user arranges the pictures anew."""
    content = path.read_bytes()
    if content[:4] == b"PK\x03\x04" or content[:8] == bytes.fromhex("d0cf11e0a1b11ae1"):
        rows, delimiter = sheet_rows(content, path.name), ""
    else:
        text = _text(content)
        delimiter = delimiter or _delimiter(text)
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter)]
        except (csv.Error, TypeError) as error:  # a delimiter of two characters is a TypeError
            raise StudioError(f"“{path.name}” is not a table of text: {error}.", "Choose another delimiter.") from error
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise StudioError(f"The table “{path.name}” has no rows below its first one.", "Choose another table.")
    width = max(map(len, rows))
    if width * len(rows) > MAX_CELLS:
        raise StudioError(f"The table “{path.name}” has {len(rows):,} rows and {width:,} columns.", "Split it.")
    padded = [tuple(row + [""] * (width - len(row))) for row in rows]
    return Table(_distinct(padded[0]), tuple(padded[1:]), delimiter)


def _text(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    if b"\0" in content[:1000]:
        raise StudioError("This file is not a table of text.", "Choose a CSV file or a spreadsheet.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _delimiter(text: str) -> str:
    """Return the delimiter by which the first rows have the same number of cells, more than one."""
    head = text[:20_000].splitlines()[:50]

    def evenness(delimiter: str) -> tuple[float, int]:
        widths = Counter(len(row) for row in csv.reader(head, delimiter=delimiter) if row)
        width, rows = max(widths.items(), key=lambda pair: (pair[0] > 1, pair[1]), default=(1, 0))
        return (rows / widths.total() if width > 1 else 0.0, width)

    return max(DELIMITERS, key=evenness)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    counts: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        name = wanted = name or f"column {number}"
        count = counts.get(name, 1)
        while wanted in found:
            count += 1
            wanted = f"{name} ({count})"
        counts[name] = count
        found[wanted] = None
    return tuple(found)


# --- understanding ---------------------------------------------------------------------------------------------------


class _Finder:
    """Finds the file that a cell names: by its whole path, its place, its name, or its name without the ending."""

    def __init__(self, files: Sequence[ScannedFile]) -> None:
        self._steps = [_folded(file.path).split("/") for file in files]
        self._by_name: defaultdict[str, list[int]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[int]] = defaultdict(list)
        self._by_number: defaultdict[str, list[int]] = defaultdict(list)
        for position, file in enumerate(files):
            name = self._steps[position][-1]
            stem = _stem(name)
            self._by_name[name].append(position)
            self._by_stem[stem].append(position)
            if stem.isdecimal() and file.facts:  # spreadsheets drop leading zeros
                self._by_number[stem.lstrip("0")].append(position)
        self._pictures = [file.facts is not None for file in files]

    def find(self, cell: str) -> list[int]:
        """Return the positions of the files that the cell names best; several if it does not tell them apart."""
        steps = [step for step in _folded(cell).split("/") if step not in ("", ".")]
        if not steps:
            return []
        name = steps[-1]
        found = (
            self._by_name.get(name)
            or self._by_stem.get(name)
            or self._by_stem.get(_stem(name))
            or (self._by_number.get(name.lstrip("0")) if name.isdecimal() else None)
            or []
        )
        if len(found) > 1:
            found = [position for position in found if self._pictures[position]] or found
        if len(found) > 1 and len(steps) > 1:
            shared = [_shared_end(steps[:-1], self._steps[position][:-1]) for position in found]
            found = [position for position, count in zip(found, shared, strict=True) if count == max(shared)]
        return found


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("\\", "/").casefold()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return count


def _has_header(table: Table, finder: _Finder) -> bool:
    return not any("." in name and finder.find(name) for name in table.columns)


def _columns(layout: Layout, table: Table, finder: _Finder) -> tuple[str, str, str, str]:
    """Return the columns of paths, classes, parts and groups; "" for one that there is not."""
    asked = (layout.path_column, layout.class_column, layout.part_column, layout.group_column)
    for name in asked:
        if name not in ("", NO_COLUMN) and name not in table.columns:
            raise StudioError(
                f"The table has no column “{shown(name)}”.", f"It has {', '.join(map(shown, table.columns))}."
            )
    rows = table.rows[:: max(1, len(table.rows) // GUESSED_FROM_ROWS)]
    values = {name: [row[cell] for row in rows if row[cell]] for cell, name in enumerate(table.columns)}

    path_column = asked[0] or _best(values, set(asked), lambda name, cells: _share_of_files(name, cells, finder))
    if not path_column:
        raise StudioError(
            "No column of the table names the pictures' files.",
            "Choose the column with the names, or the folder in which the files have these names.",
        )
    taken = {path_column, *asked}
    part_column = asked[2] or _best(values, taken, _part_score)
    group_column = asked[3] or _best(values, taken | {part_column}, _group_score)
    class_column = asked[1] or _best(values, taken | {part_column, group_column}, _class_score)
    if not class_column and not asked[3] and group_column:  # a column called “group” may be all there is
        class_column, group_column = _best(values, taken | {part_column}, _class_score), ""
    if not class_column:
        raise StudioError(
            "No column of the table looks like the pictures' classes.",
            "Choose the column in which a few words come again and again.",
        )
    return (
        path_column,
        class_column,
        "" if part_column == NO_COLUMN else part_column,
        "" if group_column == NO_COLUMN else group_column,
    )


def _best(values: dict[str, list[str]], taken: set[str], score: Callable[[str, list[str]], float]) -> str:
    """Return the free column with the highest score, the first of equals; "" if none has more than 0."""
    scores = {name: score(name, cells) for name, cells in values.items() if name not in taken and cells}
    best = max(scores, key=lambda name: scores[name], default="")
    return best if scores.get(best, 0.0) > 0 else ""


def _words(name: str) -> set[str]:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    return {*words, "".join(words)}


def _share_of_files(name: str, cells: list[str], finder: _Finder) -> float:
    share = sum(len(finder.find(cell)) == 1 for cell in cells) / len(cells)
    return share + 0.01 * bool(_words(name) & _PATH_WORDS) if share else 0.0


def _class_score(name: str, cells: list[str]) -> float:
    """Return a score for few different words that come again; the name of the column counts most."""
    different = len(set(cells))
    repeated = 1 - different / len(cells)
    if not 2 <= different <= max(2, len(cells) / 2):
        return 0.5 * bool(_words(name) & _CLASS_WORDS) * (different > 1)
    numbers = sum(cell.replace(".", "", 1).replace("-", "", 1).isdecimal() for cell in cells) / len(cells)
    return repeated + 2 * bool(_words(name) & _CLASS_WORDS) - 0.5 * numbers


def _part_score(name: str, cells: list[str]) -> float:
    if not all(part_of(cell) for cell in set(cells)):
        return 0.0
    return 1 + bool(_words(name) & _PART_WORDS)


def _group_score(name: str, cells: list[str]) -> float:
    return float(bool(_words(name) & _GROUP_WORDS) and len(set(cells)) > 1)
