"""Which pictures show the same thing and must not be torn apart by a split: copies, one specimen, one burst."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, get_args

import msgspec

from tlstudio.core.dataset_setup import Grouping

if TYPE_CHECKING:  # the data set is arranged with the functions here
    from tlstudio.core.dataset import ImageRecord

BURST_S = 60.0
"""Between one picture and the next of a burst."""
MIN_PURE = 0.95
"""Share of pictures whose folder belongs to one class at the level of the class folders; the rest was relabelled."""
MIN_JOINED = 0.3
"""Share of pictures that a rule for file names joins with others; below it, names begin alike by chance."""
MIN_KEYS = 3
"""Different beginnings of names in a class. With fewer, they name the class or a part of it."""
MOSTLY = 0.8
MOST_TOKENS, MOST_DROPPED = 6, 2
MOST_OF_EXAMPLE = 6
_SENTENCES: dict[Grouping, str] = {
    "near-copies": "{images:,} pictures are copies with changes of one another, in {groups:,} group{s}: "
    "resized, compressed, cropped, or taken from the same place.",
    "folders": "{images:,} pictures lie in {groups:,} folder{s} below the folders of their classes.",
    "names": "{images:,} pictures have names that begin alike, in {groups:,} group{s}.",
    "bursts": "{images:,} pictures were taken within a minute of another by the same camera, in {groups:,} group{s}.",
    "labels": "{images:,} pictures belong to {groups:,} group{s} by your table or pattern.",
}
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_TELLS_APART = re.compile(r"\d{3}|[^\W\d_].*\d\d|\d\d.*[^\W\d_]")
"""A name with a long number, or a word and a number of two digits, is given once; “a”, “3”, “specimen 1” are not."""
_COUNTER = re.compile(r"\D*(\d{1,3}(\D+|$))*")
_Key = Hashable
"""Equal for pictures that one reason joins."""


class GroupProposal(msgspec.Struct, frozen=True):
    """A way to put pictures together that would join something."""

    kind: Grouping
    groups: int
    """Groups of two different pictures or more."""
    images: int
    """Pictures in those."""
    largest: int
    """Pictures in the largest group."""
    sentence: str
    """What it would join, in plain words, and what is odd about it."""
    examples: tuple[tuple[str, ...], ...] = ()
    """Paths of pictures that it would keep together, a few groups of a few."""


def grouped(
    images: Sequence[ImageRecord],
    places: Sequence[str],
    near: Sequence[tuple[int, int]],
    groupings: Sequence[Grouping],
    labels: Sequence[str] = (),
) -> list[str]:
    """Return a key for every picture, equal for those that must stay together; "" for one that stands alone.

    `places` are the pictures' paths below the dropped folder, `near` pairs of positions in `images`, `labels` what a
    table or a pattern says a picture belongs to ("" for nothing). Pictures of equal bytes or pixels are always
    together. Keys do not depend on the order of the pictures.
    """
    sets = _Sets(len(images))
    _join_copies(sets, images)
    known = _Known(images, places, near, labels)
    for kind in groupings:
        _JOIN[kind](sets, known)
    keys = [""] * len(images)
    for members in sets.groups():
        key = min(images[member].sha256 for member in members)
        for member in members:
            keys[member] = key
    return keys


def propose(
    images: Sequence[ImageRecord],
    places: Sequence[str],
    near: Sequence[tuple[int, int]],
    labels: Sequence[str] = (),
) -> tuple[GroupProposal, ...]:
    """Return the ways of grouping that would join different pictures, in the order of `Grouping`.

    The arguments are those of `grouped`. What would join all pictures into one group is not proposed.
    """
    known = _Known(images, places, near, labels)
    proposals = []
    for kind in get_args(Grouping):
        sets = _Sets(len(images))
        _JOIN[kind](sets, known)
        groups = [members for members in sets.groups() if len({content_of(images[member]) for member in members}) > 1]
        if groups and max(map(len, groups)) < len(images):
            proposals.append(_proposal(kind, groups, images))
    return tuple(proposals)


def _proposal(kind: Grouping, groups: list[list[int]], images: Sequence[ImageRecord]) -> GroupProposal:
    joined, largest = sum(map(len, groups)), max(map(len, groups))
    ordered = sorted(
        ([images[member].path for member in sorted(group)] for group in groups), key=lambda g: (-len(g), g)
    )
    sentence = _SENTENCES[kind].format(images=joined, groups=len(groups), s="" if len(groups) == 1 else "s")
    whole = _classes_of_one_group(groups, images)
    if whole:
        subject = (
            "One class would be a single group: it" if whole == 1 else f"{whole} classes would be one group each: they"
        )
        sentence += f" {subject} could teach but not be judged."
    middle = len(ordered) // 2
    shown = dict.fromkeys([0, middle, middle + 1, len(ordered) - 1])
    examples = tuple(tuple(ordered[number][:MOST_OF_EXAMPLE]) for number in shown if number < len(ordered))
    return GroupProposal(kind, len(groups), joined, largest, sentence, examples)


def _classes_of_one_group(groups: list[list[int]], images: Sequence[ImageRecord]) -> int:
    counts = Counter(image.class_index for image in images)
    within = (Counter(images[member].class_index for member in group) for group in groups)
    return len({target for inside in within for target, count in inside.items() if count == counts[target] > 1})


class _Known(msgspec.Struct, frozen=True):
    """What the ways of grouping look at; see `grouped`."""

    images: Sequence[ImageRecord]
    places: Sequence[str]
    near: Sequence[tuple[int, int]]
    labels: Sequence[str]

    def classes(self) -> list[int]:
        return [image.class_index for image in self.images]


class _Sets:
    """Positions that are joined into sets, two at a time."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, member: int) -> int:
        """Return the one that stands for the set of this member."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, some: int, other: int) -> None:
        self._parent[self.find(some)] = self.find(other)

    def join_equal(self, keys: Iterable[_Key | None]) -> None:
        """Join the positions of equal keys; None joins nothing."""
        first: dict[_Key, int] = {}
        for member, key in enumerate(keys):
            if key is not None and first.setdefault(key, member) != member:
                self.join(member, first[key])

    def groups(self) -> list[list[int]]:
        """Return the sets of two members or more."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for member in range(len(self._parent)):
            members[self.find(member)].append(member)
        return [group for group in members.values() if len(group) > 1]


