"""Runs that were killed, paused, damaged, lengthened and branched, compared with undisturbed ones."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
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
from tlstudio.core.events import (
    BatchEnded,
    EpochEnded,
    Event,
    Notice,
    Progress,
    RunEnded,
    StageStarted,
    ignore,
    never,
)
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
def test_killed_runs_end_as_if_nothing_had_happened(weights_file, tmp_path, home):
    few = class_folders(tmp_path / "pictures", {"disc": 6, "square": 6})
    for name in KINDS.keys() - {"cut-conv"}:  # it takes as long as all others, and is saved as "mlp" is
        planned(name, few, tmp_path / "runs" / name, weights_file)
    command = [sys.executable, "-m", "tests.engine.kill_runs", str(tmp_path / "runs"), "100", "0"]
    environment = os.environ | {HOME_VARIABLE: str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= 100
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
    status, notices = json.loads(done.stdout)
    assert status == "finished" and {code for code, _ in notices} == {"less-memory"}
    held = int(notices[-1][1].split()[-4])
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


class Gone(BaseException):
    """What ends a training as a kill would, but for the log."""


def test_a_kill_right_after_going_back_changes_nothing(plan, tmp_path):
    """The rates rise, so that it runs out of bounds in its last epoch, with a state of the same step saved before."""
    run, cut = (copied(plan, tmp_path / name, head_lr=45.0, epochs=4, warmup=0.9) for name in ("run", "cut"))
    assert train(run, ignore, never).status == "finished"
    went_back = [event for event in run.events() if isinstance(event, Notice)]
    assert [event.what for event in went_back] == ["Training ran out of bounds in epoch 4."]
    seen: list[Event] = []

    def tell(event: Event) -> None:
        if isinstance(event, BatchEnded) and any(isinstance(before, Notice) for before in seen):
            raise Gone
        seen.append(event)

    with pytest.raises(Gone):
        train(cut, tell, never)
    assert perform(Resume(run=str(cut.path)), ignore, never).status == "finished"
    assert last_state(cut) == last_state(run)
    assert epochs(cut) == epochs(run)


def test_every_going_on_is_gentler_than_the_last(plan, tmp_path):
    """At 1000, 100 and 10 it runs out of bounds; the user goes on twice, at last at 1."""
    run = copied(plan, tmp_path / "run", head_lr=1000.0, epochs=2)
    assert train(run, ignore, never).cause == "diverged"
    assert perform(Resume(run=str(run.path)), ignore, never).cause == "diverged"
    assert perform(Resume(run=str(run.path)), ignore, never).status == "finished"
    assert epochs(run)[0].head_lr == pytest.approx(1.0 * schedule(0.5, 0.1))


def stopped_early(plan: RunFolder, folder: Path) -> RunFolder:
    """Return a copy of the run that was stopped after its first epoch of fine-tuning."""
    run = copied(plan, folder)
    seen: list[Event] = []
    train(run, seen.append, lambda: any(isinstance(e, EpochEnded) and e.stage == "fine-tune" for e in seen))
    return run


def test_a_model_that_a_stop_left_gives_way_to_the_one_of_the_undisturbed_run(plan, whole, tmp_path):
    run = stopped_early(plan, tmp_path / "run")
    run.manifest.write(run.model_file, b"a fine-tuned network that beat the head by then")
    ended = perform(Resume(run=str(run.path)), ignore, never)
    assert ended.status == "finished" and ended.result["kept"] == "the new head"
    assert model_of(run) == model_of(whole)
    assert not run.manifest.damaged()


def test_a_run_whose_window_died_is_cut_off_and_neither_failed_nor_stopped(plan, whole, tmp_path):
    for at in (BatchEnded, Progress):  # at the first event after it, or at the last
        run = copied(plan, tmp_path / at.__name__)
        seen: list[Event] = []

        def tell(event: Event, at=at, seen=seen) -> None:
            learns = any(isinstance(before, StageStarted) and before.index == 1 for before in seen)
            if isinstance(event, at) and learns:
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")
            seen.append(event)

        with pytest.raises(BrokenPipeError):
            train(run, tell, lambda seen=seen: any(isinstance(e, EpochEnded) and e.stage == "fine-tune" for e in seen))
        assert run.summary()[1] is None
        assert perform(Resume(run=str(run.path)), ignore, never).status == "finished"
        assert model_of(run) == model_of(whole)


def test_what_keeps_a_run_from_going_on_takes_no_figures_away(plan, tmp_path):
    run = stopped_early(plan, tmp_path / "run")
    before = run.summary()[1]
    assert before is not None and before.val_accuracy is not None
    run.keep(run.plan_file, msgspec.structs.replace(run.plan(), weights_file=str(tmp_path / "gone.pth")))
    ended = perform(Resume(run=str(run.path)), ignore, never)
    assert ended.status == "failed"
    after = run.summary()[1]
    assert after is not None and (after.val_accuracy, after.kept) == (before.val_accuracy, before.kept)


def test_a_damaged_end_of_the_log_is_trained_again(whole, tmp_path):
    """The newest state has no log any more that fits it, so the one before goes on."""
    run = RunFolder(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    run.manifest.release(run.events_file)  # as while it is trained
    state, _ = newest_state(run.checkpoints_dir)
    assert state is not None
    content = bytearray(run.events_file.read_bytes())
    content[state.checkpoint.log_bytes - 2] ^= 1
    run.events_file.write_bytes(content)
    ended = perform(Resume(run=str(run.path)), ignore, never)
    assert ended.status == "finished", ended
    assert model_of(run) == model_of(whole) and last_state(run) == last_state(whole)


@pytest.mark.skipif(os.name == "nt", reason="uses a link as its second name")
def test_a_run_is_one_run_by_whatever_name_its_folder_is_reached(plan, tmp_path):
    (tmp_path / "link").symlink_to(plan.path.parent)
    with plan.held(), pytest.raises(StudioError, match="being trained already"):
        train(RunFolder(tmp_path / "link" / plan.path.name), ignore, never)


@pytest.mark.skipif(sys.platform != "linux", reason="only here can a process limit the size of files")
def test_a_branch_that_the_disk_does_not_hold_leaves_nothing(whole, tmp_path):
    job = Resume(run=str(whole.path), more_epochs=1, to=str(tmp_path / "branch"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        ended = perform(job, ignore, never)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (ended.status, ended.cause) == ("paused", "disk-full"), ended
    assert not (tmp_path / "branch").exists()


def test_a_run_that_is_being_trained_is_not_branched(whole, tmp_path):
    with whole.held():
        ended = perform(Resume(run=str(whole.path), more_epochs=1, to=str(tmp_path / "branch")), ignore, never)
    assert ended.status == "failed" and "being trained already" in ended.what
    assert not (tmp_path / "branch").exists()


def test_a_finished_run_is_not_branched_without_more_epochs(whole, tmp_path):
    ended = perform(Resume(run=str(whole.path), to=str(tmp_path / "branch")), ignore, never)
    assert ended.status == "failed" and "trained to its end" in ended.what


def test_where_all_states_are_damaged_training_begins_anew_and_says_so(whole, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    for record in run.checkpoints_dir.glob("*.json"):
        record.write_bytes(record.read_bytes()[1:])
    seen: list[Event] = []
    assert train(run, seen.append, never).status == "finished"
    (notice,) = [event for event in seen if isinstance(event, Notice) and event.code == "damaged"]
    assert "begins anew" in notice.what
    assert model_of(run) == model_of(whole)
