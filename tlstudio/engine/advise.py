"""Measures on the user's pictures which regime suits them. What was measured once is remembered.

Nothing heavy is imported before it is known that something has to be measured.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from tlstudio.core.advice import Advice, Profile
from tlstudio.core.advice import advise as decide
from tlstudio.core.backbones import BackboneSpec, backbone
from tlstudio.core.cache_folder import note, take_note
from tlstudio.core.dataset import DatasetIndex, ImageRecord, scan
from tlstudio.core.durable import sha256_of
from tlstudio.core.events import AdviceChanged, Emit, Progress, ShouldStop, ignore, never
from tlstudio.core.jobs import Advise
from tlstudio.core.plan import training_class_counts
from tlstudio.core.split import Split, split
from tlstudio.core.weights_folder import WeightsFile, best_present, weights_file_for
from tlstudio.engine.feature_cache import feature_key

if TYPE_CHECKING:
    import torch

PROFILE_VERSION = 3
"""To be raised when the same pictures would give other figures."""
NOTHING_MEASURED = (
    "Nothing could be measured: at least two classes need two different pictures each, in two groups where they are "
    "grouped."
)


class Weights(Protocol):
    """Verified weights of a backbone."""

    @property
    def path(self) -> Path: ...

    @property
    def sha256(self) -> str: ...

    @property
    def name(self) -> str: ...


def advise(job: Advise, emit: Emit = ignore, should_stop: ShouldStop = never) -> Advice:
    """Return the advice for a folder's training pictures. Raises StudioError, Stopped."""
    started = time.monotonic()
    emit(Progress(what="Checking the weights", done=0, total=0))
    weights = _remembered_weights(job) or _checked_weights(job)
    index = scan([Path(folder).absolute() for folder in job.folders], job.setup, emit, should_stop)
    parts = split(index, job.seed)
    spec = backbone(weights.backbone)
    advice = advise_for(index, parts, spec, weights, job.seed, job.device, job.threads, emit, should_stop)
    return msgspec.structs.replace(advice, seconds=time.monotonic() - started)


def advise_for(
    index: DatasetIndex,
    parts: Split,
    spec: BackboneSpec,
    weights: Weights,
    seed: int,
    device: torch.device | str = "auto",
    threads: int | None = None,
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
) -> Advice:
    """Return the advice for the training pictures of a split; val and test are not looked at.

    On the way `AdviceChanged` says what is known so far, last of all the advice itself. Raises StudioError, Stopped.
    """
    started = time.monotonic()
    images = [index.images[position] for position in parts.train]
    counts = training_class_counts([image.class_index for image in images], len(index.classes))
    preprocessing = spec.preprocessing(weights.name, index.reading)
    key = _profile_key(images, feature_key(spec.name, weights.sha256, preprocessing, "center"), seed)

    def looked(profile: Profile) -> None:
        emit(AdviceChanged(advice=decide(counts, profile)))

    profile = note(key, Profile)
    if profile is None and _measurable(images):
        emit(Progress(what="Reading the weights", done=0, total=0))
        from tlstudio.engine.devices import choose_device, set_threads
        from tlstudio.engine.profile_pass import profile_pictures
        from tlstudio.engine.weights import resolve

        set_threads(threads)
        resolved = resolve(spec, weights.path)
        chosen = choose_device(str(device))
        profile = profile_pictures(images, index.reading, spec, resolved, seed, chosen, looked, emit, should_stop)
        if profile is not None:
            take_note(key, profile)
    advice = decide(counts, profile)
    if profile is None:
        advice = msgspec.structs.replace(advice, reasons=(NOTHING_MEASURED, *advice.reasons))
    advice = msgspec.structs.replace(advice, seconds=time.monotonic() - started)
    emit(AdviceChanged(advice=advice))
    return advice


class _KnownWeights(msgspec.Struct, frozen=True):
    """What a file of this name and content proved to be when it was read."""

    backbone: str
    name: str


def _remembered_weights(job: Advise) -> WeightsFile | None:
    """Return the weights the job asks for without opening them; None where they have yet to be read."""
    wanted = job.backbone
    if job.weights:
        path = Path(job.weights).absolute()
    else:
        spec = backbone(wanted) if wanted else best_present()
        present = weights_file_for(spec)
        if present is None:
            return None
        wanted, path = spec.name, present.path
    if not path.is_file():
        return None
    digest = sha256_of(path)
    known = note(_weights_key(path, digest), _KnownWeights)
    if known is None or wanted not in ("", known.backbone):
        return None
    return WeightsFile(path, digest, known.name, known.backbone)


def _checked_weights(job: Advise) -> WeightsFile:
    """Return the weights the job asks for, read and verified. Raises StudioError."""
    from tlstudio.engine.setup import chosen_backbone
    from tlstudio.engine.weights import resolve

    file = Path(job.weights).absolute() if job.weights else None
    spec = chosen_backbone(job.backbone, file)
    resolved = resolve(spec, file)
    take_note(_weights_key(resolved.path, resolved.sha256), _KnownWeights(spec.name, resolved.name))
    return WeightsFile(resolved.path, resolved.sha256, resolved.name, spec.name)


def _weights_key(path: Path, digest: str) -> str:
    # Some names of files promise a content, so that the same bytes under another name may be refused.
    return f"weights-{_digest(path.name, digest)}"


def _profile_key(images: Sequence[ImageRecord], features: str, seed: int) -> str:
    """Return what decides a profile: the pictures with their classes, their features, and how they are dealt out."""
    pictures = sorted((image.sha256, image.class_index, image.kept_with) for image in images)
    return f"profile-{_digest(PROFILE_VERSION, features, seed, pictures)}"


def _digest(*identity: object) -> str:
    return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]


def _measurable(images: Sequence[ImageRecord]) -> bool:
    """Tell whether two classes have two pictures each that may be separated."""
    groups: dict[int, set[str]] = {}
    for image in images:
        groups.setdefault(image.class_index, set()).add(image.kept_with)
    return sum(len(separate) >= 2 for separate in groups.values()) >= 2
