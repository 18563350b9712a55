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


def test_class_counts():
    assert training_class_counts([0, 2, 2, 0, 0], 4) == [3, 0, 2, 0]
