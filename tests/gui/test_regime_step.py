"""The chart, the depth profile, the network and the step that holds them, fed with events and real input."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QObject, QPoint, Qt, Slot
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QProgressBar, QPushButton, QSpinBox, QToolButton

from tests.factories import class_folders
from tlstudio.core import weights_folder
from tlstudio.core.advice import Advice, DepthScore, JoinedScore, Profile, Similarity, advise, cost_of
from tlstudio.core.backbones import backbone
from tlstudio.core.events import AdviceChanged, JobEnded, Progress, RaceChanged
from tlstudio.core.jobs import Advise, Race
from tlstudio.core.paths import weights_dir
from tlstudio.core.plan import make_stages
from tlstudio.core.regimes import REGIME_NAMES, REGIMES, Regime
from tlstudio.core.results import RaceRow
from tlstudio.gui.engine_thread import WORKER_COMMAND, EnginePool
from tlstudio.gui.running_jobs import RunningJobs
from tlstudio.gui.widgets.depth_profile import DepthProfile
from tlstudio.gui.widgets.network_picture import (
    SLOWEST_SHARE,
    NetworkPicture,
    NetworkState,
    learning_shares,
    treatments,
)
from tlstudio.gui.widgets.regime_chart import RegimeChart
from tlstudio.gui.wizard.regime_step import RegimeStep
from tlstudio.gui.wizard.wizard import TrainingWizard

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 120_000
BLOCKS = tuple(block.name for block in backbone("resnet18").blocks)
FEW, MANY = (120, 80, 60), (800, 700, 600)


def depths(*accuracies: float) -> tuple[DepthScore, ...]:
    return tuple(
        DepthScore(name, accuracy, 0.02, max(accuracies[: position + 1]), 0.02)
        for position, (name, accuracy) in enumerate(zip(BLOCKS, accuracies, strict=True))
    )


def profile(similarity: float, cut: int = 3, gain: float = 0.0, *accuracies: float) -> Profile:
    scores = depths(*(accuracies or (0.6, 0.7, 0.8, 0.95)))
    span = (similarity, similarity - 0.1, similarity + 0.1)
    return Profile(260, scores, JoinedScore(0.95, 0.01), span, cut, gain, 0.01, None, 0.0)


SIMILAR = profile(0.7)
DIFFERENT = profile(-0.3, 1, 0.3, 0.6, 0.9, 0.8, 0.6)


class Heard(QObject):
    """Remembers what was announced."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[object] = []

    @Slot(object)
    @Slot(str)
    @Slot(int)
    @Slot(float)
    def take(self, value: object) -> None:
        self.values.append(value)


@pytest.fixture
def chart(qtbot):
    chart = RegimeChart()
    qtbot.addWidget(chart)
    chart.resize(520, 310)
    chart.show()
    return chart


@pytest.fixture
def network(qtbot):
    network = NetworkPicture()
    qtbot.addWidget(network)
    network.resize(800, network.sizeHint().height())
    network.show()
    return network


@pytest.fixture
def step(qtbot):
    """A step that knows its pictures and a backbone whose weights are here."""
    (weights_dir() / "resnet18-mine.pth").write_bytes(b"weights")
    step = RegimeStep()
    qtbot.addWidget(step)
    step.resize(912, 490)
    step.show_counts(FEW)
    step.show_backbone(backbone("resnet18"))
    step.show()
    return step


def measured(step: RegimeStep, found: Profile = SIMILAR, counts: tuple[int, ...] = FEW) -> None:
    step.measure(Advise(folders=()))
    step.receive(JobEnded(status="finished", result=msgspec.to_builtins(advise(counts, found))))


def pushed(step: RegimeStep, text: str) -> None:
    button = next(found for found in step.findChildren(QPushButton) if found.text().replace("&", "") == text)
    QTest.mouseClick(button, LEFT)


def texts(step: RegimeStep) -> str:
    return "\n".join(label.text() for label in step.findChildren(QLabel) if label.isVisibleTo(step))


