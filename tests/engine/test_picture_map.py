"""Maps of drawn pictures: what looks alike lies together, the same way every time, and a stop is heard."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.engine.conftest import BACKBONE
from tests.factories import class_folders
from tlstudio.core.events import Event, Progress, ignore, never
from tlstudio.core.jobs import Map
from tlstudio.engine import picture_map
from tlstudio.engine.perform import perform


def job(pictures: Path, weights_file: Path, method: str) -> Map:
    return Map(folders=(str(pictures),), method=method, backbone=BACKBONE, weights=str(weights_file), threads=2)


def laid_out(pictures: Path, weights_file: Path, method: str) -> tuple[dict[str, object], list[Event]]:
    said: list[Event] = []
    ended = perform(job(pictures, weights_file, method), said.append, never)
    assert ended.status == "finished" and ended.result, ended
    return ended.result, said


def own_class_nearest(result: dict[str, object]) -> float:
    """Return the share of pictures whose nearest neighbour on the map is of their own class."""
    points = np.array(result["positions"])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    names = np.array([Path(path).parent.name for path in result["paths"]])
    return float((names[distances.argmin(1)] == names).mean())


@pytest.mark.parametrize("method", ["pca", "t-sne"])
def test_classes_that_look_different_lie_apart(drawn_pictures: Path, weights_file: Path, method: str) -> None:
    result, said = laid_out(drawn_pictures, weights_file, method)
    assert sorted(result["paths"]) == sorted(str(path) for path in drawn_pictures.rglob("*.png"))
    assert result["method"] == method
    points = np.array(result["positions"])
    assert points.shape == (40, 2)
    assert np.ptp(points, axis=0).max() == pytest.approx(2) and np.abs(points).max() == pytest.approx(1)
    assert own_class_nearest(result) > 0.85
    explained = result["explained"]
    assert explained is None if method == "t-sne" else 0 < explained <= 1
    last = [event for event in said if isinstance(event, Progress)][-1]
    assert last.done == last.total and last.seconds_left == 0
    assert laid_out(drawn_pictures, weights_file, method)[0] == result, "equal jobs give equal maps"


def test_beyond_the_most_pictures_the_others_lie_among_their_like(
    drawn_pictures: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_map, "MOST_LAID_OUT", 24)
    result, _ = laid_out(drawn_pictures, weights_file, "t-sne")
    assert len(result["positions"]) == 40
    assert own_class_nearest(result) > 0.85


def test_very_few_and_equal_pictures_have_a_place_too(tmp_path: Path, weights_file: Path) -> None:
    few, _ = laid_out(class_folders(tmp_path / "few", {"disc": 2, "square": 2}), weights_file, "t-sne")
    assert few["method"] == "pca" and np.isfinite(few["positions"]).all()
    one, _ = laid_out(class_folders(tmp_path / "one", {"disc": 1}), weights_file, "pca")
    assert tuple(one["positions"][0]) == (0.0, 0.0) and one["explained"] is None


def test_a_stop_in_the_middle_of_t_sne_is_heard_at_once(drawn_pictures: Path, weights_file: Path) -> None:
    laid_out(drawn_pictures, weights_file, "pca")  # so that the features are known
    stopped_at: list[float] = []

    def stop_in_the_middle() -> bool:
        began = any(isinstance(event, Progress) and event.what.startswith("Laying") for event in said)
        if began and not stopped_at:
            stopped_at.append(time.monotonic())
        return bool(stopped_at)

    said: list[Event] = []
    ended = perform(job(drawn_pictures, weights_file, "t-sne"), said.append, stop_in_the_middle)
    assert ended.status == "stopped"
    assert time.monotonic() - stopped_at[0] < 2


def test_a_folder_without_pictures_is_refused(tmp_path: Path, weights_file: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = perform(job(tmp_path / "empty", weights_file, "pca"), ignore, never)
    assert ended.status == "failed" and "picture" in ended.what
