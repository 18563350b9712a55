"""From dropped folders to a list of usable pictures with classes, and everything that is wrong with them."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from tlstudio.core.errors import StudioError, shown
from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.images import SUFFIXES, UnreadableImage, decode, read_bytes
from tlstudio.core.progress import Pace

Part = Literal["train", "val", "test"]

PART_NAMES: dict[str, Part] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir", "__pycache__"})
# Codes of problems that do not mean that a file was left out.
OF_FOLDERS = frozenset({"empty-folder", "empty-class", "outside-parts"})
OF_COPIES = frozenset({"copy", "leak", "label-conflict"})


class ImageRecord(msgspec.Struct, frozen=True):
    """One usable picture. `sha256` is of the file's bytes; equal hashes are copies."""

    path: str
    class_index: int
    part: Part | None
    sha256: str
    width_px: int
    height_px: int


class Problem(msgspec.Struct, frozen=True):
    """Something about a file or folder that the user should know. `code` is for programs, `message` for people."""

    path: str
    code: str
    message: str


class DatasetIndex(msgspec.Struct, frozen=True):
    """What a scan found. Classes are sorted by name; `class_index` points into them."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    problems: tuple[Problem, ...]
    seconds: float

    def class_counts(self) -> dict[str, int]:
        """Return the number of pictures of each class, in class order."""
        counts = Counter(image.class_index for image in self.images)
        return {name: counts[index] for index, name in enumerate(self.classes)}

    def part_counts(self) -> dict[str, int]:
        """Return the number of pictures in each part the folders came with; empty if they came without."""
        counts = Counter(image.part for image in self.images)
        return {part: counts[part] for part in ("train", "val", "test") if counts[part]}

    def set_aside(self) -> list[Problem]:
        """Return why files were left out, one problem a file."""
        return [problem for problem in self.problems if problem.code not in OF_FOLDERS | OF_COPIES]


class _Candidate(msgspec.Struct, frozen=True):
    path: Path
    class_name: str
    part: Part | None


def scan(
    folders: Sequence[Path], emit: Emit = ignore, should_stop: ShouldStop = never, min_classes: int = 2
) -> DatasetIndex:
    """Return every usable picture under the dropped folders, each decoded once in full.

    One folder holds a folder a class, or `train` with `val` and/or `test` that do. Several folders are a class each,
    or the parts. A file that cannot be used becomes a Problem, never an error; nothing is written or moved.
    Raises StudioError if there are fewer than `min_classes` with pictures, Stopped if `should_stop` said so.
    """
    started = time.monotonic()
    problems: list[Problem] = []
    for folder in folders:
        if not folder.is_dir():
            raise StudioError(f"“{shown(folder)}” is not a folder.", "Drop a folder with one folder inside it a class.")
    candidates = list(_candidates(folders, problems))
    pace = Pace(emit, "Reading pictures", len(candidates))
    read: list[tuple[_Candidate, tuple[str, int, int] | Problem]] = []
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="scan") as pool:
        try:
            for done, (candidate, outcome) in enumerate(
                zip(candidates, pool.map(_inspect, (c.path for c in candidates)), strict=True), 1
            ):
                read.append((candidate, outcome))
                pace.step(done)
                if should_stop():
                    raise Stopped
        finally:
            pool.shutdown(cancel_futures=True)

    classes = tuple(sorted({c.class_name for c, outcome in read if not isinstance(outcome, Problem)}))
    number = {name: index for index, name in enumerate(classes)}
    images = []
    for candidate, outcome in read:
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            digest, width, height = outcome
            images.append(
                ImageRecord(str(candidate.path), number[candidate.class_name], candidate.part, digest, width, height)
            )
    for name in sorted({c.class_name for c in candidates} - set(classes)):
        problems.append(Problem(name, "empty-class", f"No picture in class “{name}” can be used; it is left out."))
    problems += _copies(images, classes)
    index = DatasetIndex(
        tuple(str(folder) for folder in folders), classes, tuple(images), tuple(problems), time.monotonic() - started
    )
    _require_classes(index, folders, min_classes)
    return index


def shown_classes(names: Sequence[str]) -> str:
    """Return class names for a sentence: all of a few, or the first three and a count."""
    quoted = [f"“{name}”" for name in names]
    return ", ".join(quoted) if len(quoted) <= 4 else f"{', '.join(quoted[:3])} and {len(quoted) - 3} more"


def _require_classes(index: DatasetIndex, folders: Sequence[Path], min_classes: int) -> None:
    where = f"“{shown(folders[0])}”" if len(folders) == 1 else "these folders"
    if not index.images:
        left_out = index.set_aside()
        detail = f" {len(left_out)} were set aside, the first for this: {left_out[0].message}" if left_out else ""
        raise StudioError(
            f"No usable picture was found in {where}.{detail}",
            "Drop a folder with one folder inside it for each class, and the pictures of that class in it.",
        )
    if len(index.classes) < min_classes:
        raise StudioError(
            f"All {len(index.images)} pictures in {where} are of one class, “{index.classes[0]}”.",
            "A classifier needs at least two: add a folder of pictures for a second class.",
        )


def _candidates(folders: Sequence[Path], problems: list[Problem]) -> Iterator[_Candidate]:
    """Yield every file that a layout gives a class, in a stable order."""
    children = _subfolders(folders[0]) if len(folders) == 1 else list(folders)
    parts = {child: PART_NAMES[child.name.casefold()] for child in children if child.name.casefold() in PART_NAMES}
    if "train" in parts.values() and len(set(parts.values())) >= 2:
        for child in children:
            if child in parts:
                for class_folder in _subfolders(child):
                    yield from _files_of_class(class_folder, parts[child], problems)
                _note_loose_files(child, problems)
            else:
                problems.append(
                    Problem(shown(child), "outside-parts", f"“{child.name}” is neither train, val nor test: left out.")
                )
    else:
        for child in children:
            yield from _files_of_class(child, None, problems)
    if len(folders) == 1:
        _note_loose_files(folders[0], problems)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and not is_ignored(child.name))
    except OSError as error:
        raise StudioError(
            f"“{shown(folder)}” cannot be opened: {error.strerror or error}.",
            "Ask for access, or choose another folder.",
        ) from error


def _files_of_class(folder: Path, part: Part | None, problems: list[Problem]) -> Iterator[_Candidate]:
    found, problems_before = False, len(problems)
    for path in files_below(folder, problems):
        found = True
        yield _Candidate(path, shown(folder.name), part)
    if not found and len(problems) == problems_before:
        problems.append(
            Problem(shown(folder), "empty-folder", f"There is nothing in the folder “{shown(folder.name)}”.")
        )


def files_below(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield every file in a folder and in those inside it, links followed, in a stable order.

    The system's own files are left out. Files and folders that cannot be used are added to `problems`.
    """
    seen: set[tuple[int, int]] = set()
    for where, names, files in os.walk(folder, followlinks=True, onerror=lambda e: _note_error(e, problems)):
        facts = Path(where).stat()
        if (facts.st_dev, facts.st_ino) in seen:  # a link that leads back
            names.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        names[:] = sorted(name for name in names if not is_ignored(name))
        for name in sorted(files):
            if is_ignored(name):
                continue
            path = Path(where) / name
            if shown(path) != str(path):
                problems.append(
                    Problem(shown(path), "name-not-text", "The file name has bytes that are not text: rename a copy.")
                )
                continue
            yield path


