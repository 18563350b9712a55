"""Which runs are offered to be gone on with."""

from __future__ import annotations

import pytest

from tests.factories import class_folders
from tlstudio.core.dataset import scan
from tlstudio.core.events import EpochEnded, Event, RunEnded, encode_event
from tlstudio.core.interrupted import forget_left, interrupted_runs, remember_left
from tlstudio.core.paths import runs_dir
from tlstudio.core.plan import Augmentation, Plan
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import split

PLAN = Plan(
    backbone="resnet18", weights_file="", weights_sha256="", regime="fine-tune", head="linear", stages=(),
    augmentation=Augmentation(), batch_size=32, seed=0, device="cpu", threads=1,
)  # fmt: skip
EPOCH = EpochEnded(
    stage="fine-tune", epoch=2, epochs=5, train_loss=0.1, train_accuracy=1.0, val_loss=None, val_accuracy=None,
    images_per_second=None,
)  # fmt: skip


@pytest.fixture
def index(tmp_path):
    return scan([class_folders(tmp_path / "pictures")])


def a_run(index, name: str, *events: Event) -> RunFolder:
    run = RunFolder(runs_dir() / name)
    run.start(PLAN, index, split(index, seed=0))
    run.events_file.write_bytes(b"".join(encode_event(event) for event in events))
    return run


def names() -> set[str]:
    return {found.name for found in interrupted_runs(runs_dir())}


def test_what_was_cut_off_or_is_paused_is_offered_and_nothing_else(index):
    a_run(index, "cut off", EPOCH)
    a_run(index, "not begun")
    a_run(index, "paused", EPOCH, RunEnded(status="paused", cause="disk-full", what="The disk is full."))
    a_run(index, "finished", EPOCH, RunEnded(status="finished"))
    a_run(index, "stopped", EPOCH, RunEnded(status="stopped"))
    a_run(index, "failed", EPOCH, RunEnded(status="failed"))
    (a_run(index, "damaged").plan_file).write_text("{", encoding="utf-8")
    assert names() == {"cut off", "not begun", "paused"}
    found = {found.name: found for found in interrupted_runs(runs_dir())}
    assert found["cut off"].epoch == EPOCH and found["cut off"].ended is None
    assert found["not begun"].epoch is None
    assert found["paused"].ended is not None and found["paused"].ended.cause == "disk-full"


def test_a_run_left_by_closing_is_offered_until_it_is_forgotten(index):
    left = a_run(index, "left", EPOCH, RunEnded(status="stopped"))
    a_run(index, "stopped", EPOCH, RunEnded(status="stopped"))
    remember_left(left)
    assert names() == {"left"}
    forget_left(left)
    assert names() == set()


def test_a_run_that_is_being_trained_is_not_offered(index):
    run = a_run(index, "busy", EPOCH)
    assert not run.is_held()
    with run.held():
        assert run.is_held()
        assert names() == set()
    assert not run.is_held()
    assert names() == {"busy"}
