"""Splits are stratified, seeded and never let copies cross: checked over many drawn data sets."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from tlstudio.core.dataset import DatasetIndex, ImageRecord, Part
from tlstudio.core.errors import StudioError
from tlstudio.core.split import Split, folds, hold_out, split, unjudged


def index_of(rows: list[tuple[int, Part | None, str]]) -> DatasetIndex:
    """Return an index of (class, part, content) rows."""
    classes = tuple(f"class {number}" for number in range(1 + max(row[0] for row in rows)))
    images = tuple(ImageRecord(f"{n}.png", c, part, content, 8, 8) for n, (c, part, content) in enumerate(rows))
    return DatasetIndex(("folder",), classes, images, (), 0.0)


def plain(counts: list[int], part: Part | None = None) -> list[tuple[int, Part | None, str]]:
    return [(number, part, f"{part}{number}-{i}") for number, count in enumerate(counts) for i in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_properties_of_hold_out(seed):
    rng = np.random.default_rng(seed)
    targets, groups = [], []
    for target in range(rng.integers(2, 6)):
        for group in range(rng.integers(1, 30)):
            copies = int(rng.choice([1, 1, 1, 2, 5]))
            targets += [target] * copies
            groups += [f"{target}-{group}"] * copies
    order = rng.permutation(len(targets))
    targets, groups = [targets[i] for i in order], [groups[i] for i in order]
    fraction = float(rng.choice([0.1, 0.2, 0.5]))

    stay, out = hold_out(targets, groups, fraction, seed)

    assert sorted(stay + out) == list(range(len(targets)))
    assert hold_out(targets, groups, fraction, seed) == (stay, out)
    assert not {groups[i] for i in stay} & {groups[i] for i in out}
    for target in set(targets):
        sizes = Counter(group for t, group in zip(targets, groups, strict=True) if t == target)
        held = sum(targets[i] == target for i in out)
        assert any(targets[i] == target for i in stay)
        if len(sizes) == 1:
            assert held == 0
        else:
            assert held >= 1
            assert held <= max(fraction * sum(sizes.values()) + max(sizes.values()) / 2, min(sizes.values()))


def test_singles_are_held_out_in_the_exact_proportion():
    targets = [0] * 50 + [1] * 10
    stay, out = hold_out(targets, [str(i) for i in range(60)], 0.2, seed=3)
    assert Counter(targets[i] for i in out) == {0: 10, 1: 2}
    assert len(stay) == 48


def test_one_large_group_of_copies_does_not_empty_the_teaching_side():
    targets = [0] * 100
    groups = ["burst"] * 60 + [str(i) for i in range(40)]
    for seed in range(50):
        _, out = hold_out(targets, groups, 0.2, seed)
        assert len(out) == 20


def test_seeds_matter_and_are_drawn_evenly():
    targets, groups = [0] * 10 + [1] * 10, [str(i) for i in range(20)]
    drawn = Counter(i for seed in range(400) for i in hold_out(targets, groups, 0.2, seed)[1])
    # 400 draws of 2 in 10: mean 80, standard deviation 8 a picture.
    assert set(drawn) == set(range(20)) and all(40 < count < 120 for count in drawn.values())


def test_folders_without_parts_are_split_by_seed():
    parts = split(index_of(plain([10, 20])), seed=4)
    assert parts.made_by == "seed 4" and parts.test == ()
    assert (len(parts.train), len(parts.val)) == (24, 6)
    assert parts.held_out() == ("val", parts.val)


def test_the_user_s_own_parts_are_kept():
    rows = plain([3, 3], "train") + plain([2, 2], "val") + plain([1, 1], "test")
    assert split(index_of(rows), seed=9) == Split(tuple(range(6)), tuple(range(6, 10)), (10, 11), "folders")
    assert split(index_of(rows), seed=9).held_out() == ("test", (10, 11))


def test_train_and_test_without_val_take_val_from_train():
    rows = plain([10, 10], "train") + plain([4, 4], "test")
    parts = split(index_of(rows), seed=1)
    assert parts.test == tuple(range(20, 28))
    assert len(parts.val) == 4 and set(parts.val) < set(range(20))
    assert parts.made_by == "folders; val by seed 1"


def test_a_class_that_nothing_teaches_is_refused():
    rows = [*plain([3], "train"), (1, "val", "only here")]
    with pytest.raises(StudioError, match="Class “class 1” has no picture to learn from"):
        split(index_of(rows), seed=0)


def test_too_few_pictures_to_judge_are_refused():
    with pytest.raises(StudioError, match="too few pictures"):
        split(index_of(plain([1, 1])), seed=0)


def test_a_class_of_one_picture_teaches():
    parts = split(index_of(plain([1, 10])), seed=0)
    assert 0 in parts.train


def test_copies_stay_together_and_every_picture_is_judged_once() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], [30, 12, 1]).tolist()
    groups = [f"{target}-{rng.integers(8) if target < 2 else 0}" for target in targets]
    dealt = folds(targets, groups, 3, seed=1)
    assert len(dealt) == 3
    for teaching, judging in dealt:
        assert not {groups[i] for i in teaching} & {groups[i] for i in judging}
        assert sorted(teaching + judging) == list(range(43))
        assert {targets[i] for i in judging} == {0, 1}, "the only picture of a class teaches"
    assert sorted(i for _, judging in dealt for i in judging) == list(range(42))
    assert folds([0, 1], ["a", "b"], 3, seed=0) == []


def drawn_groups(seed: int) -> tuple[list[int], list[str]]:
    """Return pictures of up to seven classes in groups of all sizes, a fifth of which lie in two or three classes."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 8))
    targets, groups = [], []
    for group in range(int(rng.integers(classes, 60))):
        of_group = rng.choice(classes, min(classes, int(rng.choice([1, 1, 1, 1, 2, 3]))), replace=False)
        for target in of_group:
            size = int(rng.choice([1, 1, 2, 3, 8, 25]))
            targets += [int(target)] * size
            groups += [f"g{group}"] * size
    order = rng.permutation(len(targets))
    return [targets[i] for i in order], [groups[i] for i in order]


