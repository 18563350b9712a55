"""Writing that survives a power cut: a file is either the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from tlstudio.core.decoding import from_json
from tlstudio.core.errors import StudioError, refused

T = TypeVar("T")
READ_BYTES = 1 << 20
HELD_BY_OTHERS = frozenset({5, 32, 33})
"""Errors of Windows while a virus scanner, an indexer or another window has the file open."""
PATIENCE_S, PAUSE_S = 5.0, 0.05


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file by `content` in one step, once it could be read back; missing folders are made.

    Raises StudioError if the disk refuses: the file is then as it was, or whole and new if only the folder refused.
    """
    hint = "What was saved before is untouched. Free some space or choose another folder, then try again."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _require_content(Path(temporary), content)
            # mkstemp makes private files; what the app writes is meant to be shared like any other file.
            Path(temporary).chmod(0o666 & ~_umask())
            _replace(Path(temporary), path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
            raise
        hint = "It is there and whole, but might not survive a power cut. Check the disk, then save again."
        _sync_folder(path.parent)
    except OSError as error:
        raise StudioError(
            f"“{path.name}” could not be saved in {path.parent}: {error.strerror or error}.", hint, refused(error).cause
        ) from error


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write all files, in this order, or none of them; what was there before stays. Raises StudioError."""
    new = [path for path in files if not path.exists()]
    try:
        for path, content in files.items():
            write_bytes(path, content)
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Delete what writing left in a folder when a process was killed in the middle; nobody may be writing there now."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def json_bytes(value: object) -> bytes:
    """Return a record, a list or a dict as indented JSON that people can read too."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def write_json(path: Path, value: object) -> None:
    """Write a record, a list or a dict as indented JSON; see `write_bytes`."""
    write_bytes(path, json_bytes(value))


def read_json(path: Path, kind: type[T], read: Callable[[Path], bytes] = Path.read_bytes) -> T:
    """Return the file's content as a `kind`; `read` may verify it.

    Raises StudioError if the file is missing or is not a valid `kind`.
    """
    try:
        return from_json(read(path), kind)
    except OSError as error:
        raise StudioError(f"{path} could not be read: {error.strerror or error}.", "Choose another run.") from error
    except msgspec.DecodeError as error:
        raise StudioError(
            f"{path} is damaged or was written by another version ({error}).", "Choose another run, or train again."
        ) from error


def sealed(content: bytes) -> bytes:
    """Return one line of content and a line with its SHA-256."""
    return content + b"\n" + hashlib.sha256(content).hexdigest().encode() + b"\n"


def unsealed(content: bytes) -> bytes | None:
    """Return the content of a sealed file, or None if a single bit of it has changed."""
    body, _, seal = content.removesuffix(b"\n").rpartition(b"\n")
    return body if content.endswith(b"\n") and hashlib.sha256(body).hexdigest().encode() == seal else None


def sealed_twice(line: bytes) -> bytes:
    """Return a line of content sealed two times over, so that damage to one copy loses nothing."""
    return 2 * sealed(line)


def unsealed_twice(content: bytes) -> bytes | None:
    """Return the line of a file that was sealed twice, from a copy that is whole; None if neither is."""
    half = len(content) // 2
    first, second = unsealed(content[:half]), unsealed(content[half:])
    return first if first is not None else second


def write_generation(path: Path, value: object) -> None:
    """Keep a record sealed, and the one of before beside it; both are safe on the disk. Raises StudioError."""
    content = sealed(msgspec.json.encode(value))
    try:
        before = path.read_bytes()
    except OSError:
        before = b""
    if before != content and unsealed(before) is not None:
        write_bytes(generation_before(path), before)
    write_bytes(path, content)


def read_generation(path: Path, kind: type[T]) -> tuple[T | None, list[Path]]:
    """Return the newest whole record, None if there is none, and the files that proved damaged on the way.

    Records of versions that did not seal them are read too. Raises OSError.
    """
    damaged: list[Path] = []
    for file in (path, generation_before(path)):
        try:
            content = file.read_bytes()
            body = unsealed(content)
            return from_json(content if body is None else body, kind), damaged
        except FileNotFoundError:
            continue
        except msgspec.DecodeError:
            damaged.append(file)
    return None, damaged


def generation_before(path: Path) -> Path:
    """Return where `write_generation` keeps the record of before."""
    return path.with_suffix(f".before{path.suffix}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_content(path: Path, content: bytes) -> None:
    """Raise OSError if the file does not hold this content, as on a share or a drive that only pretends to write."""
    rest = memoryview(content)
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            if block != rest[: len(block)]:
                break
            rest = rest[len(block) :]
    if block or rest:
        raise OSError(errno.EIO, "what was written cannot be read back")


def _replace(temporary: Path, path: Path) -> None:
    """Put the new file in the place of the old one; on Windows, as soon as others who read that let it go."""
    patience_ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            temporary.replace(path)
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in HELD_BY_OTHERS or time.monotonic() > patience_ends:
                raise
        time.sleep(PAUSE_S)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle for folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network shares cannot sync a folder
            raise
    finally:
        os.close(handle)
