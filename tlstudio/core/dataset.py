"""From dropped folders to a list of usable pictures with classes, and everything that is wrong with them.

`look` finds out what there is, `arrange` makes of it what the user decided.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from tlstudio.core.dataset_setup import ASIDE, DatasetSetup
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.events import Emit, Event, Progress, ShouldStop, ignore, never
from tlstudio.core.groups import GroupProposal, grouped
from tlstudio.core.groups import propose as propose_from
from tlstudio.core.images import USUAL_CHANNELS, Reading
from tlstudio.core.labels_table import read_labels
from tlstudio.core.layout import FolderLayout, Part, Told, excluder, read_names, steps_around, told_by_name
from tlstudio.core.look import Scanned, look
from tlstudio.core.picture_facts import PictureFacts, ScannedFile
from tlstudio.core.problem import Problem

# Codes of problems that tell of no picture: of folders, and of rows in a table.
OF_FOLDERS = frozenset({"empty-folder", "empty-class", "locked-folder", "no-file"})
OF_COPIES = ("label-conflict", "leak", "copy", "near-copy")
"""What may be wrong with a picture beside another one, the gravest first."""
NOTES = {
    "first-frame": "The file holds several pictures; the first one is used.",
    "misnamed": "The ending of the file's name does not fit what is in it.",
}
"""What may be noted about a file that is used."""
OF_SYSTEM = frozenset({"system-file", "link"})
"""Codes of files that are ignored wherever they lie."""
OUTLIERS_COUNT_FROM = 8
"""Of fewer deep pictures than that, none is an outlier."""


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

    def __post_init__(self) -> None:
        """Raise ValueError where a picture is of a class that there is not, as in a file that somebody made up."""
        if not all(0 <= image.class_index < len(self.classes) for image in self.images):
            raise ValueError("a picture is of a class that there is not")

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
        used = {image.path for image in self.images}
        return [problem for problem in self.problems if self._is_set_aside(problem, used)]

    def files(self) -> list[FileStatus]:
        """Return every file with exactly one status, sorted by path."""
        used = {image.path for image in self.images}
        aside = [problem for problem in self.problems if self._is_set_aside(problem, used)]
        noted: dict[str, Problem] = {}
        for problem in self.problems:
            if problem.path in used and problem.code not in OF_FOLDERS:
                noted.setdefault(problem.path, problem)
        found = [
            FileStatus(path, "noted", noted[path].code, noted[path].message)
            if path in noted
            else FileStatus(path, "used")
            for path in used
        ]
        found += [FileStatus(problem.path, "set-aside", problem.code, problem.message) for problem in aside]
        found += [FileStatus(problem.path, "ignored", problem.code, problem.message) for problem in self.ignored]
        return sorted(found, key=lambda file: file.path)

    @staticmethod
    def _is_set_aside(problem: Problem, used: set[str]) -> bool:
        return problem.path not in used and problem.code not in OF_FOLDERS


def scan(
    folders: Sequence[Path],
    setup: DatasetSetup = DatasetSetup(),
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    min_classes: int = 2,
) -> DatasetIndex:
    """Return the pictures under the dropped folders, set up as the user decided; see `look` and `arrange`.

    Of the events of a look only `Progress` is emitted: whoever asks for this has another thing to show.
    Raises StudioError if there are fewer than `min_classes` classes with pictures, Stopped if `should_stop` said so.
    """

    def emit_progress(event: Event) -> None:
        if isinstance(event, Progress):
            emit(event)

    index = arrange(look(folders, emit_progress, should_stop), setup)
    require_classes(index, min_classes)
    return index


class _Pictures(NamedTuple):
    """The pictures a set-up makes use of, with what was found out about each on the way."""

    images: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    homes: list[str]
    """From the class folder on, the name of the file included."""
    near: list[tuple[int, int]]
    labels: list[str]
    """What a table or an expression says that a picture belongs to."""
    problems: list[Problem]
    ignored: list[Problem]


def arrange(scanned: Scanned, setup: DatasetSetup = DatasetSetup()) -> DatasetIndex:
    """Return what the user's decisions make of the files: classes, parts, groups, and everything to know about them.

    Nothing is opened but a table of labels that changed. Raises StudioError for a table or an expression that cannot
    be used.
    """
    found = _pictures(scanned, setup)
    groups = grouped(found.images, found.homes, found.near, setup.groupings, found.labels)
    images = tuple(
        msgspec.structs.replace(image, group=group) if group else image
        for image, group in zip(found.images, groups, strict=True)
    )
    problems = (
        *scanned.problems,
        *found.problems,
        *_copies(images, found.classes, found.near),
        *_notes(images),
    )
    reading = _with_range(setup.reading, images)
    return DatasetIndex(
        scanned.folders, found.classes, images, problems, scanned.seconds, tuple(found.ignored), reading
    )


def propose_groups(scanned: Scanned, setup: DatasetSetup = DatasetSetup()) -> tuple[GroupProposal, ...]:
    """Return the ways of keeping pictures together that would join something; see `groups.propose`."""
    found = _pictures(scanned, setup)
    return propose_from(found.images, found.homes, found.near, found.labels)


def _pictures(scanned: Scanned, setup: DatasetSetup) -> _Pictures:
    ignored: list[Problem] = []
    problems: list[Problem] = []
    files = list(_taking_part(scanned.files, setup, ignored))
    told, of_layout = _told(files, setup)
    problems += of_layout
    renamed, relabelled, left_out = setup.renamed, setup.relabelled, set(setup.left_out)
    kept: list[tuple[ScannedFile, PictureFacts, str, Told]] = []
    for file, tells in zip(files, told, strict=True):
        if file.facts is None:
            problems.append(Problem(file.path, file.code, file.message))
            continue
        name = relabelled.get(file.path)
        if name == ASIDE:
            problems.append(Problem(file.path, "by-user", "You set this picture aside."))
            continue
        if name is None:
            name = renamed.get(tells.class_name, tells.class_name)
        if not name:
            problems.append(Problem(file.path, tells.code, tells.message))
        elif USUAL_CHANNELS < file.facts.channels <= max(setup.reading.channels, default=0):
            message = f"The picture has only {file.facts.channels} channels."
            problems.append(Problem(file.path, "no-channel", message))
        elif name in left_out:
            ignored.append(Problem(file.path, "class-left-out", f"You left the class “{name}” out."))
        else:
            kept.append((file, file.facts, name, tells))
    classes = tuple(sorted({name for _, _, name, _ in kept}))
    numbers = {name: number for number, name in enumerate(classes)}
    images = tuple(
        ImageRecord(file.path, numbers[name], tells.part, facts.sha256, facts.width_px, facts.height_px, "", facts)
        for file, facts, name, tells in kept
    )
    positions = {image.path: position for position, image in enumerate(images)}
    near = []
    for one, other in scanned.near:
        pair = positions.get(scanned.files[one].path), positions.get(scanned.files[other].path)
        if pair[0] is not None and pair[1] is not None:
            near.append((pair[0], pair[1]))
    homes = [f"{tells.home}/{file.place.rpartition('/')[2]}" for file, _, _, tells in kept]
    return _Pictures(images, classes, homes, near, [tells.group for *_, tells in kept], problems, ignored)


def _taking_part(files: Iterable[ScannedFile], setup: DatasetSetup, ignored: list[Problem]) -> Iterator[ScannedFile]:
    """Yield the files that may be pictures to learn from; the others are added to `ignored`."""
    excluded = excluder(setup.exclude)
    table = setup.layout.table if setup.layout.kind == "table" else None
    for file in files:
        if file.code in OF_SYSTEM:
            ignored.append(Problem(file.path, file.code, file.message))
        elif setup.exclude and excluded(file.place):
            ignored.append(Problem(file.path, "excluded", "Left out by a pattern of yours."))
        elif file.path == table:
            ignored.append(Problem(file.path, "labels-table", "The table with the pictures' classes."))
        else:
            yield file


def _told(files: Sequence[ScannedFile], setup: DatasetSetup) -> tuple[list[Told], list[Problem]]:
    """Return what the layout tells of every file, and what is wrong with its folders or rows."""
    match setup.layout.kind:
        case "folders":
            return _told_by_folders(files, setup.layout.class_level)
        case "table":
            labels = read_labels(setup.layout, files)
            return _with_homes(files, labels.told), labels.problems
        case "names":
            found = read_names(setup.layout.pattern, [file.place for file in files])
            return _with_homes(files, [told_by_name(one) for one in found]), []


def _told_by_folders(files: Sequence[ScannedFile], class_level: int | None) -> tuple[list[Told], list[Problem]]:
    counts: Counter[str] = Counter()
    example: dict[str, ScannedFile] = {}
    homes = [file.place.rpartition("/")[0] for file in files]
    for file, home in zip(files, homes, strict=True):
        counts[home] += file.facts is not None
        example.setdefault(home, file)
    layout = FolderLayout(counts.items(), class_level)
    told = {home: layout.told(home) for home in counts}
    problems = []
    for place in layout.empty_classes:
        inside = next(file for home, file in example.items() if f"{home}/".startswith(f"{place}/"))
        above = inside.place.count("/") - place.count("/") - 1
        message = "No file in this folder is a usable picture: the class is left out."
        problems.append(Problem(str(Path(inside.path).parents[above]), "empty-class", message))
    return [told[home] for home in homes], problems


def _with_homes(files: Sequence[ScannedFile], told: Sequence[Told]) -> list[Told]:
    """Return the same with the folders a picture lies in, as far as they are not around all of them."""
    folders = [file.place.rpartition("/")[0] for file in files]
    around = steps_around(folders)
    own = {folder: "/".join(["", *folder.split("/")[around:]]).rstrip("/") for folder in set(folders)}
    return [tells._replace(home=tells.home + own[folder]) for tells, folder in zip(told, folders, strict=True)]


def _with_range(reading: Reading, images: Sequence[ImageRecord]) -> Reading:
    """Return the reading with one range of values for all deep pictures, from the darkest to the brightest of them.

    A picture whose values reach further beyond the usual ones than those are apart decides nothing.
    """
    deep = [(image.facts.low, image.facts.high) for image in images if image.facts and image.facts.low is not None]
    values = np.array([pair for pair in deep if pair[1] is not None], float)
    if not len(values) or (reading.low is not None and reading.high is not None):
        return reading
    lows, highs = values.T
    if len(values) >= OUTLIERS_COUNT_FROM:
        usual_low, usual_high = np.quantile(lows, 0.1), np.quantile(highs, 0.9)
        span = usual_high - usual_low
        lows, highs = lows[lows >= usual_low - span], highs[highs <= usual_high + span]
    low = float(lows.min()) if reading.low is None else reading.low
    high = float(highs.max()) if reading.high is None else reading.high
    return dataclasses.replace(reading, low=low, high=high if high > low else low + 1)


def shown_classes(names: Sequence[str]) -> str:
    """Return class names for a sentence: all of a few, or the first three and a count."""
    quoted = [f"“{name}”" for name in names]
    return ", ".join(quoted) if len(quoted) <= 4 else f"{', '.join(quoted[:3])} and {len(quoted) - 3} more"


def require_classes(index: DatasetIndex, min_classes: int = 2) -> None:
    """Raise StudioError if fewer classes than that have pictures, or if a class to learn has only one."""
    where = f"“{shown(index.folders[0])}”" if len(index.folders) == 1 else "these folders"
    if not index.images:
        raise _no_pictures(index, where)
    if len(index.classes) < min_classes:
        parts = index.part_counts()
        only = f", all of them for {next(iter(parts))}" if len(parts) == 1 else ""
        raise StudioError(
            f"All {len(index.images)} pictures in {where} are of one class, “{index.classes[0]}”{only}.",
            "A classifier needs at least two: add a folder of pictures for a second class.",
        )
    single = [name for name, count in index.class_counts().items() if count == 1]
    if min_classes > 1 and single:
        raise StudioError(
            f"There are too few pictures of {shown_classes(single)}: one has to teach and another one to judge.",
            "Add a second picture there, or leave the class out.",
        )


def _no_pictures(index: DatasetIndex, where: str) -> StudioError:
    """Return why a data set has no picture, and what to do."""
    folders_hint = "Drop a folder with one folder inside it for each class, and the pictures of that class in it."
    left_out = index.set_aside()
    without_class = [problem for problem in left_out if problem.code in ("outside-class", "outside-parts", "no-label")]
    if without_class and without_class[0].code == "no-label":
        return StudioError(
            f"None of the {len(without_class)} pictures in {where} has a class: {without_class[0].message}",
            "Check which column or which piece of the names is meant.",
        )
    if without_class:
        kind = "picture" if len(without_class) == 1 else "pictures"
        return StudioError(
            f"{len(without_class)} {kind} in {where} lie in no folder of a class, so nothing tells what they show.",
            "Give their classes by folders, by a table or by the names of the files.",
        )
    if any(problem.code == "class-left-out" for problem in index.ignored):
        return StudioError(f"Every class in {where} is left out.", "Take at least two classes in again.")
    if any(problem.code == "excluded" for problem in index.ignored):
        return StudioError(f"Your patterns leave no picture in {where}.", "Remove a pattern that fits too much.")
    if not left_out and any(problem.code == "locked-folder" for problem in index.problems):
        return StudioError(
            f"No picture was found in {where}: you may not open the folders inside it.",
            "Ask whoever owns them for the right to read them.",
        )
    detail = f" {len(left_out)} were set aside, the first for this: {left_out[0].message}" if left_out else ""
    return StudioError(f"No usable picture was found in {where}.{detail}", folders_hint)


# --- what there is to know about pictures that are used --------------------------------------------------------------


def _notes(images: Iterable[ImageRecord]) -> Iterator[Problem]:
    for image in images:
        if image.facts and (code := image.facts.note):
            yield Problem(image.path, code, NOTES[code])


def _copies(
    images: Sequence[ImageRecord], classes: Sequence[str], near: Iterable[tuple[int, int]]
) -> Iterator[Problem]:
    """Yield what is to be known about copies and groups, at most one problem a picture, the gravest."""
    found: dict[int, Problem] = {}
    for first, other, same in chain(_exact(images), ((one, other, False) for one, other in near)):
        problem = _copy_problem(images[first], images[other], same, classes)
        if other not in found or OF_COPIES.index(problem.code) < OF_COPIES.index(found[other].code):
            found[other] = problem
    for position, part in _torn_groups(images):
        found.setdefault(
            position, Problem(images[position].path, "leak", f"Pictures that belong together with it are in {part}.")
        )
    yield from (found[position] for position in sorted(found))


def _exact(images: Sequence[ImageRecord]) -> Iterator[tuple[int, int, bool]]:
    """Yield (first, other, True) for pictures of the same bytes or the same pixels."""
    first_of: dict[str, int] = {}
    for position, image in enumerate(images):
        keys = {image.sha256, image.facts.pixels if image.facts else ""} - {""}
        first = min((first_of[key] for key in keys if key in first_of), default=None)
        for key in keys:
            first_of.setdefault(key, position)
        if first is not None:
            yield first, position, True


def _copy_problem(first: ImageRecord, other: ImageRecord, same: bool, classes: Sequence[str]) -> Problem:
    picture = "The same picture" if same else "Nearly the same picture"
    name = Path(first.path).name
    if other.class_index != first.class_index:
        message = f"{picture} is also in class “{classes[first.class_index]}”, as {name}."
        return Problem(other.path, "label-conflict", message)
    if other.part != first.part:
        return Problem(other.path, "leak", f"{picture} is also in {first.part or 'no part'}, as {name}.")
    if same:
        return Problem(other.path, "copy", f"The same picture as {name}; both stay on one side of the split.")
    return Problem(other.path, "near-copy", f"Nearly the same picture as {name}.")


def _torn_groups(images: Sequence[ImageRecord]) -> Iterator[tuple[int, Part]]:
    """Yield the pictures that judge while others of their group teach, or are for the other way of judging."""
    if not any(image.part for image in images):
        return
    parts: defaultdict[str, set[Part]] = defaultdict(set)
    for image in images:
        if image.group and image.part:
            parts[image.group].add(image.part)
    for position, image in enumerate(images):
        if image.group and image.part in ("val", "test"):
            others = parts[image.group] - {image.part}
            if others:
                yield position, "train" if "train" in others else min(others)
