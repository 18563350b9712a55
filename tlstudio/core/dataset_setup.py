"""What the user decided about a folder of pictures. Every decision is a record here; the files are never touched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tlstudio.core.decoding import from_json
from tlstudio.core.durable import read_generation, write_generation
from tlstudio.core.errors import StudioError, refused, shown
from tlstudio.core.images import Reading
from tlstudio.core.paths import data_dir

Grouping = Literal["near-copies", "folders", "names", "bursts", "labels"]
"""What pictures have in common that must not be torn apart by a split. Exact copies never are.

"folders": the folder below the class, such as a specimen's; "names": what their file names begin with; "bursts": taken
by one camera within moments; "labels": what a table or a pattern says.
"""
ASIDE = ""
"""The class of a picture that the user set aside."""
NO_COLUMN = "-"
"""For a part or a group: the table has no column that tells it, whatever the columns are called."""


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the class of a picture is written.

    "folders": in the name of a folder, at `class_level` below the dropped one (1 is the first; None finds it).
    "table": in a CSV or Excel file, in columns of these names; "" finds them, and
    `NO_COLUMN` says that there is none for the part or the group.
    "names": in the file's place below the dropped folder, found by the named groups `class`, `part` and `group` of a
    regular expression.
    """

    kind: Literal["folders", "table", "names"] = "folders"
    class_level: int | None = None
    table: str = ""
    delimiter: str = ""
    path_column: str = ""
    class_column: str = ""
    part_column: str = ""
    group_column: str = ""
    pattern: str = ""


class DatasetSetup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the user decided about a data set; the default is what most folders need.

    `exclude` holds patterns with * and ? for places or names of files that are no pictures to learn from, masks say.
    `renamed` maps a class as found to the name the user gave it; two of one name are one class.
    `relabelled` maps the path of a picture to its class, by the name the user sees, or to `ASIDE`.
    """

    layout: Layout = Layout()
    exclude: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    left_out: tuple[str, ...] = ()
    """Classes, by the name the user sees, that do not take part."""
    relabelled: dict[str, str] = {}
    groupings: tuple[Grouping, ...] = ("near-copies",)
    reading: Reading = Reading()


def relabel(setup: DatasetSetup, paths: Sequence[str], class_name: str) -> DatasetSetup:
    """Return the set-up in which these pictures are of that class, or set aside."""
    return msgspec.structs.replace(setup, relabelled=setup.relabelled | dict.fromkeys(paths, class_name))


def rename_class(setup: DatasetSetup, found: Sequence[str], name: str) -> DatasetSetup:
    """Return the set-up in which the classes found under these names bear the given one."""
    return msgspec.structs.replace(setup, renamed=setup.renamed | dict.fromkeys(found, name))


def setup_file(folders: Sequence[Path]) -> Path:
    """Return where the decisions about these folders are kept."""
    places = sorted(str(folder.absolute()) for folder in folders)
    key = hashlib.sha256(msgspec.json.encode(places)).hexdigest()[:32]
    return data_dir() / "datasets" / f"{key}.json"


def load_setup(folders: Sequence[Path]) -> tuple[DatasetSetup | None, list[Path]]:
    """Return what was decided about these folders, and the records that proved damaged.

    Where the last record is damaged the one before it counts; None if there is neither. Raises StudioError.
    """
    try:
        return read_generation(setup_file(folders), DatasetSetup)
    except OSError as error:
        raise refused(error) from error


def save_setup(folders: Sequence[Path], setup: DatasetSetup) -> None:
    """Keep what was decided, and what was before; it is safe on the disk when this returns. Raises StudioError."""
    write_generation(setup_file(folders), setup)


def read_setup(file: Path) -> DatasetSetup:
    """Return the decisions in a file. Raises StudioError if it is missing, damaged or another kind of file."""
    try:
        return from_json(file.read_bytes(), DatasetSetup)
    except OSError as error:
        raise refused(error) from error
    except msgspec.DecodeError as error:
        raise StudioError(
            f"“{shown(file.name)}” does not hold the set-up of a data set, or is damaged: {error}.",
            "Save the set-up again, or go on without it.",
        ) from error
