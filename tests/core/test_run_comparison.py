"""Runs beside each other: the paired verdict against exact sums, and what is said to differ."""

from __future__ import annotations

import math
import os
from fractions import Fraction

import msgspec
import pytest

from tests.core.test_runfolder import plan
from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.images import Reading
from tlstudio.core.plan import Plan, make_stages
from tlstudio.core.results import ClassScore, Evaluation, Prediction
from tlstudio.core.run_comparison import (
    ComparedRun,
    data_differences,
    p_in_words,
    paired,
    plan_differences,
    read_run,
    read_runs,
    share_interval,
    sign_test,
    verdicts,
)
from tlstudio.core.run_history import RunNotes, write_notes
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import Split

CLASSES = ("bee", "wasp")
TAUGHT = 10
SCORES = tuple(ClassScore(class_=name, precision=0.0, recall=0.0, f1=0.0, support=0) for name in CLASSES)


def exact_p(first: int, second: int) -> float:
    """Add up the probabilities of all outcomes that are no more likely than this one."""
    count = first + second
    ways = [math.comb(count, k) for k in range(count + 1)]
    return float(Fraction(sum(way for way in ways if way <= ways[first]), 2**count))


def index_of(count: int, classes: tuple[str, ...] = CLASSES, relabelled: int = 0) -> DatasetIndex:
    """Return a data set of so many pictures, of which the last ones may have another class."""
    images = tuple(
        ImageRecord(f"/p/{n}.png", (n + (n >= count - relabelled)) % 2, None, f"{n:064x}", 9, 9) for n in range(count)
    )
    return DatasetIndex(("/p",), classes, images, (), 0.0)


def run_of(name: str, right: list[bool] | None, held: range | None = None, **changes: object) -> ComparedRun:
    """Return a run with an answer for every held-out picture, all after those that taught."""
    judged = len(right or [])
    index = changes.pop("dataset", index_of(TAUGHT + judged))
    assert isinstance(index, DatasetIndex)
    held = held or range(TAUGHT, TAUGHT + judged)
    parts = Split(tuple(n for n in range(len(index.images)) if n not in held), tuple(held), (), "seed 0")
    evaluation = None
    if right is not None:
        rows = []
        for position, is_right in zip(held, right, strict=True):
            truth = index.images[position].class_index
            given = CLASSES[truth if is_right else 1 - truth]
            rows.append(
                Prediction(
                    path=index.images[position].path, class_=given, probability=1.0, probabilities=(1.0, 0.0),
                    truth=CLASSES[truth],
                )
            )  # fmt: skip
        evaluation = Evaluation(
            part="val", images=judged, accuracy=sum(right) / judged, accuracy_interval=(0, 1), balanced_accuracy=0,
            macro_f1=0, nll=0, ece=0, classes=CLASSES, confusion=((0, 0), (0, 0)), per_class=SCORES,
            predictions=tuple(rows),
        )  # fmt: skip
    run = ComparedRun(name, plan(), DatasetSetup(), index, parts, None, evaluation)
    return run._replace(**changes)  # type: ignore[arg-type]


def answers(only_first: int, only_second: int, both: int = 20) -> tuple[list[bool], list[bool]]:
    """Return the answers of two runs that differ on so many pictures."""
    first = [True] * only_first + [False] * only_second + [True] * both
    return first, [not right for right in first[: only_first + only_second]] + [True] * both


def test_p_is_the_sum_of_all_outcomes_as_unlikely():
    for first in range(31):
        for second in range(31):
            assert sign_test(first, second) == pytest.approx(exact_p(first, second), rel=1e-9)


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize(("successes", "count"), [(0, 10), (10, 10), (9, 13), (4, 13), (1, 2), (300, 520)])
def test_the_bounds_of_a_share_have_the_tails_they_should(successes, count, confidence):
    low, high = share_interval(successes, count, confidence)

    def at_least(share: float) -> float:
        return math.fsum(
            math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(successes, count + 1)
        )

    def at_most(share: float) -> float:
        return math.fsum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(successes + 1))

    outside = (1 - confidence) / 2
    assert low == 0 if successes == 0 else at_least(low) == pytest.approx(outside, rel=1e-6)
    assert high == 1 if successes == count else at_most(high) == pytest.approx(outside, rel=1e-6)


