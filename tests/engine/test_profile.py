"""The profile of features whose kind is known, against scikit-learn used plainly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlstudio.core.advice import Profile
from tlstudio.core.events import Event, Progress, Stopped
from tlstudio.engine.profile import measure_profile, measuring_order

CHANNELS = (10, 20, 60)
NAMES = ("edges", "parts", "objects")
STARTS = (0, 10, 30)


def drawn(images: int, classes: int, told: dict[int, float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (features, targets): noise, where block b tells classes apart by `told[b]` standard deviations."""
    rng = np.random.default_rng(seed)
    targets = np.arange(images) % classes
    features = rng.normal(size=(images, sum(CHANNELS))).astype(np.float32)
    for block, distance in told.items():
        centres = np.eye(classes) * distance
        features[:, STARTS[block] : STARTS[block] + classes] += centres[targets]
    return features, targets


def measured(features: np.ndarray, targets: np.ndarray, groups: list[str] | None = None, **changes) -> Profile:
    found = measure_profile(features, CHANNELS, NAMES, targets, groups or names(targets), 0, **changes)
    assert found is not None
    return found


def names(targets: np.ndarray) -> list[str]:
    return [str(i) for i in range(len(targets))]


def test_accuracies_are_those_of_the_plain_pipeline() -> None:
    features, targets = drawn(800, 4, {0: 1.0, 1: 2.0, 2: 3.0})
    profile = measured(features, targets)
    assert profile.images == 800 and [depth.block for depth in profile.depths] == list(NAMES)
    for depth, start, channels in zip(profile.depths, STARTS, CHANNELS, strict=True):
        block = features[:, start : start + channels]
        plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        accuracy = (cross_val_predict(plain, block, targets, cv=5) == targets).mean()
        assert depth.accuracy == pytest.approx(accuracy, abs=0.04)
        assert depth.standard_error == pytest.approx(np.sqrt(depth.accuracy * (1 - depth.accuracy) / 800))
    assert profile.depths[0].joined_accuracy == profile.depths[0].accuracy
    assert profile.joined.accuracy == profile.depths[-1].joined_accuracy > profile.depths[-1].accuracy - 0.03


def test_classes_that_only_the_last_block_tells_apart() -> None:
    profile = measured(*drawn(200, 4, {2: 4.0}))
    value, low, high = profile.similarity
    assert value > 0.8 and low > 0.65 and low <= value <= high
    assert profile.cut == 2


def test_classes_that_the_last_block_has_forgotten() -> None:
    profile = measured(*drawn(200, 4, {0: 4.0}))
    value, low, high = profile.similarity
    assert -1 <= low <= value <= high < 0
    assert profile.cut == 0
    assert profile.cut_gain == pytest.approx(profile.depths[0].accuracy - profile.depths[2].accuracy)
    assert profile.cut_gain > 10 * profile.cut_gain_standard_error > 0


def test_blocks_that_help_each_other_are_joined() -> None:
    profile = measured(*drawn(400, 4, {0: 2.0, 1: 2.0}))
    middle = profile.depths[1]
    assert middle.joined_accuracy > max(profile.depths[0].accuracy, middle.accuracy) + 2 * middle.standard_error
    assert profile.cut == 1


def test_a_block_of_many_channels_does_not_drown_one_of_few() -> None:
    features, targets = drawn(150, 3, {0: 1.5})
    wide = np.random.default_rng(1).normal(size=(150, 2000)).astype(np.float32)
    joined = np.concatenate([features[:, :10], wide], 1)
    profile = measure_profile(joined, (10, 2000), ("edges", "objects"), targets, names(targets), 0)
    assert profile is not None
    assert profile.joined.accuracy > profile.depths[1].accuracy + 0.2


def test_more_pictures_make_the_likeness_more_certain() -> None:
    def width(images: int) -> float:
        _, low, high = measured(*drawn(images, 2, {1: 1.5, 2: 2.5})).similarity
        return high - low

    assert width(800) < 0.7 * width(80)


def test_without_mistakes_there_is_nothing_to_compare() -> None:
    value, low, high = measured(*drawn(60, 2, {0: 12.0, 1: 12.0, 2: 12.0})).similarity
    assert value == 0 and low < -0.9 and high > 0.9


def test_copies_do_not_pretend_to_be_learnt() -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(60, 90)).astype(np.float32), 4, axis=0)
    targets = np.repeat(rng.permutation(np.arange(60) % 2), 4)
    together = measured(features, targets, np.repeat(np.arange(60), 4).astype(str).tolist())
    apart = measured(features, targets)
    assert together.depths[2].accuracy < 0.7 < 0.9 < apart.depths[2].accuracy


def test_twice_as_many_pictures() -> None:
    hard = measured(*drawn(120, 4, {2: 1.5}))
    assert hard.doubling_gain is not None and hard.doubling_gain > 2 * hard.doubling_standard_error > 0
    easy = measured(*drawn(400, 2, {2: 8.0}))
    assert easy.doubling_gain == pytest.approx(0, abs=0.01)
    assert measured(*drawn(120, 4, {2: 1.5}), quick=True).doubling_gain is None


def test_one_rare_class_spoils_nothing() -> None:
    features, targets = drawn(121, 2, {2: 4.0})
    targets[-1] = 2
    assert measured(features, targets).depths[2].accuracy > 0.9


def test_many_classes_of_few_pictures() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(30), 2)
    features = (rng.normal(size=(30, 90))[targets] + 0.1 * rng.normal(size=(60, 90))).astype(np.float32)
    assert measured(features, targets).depths[2].accuracy > 0.8


def test_nothing_can_be_told_of_classes_with_one_picture() -> None:
    features, _ = drawn(4, 2, {})

    def found(targets: list[int], groups: list[str]) -> Profile | None:
        return measure_profile(features, CHANNELS, NAMES, np.array(targets), groups, 0)

    assert found([0, 0, 0, 1], ["a", "b", "c", "d"]) is None
    assert found([0, 0, 1, 1], ["a", "b", "c", "c"]) is None
    assert found([0, 0, 1, 1], ["a", "b", "c", "d"]) is not None


def test_the_same_seed_gives_the_same_profile() -> None:
    features, targets = drawn(100, 2, {1: 1.0, 2: 1.0})
    assert measured(features, targets) == measured(features, targets)


def test_how_far_it_is_and_stopping() -> None:
    said: list[Event] = []
    measured(*drawn(60, 2, {2: 2.0}), emit=said.append)
    last = said[-1]
    assert isinstance(last, Progress) and last.done == last.total
    with pytest.raises(Stopped):
        measured(*drawn(60, 2, {2: 2.0}), should_stop=lambda: True)


def test_every_beginning_has_the_classes_proportions() -> None:
    targets = np.repeat([0, 1, 2], [600, 300, 60])
    order = measuring_order(targets, seed=1)
    assert sorted(order) == list(range(960))
    for count in (64, 160, 400):
        counts = np.bincount(targets[order[:count]], minlength=3)
        assert np.abs(counts - count * np.array([600, 300, 60]) / 960).max() <= 1.5
    assert order == measuring_order(targets, seed=1) != measuring_order(targets, seed=2)


def test_of_very_many_pictures_a_sample_is_taken() -> None:
    targets = np.repeat([0, 1, 2, 3], [9000, 6000, 20, 3])
    order = measuring_order(targets, seed=0)
    assert len(set(order)) == len(order) <= 1510
    assert np.bincount(targets[order])[2:].tolist() == [5, 3]
