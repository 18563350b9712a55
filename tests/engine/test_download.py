"""Downloads against a real server: slow, cut off, wrong, full, moved."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.weights_server import WeightsServer, serving
from tlstudio.core.backbones import WeightsSpec, backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Progress, Stopped, ignore, never
from tlstudio.core.paths import weights_dir
from tlstudio.core.weights_folder import WeightsFile, recorded, weights_file_for
from tlstudio.engine.download import download

RESNET18 = backbone("resnet18")
CONTENT = os.urandom(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WEIGHTS = WeightsSpec("IMAGENET1K_V1", f"resnet18-{SHA256[:8]}.pth", 3.0, 69.758, 256, 224, "bilinear")


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with serving(CONTENT) as running:
        yield running


def fetch(server: WeightsServer, events: list[Event] | None = None) -> WeightsFile:
    return download(RESNET18, ignore if events is None else events.append, never, WEIGHTS, server.url)


def part_file() -> Path:
    return weights_dir() / f"{WEIGHTS.file}.part"


def assert_whole(file: WeightsFile) -> None:
    assert file.path.read_bytes() == CONTENT
    assert (file.sha256, file.name, file.backbone) == (SHA256, "IMAGENET1K_V1", "resnet18")
    assert recorded(file.path) == file
    assert not part_file().exists()


def test_a_download_arrives_and_is_remembered(server: WeightsServer) -> None:
    events: list[Event] = []
    file = fetch(server, events)
    assert_whole(file)
    assert weights_file_for(RESNET18) == file
    assert server.requested == [(f"/models/{WEIGHTS.file}", None)]
    last = events[-1]
    assert isinstance(last, Progress)
    assert (last.done, last.total, last.seconds_left) == (len(CONTENT), len(CONTENT), 0)
    assert last.what.startswith("Downloading ResNet-18 at ")
    assert last.what.endswith(" MB/s")


def test_what_is_there_is_not_fetched_again(server: WeightsServer) -> None:
    file = fetch(server)
    part_file().write_bytes(b"left behind")
    assert fetch(server) == file
    assert file.path.read_bytes() == CONTENT
    assert len(server.requested) == 1


def test_a_cut_connection_is_taken_up_where_it_broke(server: WeightsServer) -> None:
    server.cut_after = [1_000_000, None]
    assert_whole(fetch(server))
    (_, first), (_, second) = server.requested
    assert first is None
    assert second == "bytes=1000000-"


def test_a_connection_that_keeps_breaking_keeps_what_arrived(server: WeightsServer) -> None:
    server.cut_after = [100_000]
    with pytest.raises(StudioError) as caught:
        fetch(server)
    assert len(server.requested) == 4
    assert "broke off after 0.4 MB" in caught.value.what
    assert "kept" in caught.value.hint
    assert "press Download again" in caught.value.hint
    assert part_file().read_bytes() == CONTENT[:400_000]
    server.cut_after = []
    assert_whole(fetch(server))
    assert server.requested[-1][1] == "bytes=400000-"


def test_a_server_without_ranges_starts_over(server: WeightsServer) -> None:
    server.cut_after, server.supports_range = [1_000_000, None], False
    assert_whole(fetch(server))
    assert server.requested[1][1] == "bytes=1000000-"


def test_a_part_longer_than_the_file_starts_over(server: WeightsServer) -> None:
    part_file().write_bytes(b"x" * (len(CONTENT) + 1))
    assert_whole(fetch(server))
    assert [wanted for _, wanted in server.requested] == [f"bytes={len(CONTENT) + 1}-", None]


def test_a_complete_part_needs_no_server() -> None:
    part_file().write_bytes(CONTENT)
    assert_whole(download(RESNET18, ignore, never, WEIGHTS, "http://127.0.0.1:9"))


def test_cancel_does_not_wait_for_a_silent_server(server: WeightsServer) -> None:
    server.stall_after = 500_000
    progress: list[Progress] = []
    asked_at: list[float] = []

    def stop_once_all_arrived() -> bool:
        if not asked_at and progress and progress[-1].done == 500_000:
            asked_at.append(time.monotonic())
        return bool(asked_at)

    def listen(event: Event) -> None:
        assert isinstance(event, Progress)
        progress.append(event)

    with pytest.raises(Stopped):
        download(RESNET18, listen, stop_once_all_arrived, WEIGHTS, server.url)
    assert time.monotonic() - asked_at[0] < 2
    assert progress[-1].total == len(CONTENT)
    assert part_file().read_bytes() == CONTENT[:500_000]
    assert not (weights_dir() / WEIGHTS.file).exists()


def test_a_wrong_file_is_thrown_away(server: WeightsServer) -> None:
    server.content = bytes(len(CONTENT))
    with pytest.raises(StudioError, match="checksum is wrong"):
        fetch(server)
    assert list(weights_dir().iterdir()) == []


def test_a_damaged_file_is_repaired(server: WeightsServer) -> None:
    (weights_dir() / WEIGHTS.file).write_bytes(CONTENT[:-1] + b"?")
    assert_whole(fetch(server))


def test_a_redirect_to_another_host_is_refused(server: WeightsServer) -> None:
    server.redirect_to = "http://example.org/weights.pth"
    with pytest.raises(StudioError, match=r"passed the download on to http://example\.org, which was refused"):
        fetch(server)
    assert list(weights_dir().iterdir()) == []


def test_a_redirect_within_the_host_is_followed(server: WeightsServer) -> None:
    server.redirect_to = "/moved/weights.pth"
    assert_whole(fetch(server))


def test_a_missing_file_is_explained(server: WeightsServer) -> None:
    server.status = 404
    with pytest.raises(StudioError, match=r"did not hand out .* \(error 404\)"):
        fetch(server)
    assert len(server.requested) == 1


def test_without_a_network_it_says_which_file_to_copy_where() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(StudioError) as caught:
        download(RESNET18, ignore, never, WEIGHTS, f"http://127.0.0.1:{port}")
    assert caught.value.what.startswith("No connection to 127.0.0.1")
    assert WEIGHTS.file in caught.value.hint
    assert str(weights_dir()) in caught.value.hint


def test_plain_http_is_refused_for_real_hosts() -> None:
    with pytest.raises(ValueError, match="not an https address"):
        download(RESNET18, ignore, never, WEIGHTS, "http://download.pytorch.org")


def test_too_little_space_is_noticed_before_anything_is_written(
    server: WeightsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(weights_dir())._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", {weights_dir(): usage}.__getitem__)
    with pytest.raises(StudioError) as caught:
        fetch(server)
    assert "is full" in caught.value.what
    assert "Free 18 MB" in caught.value.hint  # 3 to come and 16 to spare, 1 is free
    assert list(weights_dir().iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_disk_that_fills_up_keeps_what_arrived(server: WeightsServer) -> None:
    script = """
import json, resource, sys
from tlstudio.core.backbones import WeightsSpec, backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.events import ignore, never
from tlstudio.engine.download import download
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    download(backbone("resnet18"), ignore, never, WeightsSpec(**json.loads(sys.argv[1])), sys.argv[2])
except StudioError as error:
    print(json.dumps([error.what, error.hint]))
"""
    weights = json.dumps({name: getattr(WEIGHTS, name) for name in WEIGHTS.__struct_fields__})
    answer = subprocess.run(
        [sys.executable, "-c", script, weights, server.url], capture_output=True, text=True, check=True
    )
    what, hint = json.loads(answer.stdout)
    assert "is full" in what
    assert "what has arrived is kept" in hint
    assert part_file().read_bytes() == CONTENT[:1_000_000]
    assert_whole(fetch(server))
