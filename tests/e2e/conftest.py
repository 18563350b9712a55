"""A backbone in the weights folder, so that the whole way needs no download."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tlstudio.core.backbones import backbone
from tlstudio.core.paths import weights_dir
from tlstudio.engine.networks import torchvision_model


@pytest.fixture
def random_backbone(home: Path) -> str:
    """Random weights of a small backbone, placed as a user would: by name, into the weights folder."""
    torch.manual_seed(0)
    torch.save(torchvision_model(backbone("squeezenet1_1")).state_dict(), weights_dir() / "squeezenet1_1-random.pth")
    return "squeezenet1_1"
