"""Fetching a backbone's weights. The only place that uses the network, and only when the user asks for it."""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from tlstudio.core.backbones import DOWNLOAD_HOST, BackboneSpec, WeightsSpec
from tlstudio.core.durable import sha256_of
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Progress, ShouldStop, Stopped
from tlstudio.core.paths import weights_dir
from tlstudio.core.weights_folder import WeightsFile, remember

RETRY_DELAYS_S = (0.0, 0.5, 1.0, 2.0)
"""The first try, and three more where the connection breaks off."""
SILENCE_S = 30.0
"""How long the network may say nothing before a connection counts as broken."""
POLL_S = 0.1
CHUNK_BYTES = 1 << 18
MB = 1 << 20
SPARE_BYTES = 16 * MB
"""Left free on the disk, for the index and for everybody else."""
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
RANGE_REFUSED = 416


def download(
    spec: BackboneSpec,
    emit: Emit,
    should_stop: ShouldStop,
    weights: WeightsSpec | None = None,
    base_url: str = DOWNLOAD_HOST,
) -> WeightsFile:
    """Fetch weights (default: the first of the row) into the weights folder and return the file.

    What an earlier try left is taken up again; the file appears under its name only once its hash is right. Speaks
    https with one host; plain http is for servers on this computer. Raises StudioError, Stopped.
    """
    wanted = weights or spec.weights[0]
    target = weights_dir() / wanted.file
    part = target.with_name(f"{wanted.file}.part")
    if not _is_right(target, wanted):
        if not _is_right(part, wanted):
            _Download(spec, wanted, part, base_url).run(emit, should_stop)
            _require_right(part, wanted)
        part.replace(target)
    return remember(target, sha256_of(target), spec.name, wanted.name)


def _is_right(path: Path, wanted: WeightsSpec) -> bool:
    return path.is_file() and sha256_of(path).startswith(wanted.sha256_start)


def _require_right(part: Path, wanted: WeightsSpec) -> None:
    if _is_right(part, wanted):
        return
    part.unlink()
    raise StudioError(
        f"What arrived is not {wanted.file}: its checksum is wrong. It was thrown away.",
        "Press Download again. If that does not help, something between here and the server replaces files: "
        f"copy {wanted.file} from another computer into {part.parent}.",
    )


