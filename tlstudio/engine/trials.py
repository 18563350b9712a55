"""What regimes answered in a race, on which pictures, and how they compare: always on those that both answered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest

from tlstudio.core.regimes import Regime, regime_facts
from tlstudio.core.results import Interval

COST_ORDER: tuple[Regime, ...] = ("head", "cut", "fine-tune", "full", "scratch")
"""Cheapest first."""

Fold = tuple[list[int], list[int]]
"""Positions in the index that teach, and that judge."""


class Trial(msgspec.Struct, frozen=True):
    """What a regime answered on the pictures it was judged on, by position in the index; losses are in nats."""

    right: dict[int, bool]
    losses: dict[int, float]

    def joined(self, other: Trial | None) -> Trial:
        """Return this and another trial of the same regime, if there is one, as one."""
        return self if other is None else Trial(other.right | self.right, other.losses | self.losses)


def judged(positions: Sequence[int], logits: np.ndarray, targets: np.ndarray) -> Trial:
    """Return the trial of calibrated logits (images, classes) on the pictures at these positions of the index."""
    losses = -log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    right = logits.argmax(1) == targets
    return Trial(dict(zip(positions, right.tolist(), strict=True)), dict(zip(positions, losses.tolist(), strict=True)))


def difference(one: Trial, other: Trial) -> tuple[float, Interval]:
    """Return how much more accurate `one` is on the pictures both were judged on, with its 95 % interval.

    The interval is exact given on how many pictures they differ. Source: McNemar 1947, "Note on the sampling error of
    the difference between correlated proportions or percentages".
    """
    shared = one.right.keys() & other.right.keys()
    gains = sum(one.right[i] and not other.right[i] for i in shared)
    losses = sum(other.right[i] and not one.right[i] for i in shared)
    if not gains + losses:
        return 0.0, (0.0, 0.0)
    found = binomtest(gains, gains + losses).proportion_ci(method="exact")
    scale = (gains + losses) / len(shared)
    return (gains - losses) / len(shared), (scale * (2 * found.low - 1), scale * (2 * found.high - 1))


def winner_of(trials: dict[Regime, Trial]) -> Regime:
    """Return the cheapest regime that is not clearly worse than the most accurate one on the pictures all judged."""
    shared = set.intersection(*(set(trial.right) for trial in trials.values()))
    done = [regime for regime in COST_ORDER if regime in trials]
    best = max(done, key=lambda regime: sum(trials[regime].right[i] for i in shared))
    return next(regime for regime in done if difference(trials[best], trials[regime])[1][0] <= 0)


def compared(trial: Trial, winner: Trial) -> str:
    """Return one sentence on how a regime stands beside the winner."""
    gain, (low, high) = difference(trial, winner)
    shared = len(trial.right.keys() & winner.right.keys())
    interval = f"({100 * low:+.1f} to {100 * high:+.1f})"
    if low == high:
        return f"Right on the same of {shared:,} pictures as the winner."
    if gain == 0:
        return f"As often right as the winner {interval}, on {shared:,} pictures."
    side = "above" if gain > 0 else "below"
    return f"{100 * abs(gain):.1f} points {side} the winner {interval}, on {shared:,} pictures."


def dearer_but_better(winner: Regime, trials: dict[Regime, Trial]) -> str:
    """Return one sentence on the regime that did better, but not clearly and at a higher price; "" if none did."""
    gains = {regime: difference(trial, trials[winner])[0] for regime, trial in trials.items()}
    best = max(gains, key=lambda regime: gains[regime])
    if gains[best] <= 0:
        return ""
    return f"“{regime_facts(best).title}” did {100 * gains[best]:.1f} points better, but not clearly, and costs more."
