"""Shows training pictures to an old network, and looks at its profile on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from tlstudio.core.advice import Profile
from tlstudio.core.backbones import BackboneSpec
from tlstudio.core.dataset import ImageRecord
from tlstudio.core.events import Emit, Event, Progress, ShouldStop, ignore
from tlstudio.core.images import Reading
from tlstudio.core.progress import Pace
from tlstudio.engine.features import SHOWING
from tlstudio.engine.old_network import OldNetwork
from tlstudio.engine.profile import measure_profile, measuring_order
from tlstudio.engine.weights import ResolvedWeights

FIRST_LOOKS = (64, 160, 400, 1000)
"""Numbers of pictures after which to look at what can be told so far."""


def profile_pictures(
    images: Sequence[ImageRecord],
    reading: Reading,
    spec: BackboneSpec,
    weights: ResolvedWeights,
    seed: int,
    device: torch.device,
    looked: Callable[[Profile], None],
    emit: Emit,
    should_stop: ShouldStop,
) -> Profile | None:
    """Return the profile of the whole network on these pictures, or on a sample of very many.

    `looked` is called with a quick profile of the first pictures several times before the end. None where nothing can
    be measured. Raises StudioError, Stopped.
    """
    targets = np.array([image.class_index for image in images])
    order = measuring_order(targets, seed)
    channels = [block.channels for block in spec.blocks]
    features = np.empty((len(order), sum(channels)), np.float32)
    network = OldNetwork(spec, weights, images, reading, 1, device)
    pace = Pace(emit, SHOWING, len(order))

    def show(start: int, end: int) -> None:
        def step(event: Event) -> None:
            if isinstance(event, Progress):
                pace.step(start + event.done)

        features[start:end] = network.features(order[start:end], step, should_stop)

    def profile(end: int, quick: bool) -> Profile | None:
        seen = order[:end]
        return measure_profile(
            features[:end],
            channels,
            [block.name for block in spec.blocks],
            targets[seen],
            [images[position].kept_with for position in seen],
            seed,
            ignore if quick else emit,
            should_stop,
            quick,
        )

    try:
        shown = 0
        # A look just before the end would be a waste.
        for count in (look for look in FIRST_LOOKS if 1.25 * look < len(order)):
            show(shown, count)
            shown = count
            if found := profile(count, quick=True):
                looked(found)
        show(shown, len(order))
    finally:
        network.close()
    return profile(len(order), quick=False)
