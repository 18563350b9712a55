"""Whether the classes can be told apart by what is not their subject: the border, the size, the camera."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier

from tlstudio.core.dataset import DatasetIndex, ImageRecord, scan
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, ShouldStop, Stopped
from tlstudio.core.images import Reading, UnreadableImage
from tlstudio.core.jobs import Shortcuts
from tlstudio.core.picture_cache import PictureCache, copy_recipe
from tlstudio.core.picture_reader import PictureReader
from tlstudio.core.progress import Pace
from tlstudio.core.results import Interval, ShortcutRow
from tlstudio.core.split import folds, split
from tlstudio.engine.data import picture_gone

FOLDS = 5
TREES = 60
MOST_IMAGES, MOST_CLASSES, FEWEST_OF_CLASS = 2000, 50, 10
SMALL_PX, RING_PX = 36, 3
"""A ring of 3 in 36 is the outer 8 %."""
PIECES_OF_SIDE = 6
THREADS = 4
MOST_EXAMPLES = 6
WORKS_FROM = {"border": 0.5, "brightness": 0.5, "sharpness": 0.5, "size": 0.3, "file type": 0.3, "camera": 0.3}
"""The part of the way from guessing to certainty from which a clue is said to work. What surrounds a living thing, how
light it is and how fine, belongs to it a little, so these clues must tell more than those that only the way of taking
and keeping the pictures decides."""
TELLS_A_CLASS_FROM = 0.8
"""Share of a class that is told by a clue, less the share of other pictures taken for it, that is too much as well."""
_SENTENCES = {
    "border": ("From the border alone, without the subject,", "the background, a frame or a caption"),
    "size": ("From the width and the height of the pictures alone,", "where the pictures come from"),
    "file type": ("From the type of the files alone,", "where the pictures come from"),
    "brightness": ("From the mean brightness and colour alone,", "the light"),
    "sharpness": ("From the sharpness alone,", "the focus or the lens"),
    "camera": ("From the camera alone,", "who took the pictures"),
}


class _Pictures(msgspec.Struct, frozen=True):
    """The training pictures that are looked at. `small` is uint8 (pictures, 36, 36, 3)."""

    images: list[ImageRecord]
    small: np.ndarray


def find_shortcuts(job: Shortcuts, emit: Emit, should_stop: ShouldStop) -> list[ShortcutRow]:
    """Return a row a clue that the pictures have, the most telling first. Raises StudioError, Stopped.

    Each clue gets a forest of its own, cross-validated on training pictures with groups kept together; of very many
    pictures or classes a part is looked at.
    """
    index = scan([Path(folder).absolute() for folder in job.folders], job.setup, emit, should_stop)
    images = _looked_at(index, split(index, job.seed).train, job.seed)
    targets = np.array([image.class_index for image in images])
    groups = [image.kept_with for image in images]
    dealt = folds(targets.tolist(), groups, FOLDS, job.seed)
    if not dealt:
        raise StudioError(
            "There are too few pictures to tell whether something else gives their classes away.",
            "Give at least two classes two different pictures each, better ten.",
        )
    pictures = _Pictures(images, _small_pictures(images, index.reading, emit, should_stop))
    clues = {name: clue for name, clue in _clues(pictures).items() if (clue != clue[0]).any()}
    pace = Pace(emit, "Looking for shortcuts", len(clues) * len(dealt))
    rows = []
    for number, (name, clue) in enumerate(clues.items()):
        answers = np.full((len(images), len(index.classes)), np.nan)
        for fold, (teaching, judged) in enumerate(dealt):
            if should_stop():
                raise Stopped
            forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=job.seed)
            forest.fit(clue[teaching], targets[teaching])
            answers[judged] = 0
            answers[np.ix_(judged, forest.classes_)] = forest.predict_proba(clue[judged])
            pace.step(number * len(dealt) + fold + 1)
        rows.append(_row(name, answers, targets, groups, images, index.classes))
    return sorted(rows, key=lambda row: (not row.works, row.chance - row.accuracy))


def _looked_at(index: DatasetIndex, train: Sequence[int], seed: int) -> list[ImageRecord]:
    """Return the training pictures; of very many, an equal number of each class, of the largest classes."""
    order = np.random.default_rng(seed).permutation(np.array(train)).tolist()
    counts = Counter(index.images[position].class_index for position in order)
    classes = {target for target, _ in counts.most_common(MOST_CLASSES)}
    room = dict.fromkeys(classes, len(order) if len(order) <= MOST_IMAGES else _equal_share(len(classes)))
    chosen = []
    for position in order:
        target = index.images[position].class_index
        if room.get(target, 0) > 0:
            room[target] -= 1
            chosen.append(position)
    return [index.images[position] for position in sorted(chosen)]


def _equal_share(classes: int) -> int:
    return max(FEWEST_OF_CLASS, MOST_IMAGES // classes)


def _small_pictures(images: Sequence[ImageRecord], reading: Reading, emit: Emit, should_stop: ShouldStop) -> np.ndarray:
    """Return every picture in colour, stretched to a small square, from its thumbnail where there is one."""
    pace = Pace(emit, "Looking at borders", len(images))
    small = np.zeros((len(images), SMALL_PX, SMALL_PX, 3), np.uint8)
    recipe = copy_recipe(SMALL_PX, SMALL_PX, "bilinear", dataclasses.replace(reading, framing="stretch"))
    with PictureCache() as cache, ThreadPoolExecutor(THREADS) as pool, closing(PictureReader()) as reader:

        def look(image: ImageRecord) -> np.ndarray:
            thumbnail = cache.thumbnail(image.sha256)
            if thumbnail:
                picture = Image.open(io.BytesIO(thumbnail), formats=["JPEG"]).convert("RGB")
            else:
                try:
                    picture = reader.framed(image.path, recipe, image.sha256)
                except UnreadableImage as error:
                    raise picture_gone(image, error) from error
            return np.asarray(picture.resize((SMALL_PX, SMALL_PX), Image.Resampling.BOX))

        for number, seen in enumerate(pool.map(look, images)):
            small[number] = seen
            pace.step(number + 1)
            if should_stop():
                pool.shutdown(cancel_futures=True)
                raise Stopped
    return small


def _clues(pictures: _Pictures) -> dict[str, np.ndarray]:
    """Return what each clue is told by, (pictures, features)."""
    images, small = pictures.images, pictures.small.astype(float)
    facts = [image.facts for image in images]
    width, height = (np.array(sides, float) for sides in zip(*((i.width_px, i.height_px) for i in images), strict=True))
    mean = small.mean((1, 2))
    clues = {
        "border": _border(small),
        "size": np.stack([width, height, width / height, width * height], 1),
        "file type": _choices([f"{fact.format if fact else ''} {Path(image.path).suffix.casefold()}"
                               for fact, image in zip(facts, images, strict=True)]),
        "brightness": np.concatenate([mean, mean / np.maximum(mean.sum(1, keepdims=True), 1)], 1),
        "sharpness": np.array([[fact.sharpness if fact else 0.0] for fact in facts]),
        "camera": _choices([fact.camera if fact else "" for fact in facts]),
    }  # fmt: skip
    return clues


def _border(small: np.ndarray) -> np.ndarray:
    """Return mean colour and spread of the pieces of the outer ring, all the way round, and of the whole ring."""
    strips = [
        small[:, :RING_PX],
        small[:, -RING_PX:],
        small[:, :, :RING_PX].transpose(0, 2, 1, 3),
        small[:, :, -RING_PX:].transpose(0, 2, 1, 3),
    ]
    pieces = np.stack([strip.reshape(len(small), RING_PX, PIECES_OF_SIDE, -1, 3) for strip in strips], 1)
    of_pieces = np.concatenate([pieces.mean((2, 4)), pieces.std((2, 4))], 3).reshape(len(small), -1)
    ring = np.concatenate([strip.reshape(len(small), -1, 3) for strip in strips], 1)
    return np.concatenate([of_pieces, ring.mean(1), ring.std(1), ring.min(1), ring.max(1)], 1)


def _choices(words: Sequence[str]) -> np.ndarray:
    """Return a column a word, 1 where it is a picture's."""
    known, number = np.unique(words, return_inverse=True)
    return np.eye(len(known))[number]


