"""Compares backbones on the user's pictures before anything is trained: how right, how fast, how large."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tlstudio.core.backbones import BACKBONES, BackboneSpec, backbone
from tlstudio.core.dataset import DatasetIndex, ImageRecord, scan
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Event, Progress, ShouldStop, Stopped, ignore
from tlstudio.core.jobs import Rank
from tlstudio.core.results import RankRow
from tlstudio.core.split import split
from tlstudio.core.weights_folder import weights_present
from tlstudio.engine.devices import choose_device, set_threads
from tlstudio.engine.features import BATCH_SIZE
from tlstudio.engine.heads import fit_head
from tlstudio.engine.measure import forward_memory_mb, forward_speed
from tlstudio.engine.old_network import OldNetwork
from tlstudio.engine.profile import measuring_order
from tlstudio.engine.train import wilson
from tlstudio.engine.weights import resolve


def rank(job: Rank, emit: Emit, should_stop: ShouldStop) -> list[RankRow]:
    """Return a row for every backbone the job names, or for all whose weights are here, best first.

    A new head is judged by cross-validation on the training pictures, or on a sample of very many; val and test are
    not looked at. Raises StudioError, Stopped.
    """
    index = scan([Path(folder).absolute() for folder in job.folders], job.setup, emit, should_stop)
    training = [index.images[position] for position in split(index, job.seed).train]
    images = _judgeable([training[i] for i in measuring_order(_targets(training), job.seed)])
    specs = [backbone(name) for name in job.backbones] or [spec for spec in BACKBONES if weights_present(spec)]
    set_threads(job.threads)
    course = _Course(emit, specs, len(images))
    rows = []
    for spec in specs:
        rows.append(_row(spec, index, images, len(training), job, course, should_stop))
        course.finish(spec)
    return sorted(rows, key=lambda row: (-row.accuracy, row.seconds))


def _row(
    spec: BackboneSpec,
    index: DatasetIndex,
    images: Sequence[ImageRecord],
    training_images: int,
    job: Rank,
    course: _Course,
    should_stop: ShouldStop,
) -> RankRow:
    """Show the pictures to one backbone, unless its features are known, and try a head on its last block."""
    weights, classes = resolve(spec, None), len(index.classes)
    old = OldNetwork(spec, weights, images, index.reading, classes, choose_device(job.device))
    try:
        features = old.features(range(len(images)), course.listener(spec), should_stop)
    finally:
        old.close()
    targets = _targets(images)
    head = fit_head(
        features[:, -spec.blocks[-1].channels :],
        targets,
        old.groups,
        classes,
        job.seed,
        ignore,
        should_stop,
    )
    if should_stop():
        raise Stopped
    if head.held_out is None:
        raise _too_few()
    answers = head.held_out.argmax(1) == targets[head.judged]
    side = old.preprocessing.crop_px
    speed = forward_speed(old.network, side)
    return RankRow(
        spec.name,
        weights.name,
        float(answers.mean()),
        wilson(int(answers.sum()), len(answers)),
        training_images / speed,
        speed,
        forward_memory_mb(old.network, side, BATCH_SIZE),
        sum(value.nbytes for value in old.network.state_dict().values()) / 1e6,
    )


def _targets(images: Sequence[ImageRecord]) -> np.ndarray:
    return np.array([image.class_index for image in images], dtype=np.int64)


def _judgeable(images: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Return the pictures of classes that have two that may be separated: one to teach and one to judge."""
    groups: dict[int, set[str]] = {}
    for image in images:
        groups.setdefault(image.class_index, set()).add(image.kept_with)
    judgeable = [image for image in images if len(groups[image.class_index]) >= 2]
    if len({image.class_index for image in judgeable}) < 2:
        raise _too_few()
    return judgeable


def _too_few() -> StudioError:
    return StudioError(
        "There are too few pictures to compare backbones on.",
        "At least two classes need two different ones each, in two groups where they are grouped.",
    )


class _Course:
    """How far the comparison is: pictures shown, and the time left, in which a larger network counts for more."""

    def __init__(self, emit: Emit, specs: Sequence[BackboneSpec], images: int) -> None:
        self._emit, self._images = emit, images
        self._backbones = len(specs)
        self._cost = sum(spec.giga_ops for spec in specs)
        self._done, self._cost_done = 0, 0.0
        self._started = time.monotonic()

    def listener(self, spec: BackboneSpec) -> Emit:
        """Return what to tell of the pass of this backbone."""

        def listen(event: Event) -> None:
            if isinstance(event, Progress):
                self._tell(event.done, spec.giga_ops * event.done / self._images)

        return listen

    def finish(self, spec: BackboneSpec) -> None:
        """Say that a backbone is done with."""
        self._done += self._images
        self._cost_done += spec.giga_ops
        self._tell(0, 0.0)

    def _tell(self, shown: int, cost: float) -> None:
        share = (self._cost_done + cost) / self._cost
        left = (time.monotonic() - self._started) * (1 - share) / share if share else None
        total = self._backbones * self._images
        self._emit(Progress(what="Comparing the backbones", done=self._done + shown, total=total, seconds_left=left))