@pytest.mark.parametrize(
    "counts", [(3, 90), (3, 9000, 9000), (40, 40), (499, 499), (600, 600), (49,) * 60, (60,) * 60, (3000, 3000)]
)
@pytest.mark.parametrize("similarity", [1.0, 0.3, 0.05, -0.4, -3.0])
def test_the_point_lies_in_the_quarter_of_its_verdicts(chart, counts, similarity):
    advice = advise(counts, profile(similarity))
    assert advice.size is not None and advice.similarity is not None
    size = "small" if advice.size.verdict in ("few-shot", "small") else "large"
    facts = next(facts for facts in REGIMES if facts.quarter == (size, advice.similarity.verdict))
    chart.show_advice(advice)
    place = chart.place()
    assert place is not None
    # The very ends of the axes lie on the outer edges, and at the limit of the sizes there is a gap.
    assert chart.quarter(facts.name).geometry().adjusted(-1, -4, 1, 4).contains(place.toPoint())


def test_the_boundary_lies_midway_between_the_thresholds(chart):
    chart.show_advice(advise(FEW, profile((0.25 + 0.10) / 2)))
    place = chart.place()
    left, right = chart.quarter("head").geometry(), chart.quarter("cut").geometry()
    assert place is not None
    assert place.x() == pytest.approx((left.right() + right.left()) / 2, abs=2)


def test_more_similar_lies_further_left_and_more_pictures_higher(chart):
    def place(similarity: float, count: int) -> tuple[float, float]:
        chart.show_advice(advise((count, count), profile(similarity)))
        point = chart.place()
        assert point is not None
        return point.x(), point.y()

    assert place(0.8, 100)[0] < place(0.4, 100)[0] < place(0.0, 100)[0]
    assert place(0.5, 100)[1] > place(0.5, 400)[1] > place(0.5, 2000)[1]


def test_before_anything_was_measured_there_is_no_point(chart):
    chart.show_advice(advise(FEW))
    assert chart.place() is None
    blank = chart.grab().toImage()
    chart.show_advice(advise(FEW, SIMILAR))
    assert chart.grab().toImage() != blank
    assert "0.70, between 0.60 and 0.80" in chart.accessibleDescription()


def test_the_advised_quarter_is_lit_and_says_so(chart):
    chart.show_advice(advise(FEW, DIFFERENT))
    described = {facts.name: chart.quarter(facts.name).accessibleDescription() for facts in REGIMES}
    assert [name for name, text in described.items() if "Advised" in text] == ["cut"]
    assert all(facts.sentence in described[facts.name] for facts in REGIMES)


def test_a_quarter_is_chosen_by_click_and_announced(chart):
    heard = Heard()
    chart.chosen.connect(heard.take)
    for regime in ("fine-tune", "cut", "full"):
        QTest.mouseClick(chart.quarter(regime), LEFT)
        assert chart.regime() == regime
    chart.choose("head")
    assert heard.values == ["fine-tune", "cut", "full"]


def test_arrow_keys_walk_over_the_quarters(chart):
    chart.choose("head")
    chart.quarter("head").setFocus()
    for key, regime in (
        (Qt.Key.Key_Up, "fine-tune"),
        (Qt.Key.Key_Right, "full"),
        (Qt.Key.Key_Down, "cut"),
        (Qt.Key.Key_Left, "head"),
    ):
        QTest.keyClick(chart.focusWidget(), key)
        assert chart.regime() == regime
        assert chart.quarter(regime).hasFocus()


def test_the_profile_marks_the_best_bar(qtbot):
    shown = DepthProfile()
    qtbot.addWidget(shown)
    shown.show_depths(depths(0.6, 0.9, 0.8, 0.7))
    assert shown.best() == ("textures", "alone")
    shown.show_depths([DepthScore("a", 0.5, 0.1, 0.5, 0.1), DepthScore("b", 0.6, 0.1, 0.8, 0.1)])
    assert shown.best() == ("b", "with all before it")
    assert "b: 60% alone, 80% with all before it" in shown.accessibleDescription()
    shown.show_depths((), "Not yet.")
    assert shown.best() is None and shown.accessibleDescription() == "Not yet."


@pytest.mark.parametrize("regime", REGIME_NAMES)
def test_every_regime_tells_what_happens_to_every_block(network, regime):
    network.show_state(NetworkState(regime, BLOCKS, 1))
    assert [name for name, _ in network.blocks()] == [*BLOCKS, "head"]
    assert network.accessibleDescription().endswith("head: NEW")
    assert not network.grab().isNull()


