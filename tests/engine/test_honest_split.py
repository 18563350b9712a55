"""Both accuracies: what a split that tears groups apart would have claimed, and what one that does not shows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.engine.conftest import train_job
from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.events import Event, Notice, ignore, never
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import Split, split
from tlstudio.engine.honest_split import both_accuracies
from tlstudio.engine.perform import perform

SPECIMENS, VIEWS = 24, 6


def specimens(class_strength: float) -> tuple[DatasetIndex, Split, np.ndarray]:
    """Features of views of specimens: each specimen looks like itself, and a little or much like its class."""
    rng = np.random.default_rng(0)
    images, rows = [], []
    classes = rng.normal(size=(2, 40))
    for specimen in range(SPECIMENS):
        own = 3 * rng.normal(size=40) + class_strength * classes[specimen % 2]
        for view in range(VIEWS):
            name = f"{specimen}-{view}"
            images.append(ImageRecord(f"{name}.png", specimen % 2, None, name, 8, 8, group=f"s{specimen}"))
            rows.append(own + 0.3 * rng.normal(size=40))
    index = DatasetIndex(("folder",), ("a", "b"), tuple(images), (), 0.0)
    return index, split(index, 0), np.array(rows, np.float32)


def test_a_random_split_claims_what_only_recognising_specimens_reaches() -> None:
    index, parts, features = specimens(class_strength=0.0)
    both = both_accuracies(index, parts, features, 0, ignore, never)
    assert both is not None
    # The classes have nothing in common: new specimens can only be guessed.
    assert both.random > 0.97
    assert both.grouped < 0.75
    notice = both.notice()
    assert f"{both.random:.1%}" in notice.what and f"{both.grouped:.1%}" in notice.what


def test_both_agree_where_the_class_is_what_is_seen() -> None:
    index, parts, features = specimens(class_strength=12.0)
    both = both_accuracies(index, parts, features, 0, ignore, never)
    assert both is not None and both.random > 0.97 and both.grouped > 0.97


def test_maps_count_as_their_mean() -> None:
    index, parts, features = specimens(class_strength=0.0)
    spread = np.array([[-1.0, 1.0], [2.0, -2.0]], np.float32)
    maps = features[:, :, None, None] + spread
    assert both_accuracies(index, parts, maps, 0, ignore, never) == both_accuracies(
        index, parts, features, 0, ignore, never
    )


def test_there_is_nothing_to_compare_without_groups_of_different_pictures() -> None:
    index, parts, features = specimens(class_strength=0.0)
    alone = tuple(msgspec.structs.replace(image, group="") for image in index.images)
    copies = tuple(msgspec.structs.replace(image, sha256=image.group) for image in index.images)
    for images in (alone, copies):
        plain = msgspec.structs.replace(index, images=images)
        assert both_accuracies(plain, parts, features, 0, ignore, never) is None
    own_folders = msgspec.structs.replace(parts, made_by="folders")
    assert both_accuracies(index, own_folders, features, 0, ignore, never) is None
    assert both_accuracies(index, parts, features, 0, ignore, lambda: True) is None


def test_of_very_many_pictures_whole_groups_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    index, parts, features = specimens(class_strength=12.0)
    monkeypatch.setattr("tlstudio.engine.honest_split.MOST_IMAGES", 90)
    both = both_accuracies(index, parts, features, 0, ignore, never)
    assert both is not None and both.grouped > 0.97


def painted_specimens(root: Path) -> Path:
    """Specimens each of one colour, whatever the class; views differ by a little grain."""
    rng = np.random.default_rng(1)
    for specimen in range(20):
        folder = root / ("elm" if specimen % 2 else "oak") / f"specimen {specimen:02}"
        folder.mkdir(parents=True)
        scene = rng.integers(0, 255, (6, 6, 3)).astype(float)
        for view in range(4):
            grainy = np.clip(scene + rng.normal(0, 12, scene.shape), 0, 255).astype(np.uint8)
            Image.fromarray(grainy).resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"view {view}.png")
    return root


def test_a_run_tells_both_and_keeps_them(weights_file: Path, tmp_path: Path) -> None:
    pictures = painted_specimens(tmp_path / "pictures")
    setup = DatasetSetup(groupings=("folders",))
    said: list[Event] = []
    ended = perform(train_job(pictures, tmp_path / "run", weights_file, setup=setup), said.append, never)
    assert ended.status == "finished" and ended.result is not None
    assert ended.result["random_accuracy"] > ended.result["grouped_accuracy"] + 0.2
    assert [event for event in said if isinstance(event, Notice) and event.code == "honest-split"]
    run = RunFolder(tmp_path / "run")
    groups = [image.kept_with for image in run.dataset().images]
    parts = run.split()
    assert not {groups[i] for i in parts.train} & {groups[i] for i in parts.val}
    logged = run.summary()[1]
    assert logged is not None and logged.random_accuracy == ended.result["random_accuracy"]


def test_a_run_without_groups_says_nothing_of_it(head_run: RunFolder) -> None:
    logged = head_run.summary()[1]
    assert logged is not None and logged.random_accuracy is None and logged.grouped_accuracy is None
