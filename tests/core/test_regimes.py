"""How the window speaks of the regimes, and which heads they take."""

from __future__ import annotations

import pytest

from tlstudio.core.errors import StudioError
from tlstudio.core.regimes import FITTED, HEAD_NAMES, REGIME_NAMES, REGIMES, regime_facts, require_head


def test_four_regimes_fill_the_four_quarters():
    assert len({facts.quarter for facts in REGIMES}) == len(REGIMES) == 4
    assert {facts.name for facts in REGIMES} == {"head", "fine-tune", "cut", "full"}


@pytest.mark.parametrize("name", REGIME_NAMES)
def test_every_regime_can_be_spoken_of(name):
    facts = regime_facts(name)
    assert facts.name == name and facts.title and facts.sentence.endswith(".")


def test_a_regime_that_is_none():
    with pytest.raises(KeyError):
        regime_facts("auto")


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("regime", ["auto", *REGIME_NAMES])
def test_only_what_leaves_the_network_as_it_is_takes_other_heads(regime, head):
    if regime in ("auto", *FITTED) or head == "linear":
        require_head(regime, head)
    else:
        with pytest.raises(StudioError, match=f"“{head}” needs a network that stays as it is") as refused:
            require_head(regime, head)
        assert refused.value.hint
