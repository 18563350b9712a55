"""Heads against scikit-learn used plainly, and choices against what may be known when they are made."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from tlstudio.core.events import Event, Progress, ignore, never
from tlstudio.engine.heads import C_VALUES, FLAT_COLUMN, Standardiser, fit_head
from tlstudio.engine.trained_heads import fit_conv, fit_mlp


def blobs(count: int, classes: int, width: int, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(7).normal(size=(classes, width)) * 3 + 5
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    return (centres[targets] + rng.normal(size=(count, width)) * spread * np.sqrt(width)).astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("width", [6, 300])
def test_the_layer_gives_the_pipelines_probabilities(classes: int, width: int) -> None:
    features, targets = blobs(80, classes, width, seed=1)
    head = fit_head(features, targets, [str(i) for i in range(80)], classes, seed=0)
    fresh, _ = blobs(50, classes, width, seed=2)
    scale = np.sqrt(features.var(0) + FLAT_COLUMN**2 * features.var(0).mean())
    plain = LogisticRegression(C=head.c, max_iter=2000).fit((features - features.mean(0)) / scale, targets)
    expected = plain.predict_proba((fresh - features.mean(0)) / scale)
    assert head.c in C_VALUES["linear"]
    assert np.allclose(softmax(head.logits(fresh), axis=1), expected, atol=5e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_radial_kernel_gives_scikit_learns_margins(classes: int) -> None:
    features, targets = blobs(60, classes, 8, seed=1)
    head = fit_head(features, targets, [str(i) for i in range(60)], classes, seed=0, kind="svm-rbf")
    fresh, _ = blobs(40, classes, 8, seed=2)
    standardise = Standardiser(features)
    plain = OneVsRestClassifier(SVC(C=head.c, gamma="scale")).fit(standardise(features), targets)
    expected = plain.decision_function(standardise(fresh))
    ours = head.logits(fresh)
    assert np.allclose(ours[:, 1] if classes == 2 else ours, expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["linear", "svm", "svm-rbf", "mlp"])
def test_every_kind_tells_blobs_apart_and_is_honest_about_it(kind: str) -> None:
    features, targets = blobs(120, 3, 20, seed=1, spread=0.6)
    groups = [str(i) for i in range(120)]
    if kind == "mlp":
        head = fit_mlp(features, targets, groups, 3, 0, ignore, never)
    else:
        head = fit_head(features, targets, groups, 3, seed=0, kind=kind)
    fresh, truth = blobs(90, 3, 20, seed=2, spread=0.6)
    probabilities = softmax(head.logits(fresh) / head.temperature, axis=1)
    right = probabilities.argmax(1) == truth
    assert right.mean() > 0.85
    assert abs(probabilities.max(1).mean() - right.mean()) < 0.12


def test_a_stop_while_the_epochs_are_chosen_keeps_the_best_network_so_far() -> None:
    features, targets = blobs(120, 3, 20, seed=1, spread=0.6)
    asked = iter(range(1000))
    head = fit_mlp(features, targets, [str(i) for i in range(120)], 3, 0, ignore, lambda: next(asked) >= 20)
    fresh, truth = blobs(90, 3, 20, seed=2, spread=0.6)
    assert (head.logits(fresh).argmax(1) == truth).mean() > 0.8


def test_a_convolutional_head_sees_where_things_are() -> None:
    """Horizontal and vertical edges have the same mean: pooled features cannot tell them apart, maps can."""
    rng = np.random.default_rng(0)
    targets = np.arange(80) % 2
    maps = rng.normal(size=(80, 3, 6, 6)).astype(np.float32)
    for image, target in zip(maps, targets, strict=True):
        stripes = np.tile([2.0, -2.0], 3)
        image[0] += stripes[:, None] if target else stripes[None]
    head = fit_conv(maps[:60], targets[:60], [str(i) for i in range(60)], 2, 0, ignore, never, 1)
    assert (head.logits(maps[60:]).argmax(1) == targets[60:]).mean() > 0.9


def test_a_feature_that_slept_in_training_does_not_outvote_the_others() -> None:
    features, targets = blobs(80, 2, 10, seed=1, spread=0.6)
    rng = np.random.default_rng(0)
    asleep = rng.normal(size=(80, 1)) * 1e-6
    head = fit_head(
        np.concatenate([features, asleep], 1).astype(np.float32), targets, [str(i) for i in range(80)], 2, seed=0
    )
    fresh, truth = blobs(60, 2, 10, seed=2, spread=0.6)
    awake = rng.normal(size=(60, 1))
    assert (head.logits(np.concatenate([fresh, awake], 1)).argmax(1) == truth).mean() > 0.9


def test_joined_blocks_weigh_the_same() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(50, 2)) * 100, rng.normal(size=(50, 200)) * 0.01], 1)
    standardised = Standardiser(features, [2, 200])(features)
    of_first, of_second = (standardised[:, :2] ** 2).sum(), (standardised[:, 2:] ** 2).sum()
    assert of_first == pytest.approx(of_second, rel=0.05)


def test_rare_classes_get_their_weight_where_that_gains() -> None:
    rng = np.random.default_rng(0)
    targets = np.r_[np.zeros(180, int), np.ones(20, int)]
    features = (rng.normal(size=(200, 3)) + targets[:, None] * 0.9).astype(np.float32)
    head = fit_head(features, targets, [str(i) for i in range(200)], 2, seed=0)
    truth = np.r_[np.zeros(500, int), np.ones(500, int)]
    fresh = rng.normal(size=(1000, 3)) + truth[:, None] * 0.9
    plain = LogisticRegression(C=head.c).fit(features, targets)
    recall = (head.logits(fresh).argmax(1)[500:] == 1).mean()
    assert recall > (plain.predict(fresh)[500:] == 1).mean() + 0.2


def test_views_teach_but_do_not_judge() -> None:
    """Views that contradict their pictures make the held-out loss worse; they are not what is judged."""
    features, targets = blobs(60, 2, 6, seed=1, spread=0.6)
    groups = [str(i) for i in range(60)]
    swapped = features[np.argsort(targets, kind="stable")[::-1]][np.argsort(np.argsort(targets, kind="stable"))]
    alone = fit_head(features, targets, groups, 2, seed=0)
    helped = fit_head(features, targets, groups, 2, seed=0, views=np.stack([features]))
    misled = fit_head(features, targets, groups, 2, seed=0, views=np.stack([swapped, swapped]))
    assert helped.cv_nll == pytest.approx(alone.cv_nll, rel=0.3) and misled.cv_nll > 2 * alone.cv_nll
    assert helped.held_out is not None and helped.held_out.shape == (60, 2)


def test_copies_do_not_make_the_penalty_too_weak() -> None:
    """Random targets cannot be learnt. Copies on both sides of a fold would pretend they can."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(30, 40)).astype(np.float32), 4, axis=0)
    targets = np.repeat(rng.permutation(np.arange(30) % 2), 4)
    together = fit_head(features, targets, np.repeat(np.arange(30), 4).astype(str).tolist(), 2, seed=0)
    apart = fit_head(features, targets, [str(i) for i in range(120)], 2, seed=0)
    assert together.cv_nll > 0.6 > apart.cv_nll
    assert together.c < apart.c


