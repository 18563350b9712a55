"""How much of a disk a run takes, and what to say where there is not so much."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from pathlib import Path

import torch

from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.plan import Plan, Stage
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.checkpoint import GENERATIONS
from tlstudio.engine.networks import build_network, torchvision_model
from tlstudio.engine.run_log import BATCHES_LOGGED_AN_EPOCH

BYTES_AN_IMAGE = 1000
"""In the lists of a run: its path, class, hash and facts."""
BYTES_A_LINE = 250
"""In the log."""
MB = 10**6


def needed_bytes(plan: Plan, index: DatasetIndex) -> int:
    """Return what a run's folder takes at its fullest: while a model and a saved state are being replaced."""
    images, classes = len(index.images), len(index.classes)
    weights_bytes = _network_bytes(plan, classes)
    total = 2 * weights_bytes + BYTES_AN_IMAGE * images
    for stage in plan.stages:
        total += stage.epochs * (BATCHES_LOGGED_AN_EPOCH + 1) * BYTES_A_LINE
        if stage.kind == "gradient":
            start_bytes = weights_bytes + 4 * images * classes
            total += start_bytes + (GENERATIONS + 1) * _state_copies(stage) * weights_bytes
    return total


def require_room(plan: Plan, index: DatasetIndex, folder: Path) -> None:
    """Raise StudioError if the disk has no room for a run in `folder`, which need not be there yet."""
    needed = needed_bytes(plan, index)
    missing = needed - _free_bytes(folder)
    if missing > 0:
        raise StudioError(
            f"This training needs up to {_megabytes(needed)} on the disk of {shown(folder.parent)}, and "
            f"{_megabytes(missing)} of that are not free.",
            "Free so much, or choose a folder for the run on another disk. Nothing was begun.",
            "disk-full",
        )


def full_disk(error: StudioError, run: RunFolder) -> StudioError:
    """Return what kept a run from being saved, with how much is to be freed; other errors as they are."""
    if error.cause != "disk-full":
        return error
    missing = 0
    with suppress(OSError, StudioError):
        needed = needed_bytes(run.plan(), run.dataset())
        taken = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
        missing = needed - taken - _free_bytes(run.path)
    return StudioError(
        f"The disk of {shown(run.path)} is full, so the training cannot be saved.",
        f"Free about {_megabytes(max(missing, MB))} there, then it goes on. What was saved before is untouched.",
        "disk-full",
    )


def _network_bytes(plan: Plan, classes: int) -> int:
    """Return the size of the plan's network, with the simplest head there is."""
    spec = backbone(plan.backbone)
    cut_after = [block.name for block in spec.blocks].index(plan.cut) if plan.cut else None
    with torch.device("meta"):
        network = build_network(spec, torchvision_model(spec), classes, cut_after)
    return sum(value.nbytes for value in network.state_dict().values())


def _state_copies(stage: Stage) -> int:
    """Return how many times the size of the weights a saved state has.

    They, the best ones, their mean and the optimiser's memory are in it.
    """
    return 2 + (2 if stage.optimiser == "adamw" else 1) + (1 if stage.average_decay else 0)


def _free_bytes(folder: Path) -> int:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free


def _megabytes(size_bytes: int) -> str:
    return f"{math.ceil(size_bytes / MB):,} MB"
