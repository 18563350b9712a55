"""The window is closed at random moments: nothing is lost, nothing is left behind, and it says goodbye with 0."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.random_closes import closes

CLOSES = 4


@pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is looked up in /proc")
def test_closes_at_random_moments(tmp_path: Path):
    found = closes(CLOSES, 6, tmp_path)
    assert found["closes"] == CLOSES and found["wrong"] == [], found
