"""A backbone with its old weights, as it is, and the pictures it is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tlstudio.core.backbones import BackboneSpec
from tlstudio.core.dataset import ImageRecord
from tlstudio.core.events import Emit, ShouldStop
from tlstudio.core.images import Reading
from tlstudio.core.plan import Execution
from tlstudio.engine.data import ImageStore, Normaliser, View
from tlstudio.engine.features import CENTER, block_pass
from tlstudio.engine.networks import Network, build_network, torchvision_model
from tlstudio.engine.waiting import Waiter
from tlstudio.engine.weights import ResolvedWeights, load_into


class OldNetwork:
    """Knows the pooled features of every block for pictures; positions index `images`. To be closed.

    `keep` is for pictures that are shown again and again: see `FramedImages`; `waiter` is that of `ImageStore`.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        weights: ResolvedWeights,
        images: Sequence[ImageRecord],
        reading: Reading,
        classes: int,
        device: torch.device,
        execution: Execution | None = None,
        keep: bool = False,
        waiter: Waiter | None = None,
    ) -> None:
        self.spec, self.device, self.classes = spec, device, classes
        self._weights_sha256 = weights.sha256
        self._channels_last = (execution or Execution()).channels_last
        self._model = torchvision_model(spec)
        load_into(self._model, spec, weights.state)
        self.network = self.placed(build_network(spec, self._model, classes))
        self.preprocessing = spec.preprocessing(weights.name, reading)
        self.normalise = Normaliser(self.preprocessing, device, self._channels_last)
        self.groups = [image.kept_with for image in images]
        self.store = ImageStore(images, self.preprocessing, keep, waiter)

    def placed(self, network: Network) -> Network:
        """Return the network on the device, in the memory layout that is fastest there, in evaluation mode."""
        layout = torch.channels_last if self._channels_last else torch.contiguous_format
        return network.to(self.device, memory_format=layout).eval()  # type: ignore[call-overload, no-any-return]

    def cut(self, cut_after: int, joined: bool) -> Network:
        """Return a network of the first blocks, shared with this one, and an untrained head."""
        return self.placed(build_network(self.spec, self._model, self.classes, cut_after, joined))

    def features(
        self,
        positions: Sequence[int],
        emit: Emit,
        should_stop: ShouldStop,
        view: View | None = None,
        view_name: str = CENTER,
    ) -> np.ndarray:
        """Return the features of all blocks side by side, float32 (images, sum of channels). Raises Stopped."""
        return block_pass(
            self.network,
            self._weights_sha256,
            self.spec.name,
            self.store,
            positions,
            self.normalise,
            emit,
            should_stop,
            view,
            view_name,
        )

    def close(self) -> None:
        """End the threads that read pictures."""
        self.store.close()
