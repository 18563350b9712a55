"""Numbers as the user reads them."""

from __future__ import annotations

import pytest

from tlstudio.gui import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "a few seconds"),
        (22, "about 20 seconds"),
        (54.9, "about 55 seconds"),
        (56, "about a minute"),
        (89, "about a minute"),
        (91, "about 2 minutes"),
        (245, "about 4 minutes"),
        (54 * 60, "about 54 minutes"),
        (58 * 60, "about an hour"),
        (3 * 3600 + 100, "about 3 hours"),
        (23.5 * 3600, "about a day"),
        (49 * 3600, "about 2 days"),
    ],
)
def test_durations_as_a_person_says_them(seconds, said):
    assert words.duration(seconds) == said


def test_accuracy_with_one_decimal_and_its_interval():
    assert words.accuracy(0.9412, (0.902, 0.968)) == "94.1 % (90.2-96.8)"
    assert words.accuracy(1.0) == "100.0 %"


def test_counts_and_small_numbers():
    assert [words.pictures(count) for count in (0, 1, 1234)] == ["0 pictures", "1 picture", "1,234 pictures"]
    assert words.small_number(1.23e-6) == "0.0000012"
    assert words.small_number(0.0021) == "0.0021"