def content_of(image: ImageRecord) -> str:
    """Return what is equal for pictures of equal pixels, whatever their files are."""
    return image.facts.pixels if image.facts else image.sha256


def _join_copies(sets: _Sets, images: Sequence[ImageRecord]) -> None:
    sets.join_equal(image.sha256 for image in images)
    sets.join_equal(content_of(image) for image in images)


def _join_near_copies(sets: _Sets, known: _Known) -> None:
    for some, other in known.near:
        sets.join(some, other)


def _join_folders(sets: _Sets, known: _Known) -> None:
    """Join what lies in one folder below a class folder, unless that folder holds all of its class."""
    folders = [PurePosixPath(place).parts[:-1] for place in known.places]
    classes = known.classes()
    level = _class_level(folders, classes)
    below = [folder[level:] for folder in folders]
    of_class: defaultdict[int, set[tuple[str, ...]]] = defaultdict(set)
    for target, folder in zip(classes, below, strict=True):
        of_class[target].add(folder)
    sets.join_equal(
        _anywhere_or_here("/".join(folder), target) if folder and len(of_class[target]) > 1 else None
        for target, folder in zip(classes, below, strict=True)
    )


def _class_level(folders: Sequence[tuple[str, ...]], classes: Sequence[int]) -> int:
    """Return how many folders lead to and into a class folder; 0 if folders do not tell the class."""
    for level in range(1, max(map(len, folders), default=0) + 1):
        of_folder: defaultdict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
        for folder, target in zip(folders, classes, strict=True):
            of_folder[folder[:level]][target] += 1
        pure = sum(max(counts.values()) for counts in of_folder.values())
        names = {folder[-1] for folder in of_folder if len(folder) == level}
        # Folders of specimens tell the class as well, but are many more.
        if pure >= MIN_PURE * len(folders) and len(names) <= 2 * len(set(classes)):
            return level
    return 0


