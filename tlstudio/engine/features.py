"""One pass of pictures through a network, without learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.progress import Pace
from tlstudio.engine.data import ImageStore, Normaliser

BATCH_SIZE = 32


def forward_pass(
    function: Callable[[Tensor], Tensor],
    store: ImageStore,
    positions: Sequence[int],
    normalise: Normaliser,
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    what: str = "Showing the pictures to the network",
) -> np.ndarray:
    """Return `function`'s answers, float32 (images, outputs), for the centre view of the pictures at `positions`.

    The network behind `function` must be in evaluation mode. Raises Stopped.
    """
    pace = Pace(emit, what, len(positions))
    answers: list[np.ndarray] = []
    done = 0
    with torch.inference_mode():
        for images in store.batches(positions, BATCH_SIZE):
            answers.append(function(normalise(images)).float().cpu().numpy())
            done += len(images)
            pace.step(done)
            if should_stop():
                raise Stopped
    return np.concatenate(answers)
