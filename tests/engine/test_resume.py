"""Runs that were killed, paused, damaged, lengthened and branched, compared with undisturbed ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import train_job
from tests.factories import class_folders
from tlstudio.core.durable import sealed, unsealed
from tlstudio.core.errors import StudioError
from tlstudio.core.events import BatchEnded, EpochEnded, Event, Notice, RunEnded, ignore, never
from tlstudio.core.jobs import Resume
from tlstudio.core.paths import HOME_VARIABLE
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.perform import perform
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import train

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS: dict[str, dict[str, object]] = {
    "head": {},
    "svm": {"head": "svm"},
    "svm-rbf": {"head": "svm-rbf"},
    "mlp": {"head": "mlp"},
    "cut": {"cut": "textures"},
    "cut-conv": {"cut": "textures", "head": "conv"},
    "fine-tune": {"regime": "fine-tune", "epochs": 3},
    "full": {"regime": "full", "epochs": 2},
    "scratch": {"regime": "scratch", "epochs": 2},
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("pictures"), {"disc": 12, "square": 12})


def planned(name: str, pictures: Path, folder: Path, weights_file: Path, **changes) -> RunFolder:
    options = {"threads": 1, **KINDS[name], **changes}
    if "cut" in options:
        options["regime"] = "cut"
    return set_up(train_job(pictures, folder, weights_file, **options), ignore, never)


def model_of(run: RunFolder) -> bytes:
    return run.model_file.read_bytes()


@pytest.fixture(scope="module")
def plan(pictures: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of regime `fine-tune` that has not begun. Tests copy it."""
    return planned("fine-tune", pictures, tmp_path_factory.mktemp("runs") / "plan", weights_file)


@pytest.fixture(scope="module")
def whole(plan: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run, undisturbed. Tests only read it."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    shutil.copytree(plan.path, run.path)
    assert train(run, ignore, never).status == "finished"
    return run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")
def test_killed_runs_end_as_if_nothing_had_happened(pictures, weights_file, tmp_path, home):
    for name in KINDS:
        planned(name, pictures, tmp_path / "runs" / name, weights_file)
    command = [sys.executable, "-m", "tests.engine.kill_runs", str(tmp_path / "runs"), "40", "0"]
    environment = os.environ | {HOME_VARIABLE: str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= 40
    assert found["differing"] == {}


def test_a_pause_and_a_continuation_are_as_no_pause(plan, whole, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(plan.path, run.path)
    seen: list[Event] = []
    paused = train(
        run, seen.append, lambda: any(isinstance(event, EpochEnded) and event.stage == "fine-tune" for event in seen)
    )
    assert paused.status == "stopped"
    ended = perform(Resume(run=str(run.path)), ignore, never)
    assert ended.status == "finished"
    assert model_of(run) == model_of(whole)
    times = {"time_s", "seconds", "run"}
    logs = [
        [
            {key: value for key, value in json.loads(line).items() if key not in times}
            for line in log.read_bytes().splitlines()
        ]
        for log in (run.events_file, whole.events_file)
    ]
    assert logs[0] == logs[1]


def test_a_damaged_state_is_noticed_and_the_one_before_is_used(whole, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    newest = max(run.checkpoints_dir.glob("step-*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    seen: list[Event] = []
    assert train(run, seen.append, never).status == "finished"
    (notice,) = [event for event in seen if isinstance(event, Notice) and event.code == "damaged"]
    assert newest.name in notice.what
    assert model_of(run) == model_of(whole)


def test_every_flipped_bit_of_a_record_is_noticed():
    whole = sealed(b'{"generation":3}')
    assert unsealed(whole) == b'{"generation":3}'
    for position in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        assert unsealed(bytes(damaged)) is None, position


def test_more_epochs_go_on_where_training_ended(whole, tmp_path):
    before = {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}
    seen: list[Event] = []
    job = Resume(run=str(whole.path), more_epochs=2, to=str(tmp_path / "longer"))
    assert perform(job, seen.append, never).status == "finished"
    logged = list(RunFolder(tmp_path / "longer").events())
    for events in (seen, logged):
        assert [event.epoch for event in events if isinstance(event, EpochEnded)] == [1, 1, 2, 3, 4, 5]
        assert sum(isinstance(event, RunEnded) for event in events) == 1
    assert [event for event in logged if isinstance(event, BatchEnded)][-1].epoch == 5
    assert {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()} == before


def test_a_finished_run_stays_as_it_is(whole):
    before = {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}
    ended = perform(Resume(run=str(whole.path)), ignore, never)
    assert ended.status == "finished" and ended.result["val_accuracy"] is not None
    assert {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()} == before


def test_a_head_has_no_epochs_to_add_to(head_run: RunFolder):
    ended = perform(Resume(run=str(head_run.path), more_epochs=2), ignore, never)
    assert ended.status == "failed" and "no epochs to add to" in ended.what


def test_a_run_is_trained_by_one_process_at_a_time(plan):
    with plan.held(), pytest.raises(StudioError, match="being trained already"):
        train(plan, ignore, never)


def test_a_state_of_a_newer_version_is_refused_in_words(whole, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    record = max(run.checkpoints_dir.glob("*.json"))
    body = unsealed(record.read_bytes())
    assert body is not None
    record.write_bytes(sealed(body.replace(b'"version":1', b'"version":99')))
    with pytest.raises(StudioError, match="newer version"):
        train(run, ignore, never)
