"""The rule that picks a regime, and what is refused in plain words."""

from __future__ import annotations

import pytest

from tlstudio.core.errors import StudioError
from tlstudio.core.regimes import REGIMES, advise, require_available


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
def test_advice_by_number_of_pictures(counts, regime):
    advice = advise(counts)
    assert advice.regime == regime
    assert any(f"{sum(counts):,} pictures" in reason for reason in advice.reasons)


def test_four_regimes_fill_the_four_quarters():
    assert len({facts.quarter for facts in REGIMES}) == len(REGIMES) == 4
    assert {facts.name for facts in REGIMES} == {"head", "fine-tune", "cut", "full"}


def test_what_is_marked_available_runs_and_the_rest_is_refused():
    for facts in REGIMES:
        if facts.available:
            require_available(facts.name, "linear")
        else:
            with pytest.raises(StudioError, match="not built yet"):
                require_available(facts.name, "linear")
    with pytest.raises(StudioError, match="from scratch is not built yet"):
        require_available("scratch", "linear")
    for head in ("svm", "mlp", "conv"):
        with pytest.raises(StudioError, match=f"“{head}” is not built yet"):
            require_available("head", head)
