"""Runs that earlier versions of the app left behind, one folder a version, still tell all they told then.

Each version trained a new head and fine-tuned, for two epochs with seed 0, on 8 discs and 8 squares of
tests/factories.py, and judged both. Models and tensors are left out because of their size; the rest is as it was
written, but for the places of the pictures and of the app.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import sha256_of
from tlstudio.core.errors import StudioError
from tlstudio.core.events import EpochEnded, RunEnded, RunStarted, StageStarted
from tlstudio.core.paths import runs_dir, weights_dir
from tlstudio.core.plan import PLAN_VERSION
from tlstudio.core.results import Evaluation
from tlstudio.core.run_comparison import read_run, verdicts
from tlstudio.core.run_history import history
from tlstudio.core.runfolder import NewerVersion, RunFolder
from tlstudio.core.weights_folder import found_again

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())
STAGES = {"head": {"head": 1}, "fine-tune": {"head": 1, "fine-tune": 2}}
"""The epochs of every stage, by regime."""


@pytest.fixture(params=[f"{version}/{regime}" for version in VERSIONS for regime in STAGES])
def run(request) -> RunFolder:
    """A copy of a run, in the app's folder of runs."""
    to = runs_dir() / request.param.replace("/", " ")
    shutil.copytree(GOLDEN / request.param, to)
    return RunFolder(to)


def regime_of(run: RunFolder) -> str:
    return run.path.name.partition(" ")[2]


def test_there_are_runs_of_several_versions():
    assert len(VERSIONS) >= 3


def test_what_was_planned_is_read(run):
    plan = run.plan()
    assert (plan.regime, plan.head, plan.backbone, plan.seed) == (regime_of(run), "linear", "mobilenet_v2", 0)
    assert {stage.name: stage.epochs for stage in plan.stages} == STAGES[regime_of(run)]
    assert plan.weights_name == "STUDIO_SMALL" and plan.cut == ""
    # The first version gave advice always, later ones where it is asked for.
    assert plan.advice is None or plan.advice.regime == "head"


def test_the_weights_it_started_from_are_found_although_the_app_has_moved(run):
    plan = run.plan()
    assert not Path(plan.weights_file).exists()
    found = found_again(Path(plan.weights_file))
    assert sha256_of(found) == plan.weights_sha256
    own = weights_dir() / Path(plan.weights_file).name
    own.write_bytes(b"nearer")
    assert found_again(Path(plan.weights_file)) == own and found_again(found) == found
    assert found_again(Path("nowhere.pth")) == Path("nowhere.pth")


def test_the_pictures_and_their_split_are_read(run):
    index, parts = run.dataset(), run.split()
    assert index.class_counts() == {"disc": 8, "square": 8} and index.problems == ()
    for image in index.images:
        assert Path(image.path).parent.name == index.classes[image.class_index]
    assert (len(parts.train), len(parts.val), parts.test, parts.made_by) == (12, 4, (), "seed 0")
    assert sorted((*parts.train, *parts.val)) == list(range(16))
    assert run.setup() == DatasetSetup()


def test_the_log_is_read(run):
    events = list(run.events())
    started, ended = run.summary()
    assert events[0] == started and events[-1] == ended
    assert isinstance(started, RunStarted) and isinstance(ended, RunEnded)
    assert (started.classes, started.train_images, started.val_images) == (("disc", "square"), 12, 4)
    assert (ended.status, ended.val_accuracy, ended.val_images, ended.kept) == ("finished", 1.0, 4, "the new head")
    assert ended.val_interval == pytest.approx((0.5101, 1.0), abs=1e-4)  # Wilson's, of 4 in 4
    wanted = STAGES[regime_of(run)]
    assert [(event.stage, event.epochs) for event in events if isinstance(event, StageStarted)] == list(wanted.items())
    assert [(event.stage, event.epoch) for event in events if isinstance(event, EpochEnded)] == [
        (stage, epoch) for stage, epochs in wanted.items() for epoch in range(1, epochs + 1)
    ]


def test_the_results_are_read(run):
    judged = run.record(run.evaluation_file, Evaluation)
    assert (judged.part, judged.images, judged.accuracy) == ("val", 4, 1.0)
    assert judged.confusion == ((2, 0), (0, 2)) and len(judged.predictions) == 4
    index, parts = run.dataset(), run.split()
    assert {one.path for one in judged.predictions} == {index.images[position].path for position in parts.val}


def test_the_list_tells_them(run):
    (known,) = history(runs_dir())
    facts = known.facts
    assert (facts.state, facts.regime, facts.val_accuracy, facts.classes, facts.images) == (
        "finished", regime_of(run), 1.0, 2, 16,
    )  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_compared_picture_by_picture(version):
    (verdict,) = verdicts([read_run(RunFolder(GOLDEN / version / regime), regime) for regime in STAGES])
    assert not verdict.why_not and (verdict.images, verdict.only_first, verdict.only_second) == (4, 0, 0)


@pytest.mark.parametrize("unreadable", [{}, {"regime": "dream"}, {"stages": "many"}])
def test_the_plan_of_a_newer_version_is_refused_in_words_whatever_is_in_it(run, unreadable):
    newer = msgspec.to_builtins(run.plan()) | {"version": PLAN_VERSION + 1} | unreadable
    run.keep(run.plan_file, newer)
    before = run.plan_file.read_bytes()
    with pytest.raises(NewerVersion, match=r"newer version of this app.* Update the app"):
        run.plan()
    (known,) = history(runs_dir())
    assert known.facts.state == "newer" and "newer version" in known.facts.problem
    with pytest.raises(StudioError, match="newer version"):
        read_run(run, "newer")
    assert run.plan_file.read_bytes() == before
