"""Which pictures are the same picture with changes: resized, compressed, a little recoloured, cropped by 5 % a side.

Every picture is kept as a fingerprint, a tiny grey picture. Two are compared in three steps, each far cheaper than the
next: the coarse shapes of all pairs by matrix products, then those of the picture cropped in 16 ways, and last the
fine detail after one was moved and scaled onto the other. `tests/bench/bench_copies.py` has the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from PIL import Image

from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.progress import Pace

FINGERPRINT_PX = 40
COARSE_PX = 8
PLAIN_BELOW = 1.0
"""Grey levels by which the coarse shapes of a picture must vary; what varies less is noise and rounding."""
MIN_ALIKE, MIN_ALIKE_CROPPED = 0.75, 0.92
"""Correlations of the coarse shapes. Below them lie 0.2 % of true copies, cropped on several sides."""
MIN_ALIGNED, MIN_DETAIL = 0.955, 0.965
"""Correlations after moving one onto the other: of the grey values, and of their differences from cell to cell."""
FINE_GRAIN = 2.0
"""Grey levels from cell to cell in a patch whose likeness counts half; what is weaker is mostly compression."""
MOST_CANDIDATES = 64
"""Of one picture. Where more are alike, such as the frames of a film, they are joined through each other."""
_CUTS = ((0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.05, 0.05))
"""Shares of a side that are cut off at its beginning and at its end."""
_VIEWS = np.array([(*x, *y) for y in _CUTS for x in _CUTS], np.float32)
"""Left, right, top, bottom."""
_CUT_AROUND = ((0.03, 0.03),)
_STEPS = 3
_PATCHES = 5
_PRODUCTS_AT_ONCE = 2**24
_PAIRS_AT_ONCE = 256


def fingerprint(image: Image.Image) -> np.ndarray:
    """Return the upright RGB picture in small, for `near_copies`: grey, stretched to a square, uint8 (40, 40)."""
    small = image.resize((FINGERPRINT_PX, FINGERPRINT_PX), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small.convert("L"))


def near_copies(
    fingerprints: np.ndarray, emit: Emit = ignore, should_stop: ShouldStop = never
) -> list[tuple[int, int]]:
    """Return pairs (smaller, larger) of positions whose pictures are the same one with changes; sorted.

    `fingerprints` is uint8 (pictures, 40, 40). Pictures with next to nothing in them are never paired. Raises Stopped.
    """
    shapes = np.zeros((2, len(fingerprints), _BEYOND_TREND.shape[1]), np.float32)
    for at in range(0, len(fingerprints), _PAIRS_AT_ONCE):
        some = fingerprints[at : at + _PAIRS_AT_ONCE]
        shapes[0, at : at + len(some)] = _shapes(some, _CUTS[:1])[:, 0]
        shapes[1, at : at + len(some)] = _shapes(some, _CUT_AROUND)[:, 0]
    pace = Pace(emit, "Looking for copies", len(fingerprints))
    found: list[tuple[int, int]] = []
    for first, second, done in _candidates(*shapes):
        for at in range(0, len(first), _PAIRS_AT_ONCE):
            if should_stop():
                raise Stopped
            some, others = first[at : at + _PAIRS_AT_ONCE], second[at : at + _PAIRS_AT_ONCE]
            same = _same(fingerprints[some], fingerprints[others])
            found += zip(some[same].tolist(), others[same].tolist(), strict=True)
        pace.step(done)
        if should_stop():
            raise Stopped
    return sorted(found)


def _candidates(shapes: np.ndarray, cropped: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield (positions, larger positions, pictures done) of pairs alike in coarse shape, maybe after cropping one."""
    rows = max(1, _PRODUCTS_AT_ONCE // max(1, len(shapes)))
    for start in range(0, len(shapes), rows):
        here, there = slice(start, start + rows), slice(start, None)
        alike = shapes[here] @ shapes[there].T
        np.maximum(alike, cropped[here] @ shapes[there].T, out=alike)
        np.maximum(alike, shapes[here] @ cropped[there].T, out=alike)
        alike[np.tril_indices(len(alike))] = 0
        passing = alike > MIN_ALIKE
        for row in np.flatnonzero(np.count_nonzero(passing, axis=1) > MOST_CANDIDATES):
            passing[row] = False
            passing[row, np.argpartition(alike[row], -MOST_CANDIDATES)[-MOST_CANDIDATES:]] = True
        first, second = np.nonzero(passing)
        yield first + start, second + start, min(start + rows, len(shapes))


def _same(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return for each pair of fingerprints, (pairs, 40, 40) both, whether they are of one picture."""
    seen, also_seen = _shapes(some, _CUTS), _shapes(others, _CUTS)
    cut_first = (seen * also_seen[:, :1]).sum(2)
    cut_second = (also_seen * seen[:, :1]).sum(2)
    swap = cut_second.max(1) > cut_first.max(1)
    alike = np.where(swap[:, None], cut_second, cut_first)
    same: np.ndarray = alike.max(1) > MIN_ALIKE_CROPPED
    swap, cuts = swap[same, None, None], _VIEWS[alike[same].argmax(1)]
    whole = np.where(swap, others[same], some[same]).astype(np.float32)
    part = np.where(swap, some[same], others[same]).astype(np.float32)
    # The outermost cells mix in what only one of the two shows.
    moved, part = _moved_onto(whole, part, cuts)[:, 1:-1, 1:-1], part[:, 1:-1, 1:-1]
    same[same] = (_correlation(moved, part) > MIN_ALIGNED) & (_detail_in_common(moved, part) > MIN_DETAIL)
    return same


def _shapes(pictures: np.ndarray, cuts: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return unit vectors (pictures, cuts², 49): coarse grey values without their smooth trend, cropped in each way.

    Without the trend, because light that falls off to the sides makes all pictures of a microscope alike. Zeros for a
    picture with next to nothing in it.
    """
    matrices = [_area_means(*cut) for cut in cuts]
    rows = [matrix @ pictures.astype(np.float32) for matrix in matrices]
    small = np.stack([_flat(part @ matrix.T) @ _BEYOND_TREND for part in rows for matrix in matrices], 1)
    length = np.linalg.norm(small, axis=2, keepdims=True)
    shapes: np.ndarray = np.where(length > PLAIN_BELOW * COARSE_PX, small / np.maximum(length, 1e-6), 0)
    return shapes


def _area_means(begin: float, end: float) -> np.ndarray:
    """Return the matrix (8, 40) that averages 40 cells to 8 after these shares are cut off at the two ends."""
    edges = FINGERPRINT_PX * np.linspace(begin, 1 - end, COARSE_PX + 1)
    cells = np.arange(FINGERPRINT_PX)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    matrix: np.ndarray = np.maximum(covered, 0) / covered.clip(0).sum(1, keepdims=True)
    return matrix.astype(np.float32)


def _beyond_trend() -> np.ndarray:
    """Return an orthonormal basis (64, 49) of what is no polynomial of degree four, the shading that lenses cast."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, COARSE_PX)] * 2)
    trend = [(x**across * y**down).ravel() for across in range(5) for down in range(5 - across)]
    basis: np.ndarray = np.linalg.qr(np.stack(trend, 1), mode="complete")[0][:, len(trend) :].astype(np.float32)
    return basis


_BEYOND_TREND = _beyond_trend()


def _moved_onto(whole: np.ndarray, part: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return `whole`, (pairs, 40, 40), cropped so that it fits `part` best; `cuts` (pairs, 4) is where to begin.

    Gauss and Newton's steps on the four cuts, with a gain and an offset of the grey values between.
    Source: Lucas and Kanade 1981, "An iterative image registration technique".
    """
    at = (np.arange(FINGERPRINT_PX, dtype=np.float32) + 0.5) / FINGERPRINT_PX
    diagonal = np.arange(6)
    for _ in range(_STEPS):
        moved = _cropped(whole, cuts)
        down, right = np.gradient(moved, axis=(1, 2))
        right = right * (FINGERPRINT_PX / (1 - cuts[:, 0] - cuts[:, 1]))[:, None, None]
        down = down * (FINGERPRINT_PX / (1 - cuts[:, 2] - cuts[:, 3]))[:, None, None]
        by_top, by_bottom = down * (1 - at)[:, None], -down * at[:, None]
        changes = np.stack([moved, np.ones_like(moved), right * (1 - at), -right * at, by_top, by_bottom], 1)
        changes = changes.reshape(len(moved), 6, FINGERPRINT_PX**2)
        products = changes @ changes.transpose(0, 2, 1)
        products[:, diagonal, diagonal] = products[:, diagonal, diagonal] * 1.0001 + 1e-3
        solved = np.linalg.solve(products, changes @ part.reshape(len(part), FINGERPRINT_PX**2, 1))[:, :, 0]
        step = solved[:, 2:] / np.maximum(solved[:, :1], 0.3)
        cuts = np.clip(cuts + np.clip(step, -0.03, 0.03), -0.02, 0.1)
    return _cropped(whole, cuts)


def _cropped(pictures: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return pictures (n, 40, 40) cropped by cuts (n, 4) and stretched to the same size, linearly interpolated."""
    across, down = _resampling(cuts[:, 0], cuts[:, 1]), _resampling(cuts[:, 2], cuts[:, 3])
    cropped: np.ndarray = down @ pictures @ across.transpose(0, 2, 1)
    return cropped


def _resampling(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return matrices (n, 40, 40) that take values at places between 40 cells."""
    at = (np.arange(FINGERPRINT_PX) + 0.5) / FINGERPRINT_PX
    places = (begin[:, None] + (1 - begin - end)[:, None] * at) * FINGERPRINT_PX - 0.5
    places = np.clip(places, 0, FINGERPRINT_PX - 1)
    distance = np.abs(places[:, :, None] - np.arange(FINGERPRINT_PX))
    matrices: np.ndarray = np.maximum(1 - distance, 0).astype(np.float32)
    return matrices


def _detail_in_common(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (pairs,): how the differences from cell to cell correlate, the mean over the patches that have any.

    By patches, because one strong edge that all pictures of a data set share would outvote everything between.
    """
    slopes = [_slopes(_smoothed(pictures)) for pictures in (some, others)]
    edges = np.linspace(0, slopes[0].shape[2], _PATCHES + 1).astype(int)
    total, weights = np.zeros(len(some), np.float32), np.full(len(some), 1e-6, np.float32)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            one, other = (_flat(slope[:, :, top:bottom, left:right]) for slope in slopes)
            energy = (one**2).mean(1), (other**2).mean(1)
            weight = energy[1] / (energy[1] + FINE_GRAIN**2)
            total += weight * (one * other).mean(1) / np.sqrt(np.maximum(energy[0] * energy[1], 1e-9))
            weights += weight
    return total / weights


def _smoothed(pictures: np.ndarray) -> np.ndarray:
    """Return the pictures without their finest grain, which does not outlive resampling; one cell less at each side."""
    rows = (pictures[:, :-2] + 2 * pictures[:, 1:-1] + pictures[:, 2:]) / 4
    smooth: np.ndarray = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
    return smooth


def _slopes(pictures: np.ndarray) -> np.ndarray:
    """Return the differences between neighbouring cells, (pictures, 2, rows - 1, columns - 1)."""
    return np.stack([np.diff(pictures, axis=1)[:, :, 1:], np.diff(pictures, axis=2)[:, 1:]], 1)


def _correlation(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (pairs,) correlations of pictures."""
    one, other = (_flat(pictures) for pictures in (some, others))
    one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)
    correlation: np.ndarray = (one * other).sum(1) / np.maximum(
        np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1), 1e-3
    )
    return correlation


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), np.prod(pictures.shape[1:], dtype=int))
