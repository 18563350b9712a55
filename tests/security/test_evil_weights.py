"""Files of weights and models that mean harm, through the engine's door and the command line."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from tests.security.conftest import Trap, assert_plain, tampered_copy
from tlstudio.core import jobs
from tlstudio.core.backbones import backbone
from tlstudio.core.events import ignore, never
from tlstudio.core.paths import weights_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.networks import torchvision_model
from tlstudio.engine.perform import perform


def torch_file(content: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def with_pickle(program: bytes) -> bytes:
    """Return a .pth whose pickle is this program."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_file({"a": torch.zeros(3)}))) as good, zipfile.ZipFile(changed, "w") as evil:
        for member in good.infolist():
            evil.writestr(member.filename, program if member.filename.endswith("data.pkl") else good.read(member))
    return changed.getvalue()


def safetensors_file(header: object, data: bytes = b"", claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if claimed is None else claimed).to_bytes(8, "little") + text + data


def floats(shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def holds_itself() -> dict[str, Any]:
    state: dict[str, Any] = {}
    state["state_dict"] = state
    return state


def grown_by_stride() -> torch.Tensor:
    return torch.zeros(1).expand(2**40)


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data.pkl", "w") as file:
        file.write(bytes(2**26))
    return packed.getvalue()


def lying_zip() -> bytes:
    """Return a .pth whose tensors' zip entries claim another size than they have."""
    return torch_file({"a": torch.zeros(3)}).replace((12).to_bytes(4, "little"), (2**31 - 1).to_bytes(4, "little"))


def squeezenet(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return torchvision_model(backbone("squeezenet1_1")).state_dict() | changes


FIRST = "features.0.weight"
EVIL: dict[str, Callable[[Trap], bytes]] = {
    "pickle.pth": pickle.dumps,
    "pickle.bin": pickle.dumps,
    "pickle.safetensors": pickle.dumps,
    "object.pth": torch_file,
    "object of old.pth": lambda trap: torch_file(trap, _use_new_zipfile_serialization=False),
    "object beside weights.pth": lambda trap: torch_file({"state_dict": squeezenet(), "note": trap}),
    "object as name.pth": lambda trap: torch_file({"state_dict": squeezenet() | {trap: torch.zeros(1)}}),
    "module.pt": lambda trap: torch_file(nn.Linear(2, 2)),
    "script.pt": lambda trap: scripted(),
    "system.pth": lambda trap: with_pickle(b"cos\nsystem\n(S'touch " + os.fsencode(trap.witness) + b"'\ntR."),
    "eval.pth": lambda trap: with_pickle(
        b"cbuiltins\neval\n(S'open(\"" + os.fsencode(trap.witness) + b"\",\"w\")'\ntR."
    ),
    "nested.pth": lambda trap: with_pickle(b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."),
    "itself.pth": lambda trap: torch_file(holds_itself()),
    "stride.pth": lambda trap: torch_file({"a": grown_by_stride()}),
    "lying.pth": lambda trap: lying_zip(),
    "bomb.pth": lambda trap: bomb(),
    "endless header.safetensors": lambda trap: safetensors_file(b"{}", claimed=2**63 - 1),
    "header of a gigabyte.safetensors": lambda trap: safetensors_file(b"{" + b" " * 2**20, claimed=2**30),
    "nested.safetensors": lambda trap: safetensors_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "overlap.safetensors": lambda trap: safetensors_file(
        {"a": floats([2], 0, 8), "b": floats([2], 4, 12)}, bytes(12)
    ),
    "twice.safetensors": lambda trap: safetensors_file(
        b'{"a":%s,"a":%s}' % (json.dumps(floats([1], 0, 4)).encode(), json.dumps(floats([2], 0, 8)).encode()), bytes(8)
    ),
    "terabyte.safetensors": lambda trap: safetensors_file({"a": floats([2**38], 0, 2**40)}, bytes(16)),
    "negative.safetensors": lambda trap: safetensors_file({"a": floats([-4], 0, 16)}, bytes(16)),
    "not finite.safetensors": lambda trap: save_safetensors(
        squeezenet(**{FIRST: torch.full((64, 3, 3, 3), torch.nan)})
    ),
    "other shape.safetensors": lambda trap: save_safetensors(squeezenet(**{FIRST: torch.zeros(3)})),
    "names.safetensors": lambda trap: save_safetensors({"../../<b>x</b>\u202e": torch.zeros(3)}),
}  # fmt: skip


def test_the_trap_works(tmp_path: Path):
    trap = Trap(tmp_path / "sprung")
    os.close(pickle.loads(pickle.dumps(trap)))
    assert trap.witness.exists()


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_evil_weights_are_refused(name: str, trap: Trap, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(EVIL[name](trap))
    before = path.read_bytes()
    ended = perform(jobs.Import(file=str(path)), ignore, never)
    assert ended.status == "failed", ended
    assert_plain(f"{ended.what} {ended.hint}")
    assert path.read_bytes() == before and not list(weights_dir().iterdir())


@pytest.mark.parametrize("kind", ["fifo", "link to a device", "folder"])
def test_what_is_no_file_is_never_waited_for(kind: str, tmp_path: Path):
    path = tmp_path / "weights.pth"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to("/dev/zero")
    ended = perform(jobs.Import(file=str(path)), ignore, never)
    assert ended.status == "failed" and "There is no weights file" in ended.what


def test_evil_weights_named_on_the_command_line(trap: Trap, tmp_path: Path, drawn_pictures: Path, refused):
    path = tmp_path / "weights.pth"
    path.write_bytes(torch_file(trap))
    said = refused("train", drawn_pictures, "--run", tmp_path / "run", "--backbone", "squeezenet1_1", "--weights", path)
    assert "holds a whole program" in said and not (tmp_path / "run").exists()


def test_evil_weights_put_into_the_weights_folder(trap: Trap, tmp_path: Path, drawn_pictures: Path, refused):
    (weights_dir() / "resnet18-f37072fd.pth").write_bytes(torch_file(trap))
    (weights_dir() / "weights.json").write_bytes(b"[" * 200_000)
    said = refused("train", drawn_pictures, "--run", tmp_path / "run", "--backbone", "resnet18")
    assert "damaged" in said


# --- models of runs --------------------------------------------------------------------------------------------------

CARDS: dict[str, dict[str, Any]] = {
    "no such backbone": {"backbone": "../../etc/passwd"},
    "cut far before": {"cut_after": -100},
    "a head of terabytes": {"head": {"kind": "mlp", "units": 10**12}},
    "a head of gigabytes": {"head": {"kind": "kernel", "units": 10**7}},
    "a head of nothing": {"head": {"kind": "conv", "units": 4, "shrink": 0}},
    "no classes": {"classes": []},
    "more classes than it answers": {"classes": [str(number) for number in range(200_000)]},
    "pictures of gigapixels": {"preprocessing": {"resize_px": 10**6}},
    "pictures of nothing": {"preprocessing": {"crop_px": 0}},
    "divided by nothing": {"preprocessing": {"std": [0, 1, 1]}},
    "no temperature": {"temperature": 0},
    "cold beyond measure": {"temperature": 1e-300},
    "another version of everything": {"head": [[[["x"]]]]},
}


@pytest.mark.parametrize("name", CARDS)
def test_evil_models_are_refused(name: str, head_run: RunFolder, drawn_pictures: Path, tmp_path: Path, refused):
    run = tampered_copy(head_run, tmp_path / "run")
    content = run.model_file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    card = json.loads(header["__metadata__"]["tlstudio"])
    for key, value in CARDS[name].items():
        card[key] = card[key] | value if key == "preprocessing" else value
    tensors = load_safetensors(content)
    run.model_file.write_bytes(save_safetensors(tensors, {"tlstudio": json.dumps(card)}))
    refused("predict", run.path, next(drawn_pictures.rglob("*.png")))


@pytest.mark.parametrize("name", ["nested", "pickle", "not finite", "empty"])
def test_models_that_are_none(
    name: str, trap: Trap, head_run: RunFolder, drawn_pictures: Path, tmp_path: Path, refused
):
    run = tampered_copy(head_run, tmp_path / "run")
    content = run.model_file.read_bytes()
    card = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    tensors = load_safetensors(content)
    run.model_file.write_bytes(
        {
            "nested": safetensors_file(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
            "pickle": pickle.dumps(trap),
            "not finite": save_safetensors({key: value * torch.nan for key, value in tensors.items()}, card),
            "empty": b"",
        }[name]
    )
    assert "model" in refused("predict", run.path, next(drawn_pictures.rglob("*.png")))
    assert "model" in refused("export", run.path, "--format", "onnx", "--to", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_tampered_copy_is_a_run_as_long_as_nothing_is_changed(
    head_run: RunFolder, drawn_pictures: Path, tmp_path: Path
):  # fmt: skip
    run = tampered_copy(head_run, tmp_path / "run")
    ended = perform(jobs.Predict(run=str(run.path), paths=(str(drawn_pictures),)), ignore, never)
    assert ended.status == "finished" and msgspec.to_builtins(ended)["result"]["images"] == 40