def test_published_bounds():
    """Clopper and Pearson's of 9 in 13, from printed tables."""
    assert share_interval(9, 13, 0.95) == pytest.approx((0.3857, 0.9091), abs=5e-5)


def test_thousands_of_different_answers_are_no_trouble():
    assert sign_test(20_000, 20_000) == 1.0
    assert sign_test(20_000, 21_000) == pytest.approx(7.9e-7, rel=0.05)
    assert share_interval(20_000, 40_000, 0.95) == pytest.approx((0.4951, 0.5049), abs=1e-4)


def test_no_clear_difference():
    a, b = answers(9, 4, 70)
    verdict = paired(run_of("A", a), run_of("B", b))
    assert (verdict.images, verdict.only_first, verdict.only_second) == (83, 9, 4)
    assert verdict.p_value == pytest.approx(0.2668, abs=1e-4) and verdict.better is None
    assert verdict.difference == pytest.approx(5 / 83)
    assert verdict.interval == pytest.approx(((2 * 0.3857 - 1) * 13 / 83, (2 * 0.9091 - 1) * 13 / 83), abs=1e-4)
    assert verdict.sentence == (
        "Of 83 pictures that judged both, “A” is right on 9 where “B” is wrong, and “B” on 4 where “A” is wrong: no "
        "clear difference (p = .27; +6.0 percentage points for “A”, -3.6 to +12.8)."
    )


@pytest.mark.parametrize(("a", "b"), [(20, 3), (3, 20)])
def test_a_clear_difference_names_the_better_run_whichever_comes_first(a, b):
    first, second = answers(a, b)
    verdict = paired(run_of("A", first), run_of("B", second))
    better = "A" if a > b else "B"
    assert verdict.better == better and f"“{better}” is better on pictures like these (p < .001" in verdict.sentence


def test_better_is_said_only_where_the_interval_leaves_zero_out():
    for first in range(0, 26, 3):
        for second in range(0, 26, 2):
            for comparisons in (1, 15):
                a, b = answers(first, second, 3)
                verdict = paired(run_of("A", a), run_of("B", b), comparisons)
                low, high = verdict.interval
                assert (verdict.better is None) == (low <= 0 <= high) == (verdict.p_value > 0.05)


def test_more_pairs_make_it_harder_to_be_clear():
    a, b = answers(12, 2)
    alone = paired(run_of("A", a), run_of("B", b))
    assert alone.better == "A"
    among = verdicts([run_of("A", a), run_of("B", b), run_of("C", b), run_of("D", b)])
    assert [(one.first, one.second) for one in among] == [
        ("A", "B"), ("A", "C"), ("A", "D"), ("B", "C"), ("B", "D"), ("C", "D"),
    ]  # fmt: skip
    assert among[0].p_value == pytest.approx(6 * alone.p_value) and among[0].better is None
    assert "right on the very same ones" in among[-1].sentence


def test_other_pictures_are_not_compared():
    a, b = answers(12, 0)
    other = run_of("B", b, range(5, 5 + len(b)))
    verdict = paired(run_of("A", a), other)
    assert verdict.better is None and verdict.images == 0
    assert "different pictures (32 and 32, of which 27 are the same)" in verdict.sentence


def test_pictures_whose_class_has_changed_are_not_compared():
    a, b = answers(12, 0)
    relabelled = run_of("B", b, dataset=index_of(TAUGHT + len(b), relabelled=3))
    assert "3 of the pictures that judge have another class" in paired(run_of("A", a), relabelled).sentence


def test_a_run_without_answers_is_not_compared():
    a, b = answers(3, 0)
    unjudged = run_of("B", b)._replace(evaluation=None)
    assert "“B” has not been judged picture by picture yet" in paired(run_of("A", a), unjudged).sentence