def test_head_freezes_all_and_the_others_what_they_must():
    def what(state: NetworkState) -> list[str]:
        return [done for _, done in treatments(state)]

    assert what(NetworkState("head", BLOCKS)) == ["frozen"] * 4 + ["new"]
    assert what(NetworkState("cut", BLOCKS, 1)) == ["frozen", "frozen", "removed", "removed", "new"]
    assert what(NetworkState("fine-tune", BLOCKS)) == ["light"] * 3 + ["strong", "new"]
    assert what(NetworkState("fine-tune", BLOCKS, body_lr_span=1)) == ["strong"] * 4 + ["new"]
    assert what(NetworkState("full", BLOCKS)) == what(NetworkState("scratch", BLOCKS)) == ["strong"] * 4 + ["new"]


def test_the_meters_follow_the_rates_of_the_plan():
    stage = make_stages("fine-tune", 500, "cpu", 32, "sgd")[-1]
    usual = learning_shares(NetworkState("fine-tune", BLOCKS, body_lr_span=stage.body_lr_span))
    steeper = learning_shares(NetworkState("fine-tune", BLOCKS, body_lr_span=100))
    assert list(usual) == sorted(usual) and usual[-2:] == (1.0, 1.0)
    # Geometric rates are equal steps on a logarithmic meter.
    assert usual[1] - usual[0] == pytest.approx(usual[2] - usual[1])
    assert steeper[0] == pytest.approx(SLOWEST_SHARE) and usual[0] == pytest.approx((1 + SLOWEST_SHARE) / 2)
    assert learning_shares(NetworkState("head", BLOCKS)) == (0, 0, 0, 0, 1)


def test_the_cut_is_dragged_to_the_end_of_a_block(network):
    heard = Heard()
    network.cut_moved.connect(heard.take)
    network.show_state(NetworkState("cut", BLOCKS, 1))
    start = network.grip().toPoint()
    QTest.mousePress(network, LEFT, pos=start)
    QTest.mouseMove(network, start + QPoint(150, 0))
    assert network.state().cut == 2 and heard.values == []
    QTest.mouseRelease(network, LEFT, pos=start + QPoint(150, 0))
    assert heard.values == [2]


def test_what_is_not_taken_by_its_grip_stays(network):
    heard = Heard()
    network.cut_moved.connect(heard.take)
    network.slowed.connect(heard.take)
    for regime in REGIME_NAMES:
        network.show_state(NetworkState(regime, BLOCKS, 1))
        QTest.mouseClick(network, LEFT, pos=QPoint(network.width() - 10, 10))
        QTest.mouseMove(network, QPoint(60, 10))
    assert heard.values == []


def test_arrow_keys_move_the_cut_within_the_network(network):
    heard = Heard()
    network.cut_moved.connect(heard.take)
    network.show_state(NetworkState("cut", BLOCKS, 2))
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left):
        QTest.keyClick(network, key)
    assert heard.values == [3, 3, 2]


def test_the_rate_of_the_first_block_is_dragged_between_its_bounds(network):
    heard = Heard()
    network.slowed.connect(heard.take)
    network.show_state(NetworkState("fine-tune", BLOCKS))
    for distance in (-600, 600, -20):
        start = network.grip().toPoint()
        QTest.mousePress(network, LEFT, pos=start)
        QTest.mouseMove(network, start + QPoint(distance, 0))
        QTest.mouseRelease(network, LEFT, pos=start + QPoint(distance, 0))
    slowest, level, between = heard.values
    assert (slowest, level) == (100, 1) and 1 < between < 10
    QTest.keyClick(network, Qt.Key.Key_Left)
    assert heard.values[-1] > between


def test_the_point_moves_as_measurements_come_in(step):
    step.measure(Advise(folders=()))
    step.receive(Progress(what="Measuring your pictures", done=40, total=260, seconds_left=20.0))
    assert "Measuring your pictures: 40 of 260, about 20 seconds left" in texts(step)
    assert step.chart.place() is None
    places = []
    for similarity in (0.2, 0.5):
        step.receive(AdviceChanged(advice=advise(FEW, profile(similarity))))
        places.append(step.chart.place())
    assert places[0] is not None and places[1] is not None and places[1].x() < places[0].x()
    assert step.findChild(QProgressBar).isVisible()
    step.receive(JobEnded(status="finished", result=msgspec.to_builtins(advise(FEW, SIMILAR))))
    assert not step.findChild(QProgressBar).isVisible()
    said = texts(step)
    assert all(reason in said for reason in advise(FEW, SIMILAR).reasons)
    assert "What would change it: From 1,000 pictures" in said
    assert step.profile.best() == ("objects", "alone")


