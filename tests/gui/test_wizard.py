"""From folders to a training job, with a real engine process scanning real files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QCheckBox, QLabel, QLineEdit, QPushButton, QSpinBox, QToolButton

from tests.factories import class_folders, part_folders
from tlstudio.core.advice import Advice, DepthScore, advise, cost_of
from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import scan
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.jobs import Advise, Job, Map, Race, Rank, Train
from tlstudio.core.paths import runs_dir, weights_dir
from tlstudio.core.split import split
from tlstudio.core.weights_folder import WeightsFile
from tlstudio.gui.engine_thread import WORKER_COMMAND, EnginePool
from tlstudio.gui.running_jobs import RunningJobs
from tlstudio.gui.widgets.backbone_card import BackboneCard
from tlstudio.gui.wizard.options_step import folder_name, free_name
from tlstudio.gui.wizard.review_step import Measured, ReviewStep
from tlstudio.gui.wizard.wizard import MEASURING_JOBS, TrainingWizard

WAIT_MS = 60_000
LEFT = Qt.MouseButton.LeftButton
NEVER_ENDING = """
import time
say(event="progress", what="Reading pictures", done=1, total=200, seconds_left=400.0)
sys.stdin.readline()
say(event="job_ended", status="stopped")
"""


@pytest.fixture
def jobs(qtbot):
    running = RunningJobs(EnginePool(WORKER_COMMAND))
    yield running
    running.end_all()
    qtbot.waitUntil(lambda: not running.jobs())


@pytest.fixture
def weights():
    """A file with the right name: presence is told from names, and nothing here loads it."""
    (weights_dir() / "resnet18-mine.pth").write_bytes(b"weights")


def open_wizard(qtbot, jobs: RunningJobs, *folders: Path) -> TrainingWizard:
    wizard = TrainingWizard(folders, jobs)
    qtbot.addWidget(wizard)
    wizard.open()
    return wizard


def scanned(qtbot, wizard: TrainingWizard) -> TrainingWizard:
    qtbot.waitUntil(wizard.next_button.isEnabled, timeout=WAIT_MS)
    return wizard


def click(wizard: TrainingWizard, times: int = 1) -> None:
    for _ in range(times):
        assert wizard.next_button.isEnabled(), wizard.current_step().title
        QTest.mouseClick(wizard.next_button, LEFT)


def test_the_scan_shows_classes_counts_splits_and_what_was_set_aside(qtbot, jobs, weights, tmp_path):
    folder = part_folders(tmp_path / "parted", {"train": 6, "val": 3})
    (folder / "train" / "disc" / "broken.jpg").write_bytes(b"no picture")
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, folder))
    assert wizard.pictures.classes.texts() == [("disc", 9), ("square", 9)]
    assert wizard.pictures.message() == ("18 pictures in 2 classes: 12 to learn from, 6 to judge with (val).")
    wizard.pictures.tabs.setCurrentWidget(wizard.pictures.files)
    shown = wizard.pictures.files.rows().shown
    qtbot.waitUntil(lambda: len(shown()) == 19, timeout=WAIT_MS)
    statuses = {Path(file.path).name: (file.status, file.code) for file in shown()}
    assert statuses.pop("broken.jpg")[0] == "set-aside"
    assert set(statuses.values()) == {("used", "")}


def test_a_folder_of_one_class_is_refused_with_a_next_step(qtbot, jobs, weights, tmp_path):
    wizard = open_wizard(qtbot, jobs, class_folders(tmp_path / "alone", ["disc"]))
    qtbot.waitUntil(lambda: "of one class" in wizard.pictures.message(), timeout=WAIT_MS)
    assert "second class" in wizard.pictures.message()
    assert not wizard.next_button.isEnabled()


def test_a_scan_can_be_cancelled(qtbot, worker_that, weights, two_classes):
    running = RunningJobs(EnginePool(worker_that(NEVER_ENDING)))
    wizard = open_wizard(qtbot, running, two_classes)
    qtbot.waitUntil(lambda: bool(running.jobs()))
    cancel = next(b for b in wizard.pictures.findChildren(QPushButton) if b.text() == "Cancel" and b.isVisible())
    QTest.mouseClick(cancel, LEFT)
    qtbot.waitUntil(lambda: "was stopped" in wizard.pictures.message(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not running.jobs())
    running.end_all()


def test_closing_the_wizard_ends_its_work(qtbot, worker_that, weights, two_classes):
    running = RunningJobs(EnginePool(worker_that(NEVER_ENDING)))
    wizard = open_wizard(qtbot, running, two_classes)
    QTest.mouseClick(wizard.cancel_button, LEFT)
    qtbot.waitUntil(lambda: not running.jobs(), timeout=WAIT_MS)
    assert not wizard.isVisible()
    running.end_all()


def test_without_weights_the_way_ends_at_the_backbone_until_there_are_some(qtbot, jobs, two_classes):
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, two_classes))
    click(wizard)
    assert wizard.current_step() is wizard.backbone
    assert wizard.next_button.isEnabled() and "Its full weights" in wizard.backbone.message()
    wizard.backbone.choose("alexnet")
    assert not wizard.next_button.isEnabled()
    assert "not on this computer" in wizard.backbone.message()
    (weights_dir() / "resnet18-mine.pth").write_bytes(b"weights")
    wizard.backbone.choose("resnet18")
    assert wizard.next_button.isEnabled()
    assert wizard.regime.network.blocks()[-1] == ("head", "new")


def test_a_wrong_weights_file_is_refused_in_words(qtbot, jobs, two_classes, tmp_path):
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, two_classes))
    click(wizard)
    file = tmp_path / "weights.pth"
    file.write_bytes(b"certainly no weights")
    wizard.backbone.choose("alexnet")
    before = wizard.backbone.message()
    wizard.backbone.import_file(file)
    qtbot.waitUntil(lambda: wizard.backbone.message() != before, timeout=WAIT_MS)
    assert "weights.pth" in wizard.backbone.message()
    assert not wizard.next_button.isEnabled()


def test_every_choice_reaches_the_job_and_going_back_loses_none(qtbot, jobs, weights, two_classes):
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, two_classes))
    click(wizard, 2)
    assert wizard.current_step() is wizard.regime
    QTest.mouseClick(wizard.regime.chart.quarter("fine-tune"), LEFT)
    click(wizard)
    name = wizard.options.findChild(QLineEdit)
    assert name is not None
    assert name.text() == "pictures"
    name.selectAll()
    QTest.keyClicks(name, "My shapes")
    mirror, turned, *_ = wizard.options.findChildren(QCheckBox)
    QTest.keyClick(mirror, Qt.Key.Key_Space)
    QTest.keyClick(turned, Qt.Key.Key_Space)
    click(wizard)
    for _ in range(4):
        QTest.mouseClick(wizard.back_button, LEFT)
    assert wizard.current_step() is wizard.pictures
    click(wizard, 4)
    assert wizard.current_step() is wizard.review
    with qtbot.waitSignal(wizard.train_requested) as heard:
        click(wizard)
    (job,) = heard.args
    assert isinstance(job, Train)
    assert (job.regime, job.backbone, job.mirror, job.turned) == ("fine-tune", "resnet18", False, True)
    assert job.run == str(runs_dir() / "My shapes")
    assert job.folders == (str(two_classes),)


def test_a_name_that_exists_is_not_taken(qtbot, jobs, weights, two_classes):
    (runs_dir() / "Old").mkdir()
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, two_classes))
    click(wizard, 3)
    name = wizard.options.findChild(QLineEdit)
    assert name is not None
    name.selectAll()
    QTest.keyClicks(name, "Old")
    assert not wizard.next_button.isEnabled()
    QTest.keyClicks(name, " one")
    assert wizard.next_button.isEnabled()


def test_names_become_folder_names_every_system_takes():
    assert folder_name(' a/b\\c: "d"? ') == "a b c d"
    assert folder_name("...") == ""
    assert len(folder_name("x" * 500)) == 100


def test_a_free_name_gets_a_number(tmp_path):
    (tmp_path / "Leaves").mkdir()
    (tmp_path / "Leaves 2").mkdir()
    assert free_name("Leaves", tmp_path) == "Leaves 3"
    assert free_name("Moss", tmp_path) == "Moss"


def test_the_review_speaks_in_sentences(qtbot, two_classes):
    index = scan([two_classes])
    review = ReviewStep()
    qtbot.addWidget(review)
    job = Train(folders=(str(two_classes),), run="/somewhere/Leaves", regime="fine-tune", turned=True)
    advice = advise((6, 6))
    parts, spec = split(index, seed=0), backbone("resnet18")
    review.show_plan(job, index, parts, spec, None, advice)
    assert review.line("Time") == "Being measured …"
    measured = Measured("CPU, 8 threads", "No graphics card was found.", {"resnet18": 50})
    review.show_plan(job, index, parts, spec, measured, advice)
    assert review.line("Pictures") == "12 pictures in 2 classes."
    assert review.line("Device") == "CPU, 8 threads. No graphics card was found."
    # 3,000 pictures to learn from, three looks each, at 50 looks a second.
    assert review.line("Time") == "About 3 minutes."
    assert "turned by quarters" in review.line("Changes")
    assert review.line("Advice") == "Not followed: it was “New head”."
    cut = Train(folders=job.folders, run=job.run, regime="cut", cut="parts", head="mlp")
    review.show_plan(cut, index, parts, spec, measured, advice)
    assert "“parts”" in review.line("Regime")
    assert review.line("Head") == "Small neural network."
    assert review.line("Changes").endswith("as they are.")
    few = msgspec.structs.replace(cut, head="linear")
    review.show_plan(few, index, parts, spec, measured, advice)
    assert "also learns from changed ones" in review.line("Changes")
    full = msgspec.structs.replace(few, regime="full", cut="")
    review.show_plan(full, index, parts, spec, measured, advice)
    assert "sheared" in review.line("Changes") and "rectangle" in review.line("Changes")


def test_the_review_says_whether_the_advised_cut_was_followed(qtbot, two_classes):
    index, spec = scan([two_classes]), backbone("resnet18")
    review = ReviewStep()
    qtbot.addWidget(review)
    depths = tuple(
        DepthScore(block.name, alone, 0.01, alone, 0.01)
        for block, alone in zip(spec.blocks, (0.6, 0.9, 0.8, 0.6), strict=True)
    )
    advice = Advice("cut", (), depths=depths, cut="textures", expected={"head": 0.6, "cut": 0.9})

    def said(cut: str) -> str:
        job = Train(folders=(str(two_classes),), run="/somewhere/Leaves", regime="cut", cut=cut)
        review.show_plan(job, index, split(index, seed=0), spec, None, advice)
        return review.line("Advice")

    assert said("textures") == said("") == "Followed."
    assert said("parts") == f"Not followed: it was “Cut” after “textures”. {cost_of(advice, 'cut', 'parts')}"


def test_measured_speeds_reach_the_cards(qtbot, jobs, weights, two_classes):
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, two_classes))
    card = next(found for found in wizard.findChildren(QPushButton) if found.accessibleName() == "ResNet-18")
    qtbot.waitUntil(lambda: "pictures a second here" in card.accessibleDescription(), timeout=WAIT_MS)


def test_a_card_speaks_of_the_weights_in_use(qtbot):
    spec = backbone("mobilenet_v2")
    card = BackboneCard(spec)
    qtbot.addWidget(card)

    def said(name: str) -> str:
        card.show_weights(WeightsFile(Path("mobilenet_v2.pth"), "", name, spec.name))
        return card.accessibleDescription()

    first, second, small = spec.weights
    assert f"{first.imagenet_top1:.1f} % right" in said(first.name)
    assert f"{second.imagenet_top1:.1f} % right" in said(second.name)
    assert small.built_in and "part of the app" in said(small.name)
    assert "a file of yours" in said("imported moths") and "%" not in said("imported moths")
    card.show_weights(None)
    assert f"{first.imagenet_top1:.1f} % right" in card.accessibleDescription()
    assert "14 MB to fetch" in card.accessibleDescription()


def test_no_two_things_in_view_share_a_shortcut(qtbot, jobs, weights, two_classes):
    wizard = scanned(qtbot, open_wizard(qtbot, jobs, two_classes))
    for step in wizard.steps:
        assert wizard.current_step() is step
        for fold in step.findChildren(QToolButton):
            if fold.isVisible() and fold.isCheckable() and not fold.isChecked():
                fold.click()
        texts = [found.text() for found in wizard.findChildren(QAbstractButton) if found.isVisible()]
        texts += [found.text() for found in wizard.findChildren(QLabel) if found.isVisible() and found.buddy()]
        letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
        assert len(letters) == len(set(letters)), (step.title, sorted(texts))
        if step is not wizard.review:
            click(wizard)


SLOW = """
from pathlib import Path
import msgspec
from tlstudio.core.advice import advise
from tlstudio.core.look import look, write_scanned
job = json.loads(job)
match job["verb"]:
    case "scan":
        scanned = look([Path(folder) for folder in job["folders"]])
        say(event="job_ended", status="finished", result={"scanned": str(write_scanned(scanned))})
    case "shortcuts":
        say(event="job_ended", status="finished", result={"rows": []})
    case "advise":
        advice = advise([5, 5])
        say(event="job_ended", status="finished", result=msgspec.to_builtins(advice))
    case "measure":
        speeds = dict.fromkeys(job["backbones"], 50.0)
        say(event="job_ended", status="finished",
            result={"device": "CPU", "device_hint": "", "images_per_second": speeds})
    case _:
        sys.stdin.readline()
        say(event="job_ended", status="stopped")
