"""Writing that survives a power cut: a file is either the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from tlstudio.core.errors import StudioError, refused

T = TypeVar("T")


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file by `content` in one step; missing folders are made.

    Raises StudioError if the disk refuses; the file that was there before is then untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes private files; what the app writes is meant to be shared like any other file.
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StudioError(
            f"“{path.name}” could not be saved in {path.parent}: {error.strerror or error}.",
            "What was saved before is untouched. Free some space or choose another folder, then try again.",
            refused(error).cause,
        ) from error


def remove_unfinished(folder: Path) -> None:
    """Delete what writing left in a folder when a process was killed in the middle; nobody may be writing there now."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a record, a list or a dict as indented JSON; see `write_bytes`."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def read_json(path: Path, kind: type[T]) -> T:
    """Return the file's content as a `kind`.

    Raises StudioError if the file is missing or is not a valid `kind`.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
