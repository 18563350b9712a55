"""Where the class of a picture is written: in the names of folders, or in the names of files.

Everything here works on places: a file's path below the dropped folder, with / between its parts. Nothing is opened.
"""

from __future__ import annotations

import posixpath
import re
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import regex

from tlstudio.core.errors import StudioError

if TYPE_CHECKING:  # a data set is arranged with the functions here
    from tlstudio.core.look import Scanned

Part = Literal["train", "val", "test"]

MAX_PATTERN_CHARACTERS = 500
PATTERN_SECONDS = 5.0
"""How long an expression may work on all places together."""
LOOKED_AT = 5000
"""Of more places than that, every n-th is looked at to propose something."""

_PART_WORDS: dict[str, Part] = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val", "eval": "val",
    "evaluation": "val",
    "test": "test", "testing": "test", "tst": "test", "holdout": "test", "heldout": "test",
}  # fmt: skip
_BESIDE_PART_WORDS = "set|sets|split|subset|data|dataset|images?|imgs?|img|pictures?|pics|photos?|samples?|seg|folder"
_PART_NAME = re.compile(
    f"(?:{_BESIDE_PART_WORDS})*({'|'.join(_PART_WORDS)})(?:{_BESIDE_PART_WORDS})*(?:(?:19|20)[0-9][0-9])?"
)
_NOT_A_LETTER_OR_DIGIT = re.compile(r"[\W_]+")
_MASK_FOLDERS = frozenset({
    "mask", "masks", "groundtruth", "gt", "annotation", "annotations", "segmentation", "segmentations", "labelimages",
})  # fmt: skip
_MASK_ENDING = re.compile(r"[ _.-](masks?|gt|ground_?truth|seg|segmentation|annotations?|labels?)$", re.IGNORECASE)
_CAMERA_WORDS = frozenset({
    "img", "image", "dsc", "dscn", "dscf", "pict", "pic", "picture", "photo", "pxl", "p", "wp", "mvi", "vid", "frame",
    "scan", "screenshot", "file", "untitled", "crop",
})  # fmt: skip
_NAME_PATTERNS = (
    r"(?P<class>[^/]*?[^/\d _.()-])[ _.-]*\(?\d+\)?\.\w+$",
    r"(?:^|/)\d+[ _.-]+(?P<class>[^/]+?)\.\w+$",
    r"(?P<class>[^/]*?[^/\d _.()-])[ _.-]+\d[^/]*$",
    r"(?:^|/)(?P<class>[^/_]+)_[^/]*$",
    r"_(?P<class>[^/_]+)\.\w+$",
)


class Told(NamedTuple):
    """What a place tells of its picture. Without a `class_name`, `code` and `message` say why.

    `home` is the folder it lies in, counted from its class on, without a folder for the part.
    """

    class_name: str = ""
    part: Part | None = None
    group: str = ""
    home: str = ""
    code: str = ""
    message: str = ""


class NameFound(NamedTuple):
    """What a regular expression finds in a place; "" for a group that is not in it."""

    place: str
    class_name: str = ""
    part: str = ""
    group: str = ""


class Exclusion(msgspec.Struct, frozen=True):
    """A pattern for files that are probably no pictures to learn from, how many it hits, and why, for the user."""

    pattern: str
    count: int
    sentence: str


def part_of(name: str) -> Part | None:
    """Return the part that a folder's name or a table's word means, such as "val" for "Validation Images"."""
    letters = _NOT_A_LETTER_OR_DIGIT.sub("", name.casefold())
    found = _PART_NAME.fullmatch(letters)
    return _PART_WORDS[found[1]] if found else None


