"""How long a thing still takes."""

from __future__ import annotations

import time

from tlstudio.core.events import Emit, Progress


class Pace:
    """Emits `Progress` at most every 100 ms, with the seconds left at the mean pace so far."""

    def __init__(self, emit: Emit, what: str, total: int) -> None:
        self._emit, self._what, self._total = emit, what, total
        self._started = time.monotonic()
        self._last = float("-inf")

    def step(self, done: int) -> None:
        """Say that `done` of the total are done."""
        now = time.monotonic()
        if now - self._last < 0.1 and done < self._total:
            return
        self._last = now
        elapsed = now - self._started
        left = elapsed / done * (self._total - done) if done and self._total else None
        self._emit(Progress(what=self._what, done=done, total=self._total, seconds_left=left))
