"""From pictures to batches of tensors: decoded once, by threads, ahead of the network."""

from __future__ import annotations

import hashlib
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
from tlstudio.core.dataset import ImageRecord
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.images import UnreadableImage, crop_center, decode, framed, read_bytes
from tlstudio.core.picture_cache import PictureCache, copy_recipe
from tlstudio.core.problem import Problem

BATCHES_AHEAD = 3
View = Callable[[Image.Image, int], np.ndarray]


class FramedImages:
    """Scanned pictures as they are kept for a network, from the copy on the disk, else from the picture's file.

    A copy belongs to the content that was scanned, so it serves as well where the file has changed or is gone. With
    `keep`, for pictures that are shown more than once, what had to be decoded is kept on the disk too.
    """

    def __init__(self, preprocessing: Preprocessing, keep: bool) -> None:
        self.preprocessing = preprocessing
        self._keep = keep
        self._cache = PictureCache()
        wanted = preprocessing
        self._recipe = copy_recipe(wanted.resize_px, wanted.crop_px, wanted.interpolation, wanted.reading)

    def close(self) -> None:
        """Let go of the copies."""
        self._cache.close()

    def image(self, record: ImageRecord) -> Image.Image:
        """Return the picture framed by the preprocessing, as RGB. Raises UnreadableImage."""
        copy = self._cache.copy(record.sha256, self._recipe)
        if copy is not None:
            return copy
        wanted, path = self.preprocessing, Path(record.path)
        content = read_bytes(path)
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise UnreadableImage("changed", "The file was changed after the app had looked at it.")
        decoded = decode(content, path.suffix, wanted.resize_px, wanted.reading)
        image = framed(decoded, wanted.resize_px, wanted.crop_px, wanted.interpolation, wanted.reading.framing)
        if self._keep:
            self._cache.put_copy(record.sha256, self._recipe, image)
        return image

    def view(self, record: ImageRecord) -> np.ndarray | Problem:
        """Return what the network sees of a picture, uint8 (crop, crop, 3), or why it cannot be read."""
        try:
            return self.center(self.image(record))
        except UnreadableImage as error:
            return Problem(record.path, error.code, str(error))

    def center(self, image: Image.Image) -> np.ndarray:
        """Return what the network sees of a framed picture when it is judged: uint8 (crop, crop, 3)."""
        return np.asarray(crop_center(image, self.preprocessing.crop_px))


class ImageStore:
    """Framed pictures, batch by batch. Positions index `images`; `keep` is that of `FramedImages`."""

    def __init__(self, images: Sequence[ImageRecord], preprocessing: Preprocessing, keep: bool = True) -> None:
        self.images = images
        self.preprocessing = preprocessing
        self._framed = FramedImages(preprocessing, keep)
        self.pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="images")

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)
        self._framed.close()

    def image(self, position: int) -> Image.Image:
        """Return the framed picture. Raises StudioError if its file cannot be used any more and no copy was kept."""
        record = self.images[position]
        try:
            return self._framed.image(record)
        except UnreadableImage as error:
            path = Path(record.path)
            raise StudioError(
                f"“{shown(path.name)}” in {shown(path.parent)} can no longer be used: {error}",
                "Check that the folder is still there, then start again; nothing of yours was changed.",
            ) from error

    def center_view(self, image: Image.Image, position: int) -> np.ndarray:
        """Return what the network sees of a framed picture when it is judged: uint8 (crop, crop, 3)."""
        return self._framed.center(image)

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


def changed_view(store: ImageStore, augmentation: Augmentation, number: int) -> View:
    """Return the view of that number: a change that depends on the picture's content alone."""
    side = store.preprocessing.crop_px
    resampling = Image.Resampling[store.preprocessing.interpolation.upper()]

    def view(image: Image.Image, position: int) -> np.ndarray:
        rng = np.random.default_rng((number, int(store.images[position].sha256[:16], 16)))
        return random_square(image, side, resampling, augmentation, rng)

    return view