def groups_of(target: int, targets: list[int], groups: list[str]) -> set[str]:
    return {group for own, group in zip(targets, groups, strict=True) if own == target}


@pytest.mark.parametrize("seed", range(150))
def test_groups_of_all_sizes_and_in_several_classes_never_cross(seed):
    targets, groups = drawn_groups(seed)
    stay, out = hold_out(targets, groups, 0.2, seed)
    assert sorted(stay + out) == list(range(len(targets)))
    assert not {groups[i] for i in stay} & {groups[i] for i in out}
    assert {targets[i] for i in stay} == set(targets), "every class is taught"
    for target in set(targets) - {targets[i] for i in out}:
        # What is not judged has a single group, or none that could be held out with every class still taught.
        own = groups_of(target, targets, groups)
        taught = {group: {targets[i] for i in stay if groups[i] != group} for group in own}
        assert len(own) == 1 or all(left != set(targets) for left in taught.values())
    assert hold_out(targets, groups, 0.2, seed) == (stay, out)


@pytest.mark.parametrize("seed", range(150))
def test_folds_keep_groups_together_and_teach_what_they_judge(seed):
    targets, groups = drawn_groups(seed)
    dealt = folds(targets, groups, 4, seed)
    judged_once = Counter(i for _, judged in dealt for i in judged)
    assert set(judged_once.values()) <= {1}
    for teaching, judged in dealt:
        assert sorted(teaching + judged) == list(range(len(targets)))
        assert not {groups[i] for i in teaching} & {groups[i] for i in judged}
        assert {targets[i] for i in judged} <= {targets[i] for i in teaching}


def test_fractions_come_close_where_groups_are_of_different_sizes():
    """Over many structures the held-out share of a class is off by no more than a fraction of a typical group."""
    off = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        targets, groups = [], []
        for target in range(3):
            for group in range(12):
                size = int(rng.integers(1, 16))
                targets += [target] * size
                groups += [f"{target}-{group}"] * size
        _, out = hold_out(targets, groups, 0.2, seed)
        held, all_of = Counter(targets[i] for i in out), Counter(targets)
        off += [abs(held[t] / all_of[t] - 0.2) for t in range(3)]
    assert np.mean(off) < 0.015 and max(off) < 0.08


def test_folds_are_of_one_size_where_groups_are_not():
    rng = np.random.default_rng(4)
    targets, groups = [], []
    for target in range(2):
        for group in range(30):
            size = int(rng.choice([1, 2, 20]))
            targets += [target] * size
            groups += [f"{target}-{group}"] * size
    sizes = [len(judged) for _, judged in folds(targets, groups, 5, seed=0)]
    assert max(sizes) - min(sizes) <= 10


def test_a_class_of_one_group_teaches_and_is_named():
    rows = [*plain([10, 10]), *((2, None, "one burst") for _ in range(6))]
    index = index_of(rows)
    parts = split(index, seed=0)
    assert {20, 21, 22, 23, 24, 25} <= set(parts.train)
    assert unjudged(index, parts) == ["class 2"]


def test_groups_of_the_index_decide():
    images = index_of(plain([12, 12])).images
    grouped = tuple(msgspec.structs.replace(image, group=f"g{n // 4}") for n, image in enumerate(images))
    index = msgspec.structs.replace(index_of(plain([12, 12])), images=grouped)
    parts = split(index, seed=3)
    assert len(parts.val) == 8
    assert not {grouped[i].group for i in parts.train} & {grouped[i].group for i in parts.val}


def test_the_user_s_parts_are_kept_though_groups_cross():
    rows = plain([3, 3], "train") + plain([2, 2], "val")
    images = tuple(msgspec.structs.replace(image, group="one") for image in index_of(rows).images)
    parts = split(msgspec.structs.replace(index_of(rows), images=images), seed=0)
    assert (parts.train, parts.val) == (tuple(range(6)), tuple(range(6, 10)))
