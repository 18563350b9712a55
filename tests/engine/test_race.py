"""Races on drawn pictures, and the arithmetic that decides them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.engine.conftest import train_job
from tests.factories import class_folders, part_folders
from tlstudio.core.events import Event, Progress, RaceChanged, RunEnded, StageStarted, ignore, never
from tlstudio.core.jobs import Race
from tlstudio.core.paths import data_dir
from tlstudio.core.regimes import REGIME_NAMES
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine import race as race_module
from tlstudio.engine.perform import perform
from tlstudio.engine.race import FoldCost
from tlstudio.engine.trials import Trial, compared, dearer_but_better, difference, judged, winner_of


def trial(answers: str, first: int = 0) -> Trial:
    """A trial from "1" for right and "0" for wrong."""
    return Trial({first + i: a == "1" for i, a in enumerate(answers)}, {first + i: 0.0 for i in range(len(answers))})


# Deciding


def test_the_difference_is_paired_and_its_interval_that_of_the_sign_test() -> None:
    gain, (low, high) = difference(trial("1" * 100), trial("0" * 6 + "1" * 94))
    # Six wins of six: the exact 95 % bound of the share of wins is the sixth root of 0.025.
    bound = 0.025 ** (1 / 6)
    assert gain == pytest.approx(0.06)
    assert (low, high) == pytest.approx((0.06 * (2 * bound - 1), 0.06))
    assert difference(trial("1010"), trial("1010")) == (0.0, (0.0, 0.0))
    some, all_four = trial("11", first=2), trial("0011")
    assert difference(some, all_four) == difference(all_four, some) == (0.0, (0.0, 0.0)), "only shared pictures count"


def test_a_cheaper_regime_wins_unless_it_is_clearly_worse() -> None:
    worse_by_5, worse_by_6 = trial("0" * 5 + "1" * 95), trial("0" * 6 + "1" * 94)
    best = trial("1" * 100)
    assert winner_of({"head": worse_by_5, "full": best}) == "head"
    assert winner_of({"head": worse_by_6, "full": best}) == "full"
    assert winner_of({"scratch": best, "full": best, "cut": worse_by_6}) == "full", "of equals the cheaper one"
    few = trial("1" * 10)
    assert winner_of({"head": trial("0" * 8 + "1" * 92), "fine-tune": few}) == "fine-tune", "on the shared pictures"
    assert "5.0 points better" in dearer_but_better("head", {"head": worse_by_5, "full": best})
    assert dearer_but_better("full", {"head": worse_by_5, "full": best}) == ""
    assert compared(worse_by_6, best).startswith("6.0 points below the winner (-6.0 to -0.5), on 100 pictures")
    assert compared(best, best) == "Right on the same of 100 pictures as the winner."


def test_answers_become_a_trial() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    found = judged([7, 9], logits, np.array([0, 0]))
    assert found.right == {7: True, 9: False}
    assert found.losses == pytest.approx({7: -np.log(0.9), 9: -np.log(0.2)})


def test_the_epochs_that_fit_the_time() -> None:
    cost = FoldCost(before=10, epoch=5, after=2)
    assert cost.plan(3 * (12 + 20), 3, 50) == (3, 4)
    assert cost.plan(3 * (12 + 50), 3, 8) == (3, 8), "never more than a full training takes"
    assert cost.plan(2 * (12 + 20), 3, 50) == (2, 4), "rather fewer folds than too few epochs"
    assert cost.plan(12 + 5, 3, 50) == (1, 1)
    assert cost.plan(12 + 4, 3, 50) == (0, 0)


# Racing


def race_job(pictures: Path, run: Path, weights_file: Path, minutes: float, stop=True, **changes) -> Race:
    train = train_job(pictures, run, weights_file, regime="auto", device="cpu", **changes)
    return Race(train=train, budget_minutes=minutes, stop_before_training=stop)


def standings(events: list[Event]) -> list[RaceChanged]:
    return [event for event in events if isinstance(event, RaceChanged)]


def test_all_regimes_race_on_training_pictures_alone(
    tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_module, "FOLDS", 2)
    monkeypatch.setattr(race_module, "PILOT_S", 0.1)
    monkeypatch.setattr(race_module, "WORTH_MEASURING_S", float("inf"))
    pictures = part_folders(tmp_path / "pictures", {"train": 6, "val": 4})
    events: list[Event] = []
    job = race_job(pictures, tmp_path / "run", weights_file, minutes=60, epochs=1)
    ended = perform(job, events.append, never)
    assert ended.status == "finished" and ended.result, ended
    rows = {row["regime"]: row for row in ended.result["rows"]}
    assert tuple(sorted(rows)) == tuple(sorted(REGIME_NAMES))
    for row in rows.values():
        assert (row["state"], row["images"]) == ("done", 12), row
        low, high = row["interval"]
        assert low <= row["accuracy"] <= high and row["nll"] > 0 and row["seconds"] > 0
    assert [row["regime"] for row in rows.values() if row["winner"]] == [ended.result["winner"]]
    assert ended.result["run"] is None and not (tmp_path / "run").exists()
    kept = [rows[regime]["note"] for regime in ("fine-tune", "full", "scratch")]
    assert any("The new head was kept" in note for note in kept), "one epoch on three pictures beats no head"

    seen = standings(events)
    assert {row.state for row in seen[0].rows} == {"waiting"}
    assert any(row.state == "running" for change in seen for row in change.rows)
    assert seen[-1].seconds_left == 0 and any(row.winner for row in seen[-1].rows)
    told = [event for event in events if isinstance(event, Progress) and event.what.startswith("Trying")]
    assert told and all(0 <= event.done <= event.total == 10 for event in told)
    assert not any(isinstance(event, StageStarted | RunEnded) for event in events), "a trial is nobody's run"

    cached = list((data_dir() / "cache" / "features").glob("*.sqlite"))
    with sqlite3.connect(cached[0]) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        counts = [database.execute(f"select count(*) from {name}").fetchone()[0] for name in tables]
    database.close()
    assert len(cached) == 1 and max(counts) == 12, "val pictures were not looked at"


def test_without_time_the_cheap_regimes_race_and_the_winner_is_trained(
    tmp_path: Path, drawn_pictures: Path, weights_file: Path
) -> None:
    events: list[Event] = []
    job = race_job(drawn_pictures, tmp_path / "run", weights_file, minutes=0.001, stop=False)
    ended = perform(job, events.append, never)
    assert ended.status == "finished" and ended.result, ended
    rows = {row["regime"]: row for row in ended.result["rows"]}
    assert rows["head"]["state"] == "done" and rows["head"]["images"] > 0
    for regime in ("fine-tune", "full", "scratch"):
        assert rows[regime]["state"] == "left out" and "minutes" in rows[regime]["note"]
    winner = ended.result["winner"]
    plan = RunFolder(tmp_path / "run").plan()
    assert plan.regime == winner and ended.result["run"]["status"] == "finished"
    assert (tmp_path / "run" / "model.safetensors").exists()
    last_change = max(i for i, event in enumerate(events) if isinstance(event, RaceChanged))
    assert any(isinstance(event, StageStarted) for event in events[last_change:]), "the full training comes after"
    again = perform(job, ignore, never)
    assert again.status == "failed" and "not empty" in again.what, "nothing is raced for a run that cannot be"


def test_a_stop_keeps_what_is_done_and_names_a_winner(tmp_path: Path, drawn_pictures: Path, weights_file: Path) -> None:
    done: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, RaceChanged) and event.rows[0].state == "done":
            done.append("head")

    job = race_job(drawn_pictures, tmp_path / "run", weights_file, minutes=60, stop=False)
    ended = perform(job, emit, lambda: bool(done))
    assert ended.status == "stopped" and ended.result, ended
    assert ended.result["winner"] == "head" and ended.result["run"] is None
    states = {row["regime"]: row["state"] for row in ended.result["rows"]}
    assert states == dict.fromkeys(REGIME_NAMES, "left out") | {"head": "done"}
    assert not (tmp_path / "run").exists()

    nothing = perform(job, ignore, lambda: True)
    assert nothing.status == "stopped" and nothing.result is None


def test_a_race_that_cannot_be_is_refused(tmp_path: Path, weights_file: Path) -> None:
    few = class_folders(tmp_path / "few", {"disc": 2, "square": 1, "cross": 1})
    ended = perform(race_job(few, tmp_path / "run", weights_file, minutes=1), ignore, never)
    assert ended.status == "failed" and "too few pictures" in ended.what
    endless = perform(race_job(few, tmp_path / "run", weights_file, minutes=0), ignore, never)
    assert endless.status == "failed" and "time" in endless.what
