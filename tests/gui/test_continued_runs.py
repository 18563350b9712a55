"""How often a training may go on by itself."""

from __future__ import annotations

from tlstudio.gui.continued_runs import ContinuedRuns


def test_three_times_an_hour_and_every_run_by_itself():
    now = [0.0]
    continued = ContinuedRuns(lambda: now[0])
    taken = []
    for minute in (0, 10, 20, 59, 60, 61, 70, 71):
        now[0] = 60.0 * minute
        taken.append(continued.take("a"))
    # At 60 and 70 minutes, those of 0 and 10 minutes are an hour ago.
    assert taken == [1, 2, 3, 0, 3, 0, 3, 0]
    assert continued.take("b") == 1