def _note_error(error: OSError, problems: list[Problem]) -> None:
    name = shown(error.filename)
    problems.append(Problem(name, "no-access", f"The folder cannot be opened: {error.strerror or error}."))


def _note_loose_files(folder: Path, problems: list[Problem]) -> None:
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() in SUFFIXES and not is_ignored(path.name):
            problems.append(
                Problem(shown(path), "outside-class", "The picture lies beside the class folders, so it has no class.")
            )


def _inspect(path: Path) -> tuple[str, int, int] | Problem:
    try:
        content = read_bytes(path)
        image = decode(content, path.suffix)
        return hashlib.sha256(content).hexdigest(), image.width, image.height
    except UnreadableImage as error:
        return Problem(str(path), error.code, str(error))


def _copies(images: Sequence[ImageRecord], classes: Sequence[str]) -> Iterator[Problem]:
    same: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for image in images:
        same[image.sha256].append(image)
    for first, *others in same.values():
        for other in others:
            name = Path(first.path).name
            if other.class_index != first.class_index:
                message = f"The same picture is also in class “{classes[first.class_index]}”, as {name}."
                yield Problem(other.path, "label-conflict", message)
            elif other.part != first.part:
                yield Problem(other.path, "leak", f"The same picture is also in {first.part}, as {name}.")
            else:
                yield Problem(other.path, "copy", f"The same picture as {name}; both stay on one side of the split.")


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is the system's own and never meant as a picture or a class."""
    return name.startswith(".") or name.casefold() in IGNORED_NAMES
