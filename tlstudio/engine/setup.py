"""From what the user chose to a run folder with a plan in it."""

from __future__ import annotations

import os
from pathlib import Path

from tlstudio.core.augment import augmentation_for
from tlstudio.core.backbones import BackboneSpec, backbone
from tlstudio.core.dataset import scan
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Progress, ShouldStop
from tlstudio.core.jobs import Train
from tlstudio.core.plan import Execution, Plan, make_stages
from tlstudio.core.regimes import FITTED, require_head
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import split
from tlstudio.core.weights_folder import best_present, weights_present
from tlstudio.engine.advise import advise_for
from tlstudio.engine.devices import choose_device
from tlstudio.engine.disk_room import require_room
from tlstudio.engine.download import download
from tlstudio.engine.execution import measure_execution
from tlstudio.engine.weights import guess_backbone, read_weights, resolve

BATCH_SIZE = 32


def set_up(job: Train, emit: Emit, should_stop: ShouldStop) -> RunFolder:
    """Scan, split, choose what was left to the app, and write the plan; return the new run folder.

    Raises StudioError for everything a user can mend, before anything is written.
    """
    run = RunFolder(Path(job.run).absolute())
    run.require_empty()
    if job.cut and job.regime not in ("auto", "cut"):
        raise StudioError(f"The regime “{job.regime}” does not cut the network.", "Leave out the cut, or choose “cut”.")
    require_head(job.regime, job.head)
    weights_file = Path(job.weights).absolute() if job.weights else None
    emit(Progress(what="Checking the weights", done=0, total=0))
    spec = chosen_backbone(job.backbone, weights_file)
    _require_block(spec, job.cut)
    device = choose_device(job.device)
    if job.download and weights_file is None and not weights_present(spec):
        download(spec, emit, should_stop)
    weights = resolve(spec, weights_file)
    index = scan([Path(folder).absolute() for folder in job.folders], job.setup, emit, should_stop)
    parts = split(index, job.seed)
    targets = [index.images[i].class_index for i in parts.train]
    regime, cut, advice = ("cut" if job.cut else job.regime), job.cut, None
    if regime == "auto" or (regime == "cut" and not cut):
        advice = advise_for(index, parts, spec, weights, job.seed, device, job.threads, emit, should_stop)
        regime = advice.regime if regime == "auto" else regime
        cut = (advice.cut or _middle(spec)) if regime == "cut" else ""
    require_head(regime, job.head)
    batch_size = min(BATCH_SIZE, len(targets))
    threads = job.threads or os.cpu_count() or 1
    execution = Execution()
    if regime not in FITTED:
        emit(Progress(what="Trying how this computer is fastest", done=0, total=0))
        execution = measure_execution(spec, device, threads, batch_size, should_stop)
    plan = Plan(
        backbone=spec.name,
        weights_file=str(weights.path),
        weights_sha256=weights.sha256,
        regime=regime,  # type: ignore[arg-type]
        head=job.head,  # type: ignore[arg-type]
        stages=make_stages(
            regime,  # type: ignore[arg-type]
            len(targets),
            device.type,
            batch_size,
            spec.optimiser,
            job.epochs,
            job.body_lr_span,
        ),
        augmentation=augmentation_for(
            regime,  # type: ignore[arg-type]
            job.mirror,
            job.turned,
            job.recoloured,
            index.reading.framing,
        ),
        batch_size=batch_size,
        seed=job.seed,
        device=device.type,
        threads=threads,
        advice=advice,
        weights_name=weights.name,
        cut=cut,
        execution=execution,
    )
    require_room(plan, index, run.path)
    run.start(plan, index, parts, job.setup)
    return run


def _require_block(spec: BackboneSpec, cut: str) -> None:
    names = [block.name for block in spec.blocks]
    if cut and cut not in names:
        raise StudioError(f"{spec.title} has no block “{cut}”.", f"Its blocks are {', '.join(names)}.")


def _middle(spec: BackboneSpec) -> str:
    """Return the block to cut after where nothing could be measured."""
    return spec.blocks[(len(spec.blocks) - 1) // 2].name


def chosen_backbone(name: str, weights_file: Path | None) -> BackboneSpec:
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
