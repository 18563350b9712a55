"""What a split that tears groups apart would have claimed, beside what the split that keeps them together shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.events import Emit, Notice, ShouldStop
from tlstudio.core.groups import content_of
from tlstudio.core.split import Split, hold_out
from tlstudio.engine.heads import fit_head

RANDOM_SPLITS = 3
MOST_IMAGES = 4000
"""Of more pictures so many are compared, in whole groups: the difference shows all the same."""


class BothAccuracies(msgspec.Struct, frozen=True):
    """Of new linear heads on the same features: `random` on splits that tear groups apart, `grouped` on the run's."""

    random: float
    grouped: float

    def notice(self) -> Notice:
        """Return both for the user to read."""
        return Notice(
            code="honest-split",
            what=f"A split that tears groups apart would have claimed {self.random:.1%}; this one, which keeps them "
            f"together, shows {self.grouped:.1%} for the same kind of head.",
            hint="Expect the lower of the two on pictures of things that the model has never seen.",
        )


def both_accuracies(
    index: DatasetIndex, parts: Split, features: np.ndarray, seed: int, emit: Emit, should_stop: ShouldStop
) -> BothAccuracies | None:
    """Return both accuracies, or None if no group has different pictures, the folders made the split, or on a stop.

    `features` has a row for every picture of the index; maps are averaged. Nothing is chosen by the result.
    """
    contents = [content_of(image) for image in index.images]
    groups = [image.kept_with for image in index.images]
    positions = _sample([*parts.train, *parts.val], groups, seed)
    if not parts.made_by.startswith("seed") or not _have_different(contents, groups, positions):
        return None
    rows = features.reshape(*features.shape[:2], -1).mean(2)
    targets = np.array([image.class_index for image in index.images])

    def accuracy(teaching: Sequence[int], judged: Sequence[int], together: Sequence[str]) -> float:
        kept_with = [together[position] for position in teaching]
        head = fit_head(rows[teaching], targets[teaching], kept_with, len(index.classes), seed, emit, should_stop)
        return float((head.logits(rows[judged]).argmax(1) == targets[judged]).mean())

    chosen = set(positions)
    train = [position for position in parts.train if position in chosen]
    val = [position for position in parts.val if position in chosen]
    if not train or not val:
        return None
    grouped = accuracy(train, val, groups)
    random = []
    for draw in range(RANDOM_SPLITS):
        stay, out = hold_out(
            targets[positions].tolist(), [contents[i] for i in positions], len(val) / len(positions), seed + draw
        )
        if should_stop():
            return None
        random.append(accuracy([positions[i] for i in stay], [positions[i] for i in out], contents))
    return None if should_stop() else BothAccuracies(float(np.mean(random)), grouped)


def _sample(positions: Sequence[int], groups: Sequence[str], seed: int) -> list[int]:
    """Return all positions, or of very many some whole groups."""
    if len(positions) <= MOST_IMAGES:
        return list(positions)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for position in positions:
        members[groups[position]].append(position)
    drawn = np.random.default_rng(seed).permutation(sorted(members))
    sample: list[int] = []
    for group in drawn:
        if len(sample) >= MOST_IMAGES:
            break
        sample += members[group]
    return sample


def _have_different(contents: Sequence[str], groups: Sequence[str], positions: Sequence[int]) -> bool:
    """Return whether some group among these positions has several different pictures."""
    first: dict[str, str] = {}
    return any(first.setdefault(groups[position], contents[position]) != contents[position] for position in positions)