def test_the_advice_is_followed_until_the_user_chooses(step):
    step.measure(Advise(folders=()))
    assert step.regime() == "head"
    step.receive(AdviceChanged(advice=advise(FEW, DIFFERENT)))
    assert (step.regime(), step.chart.regime()) == ("cut", "cut")
    QTest.mouseClick(step.chart.quarter("fine-tune"), LEFT)
    step.receive(JobEnded(status="finished", result=msgspec.to_builtins(advise(FEW, SIMILAR))))
    assert (step.regime(), step.chart.regime()) == ("fine-tune", "fine-tune")
    assert "Advised" in step.chart.quarter("head").accessibleDescription()


def test_measuring_can_be_stopped_and_begun_again(step, qtbot):
    step.measure(Advise(folders=()))
    step.receive(AdviceChanged(advice=advise(FEW, DIFFERENT)))
    with qtbot.waitSignal(step.stop_requested):
        pushed(step, "Cancel")
    step.receive(JobEnded(status="stopped"))
    assert step.chart.place() is None and step.regime() == advise(FEW).regime == "head"
    assert "rests on the number of pictures alone" in texts(step)
    assert not step.wants_measuring()
    with qtbot.waitSignal(step.measuring_wanted):
        pushed(step, "Measure again")
    assert step.wants_measuring()


def test_a_failure_is_told_in_words(step):
    step.measure(Advise(folders=()))
    step.receive(JobEnded(status="failed", what="The disk is full.", hint="Free some space."))
    assert "The disk is full. Free some space." in texts(step)
    assert advise(FEW).reasons[-1] in texts(step)


def test_measurements_are_remembered_by_weights(step, qtbot):
    (weights_dir() / "alexnet-mine.pth").write_bytes(b"weights")
    measured(step, DIFFERENT)
    step.show_backbone(backbone("alexnet"))
    assert step.wants_measuring() and step.chart.place() is None
    step.measure(Advise(folders=()))
    with qtbot.waitSignal(step.stop_requested):
        step.show_backbone(backbone("resnet18"))
    step.receive(JobEnded(status="stopped"))
    assert step.advice().regime == "cut"
    step.show_backbone(backbone("alexnet"))
    assert step.wants_measuring()


def test_what_comes_late_about_other_weights_is_not_shown(step):
    (weights_dir() / "alexnet-mine.pth").write_bytes(b"weights")
    step.measure(Advise(folders=()))
    step.show_backbone(backbone("alexnet"))
    step.receive(AdviceChanged(advice=advise(FEW, DIFFERENT)))
    assert step.chart.place() is None and step.regime() == "head"
    step.receive(JobEnded(status="finished", result=msgspec.to_builtins(advise(FEW, DIFFERENT))))
    assert step.chart.place() is None and step.wants_measuring()


def test_weights_that_come_later_are_measured_too(step):
    measured(step)
    (weights_dir() / "resnet18-mine.pth").rename(weights_dir() / "resnet18-other.pth")
    assert weights_folder.weights_file_for(backbone("resnet18")) is not None
    step.show_backbone(backbone("resnet18"))
    assert step.wants_measuring()


def test_other_pictures_forget_everything(step):
    measured(step, DIFFERENT)
    QTest.mouseClick(step.chart.quarter("full"), LEFT)
    step.forget()
    step.show_counts(MANY)
    assert step.wants_measuring() and step.regime() == "fine-tune"


