"""Features of pictures kept on disk, so that no picture is shown to the same frozen network twice.

One sqlite file holds the features that one network with one preparation of pictures gives; its rows are found by the
picture's content. A cache never fails: where the disk refuses, features are computed again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from tlstudio.core.backbones import Preprocessing
from tlstudio.core.cache_folder import features_file, limit_bytes, make_room

FORMAT_VERSION = 1
LOCK_TIMEOUT_S = 5.0
CONTENTS_A_QUERY = 500


def feature_key(backbone_name: str, weights_sha256: str, preprocessing: Preprocessing, view_name: str) -> str:
    """Return what tells apart features of the same picture; it can be part of a file name."""
    identity = msgspec.json.encode((FORMAT_VERSION, backbone_name, weights_sha256, preprocessing, view_name))
    return f"{backbone_name}-{hashlib.sha256(identity).hexdigest()[:24]}"


class FeatureCache:
    """Rows of `width` float32 by the picture's SHA-256. Use it in a `with` statement, from one thread."""

    def __init__(self, key: str, width: int) -> None:
        self._width = width
        self._limit_bytes = 0
        self._connection: sqlite3.Connection | None = None
        # A path that cannot be used at all, such as a folder that is a file, is no reason to stop either.
        with suppress(OSError):
            self._file = features_file(key)
            self._limit_bytes = limit_bytes()
            self._connection = _opened(self._file)

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.close()
            with suppress(OSError):
                os.utime(self._file)
                make_room(keep=self._file)

    def rows(self, contents: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (content, features (width,)) of the pictures that are known; a damaged row is not."""
        distinct = list(dict.fromkeys(contents))
        for start in range(0, len(distinct), CONTENTS_A_QUERY):
            for content, row, check in self._found(distinct[start : start + CONTENTS_A_QUERY]):
                if isinstance(row, bytes) and len(row) == 4 * self._width and check == _checksum(content, row):
                    yield content, np.frombuffer(row, np.float32)

    def put(self, rows: Mapping[str, np.ndarray]) -> None:
        """Keep features (width,) by content. They are safe on the disk when this returns, if it takes them."""
        if self._connection is None:
            return
        packed = [(content, row.tobytes()) for content, row in rows.items()]
        try:
            if self._file.stat().st_size + sum(len(row) for _, row in packed) > self._limit_bytes:
                return
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)",
                    [(content, row, _checksum(content, row)) for content, row in packed],
                )
        except (sqlite3.Error, OSError):
            self._give_up()

    def _found(self, contents: Sequence[str]) -> list[tuple[str, object, object]]:
        if self._connection is None:
            return []
        places = ",".join("?" * len(contents))
        query = f"SELECT content, features, checksum FROM rows WHERE content IN ({places})"
        try:
            return self._connection.execute(query, contents).fetchall()
        except sqlite3.Error as error:
            self._give_up()
            if _is_damage(error):
                with suppress(OSError):
                    self._connection = _replaced(self._file)
            return []

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _opened(file: Path) -> sqlite3.Connection | None:
    """Return a connection to the file, made anew where it is damaged; None where it cannot be used."""
    try:
        return _connected(file)
    except sqlite3.Error as error:
        return _replaced(file) if _is_damage(error) else None


def _replaced(file: Path) -> sqlite3.Connection | None:
    file.unlink(missing_ok=True)
    file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
    try:
        return _connected(file)
    except sqlite3.Error:
        return None


def _connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=LOCK_TIMEOUT_S)
    try:
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS rows (content TEXT PRIMARY KEY, features BLOB, checksum INTEGER)"
            )
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell a damaged file from one that is locked, read-only or on a full disk."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def _checksum(content: str, row: bytes) -> int:
    return zlib.crc32(row, zlib.crc32(content.encode()))
