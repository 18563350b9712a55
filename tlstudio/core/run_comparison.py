"""Runs beside each other: what was planned differently, on which pictures, and which one is better, if any is.

Two runs are judged picture by picture only where the same pictures were held out of both; all else would compare the
luck of two draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tlstudio.core.augment import changes_in_words
from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import DatasetIndex, shown_classes
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.errors import StudioError
from tlstudio.core.events import RunEnded
from tlstudio.core.images import Reading
from tlstudio.core.plan import Plan, Stage
from tlstudio.core.regimes import HEAD_TITLES, regime_facts
from tlstudio.core.results import Evaluation, Interval
from tlstudio.core.run_history import shown_name
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import Split

MOST_RUNS = 6
CONFIDENCE = 0.95
NONE = "–"
BISECTIONS = 60
# What a stage of gradient descent is told, as the user reads it.
STAGE_FIELDS = {
    "epochs": "Epochs planned",
    "optimiser": "Method of descent",
    "head_lr": "Learning rate of the last layer",
    "body_lr_span": "The first part learns slower by",
    "trainable_from": "First block that learns",
    "weight_decay": "Weight decay",
    "warmup": "Share of the steps for warming up",
    "patience": "Epochs without gain until it ends",
    "dropout": "Dropout",
    "label_smoothing": "Label smoothing",
    "mixup": "Mixing of pictures",
    "average_decay": "Running mean of the weights",
}


class ComparedRun(NamedTuple):
    """All that a comparison needs of one run."""

    name: str
    plan: Plan
    setup: DatasetSetup
    dataset: DatasetIndex
    parts: Split
    ended: RunEnded | None
    evaluation: Evaluation | None
    """None for a run that has not been judged since it learned last."""

    def held_out(self) -> set[str]:
        """Return the contents of the pictures that judge, as SHA-256."""
        return {self.dataset.images[position].sha256 for position in self.parts.held_out()[1]}

    def taught(self) -> set[str]:
        """Return the same of the pictures that teach."""
        return {self.dataset.images[position].sha256 for position in self.parts.train}

    def classes_by_content(self) -> dict[str, str]:
        """Return the class of every picture by its content."""
        return {image.sha256: self.dataset.classes[image.class_index] for image in self.dataset.images}

    def answers(self) -> dict[str, bool]:
        """Return for every picture that it was judged on, by content, whether it was right."""
        contents = {image.path: image.sha256 for image in self.dataset.images}
        found = self.evaluation.predictions if self.evaluation else ()
        return {contents[one.path]: one.class_ == one.truth for one in found if one.path in contents}


class Difference(NamedTuple):
    """What is not the same in all runs, in plain words, with a value a run."""

    what: str
    values: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True):
    """What the same pictures say of two runs. With `why_not`, they say nothing and the figures are 0."""

    first: str
    second: str
    why_not: str = ""
    images: int = 0
    only_first: int = 0
    """Pictures that only the first run is right on."""
    only_second: int = 0
    p_value: float = 1.0
    """McNemar's exact test, two-sided, times the number of comparisons."""
    difference: float = 0.0
    """Accuracy of the first run minus that of the second, from -1 to 1."""
    interval: Interval = (0.0, 0.0)
    """Of the difference, at 95 % for all comparisons together, given on how many pictures the answers differ."""

    @property
    def better(self) -> str | None:
        """The name of the run that is clearly better; None where the interval holds a difference of zero."""
        low, high = self.interval
        return self.first if low > 0 else self.second if high < 0 else None

    @property
    def sentence(self) -> str:
        """The verdict as the user reads it."""
        a, b = f"“{self.first}”", f"“{self.second}”"
        if self.why_not:
            return f"{a} and {b} cannot be compared picture by picture: {self.why_not}"
        of = f"Of {self.images:,} pictures that judged both"
        if not self.only_first + self.only_second:
            return f"{of}, {a} and {b} are right on the very same ones."
        found = (
            f"{of}, {a} is right on {self.only_first:,} where {b} is wrong, and {b} on {self.only_second:,} "
            f"where {a} is wrong"
        )
        low, high = self.interval
        figures = (
            f"{p_in_words(self.p_value)}; {100 * self.difference:+.1f} percentage points for {a}, "
            f"{100 * low:+.1f} to {100 * high:+.1f}"
        )
        if self.better is None:
            return f"{found}: no clear difference ({figures})."
        return f"{found}: “{self.better}” is better on pictures like these ({figures})."


