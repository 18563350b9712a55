"""How fast backbones are on this computer, what memory they take, and what it computes with."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tlstudio.core.backbones import backbone
from tlstudio.core.events import ShouldStop
from tlstudio.engine.devices import choose_device, describe_device, set_threads, why_no_gpu
from tlstudio.engine.networks import Network, build_network, torchvision_model

BATCH_SIZE = 8
AT_LEAST_S = 0.4
COUNTED_IMAGES = 2


def measure(names: Sequence[str], device_choice: str, should_stop: ShouldStop) -> dict[str, Any]:
    """Return {"device", "device_hint", "images_per_second": {name: forward speed in pictures/s}}."""
    set_threads(None)
    device = choose_device(device_choice)
    speeds: dict[str, float] = {}
    for name in names:
        if should_stop():
            break
        spec = backbone(name)
        network = build_network(spec, torchvision_model(spec), 2).eval()
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        speeds[name] = forward_speed(network, spec.preprocessing().crop_px)
    return {
        "device": describe_device(device),
        "device_hint": why_no_gpu() if device.type == "cpu" else "",
        "images_per_second": speeds,
    }


def forward_speed(network: Network, side_px: int) -> float:
    """Return how many pictures of that size a second the network answers, in evaluation mode, where it is."""
    images = _black(network, side_px, BATCH_SIZE)
    with torch.inference_mode():
        network(images).sum().item()  # the first call sets things up and is not counted
        started, done = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < AT_LEAST_S:
            network(images).sum().item()
            done += BATCH_SIZE
    return done / elapsed


def _black(network: Network, side_px: int, images: int) -> Tensor:
    device = next(network.parameters()).device
    return torch.zeros(images, 3, side_px, side_px, device=device).contiguous(memory_format=torch.channels_last)


def forward_memory_mb(network: Network, side_px: int, images: int) -> float:
    """Return the memory, in 10^6 bytes, of the weights and of all that a pass of so many pictures keeps at a time.

    It is what tensors take, counted on two pictures. How much the process grows would depend on what ran before.
    """
    weights: int = sum(value.nbytes for value in network.state_dict().values())
    tally = _Tally()  # type: ignore[no-untyped-call]
    with torch.inference_mode(), tally:
        network(_black(network, side_px, COUNTED_IMAGES))
    return (weights + tally.peak_bytes * images / COUNTED_IMAGES) / 1e6


class _Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are alive of those made inside."""

    alive_bytes = 0
    peak_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        known = {id(v.untyped_storage()) for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor)}
        for value in tree_leaves(made):
            if isinstance(value, Tensor) and id(storage := value.untyped_storage()) not in known:
                self._count(storage, storage.nbytes())
        return made

    def _count(self, storage: torch.UntypedStorage, size: int) -> None:
        self.alive_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.alive_bytes)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.alive_bytes -= size
