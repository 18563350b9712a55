"""How many changed copies are found, which other pictures are paired, and how long it takes; beside ImageHash's phash.

    python -m tests.bench.bench_copies [--pictures N] [--seed N] [--montage FILE] [--large N]

Pictures are drawn by seed from the shared photographs, changed, and looked for among the originals: an even seed draws
from one half of every set, an odd one from the other. phash, if ImageHash is installed, is given its best threshold in
hindsight: the one at which it makes as many pairs among the originals as core/copies.py. `--montage` draws what is
paired among the caltech pictures; `--large` looks for copies among so many made-up fingerprints.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from tlstudio.core.copies import fingerprint, near_copies
from tlstudio.core.images import read_image

try:
    import imagehash
except ImportError:
    imagehash = None

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = ("ants_bees", "magnetic_tile", "caltech101")
HASH_BITS = 64
SIDE_PX = 120

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def scaled(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return image.crop(tuple(round(side) for side in box))


def all_of_it(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    smaller = scaled(cropped(image, *rng.uniform(0, 0.05, 4)), rng.uniform(0.3, 2.0))
    return saved(smaller, "JPEG", int(rng.integers(30, 96)))


CHANGES: dict[str, Change] = {
    "exact": lambda image, rng: image.copy(),
    "resized 0.3": lambda image, rng: scaled(image, 0.3),
    "resized 0.3-2": lambda image, rng: scaled(image, rng.uniform(0.3, 2.0)),
    "resized 2": lambda image, rng: scaled(image, 2.0),
    "JPEG 30": lambda image, rng: saved(image, "JPEG", 30),
    "JPEG 30-95": lambda image, rng: saved(image, "JPEG", int(rng.integers(30, 96))),
    "WebP 30-95": lambda image, rng: saved(image, "WEBP", int(rng.integers(30, 96))),
    "cropped 5 %, one side": lambda image, rng: cropped(image, *(0.05 * np.eye(4)[rng.integers(4)])),
    "cropped 5 %, all round": lambda image, rng: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "cropped 0-5 % a side": lambda image, rng: cropped(image, *rng.uniform(0, 0.05, 4)),
    "recoloured": lambda image, rng: ImageEnhance.Color(
        ImageEnhance.Brightness(image).enhance(rng.uniform(0.85, 1.15))
    ).enhance(rng.uniform(0.6, 1.4)),
    "cropped, resized, JPEG": all_of_it,
}


def paths_of(name: str) -> list[Path]:
    return sorted((DATA / name).rglob("*.jpg"))


def drawn(count: int, total: int, seed: int) -> np.ndarray:
    """Return positions among every second picture."""
    half = np.arange(seed % 2, total, 2)
    return np.sort(np.random.default_rng(seed).choice(half, min(count, len(half)), replace=False))


def phash(image: Image.Image) -> np.ndarray:
    return imagehash.phash(image).hash.ravel()


def read(paths: list[Path]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the fingerprints and the hashes of pictures."""

    def one(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
        image = read_image(path)
        return fingerprint(image), phash(image) if imagehash else None

    with ThreadPoolExecutor(2) as pool:
        prints, hashes = zip(*pool.map(one, paths), strict=True)
    return np.stack(prints), np.stack(hashes) if imagehash else None


def hash_threshold(hashes: np.ndarray, pairs: int) -> int:
    """Return the largest distance at which there are no more pairs among the pictures than that."""
    bits = np.where(hashes, 1.0, -1.0).astype(np.float32)
    distances = np.rint((HASH_BITS - bits @ bits.T) / 2).astype(int)[np.triu_indices(len(bits), 1)]
    counts = np.cumsum(np.bincount(distances, minlength=HASH_BITS + 1))
    return max(0, int(np.searchsorted(counts, pairs, side="right")) - 1)


def compare(name: str, count: int, seed: int) -> tuple[list[Path], list[tuple[int, int]]]:
    """Print the table of one set and return what is paired among its originals."""
    paths = paths_of(name)
    prints, hashes = read(paths)
    started = time.perf_counter()
    pairs = near_copies(prints)
    seconds = time.perf_counter() - started
    chosen = drawn(count, len(paths), seed)
    rng = np.random.default_rng(seed)
    threshold = hash_threshold(hashes, len(pairs)) if hashes is not None else 0
    joined = len({member for pair in pairs for member in pair})
    print(f"\n{name}: {len(paths):,} pictures, {len(pairs):,} pairs of {joined:,} among them, {seconds:.1f} s")
    print(f"{'change':<26}{'found %':>9}{f'phash <= {threshold} %' if hashes is not None else '':>14}")
    for change, make in CHANGES.items():
        images = [make(read_image(paths[position]), rng) for position in chosen]
        changed = np.stack([fingerprint(image) for image in images])
        found = set(near_copies(np.concatenate([prints[chosen], changed])))
        share = np.mean([(number, number + len(chosen)) in found for number in range(len(chosen))])
        line = f"{change:<26}{100 * share:>9.1f}"
        if hashes is not None:
            near = [(phash(image) != hashes[at]).sum() <= threshold for at, image in zip(chosen, images, strict=True)]
            line += f"{100 * np.mean(near):>14.1f}"
        print(line, flush=True)
    return paths, pairs


def print_by_folder(paths: list[Path], pairs: list[tuple[int, int]]) -> None:
    """Print in which folders pairs lie, and the share of all pairs of pictures that is."""
    folders = [path.parent.name for path in paths]
    counts: dict[str, int] = {}
    for some, other in pairs:
        where = " / ".join(sorted({folders[some], folders[other]}))
        counts[where] = counts.get(where, 0) + 1
    print("pairs by folder:", ", ".join(f"{where} {n}" for where, n in sorted(counts.items(), key=lambda c: -c[1])))
    possible = len(paths) * (len(paths) - 1) // 2
    print(f"{len(pairs)} of {possible:,} possible pairs; {len(pairs) / len(paths):.1%} of the number of pictures")


def draw_pairs(paths: list[Path], pairs: list[tuple[int, int]], file: Path, columns: int = 6) -> None:
    """Draw the pairs side by side, to be judged by eye."""
    sheet = Image.new("RGB", (columns * (2 * SIDE_PX + 8), -(-len(pairs) // columns) * (SIDE_PX + 16)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, pair in enumerate(pairs):
        x, y = number % columns * (2 * SIDE_PX + 8), number // columns * (SIDE_PX + 16)
        pen.text((x, y), " / ".join(f"{paths[at].parent.name[:10]} {paths[at].stem[-4:]}" for at in pair), fill="red")
        for place, at in enumerate(pair):
            sheet.paste(read_image(paths[at]).resize((SIDE_PX, SIDE_PX)), (x + place * SIDE_PX, y + 12))
    sheet.save(file)


def time_large(count: int) -> None:
    """Look for copies among fingerprints put together from halves of two photographs each, and 1 % planted ones."""
    prints, _ = read(paths_of("caltech101"))
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, len(prints), (2, count))
    made = np.concatenate([prints[left][:, :, :20], prints[right][:, :, 20:]], 2)
    planted = count // 100
    made[-planted:] = np.clip(made[:planted].astype(int) + rng.integers(-3, 4, (planted, 40, 40)), 0, 255)
    started = time.perf_counter()
    pairs = set(near_copies(made))
    found = np.mean([(number, count - planted + number) in pairs for number in range(planted)])
    print(f"\n{count:,} fingerprints: {time.perf_counter() - started:.0f} s, {found:.1%} of {planted:,} planted found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--montage", type=Path)
    parser.add_argument("--large", type=int)
    options = parser.parse_args()
    for name in SETS:
        paths, pairs = compare(name, options.pictures, options.seed)
        if name == "caltech101":
            print_by_folder(paths, pairs)
            if options.montage:
                draw_pairs(paths, pairs, options.montage)
    if options.large:
        time_large(options.large)


if __name__ == "__main__":
    main()
