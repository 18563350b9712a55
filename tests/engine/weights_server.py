"""A real HTTP server on this computer that hands out a weights file, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WeightsServer(ThreadingHTTPServer):
    """Serves `content` under every path. The attributes make it misbehave; set them before the request."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.requested: list[tuple[str, str | None]] = []
        """Path and Range header of every request."""
        self.cut_after: list[int | None] = []
        """For request 0, 1, ...: close the connection after so many bytes. The last entry holds for all that follow."""
        self.stall_after: int | None = None
        """Fall silent after so many bytes, until the server is closed."""
        self.supports_range = True
        self.status = 200
        self.redirect_to: str | None = None
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: WeightsServer

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        number = len(server.requested)
        server.requested.append((self.path, wanted))
        if server.redirect_to and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", server.redirect_to)
            self.end_headers()
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        start, content = 0, server.content
        if wanted and server.supports_range:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cuts = server.cut_after
        end = cuts[min(number, len(cuts) - 1)] if cuts else server.stall_after
        self.wfile.write(content[start : None if end is None else start + end])
        if server.stall_after is not None:
            server.closing.wait()

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `requested` instead."""


@contextmanager
def serving(content: bytes) -> Iterator[WeightsServer]:
    """Run a server in a thread for the length of the block."""
    with WeightsServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
