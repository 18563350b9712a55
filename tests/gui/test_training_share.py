"""The share of a training that is done, over its stages."""

from __future__ import annotations

from tlstudio.core.events import BatchEnded, EpochEnded, Progress, RunStarted, StageStarted
from tlstudio.gui.training_share import TrainingShare

STARTED = RunStarted(
    run="r", regime="fine-tune", backbone="b", device="CPU", classes=("a", "b"), train_images=8, val_images=2,
    stages=("head", "fine-tune"), time_s=0.0,
)  # fmt: skip


def epoch(number: int) -> EpochEnded:
    return EpochEnded(
        stage="fine-tune", epoch=number, epochs=4, train_loss=0.1, train_accuracy=1.0, val_loss=None,
        val_accuracy=None, images_per_second=9.0,
    )  # fmt: skip


def test_stages_epochs_and_batches_add_up():
    share = TrainingShare()
    assert share.take(Progress(what="Reading pictures", done=9, total=10)) == 0
    assert share.take(STARTED) == 0
    assert share.take(StageStarted(stage="head", index=0, epochs=1, sentence="")) == 0
    assert share.take(Progress(what="Looking at pictures", done=5, total=10)) == 0.25
    assert share.take(StageStarted(stage="fine-tune", index=1, epochs=4, sentence="")) == 0.5
    batch = BatchEnded(stage="fine-tune", epoch=2, batch=2, batches=4, loss=0.1, images_per_second=9.0)
    assert share.take(batch) == 0.5 + 0.5 * 1.5 / 4
    assert share.take(epoch(4)) == 1


def test_it_never_goes_back():
    share = TrainingShare()
    share.take(STARTED)
    share.take(StageStarted(stage="fine-tune", index=1, epochs=4, sentence=""))
    assert share.take(epoch(2)) == 0.75
    assert share.take(Progress(what="Looking again", done=0, total=10)) == 0.75