def test_another_seed_is_measured_anew_and_each_is_remembered(step, qtbot):
    measured(step, DIFFERENT)
    QTest.mouseClick(step.chart.quarter("full"), LEFT)
    step.show_counts(FEW, seed=7)
    assert step.wants_measuring() and step.chart.place() is None and not step.advice().depths
    assert step.regime() == "full"
    step.measure(Advise(folders=(), seed=7))
    with qtbot.waitSignal(step.stop_requested):
        step.show_counts(FEW)
    step.receive(JobEnded(status="finished", result=msgspec.to_builtins(advise(FEW, SIMILAR))))
    assert step.advice().regime == "cut" and not step.wants_measuring()
    step.show_counts(FEW, seed=7)
    assert step.wants_measuring()


def test_choosing_against_the_advice_tells_its_cost_and_moves_nothing(step):
    measured(step, DIFFERENT)
    before = [widget.geometry() for widget in (step.chart, step.profile, step.network)]
    QTest.mouseClick(step.chart.quarter("head"), LEFT)
    assert cost_of(advise(FEW, DIFFERENT), "head") in texts(step)
    assert "30 points less" in texts(step)
    QTest.mouseClick(step.chart.quarter("full"), LEFT)
    assert "It takes longer" in texts(step)
    QTest.mouseClick(step.chart.quarter("cut"), LEFT)
    assert "Against the advice" not in texts(step)
    assert [widget.geometry() for widget in (step.chart, step.profile, step.network)] == before


def test_the_cut_is_the_advised_one_until_it_is_moved(step):
    assert step.cut() == ""
    measured(step, DIFFERENT)
    assert step.cut() == "textures" and step.network.state().cut == 1
    QTest.keyClick(step.network, Qt.Key.Key_Right)
    assert step.cut() == "parts"
    assert "Cut after “parts”" in texts(step)
    assert f"Against the advice. {cost_of(advise(FEW, DIFFERENT), 'cut', 'parts')}" in texts(step)
    QTest.keyClick(step.network, Qt.Key.Key_Left)
    assert step.cut() == "textures" and "Against the advice" not in texts(step)
    QTest.mouseClick(step.chart.quarter("head"), LEFT)
    assert step.cut() == ""


def test_without_a_measured_cut_it_lies_in_the_middle(step):
    QTest.mouseClick(step.chart.quarter("cut"), LEFT)
    assert step.cut() == "textures"


def test_the_rate_is_left_to_the_plan_until_it_is_moved(step):
    measured(step, SIMILAR)
    QTest.mouseClick(step.chart.quarter("fine-tune"), LEFT)
    assert step.body_lr_span() is None
    assert "The first part learns 10 times slower" in texts(step)
    QTest.keyClick(step.network, Qt.Key.Key_Left)
    assert step.body_lr_span() == 15
    assert "The first part learns 15 times slower" in texts(step)
    QTest.mouseClick(step.chart.quarter("head"), LEFT)
    assert step.body_lr_span() is None


def test_random_weights_are_a_switch_of_training_everything(step):
    measured(step)
    scratch = step.findChild(QCheckBox)
    assert not scratch.isVisible()
    QTest.mouseClick(step.chart.quarter("full"), LEFT)
    QTest.keyClick(scratch, Qt.Key.Key_Space)
    assert (step.regime(), step.chart.regime()) == ("scratch", "full")
    QTest.keyClick(scratch, Qt.Key.Key_Space)
    assert step.regime() == "full"


def test_the_head_is_a_choice_where_the_network_stays_as_it_is(step):
    measured(step)
    heads = step.findChild(QComboBox)
    assert not heads.isVisible()
    more = next(found for found in step.findChildren(QToolButton) if found.text() == "More")
    QTest.mouseClick(more, LEFT)
    QTest.keyClick(heads, Qt.Key.Key_Down)
    assert step.head() == "svm"
    QTest.mouseClick(step.chart.quarter("fine-tune"), LEFT)
    assert step.head() == "linear" and not heads.isEnabled()
    QTest.mouseClick(step.chart.quarter("cut"), LEFT)
    assert step.head() == "svm" and heads.currentData() == "svm"


