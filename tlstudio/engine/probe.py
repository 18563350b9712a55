"""A new head on an old network that stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from torch.nn import functional as F

from tlstudio.core.augment import VIEWED_HEADS
from tlstudio.core.events import Emit, ShouldStop, Stopped
from tlstudio.core.plan import Plan
from tlstudio.engine.data import View, changed_view
from tlstudio.engine.features import CENTER, forward_pass
from tlstudio.engine.heads import FittedHead, fit_head
from tlstudio.engine.networks import Network
from tlstudio.engine.old_network import OldNetwork
from tlstudio.engine.trained_heads import fit_conv, fit_mlp, require_room, shrink_for


class Probe:
    """What the plan's network says of the pictures, and heads of the plan's kind fitted on that.

    `network` is the whole old network, or the part of it up to the plan's cut; `features` has a row for every picture
    that was looked at: pooled features, or maps for a convolutional head.
    """

    def __init__(self, plan: Plan, old: OldNetwork, targets: np.ndarray, emit: Emit, should_stop: ShouldStop) -> None:
        self._plan, self._old, self._targets = plan, old, targets
        self._emit, self._should_stop = emit, should_stop
        self.cut_after: int | None = None
        self.network: Network = old.network
        self._first, self._last = sum(old.network.channels[:-1]), sum(old.network.channels)
        if plan.cut:
            self.cut_after = [block.name for block in old.spec.blocks].index(plan.cut)
            self.network = old.cut(self.cut_after, joined=plan.head != "conv")
            self._first, self._last = 0, sum(self.network.channels)
        self._shrink = 1
        self.features = np.zeros((0, 0), np.float32)

    def look(self, positions: Sequence[int]) -> None:
        """Show these pictures to the network. Raises Stopped, and StudioError where memory does not suffice."""
        rows = self._maps(positions) if self._plan.head == "conv" else self._pooled(positions)
        self.features = np.zeros((len(self._targets), *rows.shape[1:]), np.float32)
        self.features[positions] = rows

    def fit(self, positions: Sequence[int], views: np.ndarray | None = None) -> FittedHead:
        """Return a head fitted on pictures that were looked at."""
        classes = self._old.classes
        features, targets = self.features[positions], self._targets[positions]
        groups = [self._old.groups[i] for i in positions]
        common = (targets, groups, classes, self._plan.seed, self._emit, self._should_stop)
        channels = self.network.channels if self.network.joined else ()
        match self._plan.head:
            case "mlp":
                return fit_mlp(features, *common, channels)
            case "conv":
                return fit_conv(features, *common, self._shrink)
            case "linear" | "svm" | "svm-rbf" as kind:
                return fit_head(features, *common, kind, channels, views)

    def taught_by_views(self, head: FittedHead, positions: Sequence[int], count: int) -> FittedHead:
        """Return a head that changed views of the pictures taught too, if it did better in cross-validation."""
        if not count or self._plan.head not in VIEWED_HEADS:
            return head
        mild = msgspec.structs.replace(self._plan.augmentation, wide=False, erase_share=0.0)
        name = hashlib.sha256(msgspec.json.encode(mild)).hexdigest()[:16]
        try:
            views = [
                self._pooled(positions, changed_view(self._old.store, mild, number), f"{name}-{number}")
                for number in range(count)
            ]
        except Stopped:
            return head
        taught = self.fit(positions, np.stack(views))
        return taught if taught.cv_nll < head.cv_nll else head

    def _pooled(self, positions: Sequence[int], view: View | None = None, view_name: str = CENTER) -> np.ndarray:
        rows = self._old.features(positions, self._emit, self._should_stop, view, view_name)
        return rows[:, self._first : self._last]

    def _maps(self, positions: Sequence[int]) -> np.ndarray:
        """Return the last kept block's maps of these pictures, averaged as a convolutional head averages them."""
        crop = self._old.preprocessing.crop_px
        with torch.inference_mode():
            empty = torch.zeros(1, 3, crop, crop, dtype=torch.uint8)
            channels, side = self.network.maps(self._old.normalise(empty)).shape[1:3]
        require_room(len(self._targets), channels, side)
        self._shrink = shrink_for(side)
        return forward_pass(
            lambda images: F.avg_pool2d(self.network.maps(images), self._shrink),
            self._old.store,
            positions,
            self._old.normalise,
            self._emit,
            self._should_stop,
        )
