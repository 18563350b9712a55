"""Keeps the computer awake while a training runs, and notices where it slept all the same."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

GAP_S = 60.0
"""A sleep that is longer than this is told."""


@contextmanager
def kept_awake() -> Iterator[None]:
    """Keep the computer from falling asleep by itself, where the system lets us; it ends with this process at last."""
    if sys.platform == "win32":
        import ctypes

        continuous, system_required = 0x80000000, 0x00000001
        ctypes.windll.kernel32.SetThreadExecutionState(continuous | system_required)
        try:
            yield
        finally:
            ctypes.windll.kernel32.SetThreadExecutionState(continuous)
        return
    guard = _guard(_command())
    try:
        yield
    finally:
        if guard is not None:
            guard.terminate()
            guard.communicate()


def _command() -> Sequence[str]:
    """Return a program that keeps the system awake until its input ends, as it does with this process."""
    if sys.platform == "darwin":
        return ("caffeinate", "-i", "cat")
    why = "A classifier is being trained."
    return ("systemd-inhibit", "--what=idle:sleep", "--who=tlstudio", f"--why={why}", "--mode=block", "cat")


def _guard(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    quiet = subprocess.DEVNULL
    try:
        # In a session of its own a Ctrl-C, at which we only begin to end, does not reach it.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
    except OSError:  # this system has no such program
        return None


def seconds_asleep() -> float:
    """Return how long this computer has slept, counted from some moment in the past."""
    if sys.platform == "win32":
        import ctypes

        awake = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
        return time.monotonic() - awake.value / 1e7
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return time.time() - time.monotonic()


class SleepWatch:
    """Notices that the computer has slept."""

    def __init__(self, asleep: Callable[[], float] = seconds_asleep) -> None:
        """`asleep` is a clock that runs while the computer sleeps, and only then."""
        self._asleep = asleep
        self._before = asleep()

    def gap(self) -> float:
        """Return the seconds that the computer slept since the last call, or 0 if that was but a moment."""
        now = self._asleep()
        gap, self._before = now - self._before, now
        return gap if gap > GAP_S else 0.0