"""
"""Answers at once, but compares and races until it is asked to stop."""


@pytest.fixture
def slow(qtbot, worker_that):
    running = RunningJobs(EnginePool(worker_that(SLOW)))
    yield running
    running.end_all()
    qtbot.waitUntil(lambda: not running.jobs(), timeout=WAIT_MS)


class Begun:
    """Remembers the jobs that began, and which of them ever ran beside another."""

    def __init__(self, running: RunningJobs) -> None:
        self.jobs: list[Job] = []
        self.together = 0
        self._running = running
        running.changed.connect(self._look)

    def _look(self) -> None:
        now = self._running.jobs()
        self.jobs += [job for job in now if not any(job is seen for seen in self.jobs)]
        self.together = max(self.together, sum(isinstance(job, tuple(MEASURING_JOBS)) for job in now))

    def seeds(self, kind: type[Advise] | type[Rank]) -> list[int]:
        return [job.seed for job in self.jobs if isinstance(job, kind)]


def found_button(wizard: TrainingWizard, text: str) -> QPushButton:
    return next(found for found in wizard.findChildren(QPushButton) if found.text().replace("&", "") == text)


def type_seed(wizard: TrainingWizard, seed: int) -> None:
    """Type a seed in the options, and leave it at that."""
    fold = next(found for found in wizard.options.findChildren(QToolButton) if found.text() == "More")
    if not fold.isChecked():
        QTest.mouseClick(fold, LEFT)
    field = wizard.options.findChildren(QSpinBox)[1]
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, str(seed))


def test_another_seed_deals_the_pictures_anew_and_all_is_measured_with_it(qtbot, slow, weights, tmp_path):
    folder = class_folders(tmp_path / "many", {"disc": 30, "square": 30})
    index = scan([folder])
    begun = Begun(slow)
    wizard = scanned(qtbot, open_wizard(qtbot, slow, folder))
    qtbot.waitUntil(lambda: begun.seeds(Advise) == [0] and not slow.jobs(), timeout=WAIT_MS)
    click(wizard, 3)
    type_seed(wizard, 12)
    assert begun.seeds(Advise) == [0]
    # The button takes no focus here, as on some systems: what was typed counts all the same.
    wizard.next_button.click()
    qtbot.waitUntil(lambda: begun.seeds(Advise) == [0, 12] and not slow.jobs(), timeout=WAIT_MS)
    assert wizard.job().seed == 12
    assert not wizard.regime.wants_measuring()
    dealt = []
    wizard.pictures.dealt.connect(lambda _index, parts: dealt.append(parts))
    with qtbot.waitSignal(wizard.pictures.dealt):
        wizard.pictures.deal(12)
    assert dealt == [split(index, 12)] and dealt[0].val != split(index, 0).val
    QTest.mouseClick(wizard.back_button, LEFT)
    type_seed(wizard, 0)
    wizard.next_button.click()
    assert wizard.job().seed == 0 and not slow.jobs()


def test_a_comparison_of_another_seed_is_stopped_and_not_shown(qtbot, slow, weights, two_classes):
    begun = Begun(slow)
    wizard = scanned(qtbot, open_wizard(qtbot, slow, two_classes))
    click(wizard)
    qtbot.waitUntil(found_button(wizard, "Compare on your pictures").isEnabled, timeout=WAIT_MS)
    QTest.mouseClick(found_button(wizard, "Compare on your pictures"), LEFT)
    before = wizard.backbone.message()
    click(wizard, 2)
    type_seed(wizard, 5)
    wizard.back_button.click()
    qtbot.waitUntil(lambda: begun.seeds(Advise) == [0, 5] and not slow.jobs(), timeout=WAIT_MS)
    assert wizard.backbone.message() == before
    QTest.mouseClick(wizard.back_button, LEFT)
    QTest.mouseClick(found_button(wizard, "Compare on your pictures"), LEFT)
    assert begun.seeds(Rank) == [0, 5]
    assert begun.together == 1
    QTest.mouseClick(wizard.cancel_button, LEFT)
    qtbot.waitUntil(lambda: not slow.jobs(), timeout=WAIT_MS)


def test_only_one_thing_is_measured_at_a_time_and_the_buttons_say_why(qtbot, slow, weights, two_classes):
    begun = Begun(slow)
    wizard = scanned(qtbot, open_wizard(qtbot, slow, two_classes))
    compare, race = found_button(wizard, "Compare on your pictures"), found_button(wizard, "Race the regimes")
    click(wizard)
    qtbot.waitUntil(compare.isEnabled, timeout=WAIT_MS)
    assert race.isEnabled()
    usual = compare.toolTip()
    QTest.mouseClick(compare, LEFT)
    assert not race.isEnabled() and "being compared" in race.toolTip()
    QTest.mouseClick(next(b for b in wizard.backbone.findChildren(QPushButton) if b.text() == "Cancel"), LEFT)
    qtbot.waitUntil(race.isEnabled, timeout=WAIT_MS)
    assert compare.isEnabled() and compare.toolTip() == usual
    race.click()
    assert isinstance(slow.jobs()[0], Race)
    assert not compare.isEnabled() and "racing" in compare.toolTip()
    # Another backbone ends the race; only then is it measured.
    (weights_dir() / "alexnet-mine.pth").write_bytes(b"weights")
    wizard.backbone.choose("alexnet")
    assert not race.isEnabled() and not compare.isEnabled()
    qtbot.waitUntil(lambda: len(begun.seeds(Advise)) == 2 and not slow.jobs(), timeout=WAIT_MS)
    assert begun.together == 1
    assert wizard.regime.race.winner() is None and race.isEnabled() and compare.isEnabled()


def test_every_job_carries_the_set_up_and_an_edit_measures_anew(qtbot, slow, weights, tmp_path):
    folder = class_folders(tmp_path / "shapes", {"disc": 8, "square": 8, "cross": 8})
    begun = Begun(slow)
    wizard = scanned(qtbot, open_wizard(qtbot, slow, folder))
    qtbot.waitUntil(lambda: begun.seeds(Advise) == [0] and not slow.jobs(), timeout=WAIT_MS)
    wizard.pictures.edits.leave_out(["cross"])
    qtbot.waitUntil(lambda: len(begun.seeds(Advise)) == 2 and not slow.jobs(), timeout=WAIT_MS)
    assert wizard.pictures.edits.index is not None and wizard.pictures.edits.index.classes == ("disc", "square")
    decided = wizard.pictures.setup()
    assert decided.left_out == ("cross",)
    assert [job.setup for job in begun.jobs if isinstance(job, Advise)] == [DatasetSetup(), decided]
    assert wizard.job().setup == decided
    click(wizard)
    QTest.mouseClick(found_button(wizard, "Compare on your pictures"), LEFT)
    (rank,) = [job for job in begun.jobs if isinstance(job, Rank)]
    assert rank.setup == decided
    QTest.mouseClick(wizard.cancel_button, LEFT)
    qtbot.waitUntil(lambda: not slow.jobs(), timeout=WAIT_MS)


BUSY = SLOW.replace('case "advise":', 'case "advised":')
"""Answers like the other, but measures the pictures until it is asked to stop."""


def test_a_map_that_the_user_asks_for_makes_the_measurement_wait(qtbot, worker_that, weights, two_classes):
    running = RunningJobs(EnginePool(worker_that(BUSY)))
    begun = Begun(running)
    wizard = scanned(qtbot, open_wizard(qtbot, running, two_classes))
    qtbot.waitUntil(lambda: any(isinstance(job, Advise) for job in running.jobs()), timeout=WAIT_MS)
    wizard.pictures.tabs.setCurrentWidget(wizard.pictures.map)
    lay_out = found_button(wizard, "Lay the pictures out")
    qtbot.waitUntil(lay_out.isEnabled)
    QTest.mouseClick(lay_out, LEFT)
    qtbot.waitUntil(lambda: any(isinstance(job, Map) for job in running.jobs()), timeout=WAIT_MS)
    assert begun.together == 1
    cancel = next(b for b in wizard.pictures.map.findChildren(QPushButton) if b.text() == "Cancel" and b.isVisible())
    QTest.mouseClick(cancel, LEFT)
    qtbot.waitUntil(lambda: [type(job) for job in running.jobs()] == [Advise], timeout=WAIT_MS)
    assert "See which pictures look alike" in wizard.pictures.map.message()
    QTest.mouseClick(wizard.cancel_button, LEFT)
    qtbot.waitUntil(lambda: not running.jobs(), timeout=WAIT_MS)
    running.end_all()


def test_the_wizard_opens_as_large_as_it_was_left(qtbot, jobs, weights, two_classes):
    first = open_wizard(qtbot, jobs, two_classes)
    first.resize(first.minimumSizeHint().width() + 40, 700)
    left_at = first.size()
    QTest.mouseClick(first.cancel_button, LEFT)
    again = open_wizard(qtbot, jobs, two_classes)
    assert again.height() == left_at.height()
    QTest.mouseClick(again.cancel_button, LEFT)


def test_the_review_follows_the_regime(qtbot, slow, weights, two_classes):
    wizard = scanned(qtbot, open_wizard(qtbot, slow, two_classes))
    qtbot.waitUntil(lambda: not slow.jobs(), timeout=WAIT_MS)
    click(wizard, 4)
    assert wizard.review.line("Regime").startswith("New head")
    QTest.mouseClick(wizard.regime.chart.quarter("full"), LEFT)
    assert wizard.review.line("Regime").startswith("Train everything")
