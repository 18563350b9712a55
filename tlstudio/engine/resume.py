"""Going on with a run that was paused, interrupted or is to learn for longer."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import torch

from tlstudio.core.errors import StudioError, refused
from tlstudio.core.events import Emit, RunEnded, ShouldStop
from tlstudio.core.jobs import Resume
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.checkpoint import newest_state, save_again
from tlstudio.engine.devices import choose_device
from tlstudio.engine.execution import knows_bfloat16
from tlstudio.engine.train import train


def resume(job: Resume, emit: Emit, should_stop: ShouldStop) -> RunEnded:
    """Train on from the last saved state and return how it ended; a finished run without more epochs stays as it is.

    Raises StudioError for everything a user can mend, before anything is written.
    """
    run = RunFolder(Path(job.run).absolute())
    plan = run.plan()
    ended = _ended(run)
    finished = ended is not None and ended.status == "finished"
    if job.more_epochs and plan.stages[-1].kind != "gradient":
        raise StudioError(
            "A new head is fitted at once, so this run has no epochs to add to.",
            "Train a new classifier with another regime to let the network learn for longer.",
        )
    if finished and not job.more_epochs:
        assert ended is not None
        if job.to is not None:
            raise StudioError(
                f"“{run.path.name}” has been trained to its end, so there is nothing to go on with in another folder.",
                "Say how many more epochs it is to learn there.",
            )
        emit(ended)
        return ended
    device = None if job.device is None else choose_device(job.device)
    if job.to is not None:
        run = _branched(run, Path(job.to).absolute())
    with run.held():
        if job.more_epochs:
            _extend(run, job.more_epochs)
        if ended is not None and ended.cause == "diverged":
            _be_gentler(run)
        if device is not None:
            _move(run, device)
    return train(run, emit, should_stop)


def _ended(run: RunFolder) -> RunEnded | None:
    """Return how the run ended; None if the log does not tell, or is damaged where a saved state may replace it."""
    try:
        return run.summary()[1]
    except StudioError:
        if newest_state(run.checkpoints_dir)[0] is None:
            raise
        return None


def _branched(run: RunFolder, to: Path) -> RunFolder:
    """Copy what training needs into a new folder, all of it or nothing."""
    branch = RunFolder(to)
    branch.require_empty()
    left = shutil.ignore_patterns(run.exports_dir.name, run.notes_file.name, run.plan_file.name)
    with run.held():
        try:
            shutil.copytree(
                run.path, branch.path, ignore=left, copy_function=_copied, dirs_exist_ok=True, symlinks=True
            )
            _copied(run.plan_file, branch.plan_file)  # it makes the folder a run
        except BaseException:
            shutil.rmtree(branch.path, ignore_errors=True)
            raise
    return branch


def _copied(file: str | Path, to: str | Path) -> None:
    """Copy a file. Raises StudioError, which ends the copying of a folder at once."""
    try:
        shutil.copy2(file, to)
    except OSError as error:
        raise refused(error) from error


def _extend(run: RunFolder, more_epochs: int) -> None:
    state, _ = newest_state(run.checkpoints_dir)
    if state is None:
        raise StudioError(
            f"“{run.path.name}” has no saved state to add epochs to.",
            "It was trained by an older version, or its saved states were deleted. Start a new run.",
        )
    counters = msgspec.structs.replace(state.checkpoint.counters, without_gain=0)
    save_again(run.checkpoints_dir, msgspec.structs.replace(state.checkpoint, counters=counters))
    plan = run.plan()
    stage = plan.stages[-1]
    # An epoch that is under way is one of those that were planned.
    done = min(state.checkpoint.counters.epoch - 1, stage.epochs)
    longer = msgspec.structs.replace(stage, epochs=done + more_epochs)
    run.keep(run.plan_file, msgspec.structs.replace(plan, stages=(*plan.stages[:-1], longer)))


def _be_gentler(run: RunFolder) -> None:
    """Lower the learning rates once more, and let the epoch that ran out of bounds begin from the best state."""
    state, _ = newest_state(run.checkpoints_dir)
    if state is None or "step" not in state.tensors:  # it was done already
        return
    checkpoint = state.checkpoint
    counters = msgspec.structs.replace(checkpoint.counters, gentler=checkpoint.counters.gentler + 1)
    files = {name: file for name, file in checkpoint.files.items() if name != "step"}
    save_again(run.checkpoints_dir, msgspec.structs.replace(checkpoint, counters=counters, files=files))


def _move(run: RunFolder, device: torch.device) -> None:
    """Have another processor compute, in a precision that it knows."""
    plan = run.plan()
    precision = plan.execution.precision if knows_bfloat16(device) else "float32"
    execution = msgspec.structs.replace(plan.execution, precision=precision)
    run.keep(run.plan_file, msgspec.structs.replace(plan, device=device.type, execution=execution))
