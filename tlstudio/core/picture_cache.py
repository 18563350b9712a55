"""What was learned from pictures, kept on disk, so that none is opened twice: facts, thumbnails, fingerprints, copies.

Facts are found by a file's path, size and time of change; all else by the SHA-256 of the file's bytes, so that it stays
true when a file moves. Facts and fingerprints lie in one sqlite file; thumbnails and copies lie one after the other in
pack files, to which one process each appends. A cache never fails: where the disk refuses or lies, pictures are read
again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

import msgspec
import numpy as np
from PIL import Image

from tlstudio.core import cache_folder
from tlstudio.core.copies import FINGERPRINT_PX
from tlstudio.core.images import Reading, framed
from tlstudio.core.inspection import COPY_CROP_PX, COPY_FILTER, COPY_PX, Inspected
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_facts import PictureFacts, ScannedFile

FORMAT_VERSION = 1
"""To be raised when other facts, pixels or fingerprints come of the same files: what lies there is not used then."""
PACK_BYTES = 256 * 2**20
ROOM_CHECK_BYTES = 32 * 2**20
SHARE_LEFT_BY_COPIES = 0.25
"""Copies leave this share of the cache to what is smaller and dearer: thumbnails, fingerprints, features."""
LOCK_TIMEOUT_S = 5.0
ROWS_A_QUERY = 500
THUMBNAIL = "thumbnail"
WHOLE = "whole"
# What may be otherwise the next time though the file is the same: rights, packages, a busy computer.
_PASSING = frozenset({"no-access", "unsupported", "decoder-crashed", "too-slow"})
_TABLES = """
    CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, answer BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS fingerprints (content BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS kept (
        content BLOB, kind TEXT, pack TEXT, start INTEGER, bytes INTEGER, checksum INTEGER, width INTEGER,
        height INTEGER, PRIMARY KEY (content, kind)
    ) WITHOUT ROWID;
"""


_answers: msgspec.msgpack.Decoder[tuple[PictureFacts | None, str, str]] = msgspec.msgpack.Decoder(
    tuple[PictureFacts | None, str, str]
)


@dataclass(frozen=True)
class CopyRecipe:
    """How a picture becomes its copy: read by `reading`, then `framed`. Make it with `copy_recipe`."""

    resize_px: int
    crop_px: int
    filter_name: str
    reading: Reading

    @property
    def kind(self) -> str:
        """Return the recipe as a word for the table of what is kept."""
        chosen = self.reading
        return f"{self.resize_px} {self.crop_px} {self.filter_name} {chosen.framing} {_values_read(chosen)}"

    def suits_whole(self, size: tuple[int, int]) -> bool:
        """Return whether the copy can be made of a small picture of that size, read without any choice."""
        not_shrunk = min(size) < 4 * self.resize_px
        return not_shrunk and _values_read(self.reading) == _values_read(Reading())


def copy_recipe(resize_px: int, crop_px: int, filter_name: str, reading: Reading = Reading()) -> CopyRecipe:
    """Return the recipe of the copies for a network; two networks that ask for the same pixels share them."""
    # "fill" keeps all of the long side, so that the crop does not matter.
    return CopyRecipe(resize_px, 0 if reading.framing == "fill" else crop_px, filter_name, reading)


def _values_read(reading: Reading) -> tuple[object, ...]:
    return reading.low, reading.high, reading.channels


SCAN_RECIPE = copy_recipe(COPY_PX, COPY_CROP_PX, COPY_FILTER)
"""The recipe of the copies that a look at files makes."""


class Kept(msgspec.Struct, frozen=True):
    """Where a thumbnail or a copy lies. `width_px` and `height_px` are 0 for what is not plain RGB pixels."""

    content: bytes
    kind: str
    pack: str
    start: int
    size_bytes: int
    checksum: int
    width_px: int
    height_px: int


class Learned(msgspec.Struct, frozen=True):
    """What there is to put down about one file, small enough to be sent between processes."""

    listed: ListedFile
    scanned: ScannedFile
    fingerprint: bytes = b""
    kept: tuple[Kept, ...] = ()


class Packs:
    """Appends thumbnails and copies to pack files of this process alone; usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._name = ""
        self._size = 0
        self._until_check = 0
        self._room_bytes = 0
        self._reserve_bytes = 0
        self._started_s = time.time()

    def learn(self, listed: ListedFile, found: Inspected) -> Learned:
        """Put down what a look at a file found, as far as there is room, and return what the tables need."""
        facts = found.scanned.facts
        if facts is None or found.fingerprint is None:
            return Learned(listed, found.scanned)
        content = bytes.fromhex(facts.sha256)
        kept = [self.append(content, THUMBNAIL, found.thumbnail)]
        if found.copy is not None:
            kept.append(self.append_image(content, WHOLE if found.is_whole else SCAN_RECIPE.kind, found.copy))
        return Learned(
            listed, found.scanned, found.fingerprint.tobytes(), tuple(place for place in kept if place is not None)
        )

    def append_image(self, content: bytes, kind: str, image: Image.Image) -> Kept | None:
        """Append the pixels of an RGB picture; None where copies may take no more room."""
        return self.append(content, kind, image.tobytes(), *image.size)

    def append(self, content: bytes, kind: str, payload: bytes, width_px: int = 0, height_px: int = 0) -> Kept | None:
        """Append bytes; None where there is no room or the disk refuses."""
        with self._lock:
            try:
                if not self._has_room(len(payload), is_copy=kind != THUMBNAIL):
                    return None
                if self._file is None or self._size + len(payload) > PACK_BYTES:
                    self._start_pack()
                assert self._file is not None
                start = self._size
                self._file.write(payload)
            except OSError:
                self.close()
                return None
            self._size += len(payload)
            return Kept(content, kind, self._name, start, len(payload), zlib.crc32(payload), width_px, height_px)

    def close(self) -> None:
        """Let go of the file; the next thing appended starts another one."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def _has_room(self, more_bytes: int, is_copy: bool) -> bool:
        if self._until_check <= 0:
            limit = cache_folder.limit_bytes()
            self._reserve_bytes = int(limit * SHARE_LEFT_BY_COPIES)
            # What was used since this process began may be of the very pictures it is working on.
            cache_folder.make_room(more_bytes=self._reserve_bytes + ROOM_CHECK_BYTES, unused_since_s=self._started_s)
            self._room_bytes = limit - cache_folder.size_bytes()
            self._until_check = ROOM_CHECK_BYTES
        needed = more_bytes + (self._reserve_bytes if is_copy else 0)
        if needed > self._room_bytes:
            return False
        self._room_bytes -= more_bytes
        self._until_check -= more_bytes
        return True

    def _start_pack(self) -> None:
        self.close()
        name = uuid.uuid4().hex
        # Unbuffered: what another process is told of can be read at once.
        path = cache_folder.pack_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb", buffering=0)
        self._name, self._size = name, 0


class PictureCache:
    """The cache on this computer. Every method may be called from any thread and returns what is known, or nothing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._packs = Packs()
        self._packs_used: set[str] = set()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def __enter__(self) -> PictureCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; they are opened again when something is asked for."""
        with self._lock:
            self._packs.close()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def facts(self, files: Sequence[ListedFile]) -> dict[str, ScannedFile]:
        """Return what is known of those files, by path; files that changed since are unknown."""
        wanted = {file.path: file for file in files}
        known = {}
        for path, size, mtime, answer in self._rows(
            "SELECT path, size, mtime, answer FROM files WHERE path IN", list(wanted)
        ):
            file = wanted[path]
            if (size, mtime) == (file.size_bytes, file.mtime_ns):
                with suppress(msgspec.DecodeError):
                    facts, code, message = _answers.decode(answer)
                    known[path] = ScannedFile(path, file.place, facts, code, message)
        return known

    def put(self, learned: Iterable[Learned]) -> None:
        """Put down what was learned; it is safe on the disk when this returns, if the disk takes it."""
        files, fingerprints, kept = [], [], []
        for one in learned:
            found = one.scanned
            if found.code not in _PASSING:
                answer = msgspec.msgpack.encode((found.facts, found.code, found.message))
                files.append((one.listed.path, one.listed.size_bytes, one.listed.mtime_ns, answer))
            if found.facts is not None:
                fingerprints.append((bytes.fromhex(found.facts.sha256), one.fingerprint))
            kept += [msgspec.structs.astuple(place) for place in one.kept]
        self._insert(
            ("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", files),
            ("INSERT OR REPLACE INTO fingerprints VALUES (?, ?)", fingerprints),
            ("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept),
        )

    def thumbnail(self, content: str) -> bytes | None:
        """Return the thumbnail (JPEG, long side at most 192 pixels) of the picture with that SHA-256."""
        found = self._kept(bytes.fromhex(content), THUMBNAIL)
        return None if found is None else self._payload(found)

    def fingerprints(self, contents: Sequence[str]) -> list[np.ndarray | None]:
        """Return `copies.fingerprint` of each picture, in the order asked for; None for one that is unknown."""
        wanted = list(dict.fromkeys(map(bytes.fromhex, contents)))
        found = {
            content: np.frombuffer(value, np.uint8).reshape(FINGERPRINT_PX, FINGERPRINT_PX)
            for content, value in self._rows("SELECT content, value FROM fingerprints WHERE content IN", wanted)
            if len(value) == FINGERPRINT_PX**2
        }
        return [found.get(bytes.fromhex(content)) for content in contents]

    def copy(self, content: str, recipe: CopyRecipe) -> Image.Image | None:
        """Return the copy, the very pixels of `framed(decode(content, suffix, resize_px, reading), ...)`, as RGB."""
        key = bytes.fromhex(content)
        image = self._image(key, recipe.kind)
        if image is not None:
            return image
        whole = self._image(key, WHOLE)
        if whole is None or not recipe.suits_whole(whole.size):
            return None
        return framed(whole, recipe.resize_px, recipe.crop_px, recipe.filter_name, recipe.reading.framing)

    def has_copy(self, content: str, recipe: CopyRecipe) -> bool:
        """Return whether `copy` has something to read, without reading it."""
        key = bytes.fromhex(content)
        found = self._kept(key, recipe.kind)
        if found is None:
            whole = self._kept(key, WHOLE)
            found = whole if whole and recipe.suits_whole((whole.width_px, whole.height_px)) else None
        with suppress(OSError):
            return found is not None and cache_folder.pack_file(found.pack).exists()
        return False

    def put_copy(self, content: str, recipe: CopyRecipe, image: Image.Image) -> None:
        """Keep a framed picture for the next time, if the cache has room for it."""
        place = self._packs.append_image(bytes.fromhex(content), recipe.kind, image)
        if place is not None:
            self._insert(
                ("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [msgspec.structs.astuple(place)])
            )

    def _image(self, content: bytes, kind: str) -> Image.Image | None:
        found = self._kept(content, kind)
        payload = None if found is None else self._payload(found)
        if found is None or payload is None or len(payload) != 3 * found.width_px * found.height_px:
            return None
        return Image.frombytes("RGB", (found.width_px, found.height_px), payload)

    def _payload(self, found: Kept) -> bytes | None:
        """Return the bytes of that place if they are still what was put there.

        The file is opened each time: what is mapped into memory would end the process where a disk fails.
        """
        try:
            path = cache_folder.pack_file(found.pack)
            with path.open("rb", buffering=0) as file:
                file.seek(found.start)
                payload = file.read(found.size_bytes)
            if found.pack not in self._packs_used:  # the packs that are used stay longest
                self._packs_used.add(found.pack)
                os.utime(path)
        except OSError:
            return None
        return payload if zlib.crc32(payload) == found.checksum else None

    def _kept(self, content: bytes, kind: str) -> Kept | None:
        rows = self._query("SELECT * FROM kept WHERE content = ? AND kind = ?", (content, kind))
        return Kept(*rows[0]) if rows else None

    def _rows(self, query: str, keys: Sequence[str | bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), ROWS_A_QUERY):
            chosen = keys[start : start + ROWS_A_QUERY]
            yield from self._query(f"{query} ({','.join('?' * len(chosen))})", chosen)

    def _query(self, query: str, values: Sequence[str | bytes]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                connection = self._opened()
                return [] if connection is None else connection.execute(query, values).fetchall()
            except (sqlite3.Error, OSError) as error:
                self._start_afresh_if_damaged(error)
                return []

    def _insert(self, *statements: tuple[str, list[tuple[Any, ...]]]) -> None:
        with self._lock:
            try:
                connection = self._opened()
                if connection is None:
                    return
                with connection:
                    for statement, rows in statements:
                        connection.executemany(statement, rows)
            except (sqlite3.Error, OSError) as error:
                self._start_afresh_if_damaged(error)

    def _opened(self) -> sqlite3.Connection | None:
        """Return a connection to the file that lies there now: the user may have cleared the cache meanwhile."""
        path = cache_folder.pictures_file(FORMAT_VERSION)
        if self._connection is not None:
            if path.exists() and path.stat().st_ino == self._inode:
                return self._connection
            self._connection.close()
            self._connection = None
        if path.exists() and path.stat().st_size > cache_folder.limit_bytes() // 2:
            path.unlink()
        connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, check_same_thread=False)
        try:
            connection.executescript(_TABLES)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection, self._inode = connection, path.stat().st_ino
        return connection

    def _start_afresh_if_damaged(self, error: Exception) -> None:
        # Operational errors are locks, rights and full disks; they pass.
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with suppress(OSError):
                self.close()
                cache_folder.pictures_file(FORMAT_VERSION).unlink(missing_ok=True)
