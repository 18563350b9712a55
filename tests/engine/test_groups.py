"""Pictures of one group never teach and judge at once, whatever it is that judges."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.engine.conftest import BACKBONE, train_job
from tlstudio.core.dataset_setup import DatasetSetup, Layout
from tlstudio.core.events import Event, Progress, ignore, never
from tlstudio.core.jobs import Advise, Race, Rank
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.perform import perform
from tlstudio.engine.train import Training

ALONE = DatasetSetup(groupings=())
BY_SPECIMEN = DatasetSetup(groupings=("folders",))


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures each of specimens, five a class to learn from and two to judge by.

    A specimen is known by its colours, which say nothing of its class.
    """
    root = tmp_path_factory.mktemp("specimens")
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("val", 2)):
        for name in ("sick", "well"):
            for specimen in range(count):
                folder = root / part / name / f"{part} {specimen}"
                folder.mkdir(parents=True)
                pattern = rng.integers(0, 256, (4, 4, 3))
                for number in range(10):
                    pixels = np.kron(pattern, np.ones((12, 12, 1))) + rng.normal(0, 12, (48, 48, 3))
                    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return root


def ranked(specimens: Path, setup: DatasetSetup) -> float:
    job = Rank(folders=(str(specimens),), setup=setup, backbones=("mobilenet_v2",), device="cpu", threads=2)
    ended = perform(job, ignore, never)
    assert ended.result, ended
    return float(ended.result["rows"][0]["accuracy"])


def test_a_comparison_is_not_fooled_by_specimens(specimens: Path) -> None:
    assert ranked(specimens, ALONE) > 0.95
    assert ranked(specimens, BY_SPECIMEN) < 0.8


def cross_validated_loss(specimens: Path, weights_file: Path, run: Path, setup: DatasetSetup) -> float:
    ended = perform(train_job(specimens, run, weights_file, setup=setup), ignore, never)
    assert ended.status == "finished", ended
    training = Training(RunFolder(run), ignore, never)
    training.outcome()
    return training.probe.fit(training.train).cv_nll


def test_the_head_of_a_run_is_chosen_across_specimens(specimens: Path, weights_file: Path, tmp_path: Path) -> None:
    assert cross_validated_loss(specimens, weights_file, tmp_path / "alone", ALONE) < 0.3
    assert cross_validated_loss(specimens, weights_file, tmp_path / "grouped", BY_SPECIMEN) > 0.5


def measured_best(specimens: Path, weights_file: Path, setup: DatasetSetup) -> tuple[float, bool]:
    """Return the best block's accuracy, and whether anything was measured for it."""
    said: list[Event] = []
    job = Advise(folders=(str(specimens),), setup=setup, backbone=BACKBONE, weights=str(weights_file), threads=2)
    ended = perform(job, said.append, never)
    assert ended.result, ended
    measured = any(isinstance(event, Progress) and event.what.startswith("Measuring") for event in said)
    return max(depth["accuracy"] for depth in ended.result["depths"]), measured


def test_advice_is_measured_anew_for_other_groups(specimens: Path, weights_file: Path) -> None:
    alone, measured = measured_best(specimens, weights_file, ALONE)
    assert alone > 0.95 and measured
    grouped, measured = measured_best(specimens, weights_file, BY_SPECIMEN)
    assert grouped < 0.8 and measured
    assert measured_best(specimens, weights_file, ALONE) == (alone, False)
    assert measured_best(specimens, weights_file, BY_SPECIMEN) == (grouped, False)


def test_classes_of_one_group_each_cannot_be_measured(three_parts: Path, weights_file: Path, tmp_path: Path) -> None:
    named = Layout(kind="names", pattern=r"(?P<part>\w+)/(?P<group>(?P<class>\w+))/.*")
    setup = DatasetSetup(layout=named, groupings=("labels",))
    folders = (str(three_parts),)
    train = train_job(three_parts, tmp_path / "run", weights_file, setup=setup)
    rank = Rank(folders=folders, setup=setup, backbones=("mobilenet_v2",), device="cpu", threads=2)
    for job in (rank, Race(train=train, budget_minutes=1, stop_before_training=True)):
        ended = perform(job, ignore, never)
        assert ended.status == "failed" and "too few pictures" in ended.what
        assert "in two groups" in ended.hint
    advise = Advise(folders=folders, setup=setup, backbone=BACKBONE, weights=str(weights_file), threads=2)
    ended = perform(advise, ignore, never)
    assert ended.result and "Nothing could be measured" in ended.result["reasons"][0]
    alone = perform(msgspec.structs.replace(advise, setup=ALONE), ignore, never)
    assert alone.result and "Nothing could be measured" not in alone.result["reasons"][0]
