"""What a run is going to do: everything that decides its outcome, fixed before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tlstudio.core.regimes import Advice, Head, Regime

PLAN_VERSION = 1
# Presentations of a picture in regime 2: 12 a picture, within these bounds, where a CPU does the work ...
CPU_PRESENTATIONS = (12, 3_000, 64_000)
# ... and 40 a picture where a GPU does.
GPU_PRESENTATIONS = (40, 20_000, 256_000)
EVALUATIONS_PER_RUN = 15


class Stage(msgspec.Struct, frozen=True):
    """One piece of training. The trainer knows stages only, never the regime they came from.

    A `probe` stage fits a new head by logistic regression on the features of the frozen network.
    A `gradient` stage trains by gradient descent from the state before it: the head at `head_lr`, the last block at
    the same rate, earlier blocks at rates falling geometrically to `head_lr / body_lr_span`.
    """

    name: str
    kind: Literal["probe", "gradient"]
    sentence: str
    epochs: int = 1
    optimiser: Literal["sgd", "adamw"] = "sgd"
    head_lr: float = 0.0
    body_lr_span: float = 10.0
    trainable_from: int = 0
    """The first block that learns; `len(blocks)` means the head alone."""
    weight_decay: float = 1e-4
    warmup: float = 0.1
    patience: int = 5
    """Evaluations without gain, once past the warm-up, after which the stage ends."""


class Augmentation(msgspec.Struct, frozen=True):
    """Random changes that leave the class the same. Training pictures only, never those that judge."""

    crop_min_area: float = 0.6
    mirror: bool = True
    upside_down: bool = False
    colour_jitter: float = 0.1


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
    batch_size: int
    seed: int
    device: str
    threads: int
    advice: Advice | None = None
    weights_name: str = ""
    """A name of the table, such as "STUDIO_SMALL", or "imported ..."."""
    version: int = PLAN_VERSION


def make_stages(
    regime: Regime,
    images: int,
    device: str,
    batch_size: int,
    optimiser: Literal["sgd", "adamw"],
    epochs: int | None = None,
) -> tuple[Stage, ...]:
    """Return the stages of a regime for `images` training pictures.

    `epochs` replaces the budget of the gradient stage. SGD's rate follows the linear rule from 3e-3 at batch 64, a
    tenth of it at the stem. Three times that rate made the loss of small sets climb before it fell.
    Source of the start from a fitted head: Kumar et al. 2022, "Fine-tuning can distort pretrained features".
    """
    probe = Stage("head", "probe", "The old network stays as it is; only a new last layer learns.")
    if regime == "head":
        return (probe,)
    per_image, low, high = CPU_PRESENTATIONS if device == "cpu" else GPU_PRESENTATIONS
    budget = min(max(per_image * images, low), high)
    return (
        probe,
        Stage(
            "fine-tune",
            "gradient",
            "The new head is trained; now the whole network learns gently.",
            epochs=epochs or max(1, round(budget / images)),
            optimiser=optimiser,
            head_lr=3e-3 * batch_size / 64 if optimiser == "sgd" else 1e-4,
            weight_decay=1e-4 if optimiser == "sgd" else 0.05,
        ),
    )


def training_class_counts(targets: Sequence[int], classes: int) -> list[int]:
    """Return how many training pictures each class has."""
    counts = [0] * classes
    for target in targets:
        counts[target] += 1
    return counts