def excluder(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return what says whether a place is excluded by patterns with * and ?.

    A pattern without / is for names of files; one with / is for whole places, and a leading */ also fits a place that
    has nothing before it. Upper and lower case are the same.
    """
    names = [pattern for pattern in patterns if pattern and "/" not in pattern]
    whole = [pattern for pattern in patterns if "/" in pattern]
    of_names, of_places = _any_of(names), _any_of(whole)

    def excluded(place: str) -> bool:
        folded = place.casefold()
        return (bool(names) and of_names.match(folded.rpartition("/")[2]) is not None) or (
            bool(whole) and (of_places.match(folded) or of_places.match(f"/{folded}")) is not None
        )

    return excluded


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.casefold().replace("[", "[[]")) for pattern in patterns))


# --- folders ---------------------------------------------------------------------------------------------------------

Steps = tuple[str, ...]
"""The names of folders that lead to one."""


@dataclass
class _Folder:
    pictures: int = 0
    """In the folder itself."""
    all_pictures: int = 0
    """And in those inside it."""
    inner: dict[str, _Folder] = field(default_factory=dict)

    def filled(self) -> dict[str, _Folder]:
        return {name: folder for name, folder in self.inner.items() if folder.all_pictures}


class FolderLayout:
    """The folders of a data set, understood: which are classes, which are parts, which only wrap others."""

    def __init__(self, folders: Iterable[tuple[str, int]], class_level: int | None = None) -> None:
        """Take the place of every folder with the number of usable pictures directly in it.

        `class_level`, from 1, says on which level the class folders lie; None finds it.
        """
        self._root = _Folder()
        for place, pictures in folders:
            folder = self._root
            folder.all_pictures += pictures
            for step in _steps(place):
                folder = folder.inner.setdefault(step, _Folder())
                folder.all_pictures += pictures
            folder.pictures += pictures
        self._classes: dict[Steps, Part | None] = {}
        self.empty_classes: list[str] = []
        """Places of folders that lie beside class folders and hold no usable picture."""
        if class_level is None:
            self._classes = dict(self._found(self._root, (), None))
        else:
            self._classes = dict(self._on_level(class_level))
        self._parts_inside = self._has_parts_inside()
        self._shared_steps = self._steps_all_classes_share()
        self._has_parts = any(self._classes.values())
        self._note_empty_classes()

    def told(self, folder: str) -> Told:
        """Return what the folder at that place tells of the pictures in it."""
        steps = _steps(folder)
        for length in range(1, len(steps) + 1):
            if steps[:length] in self._classes:
                name = unicodedata.normalize("NFC", steps[length - 1])
                part = self._classes[steps[:length]]
                below = list(steps[length:])
                if self._parts_inside and below and (inside := part_of(below[0])):
                    part = inside
                    below = below[1:]
                below = below[self._shared_steps :]
                return Told(name, part, home="/".join([name, *below]))
        if self._has_parts and steps and not any(map(part_of, steps)):
            return Told(
                code="outside-parts", message=f"“{steps[-1]}” lies beside the folders for training and judging."
            )
        return Told(code="outside-class", message="The picture lies beside the class folders.")

    def _found(self, folder: _Folder, where: Steps, part: Part | None) -> Iterator[tuple[Steps, Part | None]]:
        """Yield the class folders in a folder with the part they are in."""
        filled = folder.filled()
        parts = _part_folders(filled) if part is None else {}
        if parts:
            for name, own in parts.items():
                yield from self._found(filled[name], (*where, name), own)
            return
        if len(filled) == 1:
            [(name, only)] = filled.items()
            if sum(inner.all_pictures for inner in only.inner.values()) > only.pictures:
                deeper = list(self._found(only, (*where, name), part))
                if len({steps[-1] for steps, _ in deeper}) > 1 or any(own for _, own in deeper if own != part):
                    yield from deeper
                    return
        for name in filled:
            yield (*where, name), part

    def _on_level(self, level: int) -> Iterator[tuple[Steps, Part | None]]:
        on_level = [steps for steps, folder in _walk(self._root, ()) if len(steps) == level and folder.all_pictures]
        part_levels = [
            above
            for above in range(level - 1)
            if len({part_of(steps[above]) for steps in on_level} - {None}) > 1
            or all(part_of(steps[above]) for steps in on_level)
        ]
        for steps in on_level:
            yield steps, next((part_of(steps[above]) for above in part_levels), None)

    def _folder_at(self, steps: Steps) -> _Folder:
        folder = self._root
        for step in steps:
            folder = folder.inner[step]
        return folder

    def _has_parts_inside(self) -> bool:
        """Return whether the class folders hold folders for parts, instead of the other way round."""
        if any(self._classes.values()):
            return False
        names = [name for steps in self._classes for name in self._folder_at(steps).filled()]
        parts = Counter(part_of(name) for name in names)
        return parts["train"] > 0 and len(parts) > 1 and parts[None] == 0

    def _steps_all_classes_share(self) -> int:
        """Return through how many folders, the same for all, one goes from a class folder to its pictures."""
        inside = [self._folder_at(steps) for steps in self._classes]
        if self._parts_inside:
            inside = [part for folder in inside for part in folder.filled().values()]
        shared = 0
        while len(inside) > 1 and all(not folder.pictures and len(folder.filled()) == 1 for folder in inside):
            if len({name for folder in inside for name in folder.filled()}) > 1:
                break
            inside = [inner for folder in inside for inner in folder.filled().values()]
            shared += 1
        return shared

    def _note_empty_classes(self) -> None:
        for above in sorted({steps[:-1] for steps in self._classes}):
            for name, folder in sorted(self._folder_at(above).inner.items()):
                if not folder.all_pictures:
                    self.empty_classes.append("/".join((*above, name)))


def steps_around(folders: Iterable[str]) -> int:
    """Return through how many folders one goes before these part, or before the last one is reached."""
    places = set(folders)
    return len(_steps(posixpath.commonpath(places))) if places else 0


def _steps(folder: str) -> Steps:
    return tuple(folder.split("/")) if folder else ()


def _walk(folder: _Folder, steps: Steps) -> Iterator[tuple[Steps, _Folder]]:
    yield steps, folder
    for name, inner in folder.inner.items():
        yield from _walk(inner, (*steps, name))


def _part_folders(folders: dict[str, _Folder]) -> dict[str, Part]:
    """Return which of these sibling folders are parts; none if they rather are classes, a train beside cars, say."""
    named = {name: part for name in folders if (part := part_of(name))}
    others = len(folders) - len(named)
    holds_folders = any(folders[name].filled() for name in named)
    if len(set(named.values())) > 1:
        return named if holds_folders or not others else {}
    return named if holds_folders and others <= 1 else {}


# --- names of files --------------------------------------------------------------------------------------------------


def read_names(pattern: str, places: Sequence[str]) -> list[NameFound]:
    """Return what the named groups `class`, `part` and `group` of a regular expression find in every place.

    The expression may fit anywhere in a place. Raises StudioError for one that is not valid, has no group `class`, or
    works too long.
    """
    expression = _expression(pattern)
    ends = time.monotonic() + PATTERN_SECONDS
    found = []
    try:
        for place in places:
            match = expression.search(place, timeout=max(0.001, ends - time.monotonic()))
            groups = {} if match is None else match.groupdict(default="")
            found.append(NameFound(place, *(groups.get(name, "").strip() for name in ("class", "part", "group"))))
    except TimeoutError as error:
        raise StudioError(
            "The expression takes too long on these names.", "Use fewer * and +, above all not one inside another."
        ) from error
    return found


def told_by_name(found: NameFound) -> Told:
    """Return what an expression's groups tell of a picture."""
    if not found.class_name:
        return Told(code="no-label", message="The expression finds no class in the name of this file.")
    part = part_of(found.part)
    if found.part and part is None:
        return Told(code="no-part", message=f"“{found.part}” means none of train, val and test.")
    name = unicodedata.normalize("NFC", found.class_name)
    return Told(name, part, found.group, home=name)


def propose_pattern(places: Sequence[str]) -> str:
    """Return a regular expression that finds a class in nearly all of these places, as in cat_001.jpg; "" if none does.

    Names that cameras give are no classes, and every class must have several pictures.
    """
    looked_at = _sample(places)
    for pattern in _NAME_PATTERNS:
        expression = re.compile(pattern)
        matches = [match["class"] for place in looked_at if (match := expression.search(place))]
        counts = Counter(matches)
        names = {name.rpartition("/")[2].casefold() for name in counts}
        if len(matches) < 0.95 * len(looked_at) or names & _CAMERA_WORDS or any(map(part_of, names)):
            continue
        if 2 <= len(counts) <= len(matches) / 3 and sorted(counts.values())[len(counts) // 2] >= 2:
            return pattern
    return ""


def _expression(pattern: str) -> regex.Pattern[str]:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise StudioError(f"The expression is longer than {MAX_PATTERN_CHARACTERS} characters.", "Shorten it.")
    try:
        expression = regex.compile(pattern)
    except regex.error as error:
        where = "" if error.pos is None else f", at character {error.pos + 1}"
        raise StudioError(
            f"This is not a valid expression: {error.msg}{where}.",
            r"An example for names like cat_001.jpg: (?P<class>[a-z]+)_\d+",
        ) from error
    unknown = expression.groupindex.keys() - {"class", "part", "group"}
    if unknown:
        raise StudioError(
            f"The expression names a group “{min(unknown)}”.", "The groups class, part and group mean something here."
        )
    if "class" not in expression.groupindex:
        raise StudioError(
            "The expression does not say which piece of a name is the class.",
            "Put that piece between (?P<class> and ).",
        )
    return expression


def _sample(places: Sequence[str]) -> Sequence[str]:
    return places[:: max(1, len(places) // LOOKED_AT)]


# --- masks -----------------------------------------------------------------------------------------------------------


def propose_exclusions(scanned: Scanned, exclude: Sequence[str] = ()) -> tuple[Exclusion, ...]:
    """Return patterns for files that lie beside pictures and are probably masks of them, most hits first.

    `exclude` are patterns that are in force already. No proposal would leave nothing.
    """
    excluded = excluder(exclude)
    places = [file.place for file in scanned.files if file.facts and not excluded(file.place)]
    found: list[Exclusion] = []
    for proposed in (_mask_folders(places), _mask_endings(places), _twins(places)):
        excluded = excluder([exclusion.pattern for exclusion in found])
        found += [
            exclusion
            for exclusion in proposed
            if exclusion.count < len(places)
            and not all(excluded(place) for place in places if excluder([exclusion.pattern])(place))
        ]
    return tuple(sorted(found, key=lambda exclusion: -exclusion.count))


def _mask_folders(places: Sequence[str]) -> Iterator[Exclusion]:
    counts: Counter[str] = Counter()
    for folder, count in Counter(place.rpartition("/")[0] for place in places).items():
        for step in {step.casefold() for step in _steps(folder)}:
            if _NOT_A_LETTER_OR_DIGIT.sub("", step) in _MASK_FOLDERS:
                counts[step] += count
    for name, count in counts.items():
        yield Exclusion(f"*/{name}/*", count, f"{count:,} pictures lie in folders named “{name}”, probably masks.")


def _mask_endings(places: Sequence[str]) -> Iterator[Exclusion]:
    """Yield the endings of names that, taken away, mostly lead to the name of a picture in the same folder."""
    stems = {place.rpartition(".")[0].casefold() for place in places}
    counts: Counter[str] = Counter()
    twins: Counter[str] = Counter()
    for stem in stems:
        if ending := _MASK_ENDING.search(stem):
            counts[ending[0]] += 1
            twins[ending[0]] += stem[: ending.start()] in stems
    for ending_text, count in counts.items():
        if twins[ending_text] >= max(2, 0.5 * count):
            sentence = f"{count:,} names end in “{ending_text}” beside a picture of the same name, probably masks."
            yield Exclusion(f"*{ending_text}.*", count, sentence)


def _twins(places: Sequence[str]) -> Iterator[Exclusion]:
    """Yield the types of files of which nearly every one lies beside one of another type with the same name."""
    types_of: defaultdict[str, set[str]] = defaultdict(set)
    for place in places:
        stem, _, suffix = place.rpartition(".")
        types_of[stem.casefold()].add(suffix.casefold())
    counts = Counter(suffix for types in types_of.values() for suffix in types)
    beside = Counter(suffix for types in types_of.values() if len(types) > 1 for suffix in types)
    kept = max(counts, key=lambda suffix: (suffix in ("jpg", "jpeg"), counts[suffix]), default="")
    for suffix, count in counts.items():
        if suffix != kept and beside[suffix] >= max(2, 0.9 * count):
            sentence = f"{count:,} {suffix.upper()} files lie beside pictures of the same name, probably masks of them."
            yield Exclusion(f"*.{suffix}", count, sentence)