class _Download:
    """Tries to get all of a file into its part file, and says what stood in the way."""

    def __init__(self, spec: BackboneSpec, wanted: WeightsSpec, part: Path, base_url: str) -> None:
        self.title, self.wanted, self.part = spec.title, wanted, part
        self.url = f"{base_url}/models/{wanted.file}"
        self.host = urlsplit(base_url).hostname or ""
        self.opener = _opener(base_url)

    def run(self, emit: Emit, should_stop: ShouldStop) -> None:
        connected = False
        for delay_s in RETRY_DELAYS_S:
            transfer = _Transfer(self.opener, self.url, self.part, delay_s)
            emit(Progress(what=f"Connecting to {self.host}", done=self._bytes_kept(), total=0))
            transfer.start()
            self._watch(transfer, emit, should_stop)
            error = transfer.error
            if error is None:
                return
            connected = connected or transfer.connected
            if delay_s == RETRY_DELAYS_S[-1] or not (connected and _may_pass(error)):
                raise self._explained(error, connected) from error

    def _watch(self, transfer: _Transfer, emit: Emit, should_stop: ShouldStop) -> None:
        alive = True
        while alive:
            if should_stop():
                transfer.cancelled.set()
                raise Stopped
            transfer.join(POLL_S)
            alive = transfer.is_alive()
            if transfer.connected:
                emit(self._progress(transfer))

    def _progress(self, transfer: _Transfer) -> Progress:
        done, total = transfer.done, transfer.total
        speed = (done - transfer.offset) / max(time.monotonic() - transfer.connected_at, 1e-3)
        return Progress(
            what=f"Downloading {self.title} at {speed / MB:.1f} MB/s",
            done=done,
            total=total,
            seconds_left=(total - done) / speed if total and speed else None,
        )

    def _bytes_kept(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _explained(self, error: Exception, connected: bool) -> Exception:
        """Return the error for the user to read; one that comes from neither network nor disk is a bug and stays."""
        file = self.wanted.file
        copy_it = f"copy the file {file} from another computer into {self.part.parent}"
        match error:
            case HTTPError():
                return StudioError(
                    f"{self.host} did not hand out {file} (error {error.code}).",
                    f"Press Download again later, or {copy_it}.",
                )
            case OSError() | HTTPException() if connected:
                return StudioError(
                    f"The connection to {self.host} broke off after {self._bytes_kept() / MB:.1f} MB of {file}.",
                    "What has arrived is kept: press Download again to go on from there.",
                )
            case OSError() | HTTPException():
                reason = error.reason if isinstance(error, URLError) else error
                return StudioError(f"No connection to {self.host} ({reason}).", f"Check the network, or {copy_it}.")
        return error


class _Transfer(threading.Thread):
    """One try, in a thread of its own so that a silent network never delays a Cancel.

    Others may read its figures at any time; they are meaningful once `connected` is true.
    """

    def __init__(self, opener: OpenerDirector, url: str, part: Path, delay_s: float) -> None:
        super().__init__(name="download", daemon=True)
        self._opener, self._url, self._part, self._delay_s = opener, url, part, delay_s
        self.cancelled = threading.Event()
        self.connected = False
        self.connected_at = 0.0
        self.offset = 0
        """Bytes that were there before."""
        self.done = 0
        self.total = 0
        """0 if the server does not say."""
        self.error: Exception | None = None

    def run(self) -> None:
        if self.cancelled.wait(self._delay_s):
            return
        try:
            self._receive()
        except Exception as error:
            if isinstance(error, HTTPError):
                error.close()
            self.error = error

    def _receive(self) -> None:
        kept = self._part.stat().st_size if self._part.exists() else 0
        with self._open(kept) as response:
            goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {kept}-")
            self.offset = self.done = kept if goes_on else 0
            self.total = self.offset + response.length if response.length else 0
            self.connected_at = time.monotonic()
            self.connected = True
            self._require_space(self.total - self.offset)
            with self._saving():
                file = self._part.open("ab" if goes_on else "wb", buffering=0)
            with file:
                # read1 hands over what has arrived, so that little is lost when the connection breaks.
                while chunk := response.read1(CHUNK_BYTES):
                    if self.cancelled.is_set():
                        return
                    with self._saving():
                        unwritten = memoryview(chunk)
                        while unwritten:
                            unwritten = unwritten[file.write(unwritten) :]
                    self.done += len(chunk)
                with self._saving():
                    os.fsync(file.fileno())
        if self.done < self.total:
            raise ConnectionError("the server closed the connection")

    def _open(self, kept: int) -> HTTPResponse:
        request = Request(self._url, headers={"User-Agent": "tlstudio", "Accept-Encoding": "identity"})
        if kept:
            request.add_header("Range", f"bytes={kept}-")
        try:
            response: HTTPResponse = self._opener.open(request, timeout=SILENCE_S)
        except HTTPError as error:
            if not (kept and error.code == RANGE_REFUSED):
                raise
            error.close()
            return self._open(0)
        return response

    def _require_space(self, needed_bytes: int) -> None:
        lacking = needed_bytes + SPARE_BYTES - shutil.disk_usage(self._part.parent).free
        if lacking > 0:
            raise self._no_space(lacking)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Tells failures of the disk from those of the network."""
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL:
                raise self._no_space(max(self.total - self.done, 0) + SPARE_BYTES) from error
            raise StudioError(
                f"“{self._part.name}” could not be saved in {self._part.parent}: {error.strerror or error}.",
                "Check the disk, then press Download again.",
            ) from error

    def _no_space(self, lacking_bytes: int) -> StudioError:
        return StudioError(
            f"The disk that holds {self._part.parent} is full.",
            f"Free {-(-lacking_bytes // MB)} MB there, then press Download again; what has arrived is kept.",
        )


def _may_pass(error: Exception) -> bool:
    """Tell whether trying again can help: a broken connection or a busy server, not a refusal or a full disk."""
    if isinstance(error, HTTPError):
        return error.code >= 500
    return isinstance(error, (OSError, HTTPException))


class _SameHost(HTTPRedirectHandler):
    """Follows a redirect only if it stays with the host, and with its kind of connection."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            fp.close()
            raise StudioError(
                f"{before.hostname} passed the download on to {after.scheme}://{after.netloc}, which was refused.",
                "If this network has a sign-in page, open any web page in a browser first; then press Download again.",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(base_url: str) -> OpenerDirector:
    where = urlsplit(base_url)
    if _is_loopback(where.hostname or ""):
        return build_opener(_SameHost, ProxyHandler({}))
    if where.scheme != "https":
        raise ValueError(f"{base_url} is not an https address")
    return build_opener(_SameHost)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