def test_pictures_that_taught_one_of_them_do_not_count():
    a, b = answers(12, 0)
    first = run_of("A", a)
    leaky = first._replace(parts=msgspec.structs.replace(first.parts, train=(*first.parts.train, TAUGHT)))
    assert paired(leaky, run_of("B", b)).only_first == 11


@pytest.mark.parametrize(("p", "text"), [(1, "p = 1"), (0.2668, "p = .27"), (0.05, "p = .05"), (0.0004, "p < .001")])
def test_p_as_it_is_read(p, text):
    assert p_in_words(p) == text


def other_plan(**changes: object) -> Plan:
    return msgspec.structs.replace(plan(), **changes)


def test_only_what_differs_in_the_plans_is_listed():
    a, b = answers(0, 0)
    runs = [run_of("A", a), run_of("B", b)]
    assert plan_differences(runs) == [] and data_differences(runs) == []
    changed = runs[1]._replace(plan=other_plan(backbone="resnet50", head="svm", seed=7))
    assert plan_differences([runs[0], changed]) == [
        ("Backbone", ("ResNet-18", "ResNet-50")),
        ("Head", ("Linear", "Support vector machine")),
        ("Seed", ("0", "7")),
    ]


def test_settings_of_descent_are_listed_among_runs_that_have_it():
    a, _ = answers(0, 0)
    head = run_of("head", a)
    few, many = (
        head._replace(
            plan=other_plan(regime="fine-tune", stages=make_stages("fine-tune", 10, "cpu", 64, "sgd", epochs))
        )
        for epochs in (3, 9)
    )
    assert ("Epochs planned", ("–", "3", "9")) in plan_differences([head, few, many])
    assert [row.what for row in plan_differences([head, few])] == ["Way of training", "Changes of pictures"]


def test_what_differs_in_the_pictures_is_listed():
    a, b = answers(2, 2)
    first = run_of("A", a)
    other = run_of("B", b, range(5, 5 + len(b)))
    assert data_differences([first, first, other]) == [
        ("Which pictures judge", ("its own", "as “A”", "its own")),
        ("Which pictures teach", ("its own", "as “A”", "its own")),
    ]
    more = first._replace(
        dataset=msgspec.structs.replace(index_of(40), classes=("bee", "hornet"), reading=Reading(framing="fit")),
        setup=DatasetSetup(groupings=()),
    )
    rows = dict(data_differences([first, more]))
    assert rows["Pictures"] == ("34", "40") and rows["Classes that not all have"] == ("“wasp”", "“hornet”")
    assert rows["How they become square"] == ("fill", "fit") and rows["Kept together"] == ("near copies", "copies")


def test_runs_of_one_name_are_told_apart_by_their_places(tmp_path):
    wanted = run_of("A", answers(1, 1)[0])
    runs = [RunFolder(tmp_path / place / "leaves") for place in ("one", "two", "three")]
    for run in runs:
        run.start(wanted.plan, wanted.dataset, wanted.parts)
    write_notes(runs[2], RunNotes("Leaves of May"))
    assert [run.name for run in read_runs(runs)] == [
        f"leaves ({tmp_path / 'one' / 'leaves'})", f"leaves ({tmp_path / 'two' / 'leaves'})", "Leaves of May",
    ]  # fmt: skip


def test_a_run_is_read_from_its_folder_and_an_evaluation_of_an_older_model_left_out(tmp_path):
    a, _ = answers(2, 1)
    wanted = run_of("A", a)
    run = RunFolder(tmp_path / "run")
    run.start(wanted.plan, wanted.dataset, wanted.parts, wanted.setup)
    assert wanted.evaluation is not None
    run.keep(run.evaluation_file, wanted.evaluation)
    assert read_run(run, "A") == wanted
    run.model_file.write_bytes(b"weights")
    judged = run.evaluation_file.stat().st_mtime_ns
    os.utime(run.model_file, ns=(judged, judged - 1))
    assert read_run(run, "A") == wanted
    os.utime(run.model_file, ns=(judged, judged + 1))
    assert read_run(run, "A").evaluation is None
