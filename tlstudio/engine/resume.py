"""Going on with a run that was paused, interrupted or is to learn for longer."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from tlstudio.core.durable import write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, RunEnded, ShouldStop
from tlstudio.core.jobs import Resume
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.checkpoint import newest_state, with_new_patience
from tlstudio.engine.train import train


def resume(job: Resume, emit: Emit, should_stop: ShouldStop) -> RunEnded:
    """Train on from the last saved state and return how it ended; a finished run without more epochs stays as it is.

    Raises StudioError for everything a user can mend, before anything is written.
    """
    run = RunFolder(Path(job.run).absolute())
    plan = run.plan()
    _, ended = run.summary()
    finished = ended is not None and ended.status == "finished"
    if job.more_epochs and plan.stages[-1].kind != "gradient":
        raise StudioError(
            "A new head is fitted at once, so this run has no epochs to add to.",
            "Train a new classifier with another regime to let the network learn for longer.",
        )
    if finished and not job.more_epochs:
        assert ended is not None
        emit(ended)
        return ended
    if job.to is not None:
        run = _branched(run, Path(job.to).absolute())
    if job.more_epochs:
        _extend(run, job.more_epochs)
    return train(run, emit, should_stop)


def _branched(run: RunFolder, to: Path) -> RunFolder:
    """Copy what training needs into a new folder."""
    branch = RunFolder(to)
    branch.require_empty()
    shutil.copytree(run.path, branch.path, ignore=shutil.ignore_patterns(run.exports_dir.name), dirs_exist_ok=True)
    return branch


def _extend(run: RunFolder, more_epochs: int) -> None:
    state, _ = newest_state(run.checkpoints_dir)
    if state is None:
        raise StudioError(
            f"“{run.path.name}” has no saved state to add epochs to.",
            "It was trained by an older version, or its saved states were deleted. Start a new run.",
        )
    with_new_patience(run.checkpoints_dir, state.checkpoint)
    plan = run.plan()
    stage = plan.stages[-1]
    # An epoch that is under way is one of those that were planned.
    done = min(state.checkpoint.counters.epoch - 1, stage.epochs)
    longer = msgspec.structs.replace(stage, epochs=done + more_epochs)
    write_json(run.plan_file, msgspec.structs.replace(plan, stages=(*plan.stages[:-1], longer)))
