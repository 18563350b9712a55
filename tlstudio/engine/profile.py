"""Which depth of an old network tells the new pictures apart: quick heads on every block, judged by cross-validation.

What ships is fitted elsewhere with more care; here many heads are compared, so each is found on a coarser grid.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tlstudio.core.advice import DepthScore, JoinedScore, Profile
from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.progress import Pace
from tlstudio.core.split import folds
from tlstudio.engine.calibration import negative_log_likelihood
from tlstudio.engine.heads import C_VALUES, Standardiser

MAX_IMAGES = 1500
FEWEST_A_CLASS = 5
FOLDS, QUICK_FOLDS = 5, 3
TOLERANCE, MAX_STEPS = 1e-3, 100
RESAMPLES = 1000
HALF_A_MISTAKE = 0.5
NEVER_TAUGHT = 20.0
"""How far the logit of a class that a fold lacks lies below all others."""


def measuring_order(targets: np.ndarray, seed: int, most: int = MAX_IMAGES) -> list[int]:
    """Return positions of the pictures to measure, so ordered that every beginning has the classes' proportions.

    Of more than `most` pictures it is a sample, in which a rare class keeps at least five.
    """
    rng = np.random.default_rng(seed)
    share = min(1.0, most / len(targets))
    places: list[tuple[float, int]] = []
    for target in np.unique(targets):
        members = rng.permutation(np.flatnonzero(targets == target))
        taken = members[: max(FEWEST_A_CLASS, round(share * len(members)))]
        start = rng.random()
        places += [((number + start) / len(taken), int(position)) for number, position in enumerate(taken)]
    return [position for _, position in sorted(places)]


def measure_profile(
    features: np.ndarray,
    channels: Sequence[int],
    block_names: Sequence[str],
    targets: np.ndarray,
    groups: Sequence[str],
    seed: int,
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    quick: bool = False,
) -> Profile | None:
    """Return how well every block's features, alone and joined with those before, tell the classes apart.

    `features` (images, sum of channels) are of all blocks side by side, `targets` (images,) int; copies (equal
    `groups`) never fall on both sides of a fold. None unless two classes have two different pictures each. `quick`
    takes three folds and leaves the effect of doubling out. Raises Stopped.
    """
    dealt = folds(targets.tolist(), groups, QUICK_FOLDS if quick else FOLDS, seed)
    if not dealt:
        return None
    whole: list[_Fold] = [(np.array(fit), np.array(judge)) for fit, judge in dealt]
    judged = np.sort(np.concatenate([judge for _, judge in whole]))
    measurements = 2 * len(channels) - quick
    pace = Pace(emit, "Measuring which part of the network helps", measurements)
    done = 0

    def right(first_block: int, last_block: int, some: list[_Fold]) -> np.ndarray:
        nonlocal done
        ends = np.cumsum((0, *channels))
        columns = features[:, ends[first_block] : ends[last_block + 1]]
        answers: np.ndarray = _right(columns, targets, some, channels[first_block : last_block + 1])[judged]
        done += 1
        pace.step(done)
        if should_stop():
            raise Stopped
        return answers

    depths = range(len(channels))
    # The matrices are small: a second thread costs more in waiting than it saves.
    with threadpool_limits(1, "blas"):
        alone = np.stack([right(depth, depth, whole) for depth in depths])
        joined = np.stack([alone[0], *(right(0, depth, whole) for depth in depths[1:])])
        doubling = None
        if not quick:
            doubling = alone[-1].astype(float) - right(depths[-1], depths[-1], _halved(whole, targets, seed))
    scores = tuple(
        DepthScore(name, *_score(by_itself), *_score(with_those_before))
        for name, by_itself, with_those_before in zip(block_names, alone, joined, strict=True)
    )
    best = joined[int(joined.mean(1).argmax())]
    accuracy, standard_error = _score(best)
    cut = int(np.flatnonzero(joined.mean(1) >= accuracy - standard_error)[0])
    cut_gain = joined[cut].astype(float) - alone[-1]
    return Profile(
        len(targets),
        scores,
        JoinedScore(*_score(joined[-1])),
        _similarity(~alone[-1], ~np.concatenate([alone[:-1], joined[1:-1]]), seed),
        cut,
        float(cut_gain.mean()),
        _standard_error(cut_gain),
        None if doubling is None else float(doubling.mean()),
        0.0 if doubling is None else _standard_error(doubling),
    )


def _similarity(last_wrong: np.ndarray, middle_wrong: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Return (value, low, high) of the share of the middle's mistakes that the last block removes.

    `last_wrong` (images,), `middle_wrong` (candidates, images), of which the best counts. The interval is that of a
    paired bootstrap over pictures.
    """
    images = len(last_wrong)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(images, np.full(images, 1 / images), RESAMPLES)
    # The middle's best is chosen on the pictures that a resample leaves out: chosen on the drawn ones it would look
    # better than it is, and the pictures more different.
    left_out = (drawn == 0).astype(np.int64)
    chosen = (left_out @ middle_wrong.T).argmin(1)
    middle = (drawn @ middle_wrong.T)[np.arange(RESAMPLES), chosen]
    # The half mistake that keeps the share finite is as uncertain as everything else: where hardly any mistakes are
    # made there is nothing to compare, and the interval has to say so.
    halves = rng.gamma(HALF_A_MISTAKE, size=(2, RESAMPLES))
    resampled = _removed(drawn @ last_wrong + halves[0], middle + halves[1])
    value = float(_removed(last_wrong.sum() + HALF_A_MISTAKE, middle_wrong.sum(1).min() + HALF_A_MISTAKE))
    low, high = np.percentile(resampled, [2.5, 97.5])
    return value, min(float(low), value), max(float(high), value)