def test_choices_are_taken_back_one_by_one_or_all_at_once(step):
    measured(step, DIFFERENT)
    QTest.keyClick(step.network, Qt.Key.Key_Right)
    QTest.mouseClick(step.chart.quarter("fine-tune"), LEFT)
    reset = next(found for found in step.findChildren(QToolButton) if found.text() == "Reset to the advice")
    for expected in (("cut", "parts"), ("cut", "textures"), ("cut", "textures")):
        QTest.keyClick(step.chart.quarter("cut"), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert (step.regime(), step.cut()) == expected
    assert not reset.isEnabled()
    QTest.mouseClick(step.chart.quarter("full"), LEFT)
    QTest.mouseClick(reset, LEFT)
    assert (step.regime(), step.cut()) == ("cut", "textures")


@pytest.fixture
def jobs(qtbot):
    running = RunningJobs(EnginePool(WORKER_COMMAND))
    yield running
    running.end_all()
    qtbot.waitUntil(lambda: not running.jobs(), timeout=WAIT_MS)


def test_the_wizard_measures_the_pictures_and_the_choices_reach_the_job(qtbot, jobs, tmp_path):
    folder = class_folders(tmp_path / "pictures", {"disc": 14, "square": 14})
    wizard = TrainingWizard((folder,), jobs)
    qtbot.addWidget(wizard)
    seen: list[Advice] = []
    jobs.progressed.connect(lambda job, event: seen.append(event.advice) if isinstance(event, AdviceChanged) else None)
    wizard.open()
    qtbot.waitUntil(lambda: bool(wizard.regime.advice().depths) and not jobs.jobs(), timeout=WAIT_MS)
    advice = wizard.regime.advice()
    assert seen and isinstance(advice.similarity, Similarity)
    assert tuple(depth.block for depth in advice.depths) == tuple(b.name for b in wizard.backbone.spec().blocks)
    for _ in range(2):
        QTest.mouseClick(wizard.next_button, LEFT)
    QTest.mouseClick(wizard.regime.chart.quarter("cut"), LEFT)
    QTest.keyClick(wizard.regime.network, Qt.Key.Key_Left)
    job = wizard.job()
    assert (job.regime, job.cut) == ("cut", wizard.regime.cut())
    assert (job.head, job.body_lr_span) == ("linear", None)
    for _ in range(2):
        QTest.mouseClick(wizard.next_button, LEFT)
    assert f"“{job.cut}”" in wizard.review.line("Regime")
    assert wizard.review.line("Advice").startswith("Followed" if advice.regime == "cut" else "Not followed")


def rows(*states: tuple[Regime, str, float | None]) -> tuple[RaceRow, ...]:
    return tuple(
        RaceRow(regime, state, 20, accuracy, (accuracy - 0.1, accuracy + 0.05) if accuracy else None)  # type: ignore[arg-type]
        for regime, state, accuracy in states
    )


def test_the_race_asks_shows_and_hands_the_winner_on(step, qtbot):
    measured(step)
    minutes = step.race.findChild(QSpinBox)
    minutes.setValue(7)
    with qtbot.waitSignal(step.race.requested) as asked:
        pushed(step, "Race the regimes")
    assert asked.args == [7.0]
    step.race.begin()
    step.race.receive(Progress(what="Racing", done=1, total=5, seconds_left=180.0))
    step.race.receive(RaceChanged(rows=rows(("head", "done", 0.8), ("full", "running", None)), seconds_left=180.0))
    assert step.race.is_running() and step.race.winner() is None
    ended = rows(("head", "done", 0.8), ("full", "done", 0.9))
    ended = (ended[0], msgspec.structs.replace(ended[1], winner=True, note="It was better by 10 points."))
    result = {"rows": msgspec.to_builtins(ended), "winner": "full", "run": None}
    step.race.receive(JobEnded(status="finished", result=result))
    assert step.race.message() == "“Train everything” won. It was better by 10 points."
    assert step.regime() == "head"
    pushed(step, "Choose the winner")
    assert step.regime() == "full"
    again = RegimeStep()
    qtbot.addWidget(again)
    assert again.race.findChild(QSpinBox).value() == 7


def test_a_race_waits_for_the_measurements(step):
    start = next(found for found in step.race.findChildren(QPushButton) if "Race" in found.text())
    step.measure(Advise(folders=()))
    assert not start.isEnabled() and start.toolTip()
    step.receive(JobEnded(status="stopped"))
    assert start.isEnabled()


def test_a_race_waits_for_other_measurements_too(step):
    measured(step)
    start = next(found for found in step.race.findChildren(QPushButton) if "Race" in found.text())
    step.allow_race("The networks are being compared.")
    step.show_backbone(backbone("resnet18"))
    assert not start.isEnabled() and start.toolTip() == "The networks are being compared."
    step.allow_race("")
    assert start.isEnabled()


WON = (
    RaceRow("head", "done", 20, 0.8, (0.7, 0.9)),
    RaceRow("full", "done", 20, 0.9, (0.8, 0.95), winner=True),
)
RACED = {"rows": msgspec.to_builtins(WON), "winner": "full", "run": None}


@pytest.mark.parametrize("other", ["backbone", "pictures", "seed"])
def test_a_race_of_something_else_is_forgotten(step, other):
    (weights_dir() / "alexnet-mine.pth").write_bytes(b"weights")
    measured(step)
    step.race.begin()
    step.race.receive(JobEnded(status="finished", result=RACED))
    assert step.race.winner() == WON[1]
    step.show_backbone(backbone("resnet18"))
    assert step.race.winner() == WON[1]
    show_other(step, other)
    assert step.race.winner() is None and step.race.message() == ""
    pushed(step, "Choose the winner")
    assert step.regime() == step.advice().regime


@pytest.mark.parametrize("other", ["backbone", "pictures", "seed"])
def test_a_race_that_is_outdated_is_stopped_and_what_it_still_says_is_not_shown(step, qtbot, other):
    (weights_dir() / "alexnet-mine.pth").write_bytes(b"weights")
    measured(step)
    step.race.begin()
    with qtbot.waitSignal(step.race.stop_requested):
        show_other(step, other)
    step.race.receive(RaceChanged(rows=WON, seconds_left=1.0))
    assert not step.race.is_running() and step.race.winner() is None
    step.race.receive(JobEnded(status="finished", result=RACED))
    assert step.race.winner() is None and step.race.message() == ""
    step.race.begin()
    step.race.receive(JobEnded(status="finished", result=RACED))
    assert step.race.winner() == WON[1]


def show_other(step: RegimeStep, other: str) -> None:
    match other:
        case "backbone":
            step.show_backbone(backbone("alexnet"))
        case "pictures":
            step.forget()
            step.show_counts(MANY)
        case _:
            step.show_counts(FEW, seed=1)


def test_a_race_without_a_winner_says_so(step):
    step.race.begin()
    step.race.receive(JobEnded(status="stopped"))
    assert "stopped before anyone had won" in step.race.message()
    led = (msgspec.structs.replace(rows(("head", "done", 0.8))[0], winner=True), *rows(("full", "left out", None)))
    step.race.begin()
    result = {"rows": msgspec.to_builtins(led), "winner": "head", "run": None}
    step.race.receive(JobEnded(status="stopped", what="Stopped.", result=result))
    assert step.race.message() == "The race was stopped while “New head” led."
    assert step.race.winner() == led[0]
    step.race.begin()
    step.race.receive(JobEnded(status="failed", what="The disk is full.", hint="Free some space."))
    assert step.race.message() == "The disk is full. Free some space."
    choose = next(found for found in step.race.findChildren(QPushButton) if "inner" in found.text())
    assert not choose.isEnabled()


STILL_RACING = """
if json.loads(job)["verb"] == "race":
    sys.stdin.readline()
    say(event="job_ended", status="stopped")
else:
    say(event="job_ended", status="failed", what="Not here.")
"""


def test_the_race_job_carries_the_training_and_is_stopped(qtbot, worker_that, tmp_path):
    running = RunningJobs(EnginePool(worker_that(STILL_RACING)))
    wizard = TrainingWizard((tmp_path,), running)
    qtbot.addWidget(wizard)
    wizard.open()
    qtbot.waitUntil(lambda: not running.jobs(), timeout=WAIT_MS)
    wizard.regime.race.requested.emit(2.0)
    (job,) = running.jobs()
    assert isinstance(job, Race) and job.stop_before_training and job.budget_minutes == 2.0
    assert msgspec.structs.replace(job.train, cut="") == wizard.job() and Path(job.train.folders[0]) == tmp_path
    assert job.train.cut == wizard.regime.possible_cut()
    wizard.regime.race.stop_requested.emit()
    qtbot.waitUntil(lambda: not running.jobs(), timeout=WAIT_MS)
    assert "stopped" in wizard.regime.race.message()
    running.end_all()
