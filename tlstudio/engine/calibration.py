"""Losses, fair comparisons of two models, and the temperature that makes probabilities honest."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

TEMPERATURE_PRIOR_SD = 0.35
"""Of the logarithm of the temperature, before any picture was seen."""


def negative_log_likelihood(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats of targets (images,) under logits (images, classes)."""
    return float(_losses(logits, targets).mean())


def balanced_nll(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean over classes of each class's mean negative log-likelihood."""
    losses = _losses(logits, targets)
    return float(np.mean([losses[targets == target].mean() for target in np.unique(targets)]))


def calibrated(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the logits at the temperature that suits these pictures best.

    Networks are compared so: on a few pictures that all are right about, the more certain one would win otherwise,
    and certainty is what fine-tuning adds first.
    """
    return logits / fit_temperature(logits, targets, prior_sd=np.inf)


def clearly_better(challenger: np.ndarray, champion: np.ndarray, targets: np.ndarray) -> bool:
    """Return whether the challenger's loss is lower by more than two standard errors, and its balanced loss lower too.

    Both are logits (images, classes) on the same pictures, so that the differences are paired, and both are compared
    calibrated. One standard error is not enough: the challenger is the best of many states on these very pictures.
    """
    challenger, champion = calibrated(challenger, targets), calibrated(champion, targets)
    gains = _losses(champion, targets) - _losses(challenger, targets)
    if len(gains) < 2 or gains.mean() <= 2 * gains.std(ddof=1) / np.sqrt(len(gains)):
        return False
    return balanced_nll(challenger, targets) < balanced_nll(champion, targets)


def fit_temperature(
    logits: np.ndarray, targets: np.ndarray, prior_sd: float = TEMPERATURE_PRIOR_SD, factor: float = 4.0
) -> float:
    """Return the number, 1/factor to factor, by which logits are best divided on these held-out pictures.

    A mild prior around 1 keeps a handful of pictures without a mistake from making the model certain of everything.
    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    found = minimize_scalar(
        lambda log_t: (
            negative_log_likelihood(logits / np.exp(log_t), targets) + log_t**2 / (2 * prior_sd**2 * len(targets))
        ),
        bounds=(-np.log(factor), np.log(factor)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _losses(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    losses: np.ndarray = -log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    return losses
