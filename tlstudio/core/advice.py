"""Which regime suits the pictures, decided from what was measured on them.

Two axes are measured. How many: counts, and what twice as many pictures brought. How similar to what the old network
learned from: the share of the mistakes of the network's middle that its last part removes. It is 1 where only the last
part tells the classes apart, as on everyday photographs, and 0 or less where the middle already does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tlstudio.core.regimes import FITTED, Regime, regime_facts

# Thresholds; tests/bench/regimes.md has the measurements they were chosen on.
SIMILAR_FROM = 0.25
DIFFERENT_BELOW = 0.10
UNCLEAR = (0.0, 0.5)
"""An interval that reaches beyond both of these allows anything."""
CLEAR_GAIN = 0.02
"""Accuracy that a cut must add, besides two standard errors, where the pictures are neither similar nor different."""
NEARLY_ALL = 0.98
"""Where every part of the network is right so often, its parts do not differ."""
MUCH_ROOM = 0.08
"""Share of mistakes from which training the network may gain more than it costs, however few the pictures."""
FEW_SHOT_CLASS = 5
SMALL_IMAGES, SMALL_MEDIAN_CLASS = 1000, 50
LARGE_IMAGES, LARGE_MEDIAN_CLASS = 5000, 200

Likeness = Literal["similar", "between", "different"]
Amount = Literal["few-shot", "small", "medium", "large"]


class DepthScore(msgspec.Struct, frozen=True):
    """How well a fresh linear head does on one block's features, and on all blocks up to it joined.

    Accuracies are cross-validated on training pictures; standard errors are binomial.
    """

    block: str
    accuracy: float
    standard_error: float
    joined_accuracy: float
    joined_standard_error: float


class JoinedScore(msgspec.Struct, frozen=True):
    """The same for all blocks joined."""

    accuracy: float
    standard_error: float


class Similarity(msgspec.Struct, frozen=True):
    """The horizontal axis: `value` with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    verdict: Likeness


class Size(msgspec.Struct, frozen=True):
    """The vertical axis: `value` training pictures, and what the second half of them added.

    `doubling_gain` is the accuracy with all of them less that with half of them, None where it was not measured.
    """

    value: int
    verdict: Amount
    smallest_class: int
    median_class: int
    doubling_gain: float | None = None
    doubling_standard_error: float = 0.0


class Profile(msgspec.Struct, frozen=True):
    """What was measured with a network on training pictures. `cut` is a position in `depths`.

    `cut_gain` is the accuracy of the head on the blocks up to the cut, joined, less that on the last block alone.
    """

    images: int
    depths: tuple[DepthScore, ...]
    joined: JoinedScore
    similarity: tuple[float, float, float]
    """(value, low, high)."""
    cut: int
    cut_gain: float
    cut_gain_standard_error: float
    doubling_gain: float | None
    doubling_standard_error: float


class Advice(msgspec.Struct, frozen=True):
    """Which regime, and why, in sentences a user can read.

    `similarity` is None and `depths` is empty where nothing could be measured. `expected` is the accuracy that the
    probes promise a regime; the regimes that train the network are never kept below that of the head.
    """

    regime: Regime
    reasons: tuple[str, ...]
    size: Size | None = None
    similarity: Similarity | None = None
    depths: tuple[DepthScore, ...] = ()
    joined: JoinedScore | None = None
    cut: str = ""
    """The block after which to cut, should the user want to."""
    expected: dict[str, float] = {}
    would_change: str = ""
    measured_images: int = 0
    """Training pictures that the measurements rest on; fewer than there are while they still come in."""
    seconds: float = 0.0


def advise(class_counts: Sequence[int], profile: Profile | None = None) -> Advice:
    """Return the advice for training pictures of these counts a class.

    Without a profile the pictures are taken as similar, which is the usual case.
    """
    size = _size(class_counts, profile)
    many = size.verdict in ("medium", "large")
    if profile is None:
        regime: Regime = "fine-tune" if many else "head"
        return Advice(regime, (_size_sentence(size), _why(regime)), size, would_change=_more_pictures(size))
    value, low, high = profile.similarity
    similarity = Similarity(value, low, high, _likeness(value, low, high))
    different = similarity.verdict == "different"
    # In doubt the last part stays: where no part tells more than another, cutting the network would be a pretence.
    smaller = similarity.verdict == "between" and profile.cut < len(profile.depths) - 1
    clearly = profile.cut_gain > max(CLEAR_GAIN, 2 * profile.cut_gain_standard_error)
    cut_pays = (different or smaller) and clearly
    if many:
        regime = "full" if different else "fine-tune"
    else:
        regime = "cut" if cut_pays else "head"
    why = _why(regime)
    last, at_cut = profile.depths[-1], profile.depths[profile.cut]
    if different and regime == "head":
        why = f"Yet a head on its middle does not do clearly better. {why}"
    elif regime == "cut":
        parts = "all parts together" if at_cut is last else f"the parts up to “{at_cut.block}”"
        why = f"A new head on {parts} does better than one on the last part alone."
    return Advice(
        regime,
        (_likeness_sentence(similarity, profile), _size_sentence(size), why),
        size,
        similarity,
        profile.depths,
        profile.joined,
        at_cut.block,
        {"head": last.accuracy, "cut": at_cut.joined_accuracy},
        _would_change(size, similarity, regime, at_cut.joined_accuracy if regime == "cut" else last.accuracy),
        profile.images,
    )