def test_a_class_with_one_picture_is_still_taught() -> None:
    features, targets = blobs(21, 3, 10, seed=3)
    lonely = np.r_[np.flatnonzero(targets != 2), np.flatnonzero(targets == 2)[:1]]
    head = fit_head(features[lonely], targets[lonely], [str(i) for i in lonely], 3, seed=0)
    assert head.judged is not None and sorted(head.judged) == list(range(14)), "the lonely one only teaches"
    logits = head.logits(features)
    assert logits.shape == (21, 3) and np.isfinite(logits).all()
    assert head.c in C_VALUES["linear"] and np.isfinite(head.cv_nll)


def test_a_picture_that_lies_in_two_classes_is_no_obstacle() -> None:
    """One group lies in both classes: no fold may learn from one class alone."""
    features = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    head = fit_head(features, np.array([0, 1, 1, 1, 0]), ["0", "4", "4", "1", "1"], 2, seed=1)
    assert np.isfinite(head.logits(features)).all() and head.temperature > 0


def test_fitting_says_how_far_it_is() -> None:
    features, targets = blobs(40, 2, 10, seed=0)
    said: list[Event] = []
    fit_head(features, targets, [str(i) for i in range(40)], 2, seed=0, emit=said.append)
    assert said and all(isinstance(event, Progress) and 0 < event.done <= event.total for event in said)
