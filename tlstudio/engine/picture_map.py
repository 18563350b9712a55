"""Pictures laid out in a plane by what a network sees in them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsRegressor

from tlstudio.core.dataset import DatasetIndex, scan
from tlstudio.core.events import Emit, Event, Progress, ShouldStop, Stopped
from tlstudio.core.jobs import Map
from tlstudio.core.progress import Pace
from tlstudio.core.results import PictureMap
from tlstudio.engine.devices import choose_device, set_threads
from tlstudio.engine.features import SHOWING
from tlstudio.engine.old_network import OldNetwork
from tlstudio.engine.profile import measuring_order
from tlstudio.engine.setup import chosen_backbone
from tlstudio.engine.weights import resolve

SHOWN_AT_A_TIME = 2048
MOST_LAID_OUT = 3000
"""The time of t-SNE grows faster than the number of pictures; the others are put among their nearest neighbours."""
FEWEST_FOR_TSNE = 10
PERPLEXITY = 30.0
"""About how many neighbours of a picture t-SNE heeds; of few pictures a third."""
TSNE_INPUTS = 50
NEIGHBOURS = 5
STEPS_A_PIECE = 250
PIECES = 3
EXAGGERATION = 12.0
FAST_STEPS = 2.5
"""scikit-learn's first steps have a momentum of .5 and its later ones .8; this much larger ones make up for that."""
STOP_ASKED_EVERY_S = 0.1


def lay_out(job: Map, emit: Emit, should_stop: ShouldStop) -> PictureMap:
    """Return where every usable picture lies, from -1 to 1 on the longer axis. Equal jobs give equal maps.

    Fewer than ten pictures are laid out by PCA whatever was asked for. Raises StudioError, Stopped.
    """
    set_threads(job.threads)
    index = scan([Path(folder).absolute() for folder in job.folders], job.setup, emit, should_stop, min_classes=1)
    features = _last_features(job, index, emit, should_stop)
    # Direction tells what is in a picture; length mostly how much contrast it has.
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    paths = tuple(image.path for image in index.images)
    if job.method == "t-sne" and len(paths) >= FEWEST_FOR_TSNE:
        targets = np.array([image.class_index for image in index.images])
        points = _by_neighbours(features, targets, job.seed, emit, should_stop)
        return PictureMap(paths, _scaled(points), "t-sne")
    points, explained = _by_variance(features, job.seed)
    return PictureMap(paths, _scaled(points), "pca", explained)


def _last_features(job: Map, index: DatasetIndex, emit: Emit, should_stop: ShouldStop) -> np.ndarray:
    """Return what the last block says of every picture, float32 (images, channels)."""
    weights_file = Path(job.weights).absolute() if job.weights else None
    spec = chosen_backbone(job.backbone, weights_file)
    weights, device = resolve(spec, weights_file), choose_device(job.device)
    images, channels = index.images, spec.blocks[-1].channels
    features = np.empty((len(images), channels), np.float32)
    pace = Pace(emit, SHOWING, len(images))
    with closing(OldNetwork(spec, weights, images, index.reading, 1, device)) as old:
        # The blocks before the last are wider together; they need not all be in memory for all pictures.
        for start in range(0, len(images), SHOWN_AT_A_TIME):
            chosen = range(start, min(start + SHOWN_AT_A_TIME, len(images)))

            def step(event: Event, before: int = start) -> None:
                if isinstance(event, Progress):
                    pace.step(before + event.done)

            features[start : chosen.stop] = old.features(chosen, step, should_stop)[:, -channels:]
            pace.step(chosen.stop)
            if should_stop():
                raise Stopped
    return features


def _by_variance(features: np.ndarray, seed: int) -> tuple[np.ndarray, float | None]:
    """Return points (images, 2) on the two axes of most variance, and the share of it that they show."""
    if not np.ptp(features, axis=0).any():
        return np.zeros((len(features), 2)), None
    pca = PCA(2, random_state=seed).fit(features)
    return pca.transform(features), float(pca.explained_variance_ratio_.sum())


def _by_neighbours(
    features: np.ndarray, targets: np.ndarray, seed: int, emit: Emit, should_stop: ShouldStop
) -> np.ndarray:
    """Return points (images, 2) by t-SNE of the pictures, or of a sample that the others are placed in."""
    shown = sorted(measuring_order(targets, seed, MOST_LAID_OUT))
    inputs = min(TSNE_INPUTS, len(shown), features.shape[1])
    pca = PCA(inputs, random_state=seed).fit(features[shown])
    reduced = pca.transform(features)
    laid_out = _embedded(reduced[shown], seed, emit, should_stop)
    if len(shown) == len(features):
        return laid_out
    points = KNeighborsRegressor(NEIGHBOURS, weights="distance").fit(reduced[shown], laid_out).predict(reduced)
    return np.asarray(points)


def _embedded(rows: np.ndarray, seed: int, emit: Emit, should_stop: ShouldStop) -> np.ndarray:
    """Return t-SNE's points (images, 2) of `rows` (images, columns), in pieces that each go on from the one before.

    A piece cannot be stopped from outside. It has a thread of its own, so that a stop need not wait for it; left
    alone it is over in seconds. Source: van der Maaten and Hinton 2008, "Visualizing data using t-SNE".
    """
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    rate = max(len(rows) / EXAGGERATION / 4, 50)
    points = 1e-4 * rows[:, :2] / max(float(rows[:, 0].std()), 1e-12)
    pace = Pace(emit, "Laying the pictures out", PIECES)
    pace.step(0)
    pool = ThreadPoolExecutor(1, thread_name_prefix="t-sne")
    try:
        for piece in range(PIECES):
            first = piece == 0
            tsne = TSNE(
                perplexity=perplexity,
                early_exaggeration=EXAGGERATION if first else 1.0,
                learning_rate=rate if first else FAST_STEPS * rate,
                max_iter=STEPS_A_PIECE,
                init=points.astype(np.float32),
                random_state=seed,
            )
            points = _awaited(pool.submit(tsne.fit_transform, rows), should_stop)
            pace.step(piece + 1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return points


def _awaited(future: Future[np.ndarray], should_stop: ShouldStop) -> np.ndarray:
    while not should_stop():
        if wait([future], STOP_ASKED_EVERY_S).done:
            return future.result()
    raise Stopped


def _scaled(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return the points with their middle at 0 and the longer axis from -1 to 1."""
    low, high = points.min(0), points.max(0)
    scaled = (points - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-12)
    return tuple((float(x), float(y)) for x, y in scaled)
