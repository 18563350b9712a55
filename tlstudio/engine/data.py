"""From picture files to batches of tensors: decoded once, by threads, ahead of the network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tlstudio.core.augment import Augmentation, random_square
from tlstudio.core.backbones import Preprocessing
from tlstudio.core.errors import StudioError
from tlstudio.core.images import UnreadableImage, crop_center, read_image, resize_short_side

COPIES_BUDGET_BYTES = 4 * 2**30
SHARE_OF_MEMORY = 0.25
BATCHES_AHEAD = 3
View = Callable[[Image.Image, int], np.ndarray]


def _budget_bytes() -> int:
    """Return how much memory copies of pictures may take on this computer."""
    if not hasattr(os, "sysconf"):  # Windows does not tell without another library
        return COPIES_BUDGET_BYTES
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(COPIES_BUDGET_BYTES, int(physical * SHARE_OF_MEMORY))


class ImageStore:
    """Pictures at the size a network's preprocessing asks for.

    Positions index `paths`. With `keep`, for pictures that are shown more than once, they are read from disk once and
    then kept in memory, up to 4 GiB or a quarter of the computer's; what is beyond is read again when needed.
    """

    def __init__(self, paths: Sequence[str], preprocessing: Preprocessing, keep: bool = True) -> None:
        self.paths = paths
        self.preprocessing = preprocessing
        self._budget_bytes = _budget_bytes() if keep else 0
        self.pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="images")
        self._copies: dict[int, Image.Image] = {}
        self._kept_bytes = 0

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)

    def image(self, position: int) -> Image.Image:
        """Return the picture with its short side at the preprocessing's size, as RGB.

        Raises StudioError if the file has become unreadable since it was scanned.
        """
        kept = self._copies.get(position)
        if kept is not None:
            return kept
        wanted = self.preprocessing
        path = Path(self.paths[position])
        try:
            image = resize_short_side(read_image(path, wanted.resize_px), wanted.resize_px, wanted.interpolation)
        except UnreadableImage as error:
            raise StudioError(
                f"“{path.name}” can no longer be read ({error}) It lay in {path.parent}.",
                "Check that the folder is still there, then start again; nothing of yours was changed.",
            ) from error
        size = image.width * image.height * 3
        if self._kept_bytes + size <= self._budget_bytes:
            self._copies[position] = image
            self._kept_bytes += size
        return image

    def center_view(self, image: Image.Image, position: int) -> np.ndarray:
        """Return what the network sees of a stored picture when it is judged: uint8 (crop, crop, 3)."""
        return np.asarray(crop_center(image, self.preprocessing.crop_px))

    def batches(self, positions: Sequence[int], batch_size: int, view: View | None = None) -> Iterator[Tensor]:
        """Yield uint8 batches (batch, 3, crop, crop) in the given order, prepared ahead by threads.

        `view(image, position)` makes the picture's square; by default it is the centre.
        """
        make = view or self.center_view

        def batch(chosen: Sequence[int]) -> Tensor:
            squares = np.stack([make(self.image(position), position) for position in chosen])
            return torch.from_numpy(squares).permute(0, 3, 1, 2)

        starts = iter(range(0, len(positions), batch_size))
        ahead: deque[Future[Tensor]] = deque()
        try:
            while True:
                while len(ahead) < BATCHES_AHEAD and (start := next(starts, None)) is not None:
                    ahead.append(self.pool.submit(batch, positions[start : start + batch_size]))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def normalisation(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Return (scale, shift), each (1, 3, 1, 1), with which pixels of 0 to 255 become what a network expects."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return (1 / (255 * std)).view(1, 3, 1, 1), (-mean / std).view(1, 3, 1, 1)


class Normaliser:
    """Turns uint8 batches into the floats a network expects, on the device."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device, channels_last: bool = True) -> None:
        self._device = device
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        scale, shift = normalisation(preprocessing)
        self._scale, self._shift = scale.to(device), shift.to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 (batch, 3, height, width), in memory as the network wants it."""
        floats = images.to(self._device, non_blocking=True).float()
        return floats.mul_(self._scale).add_(self._shift).contiguous(memory_format=self._format)


def random_view(store: ImageStore, augmentation: Augmentation, seed: int, epoch: int) -> View:
    """Return a view that changes pictures at random, as the augmentation allows.

    The chance depends on (seed, epoch, position) alone, so that an epoch is the same however it is reached.
    """
    side = store.preprocessing.crop_px
    resampling = Image.Resampling[store.preprocessing.interpolation.upper()]

    def view(image: Image.Image, position: int) -> np.ndarray:
        return random_square(image, side, resampling, augmentation, np.random.default_rng((seed, epoch, position)))

    return view


def changed_view(store: ImageStore, contents: Sequence[str], augmentation: Augmentation, number: int) -> View:
    """Return the view of that number: a change that depends on the picture's content (SHA-256 by position) alone."""
    side = store.preprocessing.crop_px
    resampling = Image.Resampling[store.preprocessing.interpolation.upper()]

    def view(image: Image.Image, position: int) -> np.ndarray:
        rng = np.random.default_rng((number, int(contents[position][:16], 16)))
        return random_square(image, side, resampling, augmentation, rng)

    return view
