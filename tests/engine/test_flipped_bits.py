"""One flipped bit in what a training leaves is noticed by whoever reads it, wherever it is.

The full form, with exports and as many bits as you like: `python -m tests.engine.flip_bits FLIPS`.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.engine.conftest import train_job
from tests.engine.flip_bits import flipped, noticed, of_run, of_saved_states, of_weights
from tests.factories import class_folders
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Notice, ignore, never
from tlstudio.core.jobs import Resume
from tlstudio.core.results import Evaluation
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.evaluate import evaluate
from tlstudio.engine.perform import perform
from tlstudio.engine.predict import Predictor

FLIPS = 48


@pytest.fixture(scope="module")
def run(weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A small run that was fine-tuned and evaluated. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("flipped")
    pictures = class_folders(folder / "pictures", {"disc": 6, "square": 6})
    job = train_job(pictures, folder / "run", weights_file, regime="fine-tune", epochs=2)
    assert perform(job, ignore, never).status == "finished"
    evaluate(RunFolder(folder / "run"), None, ignore, never)
    return RunFolder(folder / "run")


def test_every_file_of_a_run_is_watched(run):
    asked = of_run(run)
    assert {file.name for file in run.path.iterdir() if file.is_file()} == {file.name for file in asked}
    for file, ask in asked.items():
        flips, found = noticed(file, ask, FLIPS)
        assert (found, flips) == (flips, FLIPS), file.name


def test_saved_states_are_watched_and_the_one_before_is_used(run):
    asked = of_saved_states(run)
    assert len(asked) >= 3
    for file, ask in asked.items():
        flips, found = noticed(file, ask, FLIPS)
        assert (found, flips) == (flips, FLIPS), file.name


def test_imported_weights_are_watched(weights_file):
    for file, ask in of_weights(weights_file).items():
        flips, found = noticed(file, ask, FLIPS)
        assert (found, flips) == (flips, FLIPS), file.name


def test_damage_to_both_copies_of_the_checksums_is_said_with_a_way_out(run, tmp_path):
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy"))
    content = bytearray(copy.manifest.file.read_bytes())
    content[5] ^= 1
    content[-5] ^= 1
    copy.manifest.file.write_bytes(content)
    with pytest.raises(StudioError, match=r"checksums of “copy” are damaged") as caught:
        copy.plan()
    assert "manifest.json" in caught.value.hint
    assert copy.manifest.damaged() == [copy.manifest.file]
    copy.manifest.file.unlink()
    assert copy.plan() == run.plan() and copy.manifest.damaged() == []


def test_a_damaged_model_answers_nothing_and_the_rest_of_the_run_opens(run):
    for _ in flipped(run.model_file, 1, random.Random(0)):
        with pytest.raises(StudioError, match=r"“model\.safetensors” .* is damaged"):
            Predictor(run)
        assert run.plan() and list(run.events()) and run.record(run.evaluation_file, Evaluation)
        assert run.manifest.damaged() == [run.model_file]
        break


def test_a_run_that_goes_on_is_watched_again_when_it_has_ended(run, tmp_path):
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy"))
    ended = perform(Resume(run=str(copy.path), more_epochs=1), ignore, never)
    assert ended.status == "finished", ended
    assert copy.manifest.damaged() == []
    assert copy.events_file.read_bytes() != run.events_file.read_bytes()
    for file in (copy.plan_file, copy.events_file, copy.model_file):
        flips, found = noticed(file, of_run(copy)[file], 40)
        assert flips == found


def test_damage_that_no_figure_depends_on_is_told_with_the_figures(run, tmp_path):
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "copy"))
    for file in (copy.events_file, copy.manifest.file):
        content = bytearray(file.read_bytes())
        content[9] ^= 4
        file.write_bytes(content)
    said: list[Event] = []
    assert evaluate(copy, None, said.append, never) == run.record(run.evaluation_file, Evaluation)
    told = [event.what for event in said if isinstance(event, Notice)]
    assert len(told) == 2 and "“manifest.json”" in told[0] and "“events.jsonl”" in told[1]