def read_run(run: RunFolder, name: str) -> ComparedRun:
    """Return what a comparison needs. Raises StudioError for a run that cannot be read."""
    return ComparedRun(name, run.plan(), run.setup(), *run.pictures(), run.summary()[1], _current_evaluation(run))


def read_runs(runs: Sequence[RunFolder]) -> list[ComparedRun]:
    """Return the same of several runs, each under its name or, where others bear that too, with its place."""
    names = [shown_name(run) for run in runs]
    return [
        read_run(run, name if names.count(name) == 1 else f"{name} ({run.path})")
        for run, name in zip(runs, names, strict=True)
    ]


def plan_differences(runs: Sequence[ComparedRun]) -> list[Difference]:
    """Return in what the plans differ; nothing for plans that are alike."""
    plans = [run.plan for run in runs]
    changes = [
        changes_in_words(run.plan.regime, run.plan.head, len(run.parts.train), run.plan.augmentation) for run in runs
    ]
    rows = [
        _row("Way of training", [regime_facts(plan.regime).title for plan in plans]),
        _row("Backbone", [_backbone_title(plan.backbone) for plan in plans]),
        _row("What it knew at the start", [f"{plan.weights_name} ({plan.weights_sha256[:8]})" for plan in plans]),
        _row("Cut after", [plan.cut or "not cut" for plan in plans]),
        _row("Head", [HEAD_TITLES[plan.head] for plan in plans]),
    ]
    rows += [
        *_stage_rows(plans),
        _row("Changes of pictures", changes),
        _row("Seed", [str(plan.seed) for plan in plans]),
        _row("Computed on", [plan.device.upper() if plan.device != "cuda" else "GPU" for plan in plans]),
        _row("Processors used", [str(plan.threads) for plan in plans]),
        _row("Precision", [plan.execution.precision for plan in plans]),
    ]
    return [row for row in rows if row is not None]


def data_differences(runs: Sequence[ComparedRun]) -> list[Difference]:
    """Return in what the pictures differ, and what was decided about them; nothing where all is alike."""
    common = set.intersection(*(set(run.dataset.classes) for run in runs))
    others = [shown_classes(sorted(set(run.dataset.classes) - common)) or NONE for run in runs]
    rows = [
        _row("Folders", ["\n".join(run.dataset.folders) for run in runs]),
        _row("Pictures", [f"{len(run.dataset.images):,}" for run in runs]),
        _row("Classes", [str(len(run.dataset.classes)) for run in runs]),
        _row("Classes that not all have", others),
        _row("Pictures that teach", [f"{len(run.parts.train):,}" for run in runs]),
        _row("Pictures that judge", [f"{len(run.parts.held_out()[1]):,} ({run.parts.held_out()[0]})" for run in runs]),
        _row("Which pictures judge", _same_as_before(runs, ComparedRun.held_out)),
        _row("Which pictures teach", _same_as_before(runs, ComparedRun.taught)),
        _row("Classes of the pictures", _same_as_before(runs, ComparedRun.classes_by_content)),
        _row("Kept together", [", ".join(run.setup.groupings).replace("-", " ") or "copies" for run in runs]),
        _row("How they become square", [run.dataset.reading.framing for run in runs]),
        _row("Black and white", [_range(run.dataset.reading) for run in runs]),
        _row("Channels", [", ".join(map(str, run.dataset.reading.channels)) or "as usual" for run in runs]),
    ]
    return [row for row in rows if row is not None]


def verdicts(runs: Sequence[ComparedRun]) -> list[Verdict]:
    """Return what the pictures say of every pair of runs; the more pairs, the more it takes to be clear."""
    pairs = [(a, b) for number, a in enumerate(runs) for b in runs[number + 1 :]]
    return [paired(a, b, len(pairs)) for a, b in pairs]


def paired(a: ComparedRun, b: ComparedRun, comparisons: int = 1) -> Verdict:
    """Return which of two runs answers the same pictures better, if that is clear among so many comparisons.

    Pictures that taught one of them do not count. Source of the test: McNemar 1947, "Note on the sampling error of the
    difference between correlated proportions", here exact; the correction for several comparisons is Bonferroni's.
    """
    if why_not := _why_not(a, b):
        return Verdict(a.name, b.name, why_not)
    first, second = a.answers(), b.answers()
    judged = (first.keys() & second.keys()) - a.taught() - b.taught()
    if not judged:
        return Verdict(a.name, b.name, "no picture was judged by both.")
    only_first = sum(first[key] and not second[key] for key in judged)
    only_second = sum(second[key] and not first[key] for key in judged)
    differing, images = only_first + only_second, len(judged)
    low, high = share_interval(only_first, differing, 1 - (1 - CONFIDENCE) / comparisons)
    return Verdict(
        a.name,
        b.name,
        images=images,
        only_first=only_first,
        only_second=only_second,
        p_value=min(1.0, comparisons * sign_test(only_first, only_second)),
        difference=(only_first - only_second) / images,
        interval=((2 * low - 1) * differing / images, (2 * high - 1) * differing / images),
    )


