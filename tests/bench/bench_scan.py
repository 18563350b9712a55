"""How fast a look at files is: python -m tests.bench.bench_scan [FOLDER] [--large N] [--small N]

FOLDER is a data set of a folder a class: its look, by processes that wait as they do behind the window, is timed
against torchvision's ImageFolder: with its default loader in one thread, in a DataLoader with a process a core, and
both programs as whole commands. They take turns because a shared computer changes its pace. The same for N generated
photographs of 12 megapixels. N small pictures in 1,000 classes: listing against a bare os.scandir walk, the look
against a bare loop of Pillow over a sample of the same files. All times are of the clock on the wall; files are read
once before.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import PILToTensor

from tlstudio.core import cache_folder, decode_process
from tlstudio.core.decode_pass import inspect_all
from tlstudio.core.listing import ListedFile, list_files
from tlstudio.core.paths import HOME_VARIABLE

ROUNDS = 5
SAMPLE = 5_000


def seconds(action: Callable[[], object]) -> float:
    """Return how long the action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def look_at(files: Sequence[ListedFile]) -> None:
    """Look at all files as if for the first time."""
    cache_folder.clear()
    failed = [found.path for found in inspect_all(files) if found.code]
    assert not failed, failed[:3]


def wait_for_processes() -> None:
    """Have processes that decode started, and wait until they have imported what they need."""
    decode_process.warm_up()
    for process in decode_process._spares:
        assert isinstance(process.stdout, io.BufferedReader)
        process.stdout.peek(1)


def run(*command: str) -> None:
    """Run a program to its end."""
    cache_folder.clear()
    subprocess.run((sys.executable, *command), check=True, stdout=subprocess.DEVNULL)


def against_image_folder(folder: Path, name: str, rounds: int) -> None:
    """Print files/s of the look and of ImageFolder, taken in turns."""
    others = ImageFolder(str(folder))
    batches = DataLoader(ImageFolder(str(folder), PILToTensor()), batch_size=None, num_workers=os.cpu_count() or 1)
    wanted = {path for path, _ in others.samples}
    files = [file for file in list_files(folder, []) if file.path in wanted]
    assert len(files) == len(others)
    for file in files:
        Path(file.path).read_bytes()
    program = f"from torchvision.datasets import ImageFolder as F; [image for image, _ in F({str(folder)!r})]"
    actions: dict[str, Callable[[], object]] = {
        "look": lambda: look_at(files),
        "default loader": lambda: [image for image, _ in others],
        "DataLoader": lambda: list(batches),
        "command": lambda: run("-m", "tlstudio", "scan", str(folder)),
        "its command": lambda: run("-c", program),
    }
    taken: dict[str, list[float]] = {what: [] for what in actions}
    for _ in range(rounds):
        for what, action in actions.items():
            if what == "look":
                wait_for_processes()
            taken[what].append(seconds(action))
    look_at(files)
    again = seconds(lambda: list(inspect_all(files)))

    def ratio(own: str, other: str) -> float:
        return statistics.median(theirs / ours for ours, theirs in zip(taken[own], taken[other], strict=True))

    speed = len(files) / statistics.median(taken["look"])
    print(
        f"{name}: look {speed:.0f} files/s, {ratio('look', 'default loader'):.2f}"
        f" times the default loader, {ratio('look', 'DataLoader'):.2f} times a DataLoader; as whole commands "
        f"{ratio('command', 'its command'):.2f} times; again {again:.2f} s"
    )


def write_large(folder: Path, count: int) -> None:
    """Write photographs of 12 megapixels: clouds with grain, in two classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        clouds = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).resize((4000, 3000), 3)
        grain = rng.integers(-12, 13, (3000, 4000, 1), np.int16)
        pixels = (np.asarray(clouds).astype(np.int16) + grain).clip(0, 255).astype(np.uint8)
        path = folder / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


def write_small(folder: Path, count: int) -> None:
    """Write pictures of 32 x 32 pixels in 1,000 classes, a fifth of them different."""
    rng = np.random.default_rng(0)
    different = folder.parent / "one.jpg"
    contents = []
    for _ in range(count // 5):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(different, quality=80)
        contents.append(different.read_bytes())
    for number in range(count):
        path = folder / f"class{number % 1000:03}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)])


def bare_walk(folder: Path) -> int:
    """Return how many files there are, as the fastest walk counts them."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += bare_walk(Path(entry.path)) if entry.is_dir() else 1
    return count


def bare_decode(paths: Sequence[str]) -> None:
    """Decode files with Pillow, one after the other."""
    for path in paths:
        with Image.open(path) as image:
            image.convert("RGB")


def many_small(folder: Path) -> None:
    """Print how listing and looking compare with the bare loops."""
    walked, listed = [], []
    files: list[ListedFile] = []
    for _ in range(ROUNDS):
        walked.append(seconds(lambda: bare_walk(folder)))
        listed.append(seconds(lambda: files.__setitem__(slice(None), list_files(folder, []))))
    sample = [file.path for file in files[:: max(1, len(files) // SAMPLE)]]
    bare = seconds(lambda: bare_decode(sample)) / len(sample)
    looked = seconds(lambda: look_at(files)) / len(files)
    bare = (bare + seconds(lambda: bare_decode(sample)) / len(sample)) / 2
    again = seconds(lambda: list(inspect_all(files)))
    print(
        f"{len(files)} small: listed in {statistics.median(listed):.2f} s, a bare walk takes "
        f"{statistics.median(walked):.2f} s; look {1 / looked:.0f} files/s, bare Pillow {1 / bare:.0f} files/s, "
        f"ratio {bare / looked:.2f}; again {again:.2f} s"
    )


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--small", type=int, default=0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[HOME_VARIABLE] = str(Path(scratch) / "home")
        if wanted.folder:
            against_image_folder(wanted.folder, wanted.folder.name, ROUNDS)
        if wanted.large:
            write_large(Path(scratch) / "large", wanted.large)
            against_image_folder(Path(scratch) / "large", "12 megapixels", 3)
        if wanted.small:
            write_small(Path(scratch) / "small", wanted.small)
            many_small(Path(scratch) / "small")


if __name__ == "__main__":
    main()
