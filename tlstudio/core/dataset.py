"""From dropped folders to a list of usable pictures with classes, and everything that is wrong with them."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from tlstudio.core.cache_folder import scanned_file
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.images import Reading, UnreadableImage, decode, read_bytes
from tlstudio.core.listing import ListedFile, files_below
from tlstudio.core.problem import Problem
from tlstudio.core.progress import Pace

Part = Literal["train", "val", "test"]

PART_NAMES: dict[str, Part] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# Codes of problems that do not mean that a file was left out.
OF_FOLDERS = frozenset({"empty-folder", "empty-class", "outside-parts"})
OF_COPIES = frozenset({"copy", "near-copy", "leak", "label-conflict"})
NOTES = {
    "first-frame": "The file holds several pictures; the first one is used.",
    "misnamed": "The ending of the file's name does not fit what is in it.",
}
"""What may be noted about a file that is used."""


class PictureFacts(msgspec.Struct, frozen=True):
    """What one look at a readable file told. Equal `sha256`: the same bytes; equal `pixels`: the same upright picture.

    `brightness` is the mean luminance from 0 to 1; `sharpness` grows with the fine detail and compares pictures of one
    data set only. `low` and `high` are the values between which nearly all pixels of a picture of more than 8 bits a
    channel lie. `taken_s` is the camera's clock, in seconds since 1970 there.
    """

    sha256: str
    pixels: str
    width_px: int
    height_px: int
    size_bytes: int
    format: str
    brightness: float
    sharpness: float
    camera: str = ""
    taken_s: float | None = None
    low: float | None = None
    high: float | None = None
    channels: int = 3
    note: str = ""
    """The code of something to know about a file that is used all the same, a key of `NOTES`."""


class ScannedFile(msgspec.Struct, frozen=True):
    """One file under the dropped folders. It has `facts`, or else a `code` and a `message` that say why not.

    `place` is the path below the dropped folder with / between its parts; where several folders were dropped, it
    begins with the folder's own name.
    """

    path: str
    place: str
    facts: PictureFacts | None = None
    code: str = ""
    message: str = ""


class Scanned(msgspec.Struct, frozen=True):
    """Every file that lies under the dropped folders, whatever the classes are. Files are in a stable order.

    `near` holds pairs of positions in `files` whose pictures are copies with changes: resized, compressed, cropped.
    """

    folders: tuple[str, ...]
    files: tuple[ScannedFile, ...]
    problems: tuple[Problem, ...]
    near: tuple[tuple[int, int], ...]
    seconds: float


class ImageRecord(msgspec.Struct, frozen=True):
    """One usable picture. `sha256` is of the file's bytes; equal hashes are copies."""

    path: str
    class_index: int
    part: Part | None
    sha256: str
    width_px: int
    height_px: int
    group: str = ""
    """What it must not be separated from by a split; "" for the copies of itself alone."""
    facts: PictureFacts | None = None

    @property
    def kept_with(self) -> str:
        """Equal for pictures that always lie on one side of a split."""
        return self.group or self.sha256


Status = Literal["used", "noted", "set-aside", "ignored"]


class FileStatus(msgspec.Struct, frozen=True):
    """What became of a file. `code` and `message` are empty for one that is simply used."""

    path: str
    status: Status
    code: str = ""
    message: str = ""


class DatasetIndex(msgspec.Struct, frozen=True):
    """The pictures of a data set as the user set it up. Classes are sorted; `class_index` points into them.

    `problems` tells of folders, of files that are not used, and of used ones that there is something to know about.
    """

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    problems: tuple[Problem, ...]
    seconds: float
    ignored: tuple[Problem, ...] = ()
    """Files that are no pictures to learn from: the system's own, and what the user excluded."""
    reading: Reading = Reading()
    """How every picture is read, with the range of values decided."""

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
        return [problem for problem in self.problems if problem.code not in OF_FOLDERS | OF_COPIES | NOTES.keys()]

    def files(self) -> list[FileStatus]:
        """Return every file with exactly one status, sorted by path."""
        found = {image.path: FileStatus(image.path, "used") for image in self.images}
        for problem in self.problems:
            if problem.code in OF_FOLDERS:
                continue
            status: Status = "noted" if problem.path in found else "set-aside"
            if status == "set-aside" or found[problem.path].status == "used":
                found[problem.path] = FileStatus(problem.path, status, problem.code, problem.message)
        for problem in self.ignored:
            found[problem.path] = FileStatus(problem.path, "ignored", problem.code, problem.message)
        return [found[path] for path in sorted(found)]


