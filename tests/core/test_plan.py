"""Stages of a plan against budgets and rates worked out by hand."""

from __future__ import annotations

import pytest

from tlstudio.core.plan import make_stages, training_class_counts


def test_the_head_is_one_stage_without_gradients():
    (probe,) = make_stages("head", 100, "cpu", 64, "sgd")
    assert (probe.name, probe.kind, probe.epochs) == ("head", "probe", 1)


@pytest.mark.parametrize(
    ("images", "device", "epochs"),
    [
        (100, "cpu", 30),  # 12 a picture would be 1,200 presentations: raised to 3,000
        (1_000, "cpu", 12),
        (10_000, "cpu", 6),  # 120,000 presentations: lowered to 64,000
        (1_000_000, "cpu", 1),
        (100, "cuda", 200),
        (1_000, "cuda", 40),
        (10_000, "mps", 26),  # 400,000 presentations: lowered to 256,000
    ],
)
def test_the_budget_of_fine_tuning(images, device, epochs):
    probe, gradient = make_stages("fine-tune", images, device, 64, "sgd")
    assert (probe.kind, gradient.kind) == ("probe", "gradient")
    assert gradient.epochs == epochs


def test_the_user_s_epochs_replace_the_budget():
    assert make_stages("fine-tune", 1_000, "cpu", 64, "sgd", epochs=3)[-1].epochs == 3


def test_rates_follow_the_optimiser_and_the_batch():
    assert make_stages("fine-tune", 1_000, "cpu", 64, "sgd")[-1].head_lr == pytest.approx(3e-3)
    assert make_stages("fine-tune", 1_000, "cpu", 16, "sgd")[-1].head_lr == pytest.approx(7.5e-4)
    adamw = make_stages("fine-tune", 1_000, "cpu", 16, "adamw")[-1]
    assert (adamw.optimiser, adamw.head_lr, adamw.weight_decay) == ("adamw", 1e-4, 0.05)


def test_a_cut_is_fitted_only():
    assert [stage.kind for stage in make_stages("cut", 10_000, "cpu", 32, "sgd")] == ["probe"]


def test_few_pictures_are_shown_in_several_views():
    assert make_stages("head", 499, "cpu", 32, "sgd")[0].views == 4
    assert make_stages("head", 500, "cpu", 32, "sgd")[0].views == 0


def test_full_trains_longer_at_one_rate_and_scratch_longest():
    tuned, full, scratch = (make_stages(r, 1_000, "cpu", 64, "sgd")[-1] for r in ("fine-tune", "full", "scratch"))
    assert (tuned.epochs, full.epochs, scratch.epochs) == (12, 24, 60)
    assert full.body_lr_span == scratch.body_lr_span == 1 and tuned.body_lr_span > 1
    assert tuned.head_lr < full.head_lr < scratch.head_lr
    assert (full.from_scratch, scratch.from_scratch) == (False, True)
    assert (full.train_batchnorm, scratch.train_batchnorm) == (False, True)
    assert make_stages("fine-tune", 1_000, "cpu", 64, "sgd", body_lr_span=50)[-1].body_lr_span == 50


def test_pictures_are_mixed_only_where_there_are_many():
    assert make_stages("full", 4_999, "cpu", 64, "sgd")[-1].mixup == 0
    assert make_stages("full", 5_000, "cpu", 64, "sgd")[-1].mixup > 0


def test_class_counts():
    assert training_class_counts([0, 2, 2, 0, 0], 4) == [3, 0, 2, 0]
