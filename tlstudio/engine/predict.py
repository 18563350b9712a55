"""A trained model's answers for any pictures. The pictures are only ever read."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch

from tlstudio.core.durable import write_bytes
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, ShouldStop, Stopped
from tlstudio.core.listing import files_below
from tlstudio.core.problem import Problem
from tlstudio.core.progress import Pace
from tlstudio.core.results import Prediction
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.data import FramedImages, Normaliser
from tlstudio.engine.devices import choose_device, set_threads
from tlstudio.engine.features import BATCH_SIZE
from tlstudio.engine.networks import load_model

T = TypeVar("T")


class Predictor:
    """A run's model, ready to answer."""

    def __init__(self, run: RunFolder, device: str = "auto") -> None:
        run.plan()  # refuses folders that are no runs, or of a newer version, in plain words
        set_threads(None)
        self.network, self.card = load_model(run.model_file, run.manifest.read)
        self.device = choose_device(device)
        self.network.to(self.device)
        self.normalise = Normaliser(self.card.preprocessing, self.device)

    def answers(
        self, pictures: Sequence[T], view: Callable[[T], np.ndarray | Problem], emit: Emit, should_stop: ShouldStop
    ) -> Iterator[tuple[T, np.ndarray | Problem]]:
        """Yield each picture with its probabilities (classes,), or with the reason why it cannot be read.

        `view` makes of a picture what the network sees, uint8 (crop, crop, 3); threads call it. Raises Stopped.
        """
        pace = Pace(emit, "Looking at pictures", len(pictures))
        chunks = [pictures[start : start + BATCH_SIZE] for start in range(0, len(pictures), BATCH_SIZE)]
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="predict") as pool:
            ahead = [[pool.submit(view, picture) for picture in chunk] for chunk in chunks[:1]]
            done = 0
            for number, chunk in enumerate(chunks):
                views = [future.result() for future in ahead.pop()]
                if number + 1 < len(chunks):
                    ahead.append([pool.submit(view, picture) for picture in chunks[number + 1]])
                readable = [square for square in views if isinstance(square, np.ndarray)]
                rows = iter(self.probabilities(np.stack(readable)) if readable else ())
                for picture, square in zip(chunk, views, strict=True):
                    yield picture, next(rows) if isinstance(square, np.ndarray) else square
                done += len(chunk)
                pace.step(done)
                if should_stop():
                    pool.shutdown(cancel_futures=True)
                    raise Stopped

    def probabilities(self, views: np.ndarray) -> np.ndarray:
        """Return float64 (images, classes) for uint8 squares (images, height, width, 3)."""
        with torch.inference_mode():
            logits = self.network(self.normalise(torch.from_numpy(views).permute(0, 3, 1, 2)))
            answers: np.ndarray = (logits.double() / self.card.temperature).softmax(1).cpu().numpy()
        return answers

    def prediction(self, path: str, probabilities: np.ndarray, truth: str | None = None) -> Prediction:
        """Return the record of one answer."""
        best = int(probabilities.argmax())
        return Prediction(
            path=path,
            class_=self.card.classes[best],
            probability=float(probabilities[best]),
            probabilities=tuple(float(p) for p in probabilities),
            truth=truth,
        )


def predict(
    run: RunFolder,
    paths: Sequence[Path],
    csv_file: Path | None,
    emit: Emit,
    should_stop: ShouldStop,
    max_rows: int | None = None,
) -> dict[str, Any]:
    """Return {"images", "skipped", "rows" (the first `max_rows`, or all), "csv"} for files and what folders hold.

    An existing CSV file is not overwritten. Raises StudioError, Stopped.
    """
    if csv_file is not None and csv_file.exists():
        raise StudioError(f"“{csv_file}” already exists.", "Choose another file name; nothing was overwritten.")
    skipped: list[Problem] = []
    files = [str(path) for path in _files_in(paths, skipped)]
    if not files:
        hint = skipped[0].message if skipped else "Choose pictures, or a folder with pictures in it."
        raise StudioError("There are no files to look at.", hint)
    predictor = Predictor(run)
    rows: list[Prediction] = []
    with closing(FramedImages(predictor.card.preprocessing, keep=False)) as framed:
        for path, answer in predictor.answers(files, framed.view_of_file, emit, should_stop):
            if isinstance(answer, Problem):
                skipped.append(answer)
            else:
                rows.append(predictor.prediction(path, answer))
    if not rows:
        raise StudioError(f"None of the {len(skipped)} files is a picture that can be read.", skipped[0].message)
    if csv_file is not None:
        write_csv(csv_file, predictor.card.classes, rows)
    return {
        "images": len(rows),
        "skipped": msgspec.to_builtins(skipped),
        "rows": msgspec.to_builtins(rows[:max_rows]),
        "csv": None if csv_file is None else str(csv_file),
    }


def csv_text(classes: Sequence[str], predictions: Iterable[Prediction]) -> str:
    """Return the table: path, class, probability, then one column a class.

    Spreadsheets run cells that look like formulas: such names get a leading apostrophe, such paths a leading "./".
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "class", "probability", *(_cell(name) for name in classes)])
    for row in predictions:
        path = f"./{row.path}" if _looks_like_formula(row.path) else row.path
        table.writerow([path, _cell(row.class_), f"{row.probability:.6f}", *(f"{p:.6f}" for p in row.probabilities)])
    return text.getvalue()


def write_csv(path: Path, classes: Sequence[str], predictions: Iterable[Prediction]) -> None:
    """Write `csv_text` to a file."""
    write_bytes(path, csv_text(classes, predictions).encode())


def _files_in(paths: Sequence[Path], problems: list[Problem]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from files_below(path, problems)
        elif path.exists():
            yield path
        else:
            raise StudioError(f"“{path}” does not exist.", "Check the name, or choose the pictures again.")


def _looks_like_formula(text: str) -> bool:
    return text.startswith(("=", "+", "-", "@", "\t", "\r"))


def _cell(text: str) -> str:
    return f"'{text}" if _looks_like_formula(text) else text
