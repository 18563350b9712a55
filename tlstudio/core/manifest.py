"""The checksums of a run's files: what is read is what was written, to the last bit.

A promise comes before each file: the checksum it is going to have is accepted beside the one it has. So a crash at any
moment leaves files that are all accepted. The log grows while a run is trained: it is released then, and noted again
when the run has ended.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from tlstudio.core.decoding import from_json
from tlstudio.core.durable import sealed_twice, unsealed_twice, write_all, write_bytes
from tlstudio.core.errors import StudioError, refused
from tlstudio.core.paths import locks_dir

PATIENCE_S = 60.0
"""How long another process may take to replace a file, such as a large model on a slow disk."""
Checksums = dict[str, tuple[str, ...]]
"""File name to the SHA-256 of what may lie there: one, or several while the file is being replaced."""


class Manifest:
    """The checksums of the files in a folder. Those that it does not list are read unchecked.

    Creating one touches nothing. What it keeps is sealed twice: damage to one copy loses nothing.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self, path: Path) -> bytes:
        """Return a file's content, verified. Raises StudioError if it is damaged, OSError."""
        while True:
            checksums = self._checksums()
            content = path.read_bytes()
            if path.name not in checksums or _sha256(content) in checksums[path.name]:
                return content
            # Another process may have replaced the file in between, and its checksum with it.
            if checksums == self._checksums():
                raise StudioError(
                    f"“{path.name}” in {path.parent} is damaged: it is not what was saved there.",
                    "Your pictures are untouched. Check the disk, and train again or choose another run.",
                )

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file and its checksum; both are safe on the disk when this returns. Raises StudioError."""
        digest = _sha256(content)
        with self._changing() as checksums:
            accepted = checksums.get(path.name) or _checksum_of(path)
            if accepted != (digest,):
                self._save(checksums | {path.name: tuple(dict.fromkeys((*accepted, digest)))})
            write_bytes(path, content)
            if accepted != (digest,):
                self._save(checksums | {path.name: (digest,)})

    def write_new(self, files: Mapping[Path, bytes]) -> None:
        """Write the first files of the folder, in this order, or none of them. Raises StudioError."""
        checksums: Checksums = {path.name: (_sha256(content),) for path, content in files.items()}
        write_all({self.file: _kept(checksums), **files})

    def release(self, path: Path) -> None:
        """Let a file change unnoticed from now on. Raises StudioError."""
        with self._changing() as checksums:
            if checksums.pop(path.name, None):
                self._save(checksums)

    def note(self, path: Path, sha256: str) -> None:
        """Take the checksum of a file that is safe on the disk. Raises StudioError.

        What a crash has left open is decided too: which of several checksums a file has.
        """
        with self._changing() as checksums:
            for name, accepted in checksums.items():
                if len(accepted) > 1:
                    found = _checksum_of(self.file.parent / name)
                    checksums[name] = found if set(found) & set(accepted) else accepted
            self._save(checksums | {path.name: (sha256,)})

    def damaged(self) -> list[Path]:
        """Return the files that are not what was written, this one included. A large model takes a moment."""
        try:
            listed = self._checksums()
        except StudioError:
            return [self.file]
        found = [] if self._is_whole() else [self.file]
        for path in (self.file.parent / name for name in listed):
            try:
                if path.exists():
                    self.read(path)
            except (StudioError, OSError):
                found.append(path)
        return found

    def _is_whole(self) -> bool:
        content = self._content()
        line = unsealed_twice(content)
        return line is not None and content == sealed_twice(line)

    def _content(self) -> bytes:
        try:
            return self.file.read_bytes()
        except FileNotFoundError:  # an older version kept no checksums
            return sealed_twice(b"{}")
        except OSError as error:
            raise refused(error) from error

    def _checksums(self) -> Checksums:
        line = unsealed_twice(self._content())
        if line is None:
            raise StudioError(
                f"The checksums of “{self.file.parent.name}” are damaged, so nothing tells if its files are whole.",
                f"To open it unchecked all the same, take {self.file.name} out of its folder.",
            )
        return from_json(line, Checksums)

    def _save(self, checksums: Checksums) -> None:
        write_bytes(self.file, _kept(checksums))

    @contextmanager
    def _changing(self) -> Iterator[Checksums]:
        """Give the checksums of now; nobody else changes them meanwhile."""
        try:
            lock = FileLock(lock_file(self.file.parent, ".manifest"), timeout=PATIENCE_S)
            lock.acquire()
        except Timeout as error:
            raise StudioError(
                f"“{self.file.parent.name}” is being changed by another window or command.",
                "Wait a moment, then try again. Nothing was changed.",
            ) from error
        except OSError as error:
            raise refused(error) from error
        try:
            yield self._checksums()
        finally:
            lock.release()


def lock_file(folder: Path, purpose: str = "") -> Path:
    """Return the file by which processes on this computer keep off each other's work on a folder, however named."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return locks_dir() / f"{name}{purpose}.lock"


def _kept(checksums: Checksums) -> bytes:
    return sealed_twice(msgspec.json.encode(dict(sorted(checksums.items()))))


def _checksum_of(path: Path) -> tuple[str, ...]:
    """Return a file's SHA-256, nothing if there is none."""
    return (_sha256(path.read_bytes()),) if path.is_file() else ()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
