"""Numbers as the user reads them. Knows nothing of widgets."""

from __future__ import annotations

import datetime
import math

import numpy as np

from tlstudio.core.regimes import REGIMES, SCRATCH
from tlstudio.core.results import Interval

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_STAGES = {facts.name: facts.title.lower() for facts in (*REGIMES, SCRATCH)}


def percent(share: float) -> str:
    """Return a share as "94.1 %"."""
    return f"{100 * share:.1f} %"


def interval(bounds: Interval) -> str:
    """Return an interval of shares as "90.2-96.8"."""
    return f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f}"


def accuracy(share: float, bounds: Interval | None = None) -> str:
    """Return an accuracy as "94.1 % (90.2-96.8)"."""
    return f"{percent(share)} ({interval(bounds)})" if bounds else percent(share)


def both_accuracies(random: float, grouped: float) -> str:
    """Return what splits with and without regard to groups show, as one sentence."""
    return (
        f"A split that tears groups apart would have claimed {percent(random)}; this one, which keeps them together, "
        f"shows {percent(grouped)}."
    )


def pictures(count: int) -> str:
    """Return "1 picture" or "1,234 pictures"."""
    return f"{count:,} picture{'' if count == 1 else 's'}"


def stage(name: str) -> str:
    """Return the name of a stage of training: "new head", "fine-tune", "train everything"."""
    return _STAGES.get(name, name)  # type: ignore[call-overload, no-any-return]


def duration(seconds: float) -> str:
    """Return a duration as a person says it: "about 4 minutes"."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} seconds"
    if seconds < 55 * MINUTE:
        return _about(round(seconds / MINUTE), "minute", "a minute")
    if seconds < 23 * HOUR:
        return _about(round(seconds / HOUR), "hour", "an hour")
    return _about(round(seconds / DAY), "day", "a day")


def _about(count: int, unit: str, one: str) -> str:
    return f"about {one}" if count <= 1 else f"about {count} {unit}s"


def moment(time_s: float) -> str:
    """Return a moment, in seconds since 1970, as "2026-11-21 09:30" of the clock on the wall."""
    return f"{datetime.datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"


def disk_size(count: int) -> str:
    """Return a number of bytes as "134 MB" or "1.2 GB"; 1 MB is 10^6 bytes."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{math.ceil(count / 1e6):,} MB"


def small_number(value: float) -> str:
    """Return a small positive number without an exponent, with two digits that count: "0.0000012"."""
    return np.format_float_positional(value, precision=2, unique=False, fractional=False, trim="-")
