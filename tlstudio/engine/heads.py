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
from threadpoolctl import threadpool_limits
from torch import nn

from tlstudio.core.events import Emit, ShouldStop, ignore, never
from tlstudio.core.progress import Pace

C_VALUES = tuple(float(c) for c in np.logspace(-4, 2, 13))
FOLDS = 5
TEMPERATURE_PRIOR_SD = 0.35
"""Of the logarithm of the temperature, before any picture was seen."""
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
        logits: np.ndarray = features @ self.weight.T + self.bias
        return logits

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
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
) -> LinearHead:
    """Return a logistic regression on standardised features, its scaler folded in.

    `features` (images, features) float32, `targets` (images,) int, all classes present. C and the temperature come
    from cross-validation inside these pictures; copies (equal `groups`) never fall on both sides of a fold. A stop
    ends the search early: the best C so far is taken.
    """
    # The matrices are small: a second thread costs more in waiting than it saves, and much more on a busy computer.
    with threadpool_limits(1, "blas"):
        return _fit_head(features, targets, groups, classes, seed, emit, should_stop)


def _fit_head(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    classes: int,
    seed: int,
    emit: Emit,
    should_stop: ShouldStop,
) -> LinearHead:
    values = C_VALUES if len(targets) < MANY_IMAGES else C_VALUES[::2]
    folds = [
        (_HeadPath(features[fit], targets[fit], classes), judge)
        for fit, judge in _folds(features, targets, groups, seed)
    ]
    best_c, best_nll, best_logits = values[len(values) // 2], float("inf"), None
    worse = 0
    pace = Pace(emit, "Fitting the new head", len(values))
    for tried, c in enumerate(values if folds else (), 1):
        held_out = np.zeros((len(targets), classes))
        for path, judge in folds:
            held_out[judge] = path.fit(c).logits(features[judge])
        nll = negative_log_likelihood(held_out, targets)
        if nll < best_nll:
            best_c, best_nll, best_logits, worse = c, nll, held_out, 0
        else:
            worse += 1
        pace.step(tried)
        # The loss falls and then rises along C: two steps past the bottom are enough.
        if worse == 2 or should_stop():
            break
    temperature = fit_temperature(best_logits, targets) if best_logits is not None else 1.0
    fitted = _HeadPath(features, targets, classes).fit(best_c)
    return msgspec.structs.replace(fitted, temperature=temperature, cv_nll=best_nll)


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


def _losses(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    losses: np.ndarray = -log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    return losses


def fit_temperature(logits: np.ndarray, targets: np.ndarray, prior_sd: float = TEMPERATURE_PRIOR_SD) -> float:
    """Return the number, 1/4 to 4, by which logits are best divided on these held-out pictures.

    A mild prior around 1 keeps a handful of pictures without a mistake from making the model certain of everything.
    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    found = minimize_scalar(
        lambda log_t: (
            negative_log_likelihood(logits / np.exp(log_t), targets) + log_t**2 / (2 * prior_sd**2 * len(targets))
        ),
        bounds=(-np.log(4), np.log(4)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _folds(
    features: np.ndarray, targets: np.ndarray, groups: Sequence[str], seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (fit, judge) positions a fold; none if some class has too few distinct pictures."""
    group_array = np.asarray(groups)
    rarest = min(len(np.unique(group_array[targets == target])) for target in np.unique(targets))
    count = min(FOLDS if len(targets) < MANY_IMAGES else 3, rarest)
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = list(splitter.split(features, targets, group_array))
    # A picture that lies in two classes ties them together, and may leave a fold with one class to learn from.
    return folds if all(len(np.unique(targets[fit])) > 1 for fit, _ in folds) else []


class _HeadPath:
    """Logistic regression on one set of pictures, for one C after the other, each starting from the one before."""

    def __init__(self, features: np.ndarray, targets: np.ndarray, classes: int) -> None:
        self._targets, self._classes = targets, classes
        self._scaler = StandardScaler().fit(features)
        scaled = self._scaler.transform(features)
        # The penalty does not change when the axes are turned, and n pictures span at most n of them: with fewer
        # pictures than features the same optimum is found in a smaller space.
        self._axes: np.ndarray | None = None
        if len(scaled) < scaled.shape[1]:
            _, _, self._axes = np.linalg.svd(scaled, full_matrices=False)
            scaled = scaled @ self._axes.T
        self._scaled = scaled
        self._regression = LogisticRegression(max_iter=300, warm_start=True)

    def fit(self, c: float) -> LinearHead:
        with warnings.catch_warnings():
            # At a weak penalty the optimum lies far out and the last digits do not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = self._regression.set_params(C=c).fit(self._scaled, self._targets)
        coefficients, intercepts = fitted.coef_, fitted.intercept_
        if len(fitted.classes_) == 2:  # scikit-learn keeps one row for two classes
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        if self._axes is not None:
            coefficients = coefficients @ self._axes
        weight = np.zeros((self._classes, coefficients.shape[1]), np.float32)
        # A class that a fold lacks gets logits so low that it is never given, yet finite.
        bias = np.full(self._classes, float(intercepts.min()) - 20.0, np.float32)
        unscaled = coefficients / self._scaler.scale_
        weight[fitted.classes_] = unscaled
        bias[fitted.classes_] = intercepts - unscaled @ self._scaler.mean_
        return LinearHead(weight, bias, c, 1.0, float("inf"))
