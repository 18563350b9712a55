"""Waiting for what passes: for how long, what is said, and that a stop is heard. Time is counted, not spent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tlstudio.core.errors import Cause, StudioError
from tlstudio.core.events import Event, Stopped, Waiting
from tlstudio.engine.waiting import HEARD_S, LIMIT_S, Waiter


class Trouble:
    """An attempt that fails until `ends_s` of waiting have gone by."""

    def __init__(self, cause: Cause, ends_s: float) -> None:
        self.cause, self.ends_s, self.slept_s, self.attempts = cause, ends_s, 0.0, 0
        self.events: list[Event] = []

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds

    def attempt(self) -> str:
        self.attempts += 1
        if self.slept_s < self.ends_s:
            raise StudioError("It is gone.", "Bring it back.", self.cause)
        return "done"

    def waiter(self, should_stop: Callable[[], bool] = lambda: False) -> Waiter:
        return Waiter(self.events.append, should_stop, LIMIT_S, sleep=self.sleep)


def test_goes_on_when_it_has_passed() -> None:
    trouble = Trouble("pictures-gone", 20)
    assert trouble.waiter().outlast(trouble.attempt) == "done"
    assert 20 <= trouble.slept_s < 25
    assert trouble.events == [Waiting(cause="pictures-gone", what="It is gone.", hint="Bring it back.")]


def test_gives_up_after_ten_minutes_and_then_at_once() -> None:
    trouble = Trouble("disk-full", 10**6)
    waiter = trouble.waiter()
    with pytest.raises(StudioError, match="gone"):
        waiter.outlast(trouble.attempt)
    assert trouble.slept_s == pytest.approx(600, abs=5)
    with pytest.raises(StudioError, match="gone"):
        waiter.outlast(trouble.attempt)
    assert trouble.slept_s == pytest.approx(600, abs=5)


def test_each_trouble_has_its_own_ten_minutes() -> None:
    trouble = Trouble("disk-full", 590)
    waiter = trouble.waiter()
    waiter.outlast(trouble.attempt)
    trouble.ends_s = 1180
    assert waiter.outlast(trouble.attempt) == "done"


@pytest.mark.parametrize(("cause", "raised"), [("pictures-gone", Stopped), ("disk-full", StudioError)])
def test_a_stop_is_heard_within_half_a_second(cause: Cause, raised: type[Exception]) -> None:
    trouble = Trouble(cause, 10**6)
    waiter = trouble.waiter(lambda: trouble.slept_s >= 100)
    with pytest.raises(raised):
        waiter.outlast(trouble.attempt)
    assert trouble.slept_s == 100 and HEARD_S <= 0.5


@pytest.mark.parametrize("cause", ["", "out-of-memory", "device-lost"])
def test_what_does_not_pass_is_not_waited_for(cause: Cause) -> None:
    trouble = Trouble(cause, 10)
    with pytest.raises(StudioError):
        trouble.waiter().outlast(trouble.attempt)
    assert (trouble.attempts, trouble.slept_s, trouble.events) == (1, 0, [])


def test_a_waiter_that_was_given_no_time_does_not_wait() -> None:
    trouble = Trouble("disk-full", 1)
    with pytest.raises(StudioError):
        Waiter(sleep=trouble.sleep).outlast(trouble.attempt)
    assert trouble.slept_s == 0
