"""New heads fitted on the features of a frozen network, their penalty chosen by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, ShouldStop, ignore, never
from tlstudio.core.progress import Pace
from tlstudio.core.split import folds
from tlstudio.engine.calibration import fit_temperature, negative_log_likelihood
from tlstudio.engine.networks import ConvHead, KernelHead

Fitted = Literal["linear", "svm", "svm-rbf"]
C_VALUES: dict[Fitted, tuple[float, ...]] = {
    "linear": tuple(float(c) for c in np.logspace(-4, 2, 13)),
    "svm": tuple(float(c) for c in np.logspace(-6, 0, 7)),
    "svm-rbf": tuple(float(c) for c in np.logspace(-1, 3, 5)),
}
FOLDS, FOLDS_OF_MANY = 5, 3
MANY_IMAGES = 2000
"""From here on three folds and every second C: the choice is stable, the time is not."""
FLAT_COLUMN = 0.1
"""A feature that hardly varies among the training pictures is taken to vary by this share of what features do. Without
it a channel that slept in training and wakes for a new picture would outvote all others."""
MARGIN_RANGE = 100.0
MOST_IMAGES_OF_A_KERNEL = 8000
IMBALANCED_FROM = 3.0
"""Ratio of the largest to the smallest class from which a head that weighs classes alike is tried."""


class FittedHead(msgspec.Struct, frozen=True):
    """A head and how it did on pictures it was not fitted on. The module takes raw features (images, features)."""

    module: nn.Module
    c: float
    """The inverse penalty that cross-validation chose."""
    temperature: float
    cv_nll: float
    """Mean negative log-likelihood over the folds, in nats, at the chosen C; infinite where there were none."""
    held_out: np.ndarray | None = None
    """Logits (judged pictures, classes) by the fold that left each out; None where there were no folds."""
    judged: np.ndarray | None = None
    """Positions of the judged pictures; a class with one picture is not judged."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (images, classes) for features, or for maps as they were fitted on."""
        inputs = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        with torch.inference_mode():
            head = self.module
            answers: Tensor = head.after_shrinking(inputs) if isinstance(head, ConvHead) else head(inputs)
        return answers.numpy()


class _Answer(Protocol):
    """Something that was fitted."""

    def logits(self, features: np.ndarray) -> np.ndarray: ...

    def module(self) -> nn.Module: ...


class _Path(Protocol):
    """One kind of head on one set of pictures, fitted for one C after the other."""

    def fit(self, c: float) -> _Answer: ...


def fit_head(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    classes: int,
    seed: int,
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    kind: Fitted = "linear",
    block_channels: Sequence[int] = (),
    views: np.ndarray | None = None,
) -> FittedHead:
    """Return a head on standardised features, its scaler folded in.

    `features` (images, features) float32, `targets` (images,) int, all classes present. C and the temperature come
    from cross-validation inside these pictures; copies (equal `groups`) never fall on both sides of a fold. A stop
    ends the search early: the best C so far is taken. `block_channels`, for features of several blocks side by side,
    gives every block the same weight. `views` (views, images, features) are of the same pictures changed at random:
    they teach, but do not judge. Of strongly imbalanced classes every class gets the same weight where that gains
    balanced accuracy. Source of that: Kang et al. 2020, "Decoupling representation and classifier".
    """
    if kind == "svm-rbf" and len(targets) > MOST_IMAGES_OF_A_KERNEL:
        raise StudioError(
            f"A radial kernel compares every picture with every other: {len(targets):,} are too many for it.",
            f"Choose another head, or at most {MOST_IMAGES_OF_A_KERNEL:,} training pictures.",
        )
    # The matrices are small: a second thread costs more in waiting than it saves, and much more on a busy computer.
    with threadpool_limits(1, "blas"):
        counts = np.bincount(targets, minlength=classes)
        count = FOLDS if len(targets) < MANY_IMAGES else FOLDS_OF_MANY
        dealt = [(np.array(fit), np.array(judge)) for fit, judge in folds(targets.tolist(), groups, count, seed)]

        def path(chosen: np.ndarray | slice, balanced: bool) -> _Path:
            shown, wanted = features[chosen], targets[chosen]
            if views is not None:
                shown = np.concatenate([shown, *views[:, chosen]])
                wanted = np.tile(wanted, 1 + len(views))
            return _PATHS[kind](shown, wanted, classes, block_channels, balanced)

        found = _search(kind, lambda chosen: path(chosen, False), features, targets, classes, dealt, emit, should_stop)
        balanced = False
        judged = _judged(dealt) if dealt else None
        if counts.max() >= IMBALANCED_FROM * counts[counts > 0].min() and found.held_out is not None:
            other = _search(
                kind, lambda chosen: path(chosen, True), features, targets, classes, dealt, emit, should_stop
            )
            if other.held_out is not None and _gains_balanced_accuracy(other.held_out, found.held_out, targets[judged]):
                found, balanced = other, True
        module = path(slice(None), balanced).fit(found.c).module()
    temperature = 1.0 if found.held_out is None else _temperature(kind, found.held_out, targets[judged])
    return FittedHead(module.eval(), found.c, temperature, found.nll, found.held_out, judged)


