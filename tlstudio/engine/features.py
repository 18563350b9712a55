"""One pass of pictures through a network, without learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tlstudio.core.backbones import backbone
from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.progress import Pace
from tlstudio.engine.data import ImageStore, Normaliser, View
from tlstudio.engine.faults import InParts
from tlstudio.engine.feature_cache import FeatureCache, feature_key
from tlstudio.engine.networks import Network

BATCH_SIZE = 32
BATCHES_A_WRITE = 4
CENTER = "center"
"""The name of the view that judges."""
SHOWING = "Showing the pictures to the network"


def forward_pass(
    function: Callable[[Tensor], Tensor],
    store: ImageStore,
    positions: Sequence[int],
    normalise: Normaliser,
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    what: str = SHOWING,
) -> np.ndarray:
    """Return `function`'s answers, float32 (images, outputs), for the centre view of the pictures at `positions`.

    The network behind `function` must be in evaluation mode. Raises Stopped.
    """
    function = InParts(function)
    return np.concatenate(list(_answers(function, store, positions, normalise, emit, should_stop, what, None)))


def block_pass(
    network: Network,
    weights_sha256: str,
    backbone_name: str,
    store: ImageStore,
    positions: Sequence[int],
    normalise: Normaliser,
    emit: Emit = ignore,
    should_stop: ShouldStop = never,
    view: View | None = None,
    view_name: str = CENTER,
) -> np.ndarray:
    """Return the pooled features of every block side by side, float32 (images, sum of the blocks' channels).

    `network` is the whole backbone in evaluation mode, its blocks holding the weights of that hash unchanged.
    What was shown to this network before, through the view of that name, comes from the disk; the rest is kept there
    as it is computed. Raises Stopped.
    """
    channels = sum(block.channels for block in backbone(backbone_name).blocks)
    features = np.empty((len(positions), channels), np.float32)
    places: dict[str, list[int]] = {}
    for place, position in enumerate(positions):
        places.setdefault(store.images[position].sha256, []).append(place)
    missing = {content: positions[of_content[0]] for content, of_content in places.items()}
    key = feature_key(backbone_name, weights_sha256, store.preprocessing, view_name)
    with FeatureCache(key, channels) as cache:
        for content, row in cache.rows(list(places)):
            features[places[content]] = row
            del missing[content]

        features_of = InParts(lambda images: torch.cat(network.block_features(images), 1))

        def joined(images: Tensor) -> Tensor:
            # Batches of another size may be rounded otherwise: a row must not depend on which others were missing.
            padding = images[:1].expand(BATCH_SIZE - len(images), -1, -1, -1)
            return features_of(torch.cat([images, padding]))[: len(images)]

        fresh: dict[str, np.ndarray] = {}
        to_come = iter(missing)
        answers = _answers(joined, store, list(missing.values()), normalise, emit, should_stop, SHOWING, view)
        try:
            for rows in answers:
                for row in rows:
                    content = next(to_come)
                    features[places[content]] = row
                    fresh[content] = row
                if len(fresh) >= BATCHES_A_WRITE * BATCH_SIZE:
                    cache.put(fresh)
                    fresh = {}
        finally:  # a stop keeps what was computed
            cache.put(fresh)
    return features


def _answers(
    function: Callable[[Tensor], Tensor],
    store: ImageStore,
    positions: Sequence[int],
    normalise: Normaliser,
    emit: Emit,
    should_stop: ShouldStop,
    what: str,
    view: View | None,
) -> Iterator[np.ndarray]:
    """Yield the answers batch by batch, float32 (images, outputs)."""
    pace = Pace(emit, what, len(positions))
    done = 0
    for images in store.batches(positions, BATCH_SIZE, view, should_stop):
        with torch.inference_mode():
            answers: np.ndarray = function(normalise(images)).float().cpu().numpy()
        yield answers
        done += len(images)
        pace.step(done)
        if should_stop():
            raise Stopped
