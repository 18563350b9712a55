"""Runs that were killed, paused, damaged, lengthened and branched, compared with undisturbed ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from tests.engine.conftest import train_job
from tests.factories import class_folders
from tlstudio.core.durable import sealed, unsealed
from tlstudio.core.errors import StudioError
from tlstudio.core.events import BatchEnded, EpochEnded, Event, Notice, RunEnded, ignore, never
from tlstudio.core.jobs import Resume
from tlstudio.core.paths import HOME_VARIABLE
from tlstudio.core.plan import Execution
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.checkpoint import newest_state
from tlstudio.engine.loop import schedule
from tlstudio.engine.perform import perform
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import train

SHORT_OF_MEMORY = """
import json, resource, sys
from pathlib import Path
from tlstudio.core.events import Notice, StageStarted, never
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.train import train

def tell(event):
    if isinstance(event, StageStarted) and event.index == 1:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 250_000_000
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if isinstance(event, Notice):
        notices.append([event.code, event.what])

notices = []
ended = train(RunFolder(Path(sys.argv[1])), tell, never)
print(json.dumps([ended.status, notices]))
"""
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


def copied(run: RunFolder, folder: Path, **changes) -> RunFolder:
    """Copy a run; `changes` are made to the plan, those of a stage to the second one."""
    copy = RunFolder(folder)
    shutil.copytree(run.path, copy.path)
    plan = copy.plan()
    of_stage = {name: changes.pop(name) for name in list(changes) if hasattr(plan.stages[1], name)}
    stages = (plan.stages[0], msgspec.structs.replace(plan.stages[1], **of_stage))
    copy.keep(copy.plan_file, msgspec.structs.replace(plan, stages=stages, **changes))
    return copy


@pytest.mark.skipif(sys.platform != "linux", reason="only here can a process limit its memory")
def test_a_training_that_the_memory_does_not_hold_goes_on_in_parts(plan, tmp_path, home):
    """The same as if it had been planned so."""
    run = copied(plan, tmp_path / "run", epochs=1, execution=Execution())
    environment = os.environ | {HOME_VARIABLE: str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(run.path)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, ((code, what),) = json.loads(done.stdout)
    assert (status, code) == ("finished", "less-memory")
    held = int(what.split()[-4])
    assert held < 16
    wanted = copied(plan, tmp_path / "wanted", epochs=1, execution=Execution(micro_batch=held))
    train(wanted, ignore, never)
    assert last_state(run) == last_state(wanted)


def last_state(run: RunFolder) -> dict[str, bytes]:
    """Return the tensor files of the newest state."""
    state, _ = newest_state(run.checkpoints_dir)
    assert state is not None
    return {name: (run.checkpoints_dir / file.name).read_bytes() for name, file in state.checkpoint.files.items()}


def test_a_fault_while_weights_change_pauses_the_run(plan, whole, tmp_path, monkeypatch):
    """Half of the weights may have learnt then: nothing of that is saved, and going on is as if it had not been."""
    run = copied(plan, tmp_path / "run")
    seen: list[Event] = []

    def half_a_step(optimiser, closure=None):
        with torch.no_grad():
            optimiser.param_groups[0]["params"][0].mul_(2)
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def tell(event: Event) -> None:
        seen.append(event)
        if isinstance(event, EpochEnded) and event.stage == "fine-tune":
            monkeypatch.setattr(torch.optim.SGD, "step", half_a_step)

    ended = train(run, tell, never)
    assert (ended.status, ended.cause) == ("paused", "device-lost")
    assert ended.kept == "the new head" and ended.val_accuracy is not None
    assert list(run.events())[-1] == ended
    monkeypatch.undo()
    assert perform(Resume(run=str(run.path)), ignore, never).status == "finished"
    assert model_of(run) == model_of(whole)
    assert last_state(run) == last_state(whole)


def test_a_run_whose_graphics_card_is_gone_goes_on_with_the_processor(plan, whole, tmp_path):
    run = copied(plan, tmp_path / "run")
    seen: list[Event] = []
    train(run, seen.append, lambda: any(isinstance(e, EpochEnded) and e.stage == "fine-tune" for e in seen))
    run.keep(run.plan_file, msgspec.structs.replace(run.plan(), device="mps"))
    ended = perform(Resume(run=str(run.path)), ignore, never)
    assert ended.status == "failed" and "cannot be used on this computer" in ended.what
    ended = perform(Resume(run=str(run.path), device="cpu"), ignore, never)
    assert ended.status == "finished" and run.plan().device == "cpu"
    assert last_state(run) == last_state(whole)


def epochs(run: RunFolder) -> list[EpochEnded]:
    """Return the epochs of fine-tuning that the log has."""
    return [event for event in run.events() if isinstance(event, EpochEnded) and event.stage == "fine-tune"]


def test_training_out_of_bounds_goes_back_and_on_more_gently(plan, tmp_path):
    """At a rate of 10 this network runs out of bounds in its first epoch, at 1 it does not."""
    run, paused = (copied(plan, tmp_path / name, head_lr=10.0, epochs=2) for name in ("run", "paused"))
    assert train(run, ignore, never).status == "finished"
    assert epochs(run)[0].head_lr == pytest.approx(1.0 * schedule(0.5, 0.1))
    # A run that is paused just then ends in the same way.
    seen: list[Event] = []
    train(paused, seen.append, lambda: any(isinstance(event, Notice) for event in seen))
    assert perform(Resume(run=str(paused.path)), ignore, never).status == "finished"
    assert last_state(paused) == last_state(run)
    assert epochs(paused) == epochs(run)
    for one in (run, paused):
        assert [event.code for event in one.events() if isinstance(event, Notice)] == ["diverged"]


def test_training_out_of_bounds_again_asks_and_becomes_gentler_still(plan, tmp_path):
    """At 300 and at 30 it runs out of bounds; the user goes on, at 3."""
    run = copied(plan, tmp_path / "run", head_lr=300.0, epochs=1)
    ended = train(run, ignore, never)
    assert (ended.status, ended.cause) == ("paused", "diverged")
    assert ended.kept == "the new head" and ended.val_accuracy is not None
    assert perform(Resume(run=str(run.path)), ignore, never).status == "finished"
    assert [event.code for event in run.events() if isinstance(event, Notice)] == ["diverged", "gentler"]
    gentle = copied(plan, tmp_path / "gentle", head_lr=3.0, epochs=1)
    train(gentle, ignore, never)
    assert epochs(run)[0].train_loss == pytest.approx(epochs(gentle)[0].train_loss)