def _removed(last: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return which share of the middle's mistakes the last block does not make, at least -1."""
    share: np.ndarray = np.maximum(1 - last / middle, -1)
    return share


def _score(right: np.ndarray) -> tuple[float, float]:
    """Return accuracy and its binomial standard error."""
    accuracy = float(right.mean())
    return accuracy, float(np.sqrt(accuracy * (1 - accuracy) / len(right)))


def _standard_error(differences: np.ndarray) -> float:
    return float(differences.std() / np.sqrt(len(differences)))


_Fold = tuple[np.ndarray, np.ndarray]
"""Positions to fit on, and to judge on."""


def _halved(whole: list[_Fold], targets: np.ndarray, seed: int) -> list[_Fold]:
    """Return the folds with half of every class to fit on, rounded up, and the same pictures to judge on."""
    rng = np.random.default_rng(seed)
    halved = []
    for fit, judge in whole:
        of_class = [rng.permutation(fit[targets[fit] == target]) for target in np.unique(targets[fit])]
        halved.append((np.concatenate([members[: (len(members) + 1) // 2] for members in of_class]), judge))
    return halved


def _right(features: np.ndarray, targets: np.ndarray, some: list[_Fold], channels: Sequence[int]) -> np.ndarray:
    """Return which pictures a linear head gives their class, each by the fold that left it out, at the best C."""
    paths = [_Path(features, targets, fit, judge, channels) for fit, judge in some]
    judged = np.concatenate([judge for _, judge in some])
    best_loss, right, worse = float("inf"), np.zeros(len(targets), bool), 0
    for c in C_VALUES["linear"][::2]:
        logits = np.zeros((len(targets), targets.max() + 1))
        for path in paths:
            logits[path.judge] = path.logits(c, logits.shape[1])
        loss = negative_log_likelihood(logits[judged], targets[judged])
        if loss < best_loss:
            best_loss, right, worse = loss, logits.argmax(1) == targets, 0
        else:
            worse += 1
        # The loss falls and then rises along C.
        if worse == 2:
            break
    return right


class _Path:
    """Logistic regression in one fold, for one C after the other, each starting from the one before."""

    def __init__(
        self, features: np.ndarray, targets: np.ndarray, fit: np.ndarray, judge: np.ndarray, channels: Sequence[int]
    ) -> None:
        self.judge = judge
        standardise = Standardiser(features[fit], channels)
        fitted, judged = standardise(features[fit]), standardise(features[judge])
        if len(fitted) < fitted.shape[1]:  # the same optimum, along the pictures' own axes
            _, _, axes = np.linalg.svd(fitted, full_matrices=False)
            fitted, judged = fitted @ axes.T, judged @ axes.T
        self._fitted, self._judged = fitted.astype(np.float32), judged.astype(np.float32)
        self._targets = targets[fit]
        self._regression = LogisticRegression(max_iter=MAX_STEPS, tol=TOLERANCE, warm_start=True)

    def logits(self, c: float, classes: int) -> np.ndarray:
        """Return (judged images, classes)."""
        with warnings.catch_warnings():
            # At a weak penalty the optimum lies far out and the last digits do not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes")
            self._regression.set_params(C=c).fit(self._fitted, self._targets)
        found = self._regression.decision_function(self._judged)
        if found.ndim == 1:  # one column for two classes
            found = np.stack([-found / 2, found / 2], 1)
        logits = np.full((len(found), classes), found.min(1, keepdims=True) - NEVER_TAUGHT)
        logits[:, self._regression.classes_] = found
        return logits