def _temperature(kind: Fitted, held_out: np.ndarray, targets: np.ndarray) -> float:
    """Return what the head's outputs are divided by to make them logits; nothing is known of margins beforehand."""
    if kind == "linear":
        return fit_temperature(held_out, targets)
    return fit_temperature(held_out, targets, prior_sd=np.inf, factor=MARGIN_RANGE)


class _Found(msgspec.Struct, frozen=True):
    c: float
    nll: float
    held_out: np.ndarray | None


def _search(
    kind: Fitted,
    path: Callable[[np.ndarray], _Path],
    features: np.ndarray,
    targets: np.ndarray,
    classes: int,
    dealt: list[tuple[np.ndarray, np.ndarray]],
    emit: Emit,
    should_stop: ShouldStop,
) -> _Found:
    """Return the C with the lowest loss on held-out pictures."""
    values = C_VALUES[kind] if len(targets) < MANY_IMAGES else C_VALUES[kind][::2]
    best = _Found(values[len(values) // 2], float("inf"), None)
    paths = [(path(fit), judge) for fit, judge in dealt]
    judged = _judged(dealt) if dealt else np.arange(0)
    worse = 0
    pace = Pace(emit, "Fitting the new head", len(values))
    for tried, c in enumerate(values if dealt else (), 1):
        answers = np.zeros((len(targets), classes))
        for fitting, judge in paths:
            answers[judge] = fitting.fit(c).logits(features[judge])
        held_out, truth = answers[judged], targets[judged]
        # Margins have no scale of their own, so they are compared at their best one.
        scaled = held_out if kind == "linear" else held_out / _temperature(kind, held_out, truth)
        nll = negative_log_likelihood(scaled, truth)
        if nll < best.nll:
            best, worse = _Found(c, nll, held_out), 0
        else:
            worse += 1
        pace.step(tried)
        # The loss falls and then rises along C: two steps past the bottom are enough.
        if worse == 2 or should_stop():
            break
    return best


def _gains_balanced_accuracy(challenger: np.ndarray, champion: np.ndarray, targets: np.ndarray) -> bool:
    """Return whether the mean over classes of the accuracy rises by more than its standard error."""
    gains = (challenger.argmax(1) == targets).astype(float) - (champion.argmax(1) == targets)
    of_class = [gains[targets == target] for target in np.unique(targets)]
    error = np.sqrt(sum(g.var() / len(g) for g in of_class)) / len(of_class)
    return bool(np.mean([g.mean() for g in of_class]) > error)


def _judged(dealt: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.sort(np.concatenate([judge for _, judge in dealt]))


class Standardiser:
    """Shifts and scales features so that each varies alike: (features - mean) / scale."""

    def __init__(self, features: np.ndarray, block_channels: Sequence[int] = ()) -> None:
        self.mean: np.ndarray = features.mean(0, dtype=np.float64)
        variance = features.var(0, dtype=np.float64)
        ends = np.cumsum(block_channels or [features.shape[1]])
        self.scale = np.empty(features.shape[1])
        widest = max(block_channels, default=0)
        for end, width in zip(ends, block_channels or ends, strict=True):
            of_block = variance[end - width : end]
            scale = np.sqrt(of_block + FLAT_COLUMN**2 * of_block.mean())
            scale[scale == 0] = 1.0
            # A block of few channels weighs as much as one of many.
            self.scale[end - width : end] = scale * np.sqrt(width / (widest or width))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        standardised: np.ndarray = (features - self.mean) / self.scale
        return standardised


class _Linear(msgspec.Struct, frozen=True):
    """logits = features @ weight.T + bias, on raw features."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        logits: np.ndarray = features @ self.weight.T + self.bias
        return logits

    def module(self) -> nn.Module:
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer


class _LinearPath:
    """A linear model of scikit-learn, one C after the other; logistic regression starts from the one before."""

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        classes: int,
        block_channels: Sequence[int] = (),
        balanced: bool = False,
    ) -> None:
        self._targets, self._classes = targets, classes
        self._standardise = Standardiser(features, block_channels)
        scaled = self._standardise(features)
        # The penalty does not change when the axes are turned, and n pictures span at most n of them: with fewer
        # pictures than features the same optimum is found in a smaller space.
        self._axes: np.ndarray | None = None
        if len(scaled) < scaled.shape[1]:
            _, _, self._axes = np.linalg.svd(scaled, full_matrices=False)
            scaled = scaled @ self._axes.T
        self._scaled = scaled
        self._model = self._make("balanced" if balanced else None)

    def _make(self, class_weight: str | None) -> LogisticRegression | LinearSVC:
        return LogisticRegression(max_iter=300, warm_start=True, class_weight=class_weight)

    def fit(self, c: float) -> _Linear:
        with warnings.catch_warnings():
            # At a weak penalty the optimum lies far out and the last digits do not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes")  # a few pictures a class are usual
            fitted = self._model.set_params(C=c).fit(self._scaled, self._targets)
        coefficients, intercepts = fitted.coef_, fitted.intercept_
        if len(fitted.classes_) == 2:  # scikit-learn keeps one row for two classes
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        if self._axes is not None:
            coefficients = coefficients @ self._axes
        weight = np.zeros((self._classes, coefficients.shape[1]), np.float32)
        # A class that a fold lacks gets logits so low that it is never given, yet finite.
        bias = np.full(self._classes, float(intercepts.min()) - 20.0, np.float32)
        unscaled = coefficients / self._standardise.scale
        weight[fitted.classes_] = unscaled
        bias[fitted.classes_] = intercepts - unscaled @ self._standardise.mean
        return _Linear(weight, bias)


class _SvmPath(_LinearPath):
    """Linear support vector machines, one class against the rest."""

    def _make(self, class_weight: str | None) -> LogisticRegression | LinearSVC:
        return LinearSVC(class_weight=class_weight, dual=True, max_iter=3000, random_state=0)


class _Kernel(msgspec.Struct, frozen=True):
    """logits = exp(-gamma * squared distance to every vector) @ weight.T + bias, on standardised features."""

    standardise: Standardiser
    vectors: np.ndarray
    gamma: float
    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        likeness = _similarities(self.standardise(features), self.vectors, self.gamma)
        logits: np.ndarray = likeness @ self.weight.T + self.bias
        return logits

    def module(self) -> nn.Module:
        used = np.flatnonzero((self.weight != 0).any(0))
        vectors = torch.from_numpy(self.vectors[used].astype(np.float32))
        head = KernelHead(vectors.shape[1], len(used), len(self.bias))
        with torch.no_grad():
            head.mean.copy_(torch.from_numpy(self.standardise.mean))
            head.scale.copy_(torch.from_numpy(self.standardise.scale))
            head.vectors.copy_(vectors)
            head.gamma.fill_(self.gamma)
            head.weight.copy_(torch.from_numpy(self.weight[:, used]))
            head.bias.copy_(torch.from_numpy(self.bias))
        return head


class _KernelPath:
    """Support vector machines with a radial kernel, one class against the rest."""

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        classes: int,
        block_channels: Sequence[int] = (),
        balanced: bool = False,
    ) -> None:
        self._targets, self._classes = targets, classes
        self._class_weight = "balanced" if balanced else None
        self._standardise = Standardiser(features, block_channels)
        self._vectors = self._standardise(features)
        self._gamma = 1.0 / (self._vectors.shape[1] * float(self._vectors.var()) or 1.0)
        self._kernel = _similarities(self._vectors, self._vectors, self._gamma)

    def fit(self, c: float) -> _Kernel:
        known = np.unique(self._targets)
        weight = np.zeros((self._classes, len(self._targets)))
        bias = np.zeros(self._classes)
        for target in known:
            machine = SVC(C=c, kernel="precomputed", class_weight=self._class_weight)
            machine.fit(self._kernel, self._targets == target)
            weight[target, machine.support_] = machine.dual_coef_[0]
            bias[target] = machine.intercept_[0]
        bias[np.setdiff1d(np.arange(self._classes), known)] = bias.min() - 20.0
        return _Kernel(self._standardise, self._vectors, self._gamma, weight, bias)


def _similarities(some: np.ndarray, others: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(-gamma d²) for the distances d of rows, (len(some), len(others))."""
    squares = (some**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * some @ others.T
    similarities: np.ndarray = np.exp(-gamma * np.maximum(squares, 0))
    return similarities


_PATHS: dict[Fitted, Callable[..., _Path]] = {"linear": _LinearPath, "svm": _SvmPath, "svm-rbf": _KernelPath}