def cost_of(advice: Advice, regime: Regime, cut: str = "") -> str:
    """Return one sentence on what the probes expect of a choice that was not advised; "" for the advised one.

    `cut` is the block after which the regime "cut" cuts, by default the advised one.
    """
    cut = cut or advice.cut
    if not advice.depths or (regime == advice.regime and (regime != "cut" or cut == advice.cut)):
        return ""
    if regime not in advice.expected:
        return "It takes longer. What it makes is kept only if it beats the new head."
    promised = advice.expected[regime]
    if regime == "cut":
        promised = next(depth.joined_accuracy for depth in advice.depths if depth.block == cut)
    if advice.regime not in advice.expected:
        return f"The measurements expect {promised:.0%} with it. What was advised may do better; only trying shows."
    lost = advice.expected[advice.regime] - promised
    if lost > 0.005:
        return f"The measurements expect {promised:.0%} with it, {lost * 100:.0f} points less than advised."
    if lost < -0.005:
        return f"The measurements expect {promised:.0%} with it; more than advised, but within their uncertainty."
    return f"The measurements expect {promised:.0%} with it, as good as advised."


def size_verdict(class_counts: Sequence[int]) -> Amount:
    """Return how many pictures these are: a matter of all of them and of the median class."""
    total, median = sum(class_counts), sorted(class_counts)[len(class_counts) // 2]
    if min(class_counts) <= FEW_SHOT_CLASS:
        return "few-shot"
    if total < SMALL_IMAGES or median < SMALL_MEDIAN_CLASS:
        return "small"
    return "large" if total >= LARGE_IMAGES and median >= LARGE_MEDIAN_CLASS else "medium"


def _likeness(value: float, low: float, high: float) -> Likeness:
    if low < UNCLEAR[0] and high > UNCLEAR[1]:
        return "between"
    return "similar" if value >= SIMILAR_FROM else "different" if value < DIFFERENT_BELOW else "between"


def _size(class_counts: Sequence[int], profile: Profile | None) -> Size:
    counts = sorted(class_counts)
    return Size(
        sum(counts),
        size_verdict(counts),
        counts[0],
        counts[len(counts) // 2],
        profile.doubling_gain if profile else None,
        profile.doubling_standard_error if profile else 0.0,
    )


def _size_sentence(size: Size) -> str:
    sentence = f"{size.value:,} training pictures, about {size.median_class:,} a class"
    if size.verdict == "few-shot":
        sentence += f", are few where the smallest class has only {size.smallest_class:,}"
    else:
        sentence += ", are few" if size.verdict == "small" else ", are many"
    if size.doubling_gain is None:
        return f"{sentence}."
    points = size.doubling_gain * 100
    if size.doubling_gain > 2 * size.doubling_standard_error and points >= 0.5:
        return f"{sentence}; the second half of them added {points:.0f} points, so more would help."
    return f"{sentence}; the second half of them added nothing certain."


def _likeness_sentence(similarity: Similarity, profile: Profile) -> str:
    last = profile.depths[-1]
    middle = max(profile.depths[:-1], key=_best, default=last)
    where = f"its part “{middle.block}”"
    if middle.joined_accuracy > middle.accuracy:
        where = f"its parts up to “{middle.block}” together"
    figures = f"the last part of the network tells {last.accuracy:.0%} apart, {where} {_best(middle):.0%}"
    if min(last.accuracy, _best(middle)) >= NEARLY_ALL:
        return f"How alike your pictures are to what this network learned from matters little: {figures}."
    match similarity.verdict:
        case "similar":
            return f"Your pictures look like what this network learned from: {figures}."
        case "different":
            return f"Your pictures look unlike what this network learned from: {figures}."
        case _:
            return f"Whether your pictures look like what this network learned from is not clear: {figures}."


def _best(depth: DepthScore) -> float:
    return max(depth.accuracy, depth.joined_accuracy)


def _why(regime: Regime) -> str:
    return {
        "head": "A new head is quick and hard to overdo.",
        "fine-tune": "That is enough to adapt the whole network gently.",
        "cut": "",
        "full": "That is enough to train every layer anew from the old weights.",
        "scratch": "",
    }[regime]


def _would_change(size: Size, similarity: Similarity, regime: Regime, accuracy: float) -> str:
    sentences = [_more_pictures(size), _other_likeness(similarity, regime)]
    if regime in FITTED and 1 - accuracy >= MUCH_ROOM:
        sentences.insert(
            0, f"It is still wrong on {1 - accuracy:.0%}: a race shows whether training the network too does better."
        )
    return " ".join(filter(None, sentences))


def _more_pictures(size: Size) -> str:
    if size.verdict in ("medium", "large"):
        return ""
    needed = f"From {SMALL_IMAGES:,} pictures with {SMALL_MEDIAN_CLASS} a class on"
    if size.value >= SMALL_IMAGES and size.median_class >= SMALL_MEDIAN_CLASS:
        needed = f"With more than {FEW_SHOT_CLASS} pictures in every class"
    elif size.verdict == "few-shot":
        needed += f", and more than {FEW_SHOT_CLASS} in every class"
    return f"{needed}, training the whole network would be advised."


def _other_likeness(similarity: Similarity, regime: Regime) -> str:
    if similarity.verdict == "similar" and similarity.low < SIMILAR_FROM:
        return "The likeness is uncertain: more pictures may move the point to the right."
    if regime in ("cut", "full") and similarity.high >= SIMILAR_FROM:
        otherwise = regime_facts("head" if regime == "cut" else "fine-tune").title
        return f"The likeness is uncertain: should it prove greater, “{otherwise}” would do."
    return ""
