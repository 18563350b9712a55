"""How fast backbones are on this computer, and what it computes with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from tlstudio.core.backbones import backbone
from tlstudio.core.events import ShouldStop
from tlstudio.engine.devices import choose_device, describe_device, set_threads, why_no_gpu
from tlstudio.engine.networks import build_network, torchvision_model

BATCH_SIZE = 8
AT_LEAST_S = 0.4


def measure(names: Sequence[str], device_choice: str, should_stop: ShouldStop) -> dict[str, Any]:
    """Return {"device", "device_hint", "images_per_second": {name: forward speed in pictures/s}}."""
    set_threads(None)
    device = choose_device(device_choice)
    speeds: dict[str, float] = {}
    for name in names:
        if should_stop():
            break
        speeds[name] = _forward_speed(name, device)
    return {
        "device": describe_device(device),
        "device_hint": why_no_gpu() if device.type == "cpu" else "",
        "images_per_second": speeds,
    }


def _forward_speed(name: str, device: torch.device) -> float:
    spec = backbone(name)
    network = build_network(spec, torchvision_model(spec), 2).eval()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = spec.preprocessing().crop_px
    images = torch.zeros(BATCH_SIZE, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(images).sum().item()  # the first call sets things up and is not counted
        started, done = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < AT_LEAST_S:
            network(images).sum().item()
            done += BATCH_SIZE
    return done / elapsed
