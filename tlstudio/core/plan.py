"""What a run is going to do: everything that decides its outcome, fixed before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tlstudio.core.advice import Advice
from tlstudio.core.augment import VIEWED_BELOW_IMAGES, Augmentation
from tlstudio.core.regimes import FITTED, Head, Regime

PLAN_VERSION = 1
# Presentations of a picture in regime 2: 12 a picture, within these bounds, where a CPU does the work ...
CPU_PRESENTATIONS = (12, 3_000, 64_000)
# ... and 40 a picture where a GPU does.
GPU_PRESENTATIONS = (40, 20_000, 256_000)
BUDGET_FACTORS: dict[Regime, int] = {"fine-tune": 1, "full": 2, "scratch": 5}
EVALUATIONS_PER_RUN = 15
BODY_LR_SPAN = 10.0
MIXUP_FROM_IMAGES = {"fine-tune": 20_000, "full": 5_000, "scratch": 5_000}
VIEWS_OF_FEW = 4


Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=1e3)]
Count = Annotated[int, Meta(ge=0, le=10**6)]
CountFromOne = Annotated[int, Meta(ge=1, le=10**6)]
"""What makes sense at all: a plan read from a file is no reason to fill the memory or to divide by nothing."""


class Stage(msgspec.Struct, frozen=True):
    """One piece of training. The trainer knows stages only, never the regime they came from.

    A `probe` stage fits a new head on the features of the frozen network.
    A `gradient` stage trains by gradient descent from the state before it: the head at `head_lr`, the last block at
    the same rate, earlier blocks at rates falling geometrically to `head_lr / body_lr_span`.
    """

    name: str
    kind: Literal["probe", "gradient"]
    sentence: str
    epochs: CountFromOne = 1
    optimiser: Literal["sgd", "adamw"] = "sgd"
    head_lr: Amount = 0.0
    body_lr_span: Annotated[float, Meta(ge=1e-3, le=1e6)] = BODY_LR_SPAN
    trainable_from: Count = 0
    """The first block that learns; `len(blocks)` means the head alone."""
    weight_decay: Amount = 1e-4
    warmup: Share = 0.1
    patience: Count = 5
    """Evaluations without gain, once past the warm-up, after which the stage ends."""
    from_scratch: bool = False
    """Begin with random weights and a head of zeros instead of the state before."""
    train_batchnorm: bool = False
    """Let the running statistics of BatchNorm follow the new pictures."""
    dropout: Share = 0.0
    label_smoothing: Share = 0.0
    mixup: Amount = 0.0
    """The parameter of the beta distribution that pictures are mixed by; 0 mixes none."""
    views: Annotated[int, Meta(ge=0, le=100)] = 0
    """Randomly changed views of every picture that a head is fitted on too, if cross-validation finds that better."""
    average_decay: Share = 0.0
    """Judge and keep the running mean of the weights, renewed by one minus this a step; 0 takes the weights."""


class Execution(msgspec.Struct, frozen=True):
    """How the computer is best used in training, as measured on it; models are judged in full precision always.

    Lower precision rounds more, which another seed would change as much.
    """

    channels_last: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    micro_batch: CountFromOne | None = None
    """Pictures a pass in training; gradients of the passes of one batch add up. None takes the batch whole."""


class Plan(msgspec.Struct, frozen=True):
    """The whole recipe of a run, stored in plan.json."""

    backbone: str
    weights_file: str
    """A path, or the name of known weights of that backbone."""
    weights_sha256: str
    regime: Regime
    head: Head
    stages: tuple[Stage, ...]
    augmentation: Augmentation
    batch_size: CountFromOne
    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    device: str
    threads: Annotated[int, Meta(ge=1, le=1024)]
    advice: Advice | None = None
    weights_name: str = ""
    """A name of the table, such as "STUDIO_SMALL", or "imported ..."."""
    cut: str = ""
    """The last block that is kept, whose output and that of all before it the head sees; "" keeps the whole network,
    of whose last block alone the head sees the output."""
    execution: Execution = Execution()
    version: int = PLAN_VERSION


def make_stages(
    regime: Regime,
    images: int,
    device: str,
    batch_size: int,
    optimiser: Literal["sgd", "adamw"],
    epochs: int | None = None,
    body_lr_span: float | None = None,
) -> tuple[Stage, ...]:
    """Return the stages of a regime for `images` training pictures.

    `epochs` replaces the budget of the gradient stage. SGD's rate follows the linear rule from 3e-3 at batch 64, a
    tenth of it at the stem. Three times that rate made the loss of small sets climb before it fell.
    Source of the start from a fitted head: Kumar et al. 2022, "Fine-tuning can distort pretrained features".
    """
    views = VIEWS_OF_FEW if images < VIEWED_BELOW_IMAGES else 0
    probe = Stage("head", "probe", "The old network stays as it is; only a new last layer learns.", views=views)
    if regime in FITTED:
        return (probe,)
    per_image, low, high = CPU_PRESENTATIONS if device == "cpu" else GPU_PRESENTATIONS
    budget = min(max(per_image * images, low), high) * BUDGET_FACTORS[regime]
    sgd = optimiser == "sgd"
    batches = batch_size / 64 if sgd else 1.0
    stage = Stage(
        regime,
        "gradient",
        "The new head is trained; now the whole network learns gently.",
        epochs=epochs or max(1, round(budget / images)),
        optimiser=optimiser,
        head_lr=(3e-3 if sgd else 1e-4) * batches,
        body_lr_span=body_lr_span or BODY_LR_SPAN,
        weight_decay=1e-4 if sgd else 0.05,
        dropout=0.1,
        mixup=0.1 if images >= MIXUP_FROM_IMAGES[regime] else 0.0,
    )
    if regime == "fine-tune":
        return (probe, stage)
    stage = msgspec.structs.replace(
        stage,
        sentence="The new head is trained; now every layer learns, from the old weights on.",
        head_lr=(1e-2 if sgd else 2e-4) * batches,
        body_lr_span=1.0,
        weight_decay=5e-4 if sgd else 0.05,
        patience=7,
    )
    if regime == "full":
        return (probe, stage)
    return (
        probe,
        msgspec.structs.replace(
            stage,
            sentence="A new head on the old network is the one to beat; now a network learns from random weights.",
            head_lr=(5e-2 if sgd else 5e-4) * batches,
            from_scratch=True,
            train_batchnorm=True,
            label_smoothing=0.1,
            average_decay=0.99,
        ),
    )


def training_class_counts(targets: Sequence[int], classes: int) -> list[int]:
    """Return how many training pictures each class has."""
    counts = [0] * classes
    for target in targets:
        counts[target] += 1
    return counts
