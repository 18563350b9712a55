"""The four regimes of transfer learning, and the rule that picks one.

Source: the rule of thumb of the cs231n transfer-learning notes (new data small or large, by similar to or different
from the old), after Yosinski et al. 2014, "How transferable are features in deep neural networks?".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tlstudio.core.errors import StudioError

Regime = Literal["head", "fine-tune", "cut", "full", "scratch"]
Head = Literal["linear", "svm", "mlp", "conv"]

LARGE_IMAGES = 1000
LARGE_MEDIAN_CLASS = 50


class RegimeFacts(msgspec.Struct, frozen=True):
    """How the window speaks of a regime. `available` is False until the engine can run it."""

    name: Regime
    title: str
    sentence: str
    quarter: tuple[Literal["small", "large"], Literal["similar", "different"]]
    available: bool


REGIMES: tuple[RegimeFacts, ...] = (
    RegimeFacts("head", "New head", "Keep the whole old network as it is and train only a new last layer.",
                ("small", "similar"), True),
    RegimeFacts("fine-tune", "Fine-tune",
                "Train a new last layer first, then everything: the old part lightly, the new part intensely.",
                ("large", "similar"), True),
    RegimeFacts("cut", "Cut", "Remove the higher layers too and train a new head on the middle of the old network.",
                ("small", "different"), False),
    RegimeFacts("full", "Train everything", "Use the old network only as a starting point and train every layer.",
                ("large", "different"), False),
)  # fmt: skip


class Advice(msgspec.Struct, frozen=True):
    """Which regime, and why, in sentences a user can read."""

    regime: Regime
    reasons: tuple[str, ...]


def advise(class_counts: Sequence[int]) -> Advice:
    """Return "fine-tune" for at least 1,000 training pictures with a median class of 50 or more, else "head".

    Counts cannot tell whether the pictures resemble those the network learned from: this rule takes them as similar.
    """
    total = sum(class_counts)
    median = sorted(class_counts)[len(class_counts) // 2]
    if total >= LARGE_IMAGES and median >= LARGE_MEDIAN_CLASS:
        return Advice(
            "fine-tune",
            (f"{total:,} pictures, about {median} a class, are enough to adapt the whole network gently.",),
        )
    return Advice(
        "head",
        (
            f"{total:,} pictures, about {median} a class, are few: "
            "training only a new head is quick and hard to overdo.",
            f"From {LARGE_IMAGES:,} pictures with {LARGE_MEDIAN_CLASS} a class on, fine-tuning would be advised.",
        ),
    )


def require_available(regime: str, head: str) -> None:
    """Raise StudioError if this version cannot run the regime with that head."""
    facts = {facts.name: facts for facts in REGIMES}
    if regime == "scratch" or not facts[regime].available:  # type: ignore[index]
        title = "Training from scratch" if regime == "scratch" else f"The regime “{regime}”"
        raise StudioError(f"{title} is not built yet.", "Choose “head” or “fine-tune”.")
    if head != "linear":
        raise StudioError(f"The head “{head}” is not built yet.", "Choose “linear”.")
