"""How good a trained model is, on pictures that taught it nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from tlstudio.core.dataset import DatasetIndex, ImageRecord, scan, shown_classes
from tlstudio.core.dataset_setup import DatasetSetup, Layout
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Notice, ShouldStop
from tlstudio.core.problem import Problem
from tlstudio.core.results import ClassScore, Evaluation
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.data import FramedImages
from tlstudio.engine.predict import Predictor, csv_text
from tlstudio.engine.train import wilson

ECE_BINS = 15


def evaluate(run: RunFolder, folder: Path | None, emit: Emit, should_stop: ShouldStop) -> Evaluation:
    """Return the model's figures on the run's held-out part, or on a folder of pictures whose classes are known.

    A folder is set up as the run's pictures were: what was excluded, renamed or left out then is so here too. All
    pictures are read as the model learned to read them. Without `folder` the result is also kept in the run
    (evaluation.json, predictions.csv) if its folder can be written to. Raises StudioError, Stopped.
    """
    predictor = Predictor(run)
    classes = predictor.card.classes
    index, parts = run.pictures()
    if folder is None:
        part, positions = parts.held_out()
        names = index.classes
        judged = [index.images[i] for i in positions]
    else:
        other = scan([folder], _setup_for(folder, run.setup(), index), emit, should_stop, min_classes=1)
        names = other.classes
        part = str(folder)
        judged = list(_held_out_images(other))
    unknown = sorted(set(names) - set(classes))
    if unknown:
        emit(
            Notice(
                code="unknown-classes",
                what=f"The model does not know {shown_classes(unknown)}: these pictures are left out.",
                hint="Name the folders as in training to have them judged.",
            )
        )
        judged = [image for image in judged if names[image.class_index] in classes]
    if not judged:
        raise StudioError(
            f"No picture in “{folder or run.path}” is of a class the model knows.",
            f"Name the folders as in training: {', '.join(classes)}.",
        )
    taught = {index.images[i].sha256 for i in parts.train}
    kept, probabilities, skipped = [], [], 0
    with closing(FramedImages(predictor.card.preprocessing, keep=False)) as framed:
        for image, answer in predictor.answers(judged, framed.view, emit, should_stop):
            if isinstance(answer, Problem):
                skipped += 1
            else:
                kept.append(image)
                probabilities.append(answer)
    if skipped:
        emit(
            Notice(
                code="pictures-gone",
                what=f"{skipped} of {len(judged)} pictures can no longer be read and are left out.",
                hint="Check that their folder is still there.",
            )
        )
    if not kept:
        raise StudioError(
            "None of the pictures to be judged can be read any more.", "Check that their folder is still there."
        )
    truth = np.array([classes.index(names[image.class_index]) for image in kept])
    table = np.stack(probabilities)
    evaluation = msgspec.structs.replace(
        score(classes, truth, table, part),
        seen_in_training=sum(image.sha256 in taught for image in kept),
        predictions=tuple(
            predictor.prediction(image.path, row, classes[target])
            for image, row, target in zip(kept, table, truth, strict=True)
        ),
    )
    for file in run.manifest.damaged():
        emit(
            Notice(
                code="damaged",
                what=f"“{file.name}” in this run is damaged. These figures do not depend on it.",
                hint="Check the disk that the run is on.",
            )
        )
    if folder is None:
        try:
            keep(run, evaluation)
        except StudioError as error:
            emit(
                Notice(code="not-kept", what=error.what, hint="The figures are right, but the run does not keep them.")
            )
    return evaluation


def keep(run: RunFolder, evaluation: Evaluation) -> None:
    """Write an evaluation into the run, once for the app and once as a table. Raises StudioError."""
    run.keep(run.evaluation_file, evaluation)
    run.manifest.write(run.predictions_file, csv_text(evaluation.classes, evaluation.predictions).encode())


def score(classes: Sequence[str], truth: np.ndarray, probabilities: np.ndarray, part: str) -> Evaluation:
    """Return all figures for class numbers `truth` (images,) and `probabilities` (images, classes)."""
    numbers = list(range(len(classes)))
    given = probabilities.argmax(1)
    correct = int((given == truth).sum())
    present = sorted(set(truth.tolist()))
    precision, recall, f1, support = precision_recall_fscore_support(truth, given, labels=numbers, zero_division=0.0)
    return Evaluation(
        part=part,
        images=len(truth),
        accuracy=correct / len(truth),
        accuracy_interval=wilson(correct, len(truth)),
        balanced_accuracy=float(recall[present].mean()),
        macro_f1=float(f1[present].mean()),
        nll=float(log_loss(truth, np.clip(probabilities, 1e-12, 1), labels=numbers)),
        ece=calibration_error(truth, probabilities),
        classes=tuple(classes),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion_matrix(truth, given, labels=numbers)),
        per_class=tuple(
            ClassScore(
                class_=name,
                precision=float(precision[i]),
                recall=float(recall[i]),
                f1=float(f1[i]),
                support=int(support[i]),
            )
            for i, name in enumerate(classes)
        ),
    )


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy over bins of equal width.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.
    """
    confidence = probabilities.max(1)
    hit = probabilities.argmax(1) == truth
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(hit[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(np.sum(gaps))


def _setup_for(folder: Path, setup: DatasetSetup, index: DatasetIndex) -> DatasetSetup:
    """Return a run's set-up as far as it fits another folder, in which a table or a depth of folders may differ."""
    if str(folder) in index.folders or setup.layout.kind == "names":
        return setup
    return msgspec.structs.replace(setup, layout=Layout())


def _held_out_images(index: DatasetIndex) -> Sequence[ImageRecord]:
    """Return the pictures of the folder's own test part, else its val part, else all."""
    for part in ("test", "val"):
        chosen = [image for image in index.images if image.part == part]
        if chosen:
            return chosen
    return index.images
