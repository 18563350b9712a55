"""Heads against scikit-learn used plainly, and choices against what may be known when they are made."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlstudio.core.events import Event, Progress
from tlstudio.engine.heads import (
    C_VALUES,
    balanced_nll,
    clearly_better,
    fit_head,
    fit_temperature,
    negative_log_likelihood,
)


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
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=head.c, max_iter=2000)).fit(features, targets)
    fresh, _ = blobs(50, classes, width, seed=2)
    assert head.c in C_VALUES
    assert np.allclose(softmax(head.logits(fresh), axis=1), pipeline.predict_proba(fresh), atol=5e-3)


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
    assert head.weight.shape == (3, 10)
    assert head.temperature == 1.0
    assert np.isfinite(head.weight).all() and np.isfinite(head.bias).all()


def test_temperature_undoes_a_known_scale() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 3)) * 2
    targets = np.array([rng.choice(3, p=row) for row in softmax(honest, axis=1)])
    assert fit_temperature(honest * 2.5, targets) == pytest.approx(2.5, rel=0.08)
    assert fit_temperature(honest / 2, targets) == pytest.approx(0.5, rel=0.08)


def test_a_few_faultless_pictures_do_not_make_the_model_certain() -> None:
    logits = np.eye(2)[np.arange(12) % 2] * 6
    assert 0.8 < fit_temperature(logits, np.arange(12) % 2) <= 1.0


def test_losses_against_scikit_learn_and_by_hand() -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(30, 3)), np.r_[np.zeros(20, int), np.ones(6, int), np.full(4, 2)]
    assert negative_log_likelihood(logits, targets) == pytest.approx(log_loss(targets, softmax(logits, axis=1)))
    by_class = [negative_log_likelihood(logits[targets == k], targets[targets == k]) for k in range(3)]
    assert balanced_nll(logits, targets) == pytest.approx(np.mean(by_class))


def test_a_challenger_must_win_by_more_than_chance() -> None:
    rng = np.random.default_rng(2)
    targets = np.arange(60) % 2
    champion = np.where(np.eye(2)[targets] == 1, 1.0, 0.0) + rng.normal(size=(60, 2))
    better = champion + np.eye(2)[targets] * 1.0
    noise = champion + rng.normal(size=(60, 2)) * 0.5
    assert clearly_better(better, champion, targets)
    assert not clearly_better(champion, better, targets)
    assert not clearly_better(champion, champion, targets)
    assert not clearly_better(noise, champion, targets)


def test_more_certain_is_not_better() -> None:
    rng = np.random.default_rng(3)
    targets = np.arange(60) % 2
    champion = np.eye(2)[targets] * 3 + rng.normal(size=(60, 2)) * 0.5
    assert (champion.argmax(1) == targets).all()
    assert not clearly_better(champion * 2, champion, targets)
    assert not clearly_better(champion / 2, champion, targets)


def test_a_picture_that_lies_in_two_classes_leaves_no_fold_with_one_class() -> None:
    """The groups tie class 1 to copies in class 0, so that one fold would have learned from one class alone."""
    features = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    head = fit_head(features, np.array([0, 1, 1, 1, 0]), ["0", "4", "4", "1", "1"], 2, seed=1)
    assert np.isfinite(head.weight).all() and head.temperature == 1.0


def test_fitting_says_how_far_it_is() -> None:
    features, targets = blobs(40, 2, 10, seed=0)
    said: list[Event] = []
    fit_head(features, targets, [str(i) for i in range(40)], 2, seed=0, emit=said.append)
    assert said and all(isinstance(event, Progress) and 0 < event.done <= event.total for event in said)
