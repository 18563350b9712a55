"""What engine tests share: weights without a download, and a small run that has been trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.factories import class_folders
from tlstudio.core.backbones import backbone
from tlstudio.core.events import Event
from tlstudio.core.jobs import Train
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.networks import torchvision_model
from tlstudio.engine.perform import perform

BACKBONE = "squeezenet1_1"


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small backbone: enough to tell drawn discs from squares."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random-squeezenet.pth"
    torch.save(torchvision_model(backbone(BACKBONE)).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def drawn_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty discs and squares, twenty each."""
    return class_folders(tmp_path_factory.mktemp("drawn"), {"disc": 20, "square": 20})


def train_job(pictures: Path, run: Path, weights_file: Path, **changes) -> Train:
    """A Train job on the small backbone."""
    options = {"regime": "head", "backbone": BACKBONE, "threads": 2} | changes
    return Train(folders=(str(pictures),), run=str(run), weights=str(weights_file), **options)


@pytest.fixture(scope="session")
def head_run(tmp_path_factory: pytest.TempPathFactory, drawn_pictures: Path, weights_file: Path) -> RunFolder:
    """A finished run of regime `head`. Tests only read it."""
    run = tmp_path_factory.mktemp("runs") / "head"
    events: list[Event] = []
    ended = perform(train_job(drawn_pictures, run, weights_file), events.append, lambda: False)
    assert ended.status == "finished", ended
    return RunFolder(run)
