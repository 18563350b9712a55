"""Which pictures teach and which ones judge. What belongs together never crosses a line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.errors import StudioError

VAL_FRACTION = 0.2
TRIES = 10
"""Orders of drawing groups of different sizes, of which the one is kept that comes closest to the fraction."""


class Split(msgspec.Struct, frozen=True):
    """Positions in `DatasetIndex.images`. `train` teaches; `val` and `test` judge and choose nothing."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    made_by: str
    """"folders" if the user's folders gave val or test, else "seed N"."""

    def held_out(self) -> tuple[str, tuple[int, ...]]:
        """Return the part on which accuracy is quoted, "test" if there is one, else "val"."""
        return ("test", self.test) if self.test else ("val", self.val)


def split(index: DatasetIndex, seed: int) -> Split:
    """Return the folders' own parts, or a stratified seeded split where they give no val.

    Raises StudioError if a class has no picture left to learn from.
    """
    by_part: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for position, image in enumerate(index.images):
        by_part[image.part or "train"].append(position)
    made_by = "folders"
    if not by_part["val"]:
        targets = [index.images[i].class_index for i in by_part["train"]]
        groups = [index.images[i].kept_with for i in by_part["train"]]
        stay, out = hold_out(targets, groups, VAL_FRACTION, seed)
        by_part["val"] = [by_part["train"][i] for i in out]
        by_part["train"] = [by_part["train"][i] for i in stay]
        made_by = f"seed {seed}" if not by_part["test"] else f"folders; val by seed {seed}"
    return _usable(index, Split(tuple(by_part["train"]), tuple(by_part["val"]), tuple(by_part["test"]), made_by))


def without(index: DatasetIndex, parts: Split, left_out: Collection[int]) -> Split:
    """Return the split without the pictures at these positions. Raises StudioError as `split` does."""
    if not left_out:
        return parts
    train, val, test = (tuple(i for i in part if i not in left_out) for part in (parts.train, parts.val, parts.test))
    return _usable(index, Split(train, val, test, parts.made_by))


def _usable(index: DatasetIndex, parts: Split) -> Split:
    taught = {index.images[i].class_index for i in parts.train}
    for number, name in enumerate(index.classes):
        if number not in taught:
            raise StudioError(
                f"Class “{name}” has no picture to learn from.",
                "Add pictures of it to the training folder, or remove the class.",
            )
    if not parts.val:
        raise StudioError(
            "There are too few pictures to keep some apart for judging.",
            "Give at least one class two different pictures that are not kept together as a group.",
        )
    return parts


def unjudged(index: DatasetIndex, parts: Split) -> list[str]:
    """Return the classes that teach and have no picture to be judged on, because what they have is one group."""
    judged = {index.images[position].class_index for position in parts.held_out()[1]}
    return [name for number, name in enumerate(index.classes) if number not in judged]


def hold_out(targets: Sequence[int], groups: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return positions (staying, held out), stratified: about `fraction` of every class is held out.

    Pictures of one group stay together, whatever their classes. Every class keeps a group, and a class with two groups
    or more has one held out, unless groups that lie in several classes leave no way to do both: then it stays.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    parts = list(members.values())
    shares = [Counter(targets[position] for position in positions) for positions in parts]
    wanted = {target: fraction * count for target, count in Counter(targets).items()}
    judgeable = [
        target for target, count in Counter(target for share in shares for target in share).items() if count > 1
    ]
    rng = np.random.default_rng(seed)
    best: list[int] = []
    best_distance = float("inf")
    for _ in range(TRIES):
        taken, held = _draw(shares, wanted, rng.permutation(len(parts)).tolist())
        off = {target: abs(held[target] - wanted[target]) for target in judgeable}
        distance = sum(off[target] / wanted[target] for target in judgeable)
        if distance < best_distance:
            best, best_distance = taken, distance
        if all(off[target] <= max(0.5, 1 - wanted[target]) for target in judgeable):
            break
    out = sorted(position for number in best for position in parts[number])
    is_out = set(out)
    return [position for position in range(len(targets)) if position not in is_out], out


def _draw(
    shares: Sequence[Counter[int]], wanted: Mapping[int, float], order: Sequence[int]
) -> tuple[list[int], Counter[int]]:
    """Return which groups are held out, taken in this order, and how many pictures of every class that is.

    `shares` are the classes of each group's pictures.
    """
    left = Counter(target for share in shares for target in share)
    held: Counter[int] = Counter()
    taken = []

    def take(number: int) -> None:
        taken.append(number)
        held.update(shares[number])
        left.subtract(shares[number].keys())

    def spares_all(number: int) -> bool:
        return all(left[target] > 1 for target in shares[number])

    for number in order:
        gain = sum(
            (abs(wanted[target] - held[target]) - abs(wanted[target] - held[target] - count)) / wanted[target]
            for target, count in shares[number].items()
        )
        if gain >= 0 and spares_all(number):
            take(number)
    missing = {target for target in wanted if not held[target] and left[target] > 1}
    if missing:
        for number in sorted(order, key=lambda number: shares[number].total()):
            if missing & shares[number].keys() and spares_all(number):
                take(number)
                missing -= shares[number].keys()
    return taken, held


def folds(targets: Sequence[int], groups: Sequence[str], count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return (teaching, judged) positions a fold: large groups first, each goes where its classes have fewest pictures.

    No group lies on both sides, and one rare class spoils no other: a picture is judged once, or teaches in every fold
    with its group if nothing else of a class in that would. Empty unless two classes have two groups each.
    """
    rng = np.random.default_rng(seed)
    classes = np.asarray(targets)
    first, number_of = np.unique(np.asarray(groups), return_index=True, return_inverse=True)[1:]
    shares: list[Counter[int]] = [Counter() for _ in first]
    for target, number in zip(classes.tolist(), number_of.tolist(), strict=True):
        shares[number][target] += 1
    groups_of = Counter(target for share in shares for target in share)
    if sum(number >= 2 for number in groups_of.values()) < 2:
        return []
    totals = Counter(classes.tolist())
    loads: list[Counter[int]] = [Counter() for _ in range(count)]
    fold_of = np.zeros(len(first), int)
    dealt = 0
    for target in np.unique(classes):
        shuffled = rng.permutation(np.flatnonzero(classes[first] == target)).tolist()
        for number in sorted(shuffled, key=lambda number: -shares[number].total()):
            share = shares[number]
            fold = min(
                ((dealt + turn) % count for turn in range(count)),
                key=lambda fold: sum(loads[fold][target] / totals[target] for target in share),
            )
            loads[fold].update(share)
            fold_of[number] = fold
            dealt += 1
    found = []
    for number in range(count):
        in_fold = fold_of[number_of] == number
        untaught = in_fold & ~np.isin(classes, classes[~in_fold])
        judges = in_fold & ~np.isin(number_of, number_of[untaught])
        if judges.any():
            found.append((np.flatnonzero(~judges).tolist(), np.flatnonzero(judges).tolist()))
    return found