def _join_names(sets: _Sets, known: _Known) -> None:
    classes = known.classes()
    beginnings = _beginnings([PurePosixPath(place).stem for place in known.places], classes)
    sets.join_equal(
        None if beginning is None else _anywhere_or_here(beginning, target)
        for beginning, target in zip(beginnings, classes, strict=True)
    )


def _beginnings(stems: Sequence[str], classes: Sequence[int]) -> list[str | None]:
    """Return what each file name begins with, by the rule that gives plausible groups; None where no rule does.

    A rule keeps the first words and numbers of a name, or drops the last. Of plausible ones, those that leave a mere
    counter come first, and then the one that joins most.
    """
    ends = [[token.end() for token in _TOKEN.finditer(stem)] for stem in stems]
    # A name of too few words and numbers for a rule is its own beginning: IMG_0042 goes with IMG_0042_crop3.
    rules = [
        *([end[count] if len(end) > count else None for end in ends] for count in range(MOST_TOKENS)),
        *([end[-1 - count] if len(end) > count else None for end in ends] for count in range(1, 1 + MOST_DROPPED)),
    ]
    best: list[str | None] = [None] * len(stems)
    best_rank = (0.0, False, 0)
    for rule in rules:
        kept = [stem[:end] for stem, end in zip(stems, rule, strict=True)]
        joined = _joined(kept, stems, classes)
        if joined < MIN_JOINED:
            continue
        counters = sum(bool(_COUNTER.fullmatch(stem, len(start))) for stem, start in zip(stems, kept, strict=True))
        rank = (round(joined, 1), counters > MOSTLY * len(stems), -len(set(kept)))
        if rank > best_rank:
            best, best_rank = [*kept], rank
    return best


def _joined(beginnings: Sequence[str], stems: Sequence[str], classes: Sequence[int]) -> float:
    """Return the share of pictures that are joined with others of another name, by a part of their class.

    Equal names in several folders are counters of those, and a beginning that all of a class share is its name.
    """
    names: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for target, beginning, stem in zip(classes, beginnings, stems, strict=True):
        names[target, beginning].add(stem)
    keys = Counter(target for target, _ in names)
    joined = sum(
        len(names[target, beginning]) > 1 and keys[target] >= MIN_KEYS
        for target, beginning in zip(classes, beginnings, strict=True)
    )
    return joined / max(1, len(stems))


def _anywhere_or_here(name: str, target: int) -> _Key:
    """Return a key for what bears this name: in all classes, or in this one if other classes count anew."""
    folded = name.casefold()
    return folded if _TELLS_APART.search(folded) else (target, folded)


def _join_bursts(sets: _Sets, known: _Known) -> None:
    taken = sorted(
        (image.facts.camera, image.facts.taken_s, position)
        for position, image in enumerate(known.images)
        if image.facts and image.facts.taken_s is not None
    )
    for (camera, taken_s, some), (next_camera, next_s, other) in pairwise(taken):
        if camera == next_camera and next_s - taken_s <= BURST_S:
            sets.join(some, other)


def _join_labels(sets: _Sets, known: _Known) -> None:
    sets.join_equal(label or None for label in known.labels)


_JOIN: dict[Grouping, Callable[[_Sets, _Known], None]] = {
    "near-copies": _join_near_copies,
    "folders": _join_folders,
    "names": _join_names,
    "bursts": _join_bursts,
    "labels": _join_labels,
}
