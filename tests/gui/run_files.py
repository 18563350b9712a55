"""Run folders written by hand, so that pages can be tested without an engine, and the file dialog's user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QLineEdit

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.durable import write_json
from tlstudio.core.events import BatchEnded, EpochEnded, Event, RunEnded, RunStarted, StageStarted, encode_event
from tlstudio.core.plan import Augmentation, Plan, Stage
from tlstudio.core.results import ClassScore, Evaluation, Prediction
from tlstudio.core.runfolder import RunFolder

CLASSES = ("break", "crack", "free")
# Worked out by hand from the confusion below: 6 pictures, 3 right.
CONFUSION = ((1, 1, 0), (0, 1, 1), (1, 0, 1))


def run_folder(path: Path, events: Iterable[Event] = (), trained: bool = True) -> RunFolder:
    """Write what a run of three classes leaves behind."""
    run = RunFolder(path)
    path.mkdir(parents=True)
    write_json(run.dataset_file, DatasetIndex((str(path),), CLASSES, (), (), 0.0))
    write_json(
        run.plan_file,
        Plan(
            backbone="mobilenet_v2", weights_file="IMAGENET1K_V1", weights_sha256="0" * 64, regime="fine-tune",
            head="linear", stages=(Stage(name="head", kind="probe", sentence=""),), augmentation=Augmentation(),
            batch_size=32, seed=0, device="cpu", threads=1,
        ),
    )  # fmt: skip
    run.events_file.write_bytes(b"".join(encode_event(event) for event in events))
    if trained:
        run.model_file.write_bytes(b"weights")
    return run


def started(stages: Sequence[str] = ("head", "fine-tune")) -> RunStarted:
    return RunStarted(
        run="leaves", regime="fine-tune", backbone="mobilenet_v2", device="CPU, 2 threads", classes=CLASSES,
        train_images=1200, val_images=153, stages=tuple(stages), time_s=1_700_000_000.0,
    )  # fmt: skip


def epoch(stage: str, number: int, val_accuracy: float, best: bool, left: float | None = None) -> EpochEnded:
    return EpochEnded(
        stage=stage, epoch=number, epochs=1 if stage == "head" else 3, train_loss=0.5 / number, train_accuracy=0.9,
        val_loss=0.6 / number, val_accuracy=val_accuracy, images_per_second=212.4, seconds_left=left, best=best,
    )  # fmt: skip


HEAD_STAGE = StageStarted(stage="head", index=0, epochs=1, sentence="Only a new last layer learns.")
TUNE_STAGE = StageStarted(stage="fine-tune", index=1, epochs=3, sentence="Now everything learns gently.")


def batch(number: int, loss: float) -> BatchEnded:
    return BatchEnded(
        stage="fine-tune", epoch=1, batch=number, batches=4, loss=loss, images_per_second=99.6, seconds_left=241.0
    )


def fine_tune_events(kept_epoch: int | None = 2, kept: str = "the fine-tuned network") -> list[Event]:
    """Return a whole log: the head reaches 0.86, the epochs after it 0.90, 0.94 and 0.92."""
    return [
        started(),
        HEAD_STAGE,
        epoch("head", 1, 0.86, best=True),
        TUNE_STAGE,
        batch(2, 0.7),
        batch(4, 0.65),
        epoch("fine-tune", 1, 0.90, best=False, left=120.0),
        epoch("fine-tune", 2, 0.94, best=True, left=60.0),
        epoch("fine-tune", 3, 0.92, best=False, left=0.0),
        RunEnded(
            status="finished", val_accuracy=0.941, val_interval=(0.902, 0.968), val_images=153, kept=kept,
            kept_epoch=kept_epoch, seconds=250.0,
        ),
    ]  # fmt: skip


def evaluation(pictures: Sequence[str]) -> Evaluation:
    """Return an evaluation of six pictures, in the order of `CONFUSION`'s cells, row by row."""
    cells = [(i, j) for i in range(3) for j in range(3) for _ in range(CONFUSION[i][j])]
    sure = (0.5, 0.7, 0.6, 0.9, 0.8, 0.55)
    predictions = []
    for path, (i, j), share in zip(pictures, cells, sure, strict=True):
        probabilities = tuple(share if k == j else (1 - share) / 2 for k in range(3))
        predictions.append(
            Prediction(path=path, class_=CLASSES[j], probability=share, probabilities=probabilities, truth=CLASSES[i])
        )
    return Evaluation(
        part="val", images=6, accuracy=0.5, accuracy_interval=(0.188, 0.812), balanced_accuracy=0.5, macro_f1=0.5,
        nll=1.25, ece=0.175, classes=CLASSES, confusion=CONFUSION,
        per_class=(
            ClassScore(class_="break", precision=0.5, recall=0.25, f1=1 / 3, support=4),
            ClassScore(class_="crack", precision=0.75, recall=1.0, f1=6 / 7, support=10),
            ClassScore(class_="free", precision=1.0, recall=0.5, f1=2 / 3, support=2),
        ),
        predictions=tuple(predictions),
    )  # fmt: skip


def choose(dialog: QFileDialog, path: Path) -> None:
    """Type a path into a file dialog and accept it."""
    line = dialog.findChild(QLineEdit)
    assert line is not None
    line.setText(str(path))
    dialog.accept()