def sign_test(first: int, second: int) -> float:
    """Return how likely counts as unequal as these are, or more so, where both sides are equally likely."""
    return min(1.0, 2 * _tail(min(first, second), first + second)(0.5))


def share_interval(successes: int, count: int, confidence: float) -> Interval:
    """Return Clopper and Pearson's exact interval of a share; (0, 1) of nothing.

    It holds one half exactly where `sign_test` gives more than one minus the confidence.
    """
    outside = (1 - confidence) / 2
    return (
        1 - _upper_bound(count - successes, count, outside),
        _upper_bound(successes, count, outside),
    )


def p_in_words(p: float) -> str:
    """Return "p = .27", with two digits that count."""
    if p >= 0.995:
        return "p = 1"
    return "p < .001" if p < 0.001 else f"p = {p:.2g}".replace("0.", ".", 1)


def _upper_bound(successes: int, count: int, outside: float) -> float:
    """Return the share at which so few successes or fewer have the probability `outside`."""
    if successes == count:
        return 1.0
    tail = _tail(successes, count)
    low, high = successes / count, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > outside else (low, middle)
    return high


def _tail(most: int, count: int) -> Callable[[float], float]:
    """Return the probability of `most` successes or fewer in `count` tries, by the probability of one."""
    ways = np.array([math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(most + 1)])
    successes = np.arange(most + 1)

    def probability(share: float) -> float:
        logs = ways + successes * math.log(share) + (count - successes) * math.log1p(-share)
        return float(np.exp(logs).sum())

    return probability


def _why_not(a: ComparedRun, b: ComparedRun) -> str:
    """Return why the answers of two runs cannot be set beside each other, as a sentence, or ""."""
    for run in (a, b):
        if run.evaluation is None:
            return f"“{run.name}” has not been judged picture by picture yet. Open its Results."
    first, second = a.held_out(), b.held_out()
    if first != second:
        shared = len(first & second)
        return (
            f"they were judged on different pictures ({len(first):,} and {len(second):,}, of which {shared:,} are the "
            "same). Train both on one set of pictures, with the same seed and grouping."
        )
    classes, others = a.classes_by_content(), b.classes_by_content()
    if relabelled := sum(classes[key] != others[key] for key in first):
        return f"{relabelled:,} of the pictures that judge have another class in the other run."
    return ""


def _current_evaluation(run: RunFolder) -> Evaluation | None:
    try:
        return run.record(run.evaluation_file, Evaluation) if run.is_judged() else None
    except StudioError:
        return None


def _row(what: str, values: Sequence[str]) -> Difference | None:
    return Difference(what, tuple(values)) if len(set(values)) > 1 else None


def _stage_rows(plans: Sequence[Plan]) -> list[Difference | None]:
    """Return the settings of gradient descent in which those runs differ that have it."""
    stages = [next((stage for stage in plan.stages if stage.kind == "gradient"), None) for plan in plans]
    rows: list[Difference | None] = []
    settings = [(title, [_setting(stage, field) for stage in stages]) for field, title in STAGE_FIELDS.items()]
    batches = [str(plan.batch_size) if stage else NONE for plan, stage in zip(plans, stages, strict=True)]
    for what, values in (*settings, ("Pictures a step", batches)):
        if len(set(values) - {NONE}) > 1:
            rows.append(_row(what, values))
    return rows


def _setting(stage: Stage | None, field: str) -> str:
    value = getattr(stage, field, None)
    return NONE if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _backbone_title(name: str) -> str:
    try:
        return backbone(name).title
    except StudioError:
        return name


def _range(reading: Reading) -> str:
    if reading.low is None or reading.high is None:
        return "the whole range of the file's type"
    return f"{reading.low:g} to {reading.high:g}"


def _same_as_before(runs: Sequence[ComparedRun], content: Callable[[ComparedRun], Any]) -> list[str]:
    """Return for each run of which earlier one it has the same content; equal texts where all have."""
    contents = [content(run) for run in runs]
    first = [contents.index(one) for one in contents]
    if not any(first):
        return [""] * len(runs)
    return ["its own" if n == number else f"as “{runs[n].name}”" for number, n in enumerate(first)]
