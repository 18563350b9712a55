"""The regimes of transfer learning, and how the window speaks of them.

Source: the rule of thumb of the cs231n transfer-learning notes (new data small or large, by similar to or different
from the old), after Yosinski et al. 2014, "How transferable are features in deep neural networks?".
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from tlstudio.core.errors import StudioError

Regime = Literal["head", "fine-tune", "cut", "full", "scratch"]
Head = Literal["linear", "svm", "svm-rbf", "mlp", "conv"]
REGIME_NAMES: tuple[Regime, ...] = get_args(Regime)
HEAD_NAMES: tuple[Head, ...] = get_args(Head)
HEAD_TITLES = {
    "linear": "Linear",
    "svm": "Support vector machine",
    "svm-rbf": "SVM with curved borders (RBF)",
    "mlp": "Small neural network",
    "conv": "Small convolutional network",
}
FITTED: tuple[Regime, ...] = ("head", "cut")
"""Regimes that leave the old network as it is: only a head is fitted on its features."""


class RegimeFacts(msgspec.Struct, frozen=True):
    """How the window speaks of a regime, and in which quarter of the chart it stands."""

    name: Regime
    title: str
    sentence: str
    quarter: tuple[Literal["small", "large"], Literal["similar", "different"]]


REGIMES: tuple[RegimeFacts, ...] = (
    RegimeFacts("head", "New head", "Keep the whole old network as it is and train only a new last layer.",
                ("small", "similar")),
    RegimeFacts("fine-tune", "Fine-tune",
                "Train a new last layer first, then everything: the old part lightly, the new part intensely.",
                ("large", "similar")),
    RegimeFacts("cut", "Cut", "Remove the higher layers too and train a new head on the middle of the old network.",
                ("small", "different")),
    RegimeFacts("full", "Train everything", "Use the old network only as a starting point and train every layer.",
                ("large", "different")),
)  # fmt: skip
SCRATCH = RegimeFacts("scratch", "From scratch", "Forget what the old network learned and train all of it anew.",
                      ("large", "different"))  # fmt: skip


def regime_facts(name: str) -> RegimeFacts:
    """Return how to speak of a regime; raises KeyError for a name that is none."""
    return {facts.name: facts for facts in (*REGIMES, SCRATCH)}[name]  # type: ignore[index]


def require_head(regime: str, head: str) -> None:
    """Raise StudioError if the regime cannot train that head."""
    if regime not in (*FITTED, "auto") and head != "linear":
        raise StudioError(
            f"The head “{head}” needs a network that stays as it is, and “{regime}” trains the network too.",
            "Choose the regime “head” or “cut”, or the head “linear”.",
        )
