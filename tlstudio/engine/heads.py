"""New heads fitted on the features of a frozen network, and the temperature that makes their probabilities honest."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from torch import nn

from tlstudio.core.events import ShouldStop, never

C_VALUES = tuple(float(c) for c in np.logspace(-4, 2, 13))
FOLDS = 5
MANY_IMAGES = 2000
"""From here on three folds and every second C: the choice is stable, the time is not."""


class LinearHead(msgspec.Struct, frozen=True):
    """A linear layer on raw features: logits = features @ weight.T + bias; weight (classes, features) float32."""

    weight: np.ndarray
    bias: np.ndarray
    c: float
    """The inverse penalty that cross-validation chose."""
    temperature: float
    cv_nll: float
    """Mean negative log-likelihood over the folds, in nats, at the chosen C."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (images, classes) for features (images, features)."""
        return features @ self.weight.T + self.bias

    def put_into(self, layer: nn.Linear) -> None:
        """Copy weight and bias into a layer of the same shape."""
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))


def fit_head(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    classes: int,
    seed: int,
    should_stop: ShouldStop = never,
) -> LinearHead:
    """Return a logistic regression on standardised features, its scaler folded in.

    `features` (images, features) float32, `targets` (images,) int, all classes present. C and the temperature come
    from cross-validation inside these pictures; copies (equal `groups`) never fall on both sides of a fold.
    """
    values = C_VALUES if len(targets) < MANY_IMAGES else C_VALUES[::2]
    folds = _folds(features, targets, groups, seed)
    best_c, best_nll, best_logits = values[len(values) // 2], float("inf"), None
    worse = 0
    for c in values if folds else ():
        held_out = np.zeros((len(targets), classes))
        for fit, judge in folds:
            held_out[judge] = _fit(features[fit], targets[fit], classes, c).logits(features[judge])
        nll = negative_log_likelihood(held_out, targets)
        if nll < best_nll:
            best_c, best_nll, best_logits, worse = c, nll, held_out, 0
        else:
            worse += 1
        # The loss falls and then rises along C: two steps past the bottom are enough.
        if worse == 2 or should_stop():
            break
    temperature = fit_temperature(best_logits, targets) if best_logits is not None else 1.0
    fitted = _fit(features, targets, classes, best_c)
    return msgspec.structs.replace(fitted, temperature=temperature, cv_nll=best_nll)


def negative_log_likelihood(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats of targets (images,) under logits (images, classes)."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean())


def balanced_nll(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean over classes of each class's mean negative log-likelihood."""
    losses = -log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    return float(np.mean([losses[targets == target].mean() for target in np.unique(targets)]))


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the number, 1/4 to 4, by which logits are best divided on these held-out pictures.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), targets),
        bounds=(-np.log(4), np.log(4)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _folds(
    features: np.ndarray, targets: np.ndarray, groups: Sequence[str], seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (fit, judge) positions a fold; none if some class has only one distinct picture."""
    group_array = np.asarray(groups)
    rarest = min(len(np.unique(group_array[targets == target])) for target in np.unique(targets))
    count = min(FOLDS if len(targets) < MANY_IMAGES else 3, rarest)
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(features, targets, group_array))


def _fit(features: np.ndarray, targets: np.ndarray, classes: int, c: float) -> LinearHead:
    scaler = StandardScaler().fit(features)
    with warnings.catch_warnings():
        # At a weak penalty the optimum lies far out and the last digits do not matter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=c, max_iter=300).fit(scaler.transform(features), targets)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row for two classes
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weight = np.zeros((classes, features.shape[1]), np.float32)
    # A class that a fold lacks gets logits so low that it is never given, yet finite.
    bias = np.full(classes, float(intercepts.min()) - 20.0, np.float32)
    scaled = coefficients / scaler.scale_
    weight[fitted.classes_] = scaled
    bias[fitted.classes_] = intercepts - scaled @ scaler.mean_
    return LinearHead(weight, bias, c, 1.0, float("inf"))
