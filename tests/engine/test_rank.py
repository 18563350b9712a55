"""Backbones compared on drawn pictures, against figures that follow from their architecture."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
import torch
import torchvision.models
from torch import nn

from tests.engine.conftest import BACKBONE
from tests.factories import class_folders
from tlstudio.core.events import Event, Progress, ignore, never
from tlstudio.core.jobs import Rank
from tlstudio.core.paths import data_dir, weights_dir
from tlstudio.engine.measure import forward_memory_mb
from tlstudio.engine.networks import Network
from tlstudio.engine.perform import perform


@pytest.fixture
def two_backbones(weights_file: Path) -> None:
    """Random weights of one backbone, beside the built-in ones."""
    shutil.copyfile(weights_file, weights_dir() / f"{BACKBONE}.pth")


def job(pictures: Path, *backbones: str) -> Rank:
    return Rank(folders=(str(pictures),), backbones=backbones, device="cpu", threads=2)


def test_every_backbone_at_hand_is_compared_on_training_pictures_alone(three_parts: Path, two_backbones: None) -> None:
    events: list[Event] = []
    ended = perform(job(three_parts), events.append, never)
    assert ended.status == "finished" and ended.result, ended
    rows = ended.result["rows"]
    assert {row["backbone"]: row["weights"] for row in rows} == {
        "mobilenet_v2": "STUDIO_SMALL",
        BACKBONE: f"imported {BACKBONE}",
    }
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    for row in rows:
        low, high = row["interval"]
        assert low <= row["accuracy"] <= high
        assert (row["accuracy"] * 12).is_integer(), "12 training pictures"
        assert row["seconds"] == pytest.approx(12 / row["images_per_second"])
        assert row["memory_mb"] > row["export_mb"]
    squeezenet = next(row for row in rows if row["backbone"] == BACKBONE)
    layers = torchvision.models.squeezenet1_1().features
    floats = sum(p.numel() for p in layers.parameters()) + 512 * 2 + 2
    assert squeezenet["export_mb"] == pytest.approx(floats * 4 / 1e6)
    assert shown_to_networks() == 2 * 12, "val and test pictures were not looked at"
    progress = [event for event in events if isinstance(event, Progress) and event.what.startswith("Comparing")]
    assert (progress[-1].done, progress[-1].total, progress[-1].seconds_left) == (24, 24, 0)


def shown_to_networks() -> int:
    """Return how many rows the feature caches hold."""
    count = 0
    for file in (data_dir() / "cache" / "features").glob("*.sqlite"):
        with sqlite3.connect(file) as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            count += max(database.execute(f"select count(*) from {name}").fetchone()[0] for name in tables)
        database.close()
    return count


def test_one_backbone_by_name_and_one_that_is_not_here(drawn_pictures: Path, two_backbones: None) -> None:
    ended = perform(job(drawn_pictures, BACKBONE), ignore, never)
    assert ended.result and [row["backbone"] for row in ended.result["rows"]] == [BACKBONE]
    assert ended.result["rows"][0]["accuracy"] > 0.7, "discs and squares are easy"
    missing = perform(job(drawn_pictures, "resnet18"), ignore, never)
    assert missing.status == "failed" and "ResNet-18" in missing.what


def test_a_stop_ends_it(drawn_pictures: Path, two_backbones: None) -> None:
    shown: list[int] = []

    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.what.startswith("Comparing"):
            shown.append(event.done)

    assert perform(job(drawn_pictures), emit, lambda: bool(shown)).status == "stopped"


def test_single_pictures_cannot_be_compared_on(tmp_path: Path, two_backbones: None) -> None:
    pictures = class_folders(tmp_path / "few", {"disc": 2, "square": 1, "cross": 1})
    ended = perform(job(pictures, BACKBONE), ignore, never)
    assert ended.status == "failed" and "too few pictures" in ended.what


def test_memory_is_that_of_weights_and_of_the_largest_tensors_at_a_time() -> None:
    layers = [nn.Conv2d(3, 50, 1), nn.Conv2d(50, 10, 1)]
    network = Network([nn.Sequential(*layers)], "nchw", [10], 2).eval()
    weights = sum(value.nbytes for value in network.state_dict().values())
    pixels, pictures = 64 * 64, 32
    # While the second layer works, the input of the whole is still held by the caller.
    at_most = (3 + 50 + 10) * pixels * pictures * 4
    assert forward_memory_mb(network, 64, pictures) == pytest.approx((weights + at_most) / 1e6, rel=0.02)
    assert torch.is_inference_mode_enabled() is False
