"""From what the user chose to a run folder with a plan in it."""

from __future__ import annotations

import os
from pathlib import Path

from tlstudio.core.backbones import BackboneSpec, backbone
from tlstudio.core.dataset import scan
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Progress, ShouldStop
from tlstudio.core.jobs import Train
from tlstudio.core.plan import Augmentation, Plan, make_stages, training_class_counts
from tlstudio.core.regimes import advise, require_available
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import split
from tlstudio.core.weights_folder import best_present, weights_present
from tlstudio.engine.devices import choose_device
from tlstudio.engine.download import download
from tlstudio.engine.weights import guess_backbone, read_weights, resolve

BATCH_SIZE = 32


def set_up(job: Train, emit: Emit, should_stop: ShouldStop) -> RunFolder:
    """Scan, split, choose what was left to the app, and write the plan; return the new run folder.

    Raises StudioError for everything a user can mend, before anything is written.
    """
    run = RunFolder(Path(job.run).absolute())
    run.require_empty()
    if job.regime != "auto":
        require_available(job.regime, job.head)
    weights_file = Path(job.weights).absolute() if job.weights else None
    emit(Progress(what="Checking the weights", done=0, total=0))
    spec = _chosen_backbone(job.backbone, weights_file)
    device = choose_device(job.device)
    if job.download and weights_file is None and not weights_present(spec):
        download(spec, emit, should_stop)
    weights = resolve(spec, weights_file)
    index = scan([Path(folder).absolute() for folder in job.folders], emit, should_stop)
    parts = split(index, job.seed)
    targets = [index.images[i].class_index for i in parts.train]
    advice = advise(training_class_counts(targets, len(index.classes)))
    regime = advice.regime if job.regime == "auto" else job.regime
    require_available(regime, job.head)
    batch_size = min(BATCH_SIZE, len(targets))
    plan = Plan(
        backbone=spec.name,
        weights_file=str(weights.path),
        weights_sha256=weights.sha256,
        regime=regime,  # type: ignore[arg-type]
        head=job.head,  # type: ignore[arg-type]
        stages=make_stages(regime, len(targets), device.type, batch_size, spec.optimiser, job.epochs),  # type: ignore[arg-type]
        augmentation=Augmentation(mirror=job.mirror, upside_down=job.upside_down),
        batch_size=batch_size,
        seed=job.seed,
        device=device.type,
        threads=job.threads or os.cpu_count() or 1,
        advice=advice,
        weights_name=weights.name,
    )
    run.start(plan, index, parts)
    return run


def _chosen_backbone(name: str, weights_file: Path | None) -> BackboneSpec:
    if name:
        return backbone(name)
    if weights_file is not None:
        guessed = guess_backbone(read_weights(weights_file))
        if guessed is None:
            raise StudioError(
                f"“{weights_file.name}” fits none of the backbones.", "See `tlstudio backbones` for those that work."
            )
        return guessed
    return best_present()
