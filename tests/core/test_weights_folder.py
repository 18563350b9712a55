"""The weights folder: what is found there, and what is chosen when nobody chooses."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tlstudio.core.backbones import backbone
from tlstudio.core.paths import weights_dir
from tlstudio.core.weights_folder import (
    backbone_rows,
    best_present,
    recorded,
    remember,
    weights_file_for,
    weights_present,
)


def put(name: str, size: int = 100) -> Path:
    path = weights_dir() / name
    path.write_bytes(b"\0" * size)
    return path


def test_an_empty_folder_offers_nothing() -> None:
    assert not weights_present(backbone("resnet18"))
    assert best_present() == backbone("mobilenet_v2"), "what the app brings along"
    found = weights_file_for(backbone("mobilenet_v2"))
    assert found is not None and found.name == "STUDIO_SMALL" and found.path.is_file()


def test_a_file_named_as_in_the_table_is_found_without_an_index() -> None:
    path = put("resnet18-f37072fd.pth")
    found = weights_file_for(backbone("resnet18"))
    assert found is not None
    assert (found.path, found.name, found.sha256) == (path, "IMAGENET1K_V1", "")
    assert not weights_present(backbone("resnet34"))


def test_files_named_after_the_backbone_are_found_newest_first() -> None:
    old, new = put("mobilenet_v2.pth"), put("mobilenet_v2-moths.safetensors")
    put("mobilenet_v2-notes.txt")
    os.utime(old, (1_000, 1_000))
    os.utime(new, (2_000, 2_000))
    found = weights_file_for(backbone("mobilenet_v2"))
    assert found is not None
    assert (found.path, found.name) == (new, "imported mobilenet_v2-moths")


def test_an_unfinished_download_is_not_offered() -> None:
    put("resnet18-f37072fd.pth.part")
    assert not weights_present(backbone("resnet18"))


def test_the_file_accepted_last_wins() -> None:
    first, second = put("resnet50-0676ba61.pth"), put("resnet50-11ad3fa6.pth")
    remember(second, "b" * 64, "resnet50", "IMAGENET1K_V2")
    remember(first, "a" * 64, "resnet50", "IMAGENET1K_V1")
    assert weights_file_for(backbone("resnet50")) == recorded(first)
    accepted_again = remember(second, "b" * 64, "resnet50", "IMAGENET1K_V2")
    assert weights_file_for(backbone("resnet50")) == accepted_again
    assert len(json.loads((weights_dir() / "weights.json").read_bytes().splitlines()[0])) == 2


def test_an_accepted_file_of_another_size_or_none_is_passed_over() -> None:
    path = put("resnet18-f37072fd.pth")
    remember(path, "f" * 64, "resnet18", "IMAGENET1K_V1")
    put(path.name, size=99)
    assert not weights_present(backbone("resnet18"))
    path.unlink()
    assert not weights_present(backbone("resnet18"))


def test_a_damaged_index_loses_no_weights() -> None:
    path = put("resnet18-f37072fd.pth")
    remember(path, "f" * 64, "resnet18", "IMAGENET1K_V1")
    (weights_dir() / "weights.json").write_text("[{")
    assert weights_present(backbone("resnet18"))
    remember(path, "f" * 64, "resnet18", "IMAGENET1K_V1")
    assert recorded(path) is not None


def test_a_file_elsewhere_is_not_recorded(tmp_path: Path) -> None:
    remember(put("resnet18.pth"), "f" * 64, "resnet18", "imported resnet18")
    assert recorded(tmp_path / "resnet18.pth") is None


def test_the_best_is_the_most_accurate_of_moderate_size() -> None:
    put("vit_b_16.pth")
    assert best_present() == backbone("vit_b_16")
    put("mobilenet_v2.pth")
    assert best_present() == backbone("mobilenet_v2")
    put("resnet18.pth")
    assert best_present() == backbone("mobilenet_v2")
    put("resnet50-11ad3fa6.pth")
    assert best_present() == backbone("resnet50")


def test_rows_tell_what_is_on_this_computer() -> None:
    path = put("resnet50-11ad3fa6.pth")
    rows = {row["name"]: row for row in backbone_rows()}
    assert len(rows) == 21
    assert rows["resnet50"] == {
        "name": "resnet50",
        "title": "ResNet-50",
        "parameters": 25557032,
        "download_mb": 97.8,
        "input_px": 224,
        "imagenet_top1": 80.858,
        "licence": "BSD-3-Clause",
        "present": True,
        "file": str(path),
    }
    assert (rows["resnet18"]["present"], rows["resnet18"]["file"]) == (False, None)
    json.dumps(list(rows.values()))
