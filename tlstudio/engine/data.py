"""From pictures to batches of tensors: decoded once, by processes of their own, prepared ahead of the network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tlstudio.core.augment import Augmentation, random_square
from tlstudio.core.backbones import Preprocessing
from tlstudio.core.dataset import ImageRecord
from tlstudio.core.decode_worker import FOLDER_GONE
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.events import Emit, ShouldStop, ignore, never
from tlstudio.core.images import UnreadableImage, crop_center
from tlstudio.core.picture_cache import PictureCache, copy_recipe
from tlstudio.core.picture_reader import PictureReader
from tlstudio.core.problem import Problem
from tlstudio.core.progress import Pace
from tlstudio.engine.waiting import Waiter, heard

T = TypeVar("T")

BATCHES_AHEAD = 3
CHECKED_AT_A_TIME = 32
TRIES = 3
TRY_AGAIN_S = 1.0
View = Callable[[Image.Image, int], np.ndarray]


class FramedImages:
    """Pictures as they are kept for a network, from the copy on the disk, else from the picture's file.

    A copy belongs to the content that was scanned, so it serves as well where the file has changed or is gone. With
    `keep`, for pictures that are shown more than once, what had to be decoded is kept on the disk too. Usable from any
    thread.
    """

    def __init__(self, preprocessing: Preprocessing, keep: bool) -> None:
        self.preprocessing = preprocessing
        self._keep = keep
        self._cache = PictureCache()
        self._reader = PictureReader()
        wanted = preprocessing
        self._recipe = copy_recipe(wanted.resize_px, wanted.crop_px, wanted.interpolation, wanted.reading)

    def close(self) -> None:
        """Let go of the copies and of the processes that decode."""
        self._reader.close()
        self._cache.close()

    def rest(self) -> None:
        """End the processes that decode, until there is something to decode again."""
        self._reader.rest()

    def image(self, record: ImageRecord) -> Image.Image:
        """Return a scanned picture framed by the preprocessing, as RGB. Raises UnreadableImage."""
        copy = self._cache.copy(record.sha256, self._recipe)
        return self._decoded(record) if copy is None else copy

    def secure(self, record: ImageRecord) -> None:
        """Read a scanned picture if there is no copy of it. Raises UnreadableImage."""
        if not self._cache.has_copy(record.sha256, self._recipe):
            self._decoded(record)

    def view(self, record: ImageRecord) -> np.ndarray | Problem:
        """Return what the network sees of a scanned picture, uint8 (crop, crop, 3), or why it cannot be read."""
        try:
            return self.center(self.image(record))
        except UnreadableImage as error:
            return Problem(record.path, error.code, str(error))

    def view_of_file(self, path: str) -> np.ndarray | Problem:
        """Return what the network sees of a picture that nobody has looked at, uint8 (crop, crop, 3), or why not."""
        try:
            return self.center(self._reader.framed(path, self._recipe))
        except UnreadableImage as error:
            return Problem(path, error.code, str(error))

    def center(self, image: Image.Image) -> np.ndarray:
        """Return what the network sees of a framed picture when it is judged: uint8 (crop, crop, 3)."""
        return np.asarray(crop_center(image, self.preprocessing.crop_px))

    def _decoded(self, record: ImageRecord) -> Image.Image:
        image = self._reader.framed(record.path, self._recipe, record.sha256)
        if self._keep:
            self._cache.put_copy(record.sha256, self._recipe, image)
        return image


class ImageStore:
    """Framed pictures, batch by batch. Positions index `images`; `keep` is that of `FramedImages`.

    Where a picture cannot be read, `waiter` says how long to wait for it. To be used from one thread, and closed.
    """

    def __init__(
        self,
        images: Sequence[ImageRecord],
        preprocessing: Preprocessing,
        keep: bool = True,
        waiter: Waiter | None = None,
    ) -> None:
        self.images = images
        self.preprocessing = preprocessing
        self._framed = FramedImages(preprocessing, keep)
        self._waiter = waiter or Waiter()
        self.pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="images")

    def close(self) -> None:
        """End the threads, and the processes that decode for them."""
        self._framed.close()
        self.pool.shutdown(cancel_futures=True)

    def image(self, position: int) -> Image.Image:
        """Return the framed picture.

        Raises StudioError, with the cause "pictures-gone", if its file cannot be used and no copy was kept.
        """
        record = self.images[position]
        try:
            return self._framed.image(record)
        except UnreadableImage as error:
            raise picture_gone(record, error) from error

    def center_view(self, image: Image.Image, position: int) -> np.ndarray:
        """Return what the network sees of a framed picture when it is judged: uint8 (crop, crop, 3)."""
        return self._framed.center(image)

    def batches(
        self,
        positions: Sequence[int],
        batch_size: int,
        view: View | None = None,
        should_stop: ShouldStop = never,
    ) -> Iterator[Tensor]:
        """Yield uint8 batches (batch, 3, crop, crop) in the given order, prepared ahead by threads.

        `view(image, position)` makes the picture's square; by default it is the centre. No picture is ever left out:
        raises StudioError for one that cannot be used, after waiting for it, and Stopped.
        """
        make = view or self.center_view

        def batch(chosen: Sequence[int]) -> Tensor:
            squares = np.stack([make(self.image(position), position) for position in chosen])
            return torch.from_numpy(squares).permute(0, 3, 1, 2)

        return self._prepared(batch, positions, batch_size, should_stop)

    def unreadable(
        self, positions: Sequence[int], emit: Emit = ignore, should_stop: ShouldStop = never
    ) -> dict[int, UnreadableImage]:
        """Read, and keep if this store does, the pictures of which there is no copy; return why some cannot be read.

        Each of these was tried three times. Waits for folders that are gone. Raises StudioError, Stopped.
        """
        try:
            lost = self._unread(positions, emit, should_stop)
            for _ in range(TRIES - 1):
                if lost:
                    self._waiter.pause(TRY_AGAIN_S)
                    lost = self._unread(list(lost), emit, should_stop)
        finally:
            self._framed.rest()
        return lost

    def _unread(self, positions: Sequence[int], emit: Emit, should_stop: ShouldStop) -> dict[int, UnreadableImage]:
        def check(chosen: Sequence[int]) -> dict[int, UnreadableImage]:
            lost = {}
            for position in chosen:
                try:
                    self._framed.secure(self.images[position])
                except UnreadableImage as error:
                    if error.code == FOLDER_GONE:
                        raise picture_gone(self.images[position], error) from error
                    lost[position] = error
            return lost

        pace = Pace(emit, "Reading the pictures", len(positions))
        lost: dict[int, UnreadableImage] = {}
        for number, more in enumerate(self._prepared(check, positions, CHECKED_AT_A_TIME, should_stop), 1):
            lost |= more
            pace.step(min(number * CHECKED_AT_A_TIME, len(positions)))
        return lost

    def _prepared(
        self, prepare: Callable[[Sequence[int]], T], positions: Sequence[int], size: int, should_stop: ShouldStop
    ) -> Iterator[T]:
        """Yield what threads `prepare` ahead, for so many positions at a time, in order."""
        starts = iter(range(0, len(positions), size))
        ahead: deque[_Task[T]] = deque()
        try:
            while True:
                while len(ahead) < BATCHES_AHEAD and (start := next(starts, None)) is not None:
                    ahead.append(_Task(self.pool, partial(prepare, positions[start : start + size])))
                if not ahead:
                    return
                yield self._waiter.outlast(partial(ahead.popleft().result, should_stop))
        finally:
            for task in ahead:
                task.future.cancel()


class _Task(Generic[T]):
    """Work that a thread does ahead, and does again each time it is asked for after it has failed."""

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> None:
        self._pool, self._work = pool, work
        self.future = pool.submit(work)

    def result(self, should_stop: ShouldStop) -> T:
        """Return what the work returns; raises what it raises, and Stopped."""
        if self.future.done() and self.future.exception():
            self.future = self._pool.submit(self._work)
        return heard(self.future, should_stop)


def picture_gone(record: ImageRecord, error: UnreadableImage) -> StudioError:
    """Return that a picture can be read no more, for the user to read; it may pass, so there is a cause."""
    path = Path(record.path)
    if error.code == FOLDER_GONE:
        return StudioError(
            f"The folder {shown(path.parent)} cannot be reached any more.",
            "Connect its drive or share again, or put the folder back where it was; nothing of yours was changed.",
            "pictures-gone",
        )
    return StudioError(
        f"“{shown(path.name)}” in {shown(path.parent)} can no longer be used: {error}",
        "Put the picture back as it was, then go on; nothing of yours was changed.",
        "pictures-gone",
    )


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
