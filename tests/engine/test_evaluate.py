"""Figures against hand-made matrices and scikit-learn; parts against what was held out."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from tests.engine.conftest import train_job
from tests.factories import class_folders, draw, part_folders
from tlstudio.core.cache_folder import clear
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import read_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Notice, never
from tlstudio.core.results import Evaluation
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.evaluate import calibration_error, evaluate, score
from tlstudio.engine.perform import perform


def test_figures_of_a_hand_made_matrix() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    given = np.array([0, 0, 0, 1, 1, 0, 2, 2])
    probabilities = np.full((8, 3), 0.1)
    probabilities[np.arange(8), given] = 0.8
    result = score(("a", "b", "c"), truth, probabilities, "test")
    assert result.confusion == ((3, 1, 0), (1, 1, 0), (0, 0, 2))
    assert result.accuracy == 6 / 8
    assert result.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert result.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, given))
    assert result.macro_f1 == pytest.approx(f1_score(truth, given, average="macro"))
    assert result.nll == pytest.approx(log_loss(truth, probabilities))
    assert result.ece == pytest.approx(0.8 - 6 / 8)
    assert [(s.class_, s.support) for s in result.per_class] == [("a", 4), ("b", 2), ("c", 2)]
    # Wilson's interval for 6 of 8, from its closed formula with z = 1.959964.
    assert result.accuracy_interval == pytest.approx((0.40927, 0.92852), abs=1e-4)


def test_calibration_error_over_two_bins() -> None:
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.65, 0.35]] * 4)
    truth = np.array([0, 0, 0, 1, 0, 0, 1, 1])
    assert calibration_error(truth, probabilities) == pytest.approx(0.5 * 0.20 + 0.5 * 0.15)


def test_without_a_folder_the_held_out_part_is_judged(head_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(head_run.path, tmp_path / "run"))
    result = evaluate(run, None, lambda event: None, never)
    _, ended = run.summary()
    assert ended is not None
    assert (result.part, result.images) == ("val", 8)
    assert result.accuracy == pytest.approx(ended.val_accuracy)
    assert result.nll == pytest.approx(ended.val_nll, rel=1e-3, abs=1e-6)
    assert result.seen_in_training == 0
    held_out = {run.dataset().images[i].path for i in run.split().val}
    assert {row.path for row in result.predictions} == held_out
    assert read_json(run.evaluation_file, Evaluation) == result
    with run.predictions_file.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "class", "probability", "disc", "square"]
    for row, prediction in zip(rows[1:], result.predictions, strict=True):
        assert row[:2] == [prediction.path, prediction.class_]
        assert float(row[2]) == pytest.approx(prediction.probability, abs=1e-6)
    agreeing = sum(row.class_ == row.truth for row in result.predictions)
    assert agreeing == sum(result.confusion[i][i] for i in range(2))


def test_of_a_parted_folder_its_test_part_is_judged(head_run: RunFolder, tmp_path: Path) -> None:
    folder = part_folders(tmp_path / "parted", {"train": 3, "test": 4})
    result = evaluate(head_run, folder, lambda event: None, never)
    assert result.images == 8
    assert all("/test/" in row.path for row in result.predictions)


def test_pictures_that_taught_the_model_are_counted(head_run: RunFolder, drawn_pictures: Path) -> None:
    result = evaluate(head_run, drawn_pictures, lambda event: None, never)
    assert (result.images, result.seen_in_training) == (40, 32)


def test_unknown_classes_are_left_out_and_said(head_run: RunFolder, tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pictures", {"disc": 3, "cross": 2})
    said: list[Event] = []
    result = evaluate(head_run, folder, said.append, never)
    assert result.images == 3
    assert any(isinstance(e, Notice) and "cross" in e.what for e in said)
    only = class_folders(tmp_path / "other", {"cross": 2})
    with pytest.raises(StudioError, match="of a class the model knows"):
        evaluate(head_run, only, said.append, never)


def test_a_folder_is_set_up_as_the_run_s_pictures_were(weights_file: Path, tmp_path: Path) -> None:
    setup = DatasetSetup(exclude=("*_mask*",), renamed={"disc": "round", "square": "round"}, left_out=("bad",))
    pictures = class_folders(tmp_path / "pictures", {"disc": 6, "square": 6, "cross": 6})
    class_folders(tmp_path / "drawn", {"disc": 4}, first_seed=30)
    (tmp_path / "drawn" / "disc").rename(pictures / "bad")
    ended = perform(train_job(pictures, tmp_path / "run", weights_file, setup=setup), lambda event: None, never)
    assert ended.status == "finished", ended
    run = RunFolder(tmp_path / "run")
    assert run.setup() == setup and run.dataset().classes == ("cross", "round")

    other = class_folders(tmp_path / "other", {"disc": 2, "square": 3, "cross": 2}, first_seed=60)
    draw("square", 99).save(other / "cross" / "cross_000_mask.png")
    shutil.copytree(pictures / "bad", other / "bad")
    said: list[Event] = []
    result = evaluate(run, other, said.append, never)
    assert {row.truth: 0 for row in result.predictions} == {"cross": 0, "round": 0}
    assert result.images == 7 and not any("_mask" in row.path for row in result.predictions)
    assert not any(isinstance(event, Notice) for event in said), "what was left out on purpose is not news"


def test_held_out_pictures_are_judged_by_their_copies_where_the_files_are_gone(
    weights_file: Path, tmp_path: Path
) -> None:
    pictures = class_folders(tmp_path / "pictures", {"disc": 12, "square": 12})
    job = train_job(pictures, tmp_path / "run", weights_file)
    assert perform(job, lambda event: None, never).status == "finished"
    before = evaluate(RunFolder(tmp_path / "run"), None, lambda event: None, never)
    shutil.rmtree(pictures)
    assert evaluate(RunFolder(tmp_path / "run"), None, lambda event: None, never) == before
    clear()
    with pytest.raises(StudioError, match="can be read any more"):
        evaluate(RunFolder(tmp_path / "run"), None, lambda event: None, never)


def test_figures_that_cannot_be_kept_are_given_all_the_same(head_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(head_run.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    run.evaluation_file.unlink(missing_ok=True)
    run.evaluation_file.mkdir()
    said: list[Event] = []
    assert evaluate(run, None, said.append, never).images == 8
    assert [event.code for event in said if isinstance(event, Notice)] == ["not-kept"]
