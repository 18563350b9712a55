"""Holding still until trouble from outside has passed: a full disk, a folder of pictures that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from tlstudio.core.errors import Cause, StudioError
from tlstudio.core.events import Emit, ShouldStop, Stopped, Waiting, ignore, never

T = TypeVar("T")

PASSING: frozenset[Cause] = frozenset({"disk-full", "pictures-gone"})
"""Causes that pass without anything being done here."""
LIMIT_S = 600.0
EVERY_S = 2.0
"""How often what failed is tried again."""
HEARD_S = 0.25
"""A stop is heard within this time."""


class Waiter:
    """Tries again what failed for a cause that passes. Use it from one thread; `emit` is called on that thread.

    With `limit_s` 0, the default, it does not wait at all: what takes a moment may as well be started again.
    `told` may put an error into better words.
    """

    def __init__(
        self,
        emit: Emit = ignore,
        should_stop: ShouldStop = never,
        limit_s: float = 0.0,
        told: Callable[[StudioError], StudioError] = lambda error: error,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._emit, self._should_stop, self._told, self._sleep = emit, should_stop, told, sleep
        self._limit_s = self._left_s = limit_s

    def outlast(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns, as soon as it no longer raises a StudioError with a cause that passes.

        After the limit that error is raised, and from then on at once: nobody is there to see to it. On a stop, where
        pictures are gone, raises Stopped; where nothing can be saved, the error, because that has to be said.
        """
        self._left_s = self._limit_s if self._left_s > 0 else 0.0
        emitted: Waiting | None = None
        while True:
            try:
                return attempt()
            except StudioError as failed:
                if failed.cause not in PASSING:
                    raise
                error = self._told(failed)
                is_stopping = self._should_stop()
                if is_stopping and error.cause == "pictures-gone":
                    raise Stopped from failed
                if is_stopping or self._left_s <= 0:
                    raise error from failed
                waiting = Waiting(cause=error.cause, what=error.what, hint=error.hint)
                if waiting != emitted:
                    self._emit(waiting)
                    emitted = waiting
            self.pause(EVERY_S)
            self._left_s -= EVERY_S

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until a stop is asked for."""
        while seconds > 0 and not self._should_stop():
            self._sleep(HEARD_S)
            seconds -= HEARD_S


def heard(future: Future[T], should_stop: ShouldStop) -> T:
    """Return a future's result. Raises Stopped where that takes longer than a stop may go unheard."""
    while not wait([future], HEARD_S).done:
        if should_stop():
            raise Stopped
    return future.result()
