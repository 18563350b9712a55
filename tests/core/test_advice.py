"""The rule that picks a regime: against what was measured, and against counts alone."""

from __future__ import annotations

import msgspec
import pytest

from tlstudio.core.advice import (
    CLEAR_GAIN,
    DIFFERENT_BELOW,
    SIMILAR_FROM,
    Advice,
    DepthScore,
    JoinedScore,
    Profile,
    advise,
    cost_of,
    size_verdict,
)
from tlstudio.core.regimes import REGIME_NAMES

FEW, MANY = (30, 40), (600, 700)


def profile(value: float, cut_gain: float = 0.0, error: float = 0.01, doubling: float | None = None) -> Profile:
    """A profile of three blocks whose last is right about 80 %, cut after the second."""
    last = DepthScore("objects", 0.8, 0.02, 0.8, 0.02)
    middle = DepthScore("parts", 0.7, 0.02, 0.8 + cut_gain, 0.02)
    depths = (DepthScore("edges", 0.5, 0.02, 0.5, 0.02), middle, last)
    return Profile(70, depths, JoinedScore(0.8, 0.02), (value, value - 0.1, value + 0.1), 1, cut_gain, error, doubling,
                   0.01)  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "regime"),
    [
        ([20, 20], "head"),
        ([500, 499], "head"),
        ([500, 500], "fine-tune"),
        ([900, 49, 49, 49], "head"),
        ([900, 50, 50, 49], "fine-tune"),
        ([10] * 200, "head"),
        ([50] * 20, "fine-tune"),
    ],
)
def test_by_number_of_pictures_where_nothing_was_measured(counts, regime):
    advice = advise(counts)
    assert advice.regime == regime
    assert any(f"{sum(counts):,} training pictures" in reason for reason in advice.reasons)
    assert advice.similarity is None and advice.depths == () and advice.expected == {}


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ([100, 5], "few-shot"),
        ([6, 6], "small"),
        ([2000, 2000, 49], "medium"),
        ([2000, 49, 49], "small"),
        ([200] * 24, "medium"),
        ([200] * 25, "large"),
        ([100] * 50, "medium"),
    ],
)
def test_how_many_pictures_these_are(counts, verdict):
    assert size_verdict(counts) == verdict


@pytest.mark.parametrize(
    ("counts", "value", "cut_gain", "regime"),
    [
        (FEW, SIMILAR_FROM, 0.0, "head"),
        (MANY, SIMILAR_FROM, 0.0, "fine-tune"),
        (FEW, DIFFERENT_BELOW - 0.01, 0.1, "cut"),
        (FEW, DIFFERENT_BELOW - 0.01, 0.0, "head"),
        (MANY, DIFFERENT_BELOW - 0.01, 0.1, "full"),
        (MANY, DIFFERENT_BELOW - 0.01, 0.0, "full"),
        (FEW, DIFFERENT_BELOW, CLEAR_GAIN, "head"),
        (FEW, DIFFERENT_BELOW, CLEAR_GAIN + 0.01, "cut"),
        (MANY, DIFFERENT_BELOW, CLEAR_GAIN + 0.01, "fine-tune"),
    ],
)
def test_by_both_axes(counts, value, cut_gain, regime):
    assert advise(counts, profile(value, cut_gain)).regime == regime


def test_a_gain_within_its_uncertainty_cuts_nothing():
    assert advise(FEW, profile(DIFFERENT_BELOW, 0.05, error=0.03)).regime == "head"
    assert advise(FEW, profile(DIFFERENT_BELOW, 0.05, error=0.02)).regime == "cut"


def test_a_middle_that_is_no_better_is_said_to_be_so():
    advice = advise(FEW, profile(0.0, -0.01))
    assert advice.regime == "head" and "does not do clearly better" in advice.reasons[-1]


def test_an_interval_that_allows_anything_decides_nothing():
    measured = msgspec.structs.replace(profile(0.0), similarity=(0.0, -1.0, 1.0))
    advice = advise(FEW, measured)
    assert advice.similarity is not None and advice.similarity.verdict == "between"
    assert advice.regime == "head"


def test_what_was_measured_is_told():
    measured = profile(0.0, 0.1, doubling=0.05)
    advice = advise(FEW, measured)
    assert advice.similarity is not None and advice.size is not None
    assert (advice.similarity.value, advice.similarity.low, advice.similarity.high) == measured.similarity
    assert advice.similarity.verdict == "different"
    assert advice.size.doubling_gain == 0.05
    assert advice.depths == measured.depths and advice.joined == measured.joined and advice.cut == "parts"
    assert advice.expected == {"head": 0.8, "cut": pytest.approx(0.9)}
    text = " ".join(advice.reasons)
    assert "tells 80% apart" in text and "up to “parts” together 90%" in text and "added 5 points" in text
    assert "1,000 pictures" in advice.would_change
    assert advice.measured_images == 70
    assert msgspec.json.decode(msgspec.json.encode(advice), type=Advice) == advice


def test_an_uncertain_likeness_is_said_to_be_one():
    assert "uncertain" in advise(MANY, profile(SIMILAR_FROM + 0.05)).would_change
    assert "“New head” would do" in advise(FEW, profile(SIMILAR_FROM - 0.05, cut_gain=0.1)).would_change
    assert "uncertain" not in advise(MANY, profile(SIMILAR_FROM - 0.05)).would_change  # the advice is the same then
    assert advise(MANY, profile(SIMILAR_FROM + 0.2)).would_change == ""


def test_much_room_is_said_where_the_network_stays_as_it_is():
    assert "race" in advise(FEW, profile(SIMILAR_FROM + 0.2)).would_change
    assert "race" not in advise(MANY, profile(SIMILAR_FROM + 0.2)).would_change


def test_a_rare_class_is_named_and_not_the_number_of_all():
    advice = advise([5000, 4])
    assert advice.size is not None and advice.size.verdict == "few-shot"
    assert "smallest class has only 4" in advice.reasons[0] and "very few" not in advice.reasons[0]
    assert "more than 5 pictures in every class" in advice.would_change and "1,000" not in advice.would_change


def test_a_cut_is_advised_only_if_it_is_clearly_better():
    assert "better than" in advise(FEW, profile(-0.5, cut_gain=0.1)).reasons[-1]
    assert advise(FEW, profile(-0.5, cut_gain=0.1, error=0.06)).regime == "head"
    assert advise(FEW, profile(-0.5, cut_gain=CLEAR_GAIN)).regime == "head"


def test_a_cut_elsewhere_has_its_own_cost():
    advice = advise(FEW, profile(-0.5, cut_gain=0.1))
    assert (advice.regime, advice.cut) == ("cut", "parts")
    assert cost_of(advice, "cut") == cost_of(advice, "cut", "parts") == ""
    assert "50%" in cost_of(advice, "cut", "edges") and "less than advised" in cost_of(advice, "cut", "edges")


def test_the_cost_of_choosing_otherwise():
    advice = advise(FEW, profile(0.0, 0.1))
    assert advice.regime == "cut" and cost_of(advice, "cut") == ""
    assert cost_of(advice, "head") == "The measurements expect 80% with it, 10 points less than advised."
    assert "beats the new head" in cost_of(advice, "full")
    unmeasured = advise(FEW)
    assert [cost_of(unmeasured, regime) for regime in REGIME_NAMES] == [""] * len(REGIME_NAMES)