def _row(
    clue: str,
    answers: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    images: Sequence[ImageRecord],
    classes: Sequence[str],
) -> ShortcutRow:
    judged = np.flatnonzero(~np.isnan(answers[:, 0]))
    answered, wanted = answers[judged].argmax(1), targets[judged]
    right = answered == wanted
    present = np.unique(wanted).tolist()
    recalls = np.array([right[wanted == target].mean() for target in present])
    mistaken = np.array([(answered[wanted != target] == target).mean() for target in present])
    independent = np.array([len({groups[i] for i in judged.tolist() if targets[i] == target}) for target in present])
    accuracy, chance = float(recalls.mean()), 1 / len(present)
    interval = _interval(recalls, independent)
    told = np.where(independent >= FEWEST_OF_CLASS, recalls - mistaken, 0)
    gain = (accuracy - chance) / (1 - chance)
    works = interval[0] > chance and bool(gain > WORKS_FROM[clue] or told.max() > TELLS_A_CLASS_FROM)
    sure = answers[judged, wanted]
    best = int(told.argmax())
    sentence = _sentence(clue, accuracy, chance, works, classes[present[best]], float(recalls[best]))
    return ShortcutRow(clue, accuracy, interval, chance, works, sentence, _examples(judged[right], sure[right], images))


def _interval(recalls: np.ndarray, counts: np.ndarray) -> Interval:
    """Return a 95 % interval of the mean of proportions; each is drawn a little to the middle (Agresti and Coull)."""
    z = float(norm.ppf(0.975))
    smoothed = (recalls * counts + z**2 / 2) / (counts + z**2)
    error = z * float(np.sqrt((smoothed * (1 - smoothed) / (counts + z**2)).sum())) / len(recalls)
    middle = float(recalls.mean())
    return max(0.0, middle - error), min(1.0, middle + error)


def _sentence(clue: str, accuracy: float, chance: float, works: bool, best: str, recall: float) -> str:
    how, cause = _SENTENCES[clue]
    sentence = f"{how} {accuracy:.0%} of the pictures can be told apart; guessing gives {chance:.0%}."
    if works:
        return f"{sentence} Easiest is “{best}” ({recall:.0%}). A model may learn {cause} instead of the subject."
    return sentence


def _examples(right: np.ndarray, sure: np.ndarray, images: Sequence[ImageRecord]) -> tuple[str, ...]:
    """Return pictures that were given away most surely, of the classes in turn."""
    rank: Counter[int] = Counter()
    turns: list[tuple[int, int, str]] = []
    for position in right[np.argsort(-sure, kind="stable")]:
        target = images[position].class_index
        turns.append((rank[target], len(turns), images[position].path))
        rank[target] += 1
    return tuple(path for _, _, path in sorted(turns)[:MOST_EXAMPLES])