def scan(
    folders: Sequence[Path],
    setup: DatasetSetup = DatasetSetup(),
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    min_classes: int = 2,
) -> DatasetIndex:
    """Return the pictures under the dropped folders, set up as the user decided; see `look` and `arrange`.

    Raises StudioError if there are fewer than `min_classes` classes with pictures, Stopped if `should_stop` said so.
    """
    index = arrange(look(folders, emit, should_stop), setup)
    require_classes(index, min_classes)
    return index


def look(folders: Sequence[Path], emit: Emit = ignore, should_stop: ShouldStop = never) -> Scanned:
    """Return every file under the dropped folders, each opened and decoded in full, once ever while it stays unchanged.

    A file that cannot be used has a code, it never raises. Raises StudioError, Stopped.
    """
    started = time.monotonic()
    problems: list[Problem] = []
    listed: list[ListedFile] = []
    for folder in folders:
        if not folder.is_dir():
            raise StudioError(f"“{shown(folder)}” is not a folder.", "Drop a folder with one folder inside it a class.")
        base = folder if len(folders) == 1 else folder.parent
        for path in files_below(folder, problems):
            facts = path.lstat()
            listed.append(ListedFile(str(path), path.relative_to(base).as_posix(), facts.st_size, facts.st_mtime_ns))
    pace = Pace(emit, "Reading pictures", len(listed))
    files = []
    with ThreadPoolExecutor(4) as pool:
        for done, found in enumerate(pool.map(_inspect, listed), 1):
            files.append(found)
            pace.step(done)
            if should_stop():
                pool.shutdown(cancel_futures=True)
                raise Stopped
    return Scanned(tuple(map(str, folders)), tuple(files), tuple(problems), (), time.monotonic() - started)


def _inspect(file: ListedFile) -> ScannedFile:
    try:
        content = read_bytes(Path(file.path))
        image = decode(content, Path(file.path).suffix)
    except UnreadableImage as error:
        return ScannedFile(file.path, file.place, None, error.code, str(error))
    grey = np.asarray(image.convert("L").resize((64, 64)), float) / 255
    return ScannedFile(
        file.path,
        file.place,
        PictureFacts(
            hashlib.sha256(content).hexdigest(),
            hashlib.sha256(image.tobytes()).hexdigest(),
            image.width,
            image.height,
            len(content),
            Path(file.path).suffix[1:].upper(),
            float(grey.mean()),
            float(np.abs(np.diff(grey)).mean()),
        ),
    )


def arrange(scanned: Scanned, setup: DatasetSetup = DatasetSetup()) -> DatasetIndex:
    """Return what the user's decisions make of the files: classes, parts, groups, and everything to know about them."""
    labelled = []
    problems = list(scanned.problems)
    for file in scanned.files:
        place = file.place.split("/")
        part = PART_NAMES.get(place[0].casefold())
        place = place[1:] if part else place
        if file.facts is None:
            problems.append(Problem(file.path, file.code, file.message))
        elif len(place) < 2:
            problems.append(Problem(file.path, "outside-class", "The picture lies beside the class folders."))
        else:
            name = setup.relabelled.get(file.path, setup.renamed.get(place[0], place[0]))
            labelled.append((file, name, part))
    classes = tuple(sorted({name for _, name, _ in labelled}))
    images = tuple(
        ImageRecord(
            file.path,
            classes.index(name),
            part,
            file.facts.sha256,
            file.facts.width_px,
            file.facts.height_px,
            "",
            file.facts,
        )
        for file, name, part in labelled
        if file.facts
    )
    problems += _copies(images, classes)
    return DatasetIndex(scanned.folders, classes, images, tuple(problems), scanned.seconds, (), setup.reading)


def write_scanned(scanned: Scanned) -> Path:
    """Keep what a look found for the window to read, and return the file."""
    file = scanned_file(hashlib.sha256("|".join(scanned.folders).encode()).hexdigest()[:32])
    write_json(file, scanned)
    return file


def read_scanned(file: Path) -> Scanned:
    """Return what a look found. Raises StudioError."""
    return read_json(file, Scanned)


def shown_classes(names: Sequence[str]) -> str:
    """Return class names for a sentence: all of a few, or the first three and a count."""
    quoted = [f"“{name}”" for name in names]
    return ", ".join(quoted) if len(quoted) <= 4 else f"{', '.join(quoted[:3])} and {len(quoted) - 3} more"


def require_classes(index: DatasetIndex, min_classes: int = 2) -> None:
    """Raise StudioError if fewer classes than that have pictures."""
    where = f"“{shown(index.folders[0])}”" if len(index.folders) == 1 else "these folders"
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
