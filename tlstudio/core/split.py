"""Which pictures teach and which ones judge. Copies never cross a line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.errors import StudioError

VAL_FRACTION = 0.2


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
    taught = {index.images[i].class_index for i in by_part["train"]}
    for number, name in enumerate(index.classes):
        if number not in taught:
            raise StudioError(
                f"Class “{name}” has no picture to learn from.",
                "Add pictures of it to the training folder, or remove the class.",
            )
    if not by_part["val"]:
        raise StudioError(
            "There are too few pictures to keep some apart for judging.",
            "Give at least one class two different pictures.",
        )
    return Split(tuple(by_part["train"]), tuple(by_part["val"]), tuple(by_part["test"]), made_by)


def hold_out(targets: Sequence[int], groups: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return positions (staying, held out), stratified: about `fraction` of every class is held out.

    Pictures of one group stay together. Every class with two groups or more has at least one picture on each side;
    a class with a single group stays.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    by_class: defaultdict[int, list[list[int]]] = defaultdict(list)
    for positions in members.values():
        by_class[targets[positions[0]]].append(positions)
    rng = np.random.default_rng(seed)
    out: list[int] = []
    for target in sorted(by_class):
        of_class = by_class[target]
        if len(of_class) == 1:
            continue
        wanted = fraction * sum(len(positions) for positions in of_class)
        shuffled = [of_class[number] for number in rng.permutation(len(of_class))]
        taken: list[int] = []
        for positions in shuffled[:-1]:
            if len(taken) + len(positions) / 2 <= wanted:
                taken += positions
        if not taken:
            taken = min(shuffled, key=len)
        out += taken
    held = set(out)
    return [i for i in range(len(targets)) if i not in held], sorted(held)


def folds(targets: Sequence[int], groups: Sequence[str], count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return (teaching, judged) positions a fold: the groups of every class are dealt out in turn.

    No group lies on both sides, and one rare class spoils no other: a picture is judged once, or teaches in every fold
    if nothing else of its class would. Empty unless two classes have two groups each.
    """
    rng = np.random.default_rng(seed)
    classes = np.asarray(targets)
    first, number_of = np.unique(np.asarray(groups), return_index=True, return_inverse=True)[1:]
    fold_of = np.zeros(len(first), int)
    dealt, judgeable = 0, 0
    for target in np.unique(classes):
        own = rng.permutation(np.flatnonzero(classes[first] == target))
        fold_of[own] = (dealt + np.arange(len(own))) % count
        dealt += len(own)
        judgeable += len(own) >= 2
    if judgeable < 2:
        return []
    found = []
    for number in range(count):
        # A group that lies in two classes may leave one of them without a teacher: its pictures are not judged then.
        judged = np.flatnonzero(fold_of[number_of] == number)
        teaching = np.setdiff1d(np.arange(len(classes)), judged)
        judged = judged[np.isin(classes[judged], classes[teaching])]
        if len(judged):
            found.append((np.setdiff1d(np.arange(len(classes)), judged).tolist(), judged.tolist()))
    return found
