"""Losses against scikit-learn, temperatures against known ones, comparisons against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from tlstudio.engine.calibration import balanced_nll, clearly_better, fit_temperature, negative_log_likelihood


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
