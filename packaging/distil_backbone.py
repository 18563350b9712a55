"""Train the built-in backbone: MobileNetV2 from random weights, taught block by block by an ImageNet network.

Every block of the student receives the teacher's input of that block and regresses the teacher's output of it, on
random crops of a folder of ordinary pictures; no class names are used. The blocks do not wait for each other, so the
gradient path is three layers long, and an hour on two cores does what end-to-end distillation needs days for.

The program can be stopped at any time and started again with the same arguments: it goes on from `state.pt` in the
output folder. `log.jsonl` there has the loss and, with `--probe`, the accuracy of a logistic regression on the pooled
features of a folder with `train` and `val`.

Sources: blockwise supervision (Li et al. 2020, "Blockwisely supervised neural architecture search with knowledge
distillation"); the same view for both networks, and mixup (Beyer et al. 2022, "Knowledge distillation: a good teacher
is patient and consistent").
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.transforms.v2 import functional as TF

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
SUFFIXES = {".jpg", ".jpeg", ".png"}


def read_picture(path: Path, short_side_px: int) -> Tensor:
    """Return the picture as uint8 (3, height, width), shrunk to the given short side."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = short_side_px / min(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).contiguous()


def picture_paths(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)


def random_crop(picture: Tensor, size_px: int, rng: np.random.Generator) -> Tensor:
    """Return a random square view: area 8 to 100 %, aspect 3/4 to 4/3, mirrored half of the time."""
    _, height, width = picture.shape
    area = height * width * rng.uniform(0.08, 1.0)
    aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    crop_w = min(width, max(16, round(math.sqrt(area * aspect))))
    crop_h = min(height, max(16, round(math.sqrt(area / aspect))))
    top = int(rng.integers(0, height - crop_h + 1))
    left = int(rng.integers(0, width - crop_w + 1))
    view = TF.resized_crop(picture, top, left, crop_h, crop_w, [size_px, size_px], antialias=True)
    return view.flip(-1) if rng.random() < 0.5 else view


def crop_batches(
    pictures: list[Tensor], batch: int, size_px: int, seed: int, pool: ThreadPoolExecutor
) -> Iterator[Tensor]:
    """Yield normalised batches (batch, 3, size, size) for ever; mixup on half of them."""
    rng = np.random.default_rng(seed)

    def make(task_seed: int) -> Tensor:
        own = np.random.default_rng(task_seed)
        chosen = own.integers(0, len(pictures), batch)
        images = torch.stack([random_crop(pictures[i], size_px, own) for i in chosen]).float().div_(255)
        if own.random() < 0.5:
            images = torch.lerp(images, images.flip(0), float(own.uniform(0.0, 0.5)))
        return ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)

    pending = [pool.submit(make, int(rng.integers(2**62))) for _ in range(3)]
    while True:
        ready = pending.pop(0).result()
        pending.append(pool.submit(make, int(rng.integers(2**62))))
        yield ready


def probe_accuracy(network: nn.Module, folder: Path, size_px: int) -> float:
    """Return the accuracy on `folder/val` of a logistic regression fitted on `folder/train`."""
    network.eval()
    tables: dict[str, tuple[np.ndarray, list[str]]] = {}
    for part in ("train", "val"):
        rows, names = [], []
        for path in picture_paths(folder / part):
            picture = read_picture(path, round(size_px * 256 / 224))
            image = TF.center_crop(picture, [size_px, size_px]).float().div(255).unsqueeze(0)
            with torch.inference_mode():
                rows.append(network((image - MEAN) / STD).mean((2, 3))[0].numpy())
            names.append(path.parent.name)
        tables[part] = (np.stack(rows), names)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    probe.fit(*tables["train"])
    return float(probe.score(*tables["val"]))


def blockwise_loss(student: nn.Sequential, teacher: nn.Sequential, images: Tensor) -> Tensor:
    """Return the sum over blocks of the squared error, in units of what the teacher's block adds, per channel."""
    loss = torch.zeros(())
    given = images
    for own, block in zip(student, teacher, strict=True):
        with torch.no_grad():
            wanted = block(given)
            added = wanted - given if wanted.shape == given.shape else wanted
            spread = added.float().var((0, 2, 3)) + 1e-3
        error = (own(given).float() - wanted.float()).square().mean((0, 2, 3))
        loss = loss + (error / spread).mean()
        given = wanted
    return loss


def save_state(path: Path, state: dict[str, object]) -> None:
    """Replace the file in one step, so that a stop in between leaves the state before."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)


def save_student(path: Path, blocks: nn.Module) -> None:
    """Write the blocks in torchvision's names, convolutions in half precision."""
    tensors = {
        f"features.{name}": (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()
        for name, value in blocks.state_dict().items()
    }
    save_file(tensors, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the built-in backbone")
    parser.add_argument("--teacher", type=Path, required=True, help="MobileNetV2 weights, torchvision layout")
    parser.add_argument("--pictures", type=Path, required=True, help="any folder of photographs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--probe", type=Path, help="folder with train/ and val/, used for the log only")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    teacher = mobilenet_v2()
    weights = torch.load(args.teacher, map_location="cpu", weights_only=True)
    teacher.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    blocks = mobilenet_v2(dropout=0.0).features.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(blocks.parameters(), lr=args.lr, weight_decay=1e-4)
    state_path, log_path = args.out / "state.pt", args.out / "log.jsonl"
    step = 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        blocks.load_state_dict(state["blocks"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])

    pool = ThreadPoolExecutor(2)
    started = time.monotonic()
    pictures = list(pool.map(lambda p: read_picture(p, round(args.size * 1.6)), picture_paths(args.pictures)))
    print(f"{len(pictures)} pictures read in {time.monotonic() - started:.0f} s", flush=True)
    batches = crop_batches(pictures, args.batch, args.size, args.seed + step, pool)
    losses: list[float] = []
    started, first_step = time.monotonic(), step
    while step < args.steps:
        done = step / args.steps
        rate = args.lr * min(1.0, 0.02 + done * 40) * (0.5 + 0.5 * math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = max(rate, 1e-5)
        blocks.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = blockwise_loss(blocks, teacher.features, next(batches))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(blocks.parameters(), 5.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % 500 == 0 or step == args.steps:
            accuracy = probe_accuracy(blocks, args.probe, 224) if args.probe else None
            row = {
                "step": step,
                "loss": round(float(np.mean(losses)), 4),
                "probe_accuracy": None if accuracy is None else round(accuracy, 4),
                "crops_per_second": round((step - first_step) * args.batch / (time.monotonic() - started), 1),
            }
            losses.clear()
            with log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            print(row, flush=True)
            save_state(state_path, {"blocks": blocks.state_dict(), "optimiser": optimiser.state_dict(), "step": step})
            save_student(args.out / "studio_small.safetensors", blocks)


if __name__ == "__main__":
    main()
