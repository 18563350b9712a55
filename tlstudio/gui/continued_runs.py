"""How often trainings went on by themselves after their engine process was lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MOST_AN_HOUR = 3
HOUR_S = 3600.0


class ContinuedRuns:
    """Allows each run a few new engine processes an hour: one that fails again and again needs its user."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._times: dict[str, deque[float]] = {}

    def take(self, run: str) -> int:
        """Return the how-manieth time within an hour this is for the run, counted from 1; 0 if it was often enough."""
        now, times = self._clock_s(), self._times.setdefault(run, deque())
        while times and now - times[0] >= HOUR_S:
            times.popleft()
        if len(times) >= MOST_AN_HOUR:
            return 0
        times.append(now)
        return len(times)
