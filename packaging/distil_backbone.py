"""Train the built-in backbone: MobileNetV2 from random weights, taught block by block by an ImageNet network.

Two phases, both on random crops of a folder of ordinary pictures; no class names are used.

1. *Blocks.* Every block of the student receives the teacher's input of that block and regresses the
   teacher's output of it. The blocks do not wait for each other, so the gradient path is three layers
   long and an hour on two cores does what end-to-end distillation needs days for.
2. *Together.* The student runs on its own activations; each block end, the pooled features and the
   logits (through the teacher's own last layer) are pulled to the teacher's on the same crop.

The program can be stopped at any time and started again with the same arguments: it goes on from
`state.pt` in the output folder. `log.jsonl` there has the loss and, with `--probe`, the accuracy of a
logistic regression on the pooled features of a folder with `train` and `val`.

Sources: blockwise supervision (Li et al. 2020, "Blockwisely supervised neural architecture search with
knowledge distillation"), same view for both networks and patience (Beyer et al. 2022, "Knowledge
distillation: a good teacher is patient and consistent").
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
from torch.nn import functional as F
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


def relative_error(student: Tensor, teacher: Tensor, scale: Tensor) -> Tensor:
    """Return the mean squared error in units of the target's variance per channel."""
    return ((student.float() - teacher.float()).square().mean((0, 2, 3)) / scale).mean()


def save_state(path: Path, state: dict[str, object]) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True, help="MobileNetV2 weights, torchvision layout")
    parser.add_argument("--pictures", type=Path, required=True, help="any folder of photographs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--probe", type=Path, help="folder with train/ and val/, used for the log only")
    parser.add_argument("--block-steps", type=int, default=6000)
    parser.add_argument("--joint-steps", type=int, default=12000)
    parser.add_argument("--size", type=int, default=144)
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
    student = mobilenet_v2(dropout=0.0).to(memory_format=torch.channels_last)
    blocks = student.features
    optimiser = torch.optim.AdamW(blocks.parameters(), lr=args.lr, weight_decay=1e-4)

    total = args.block_steps + args.joint_steps
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
    while step < total:
        joint = step >= args.block_steps
        phase_at = (step - args.block_steps) / args.joint_steps if joint else step / args.block_steps
        peak = args.lr * (0.5 if joint else 1.0)
        rate = peak * min(1.0, 0.02 + phase_at * 40) * (0.5 + 0.5 * math.cos(math.pi * phase_at))
        for group in optimiser.param_groups:
            group["lr"] = max(rate, 1e-5)
        images = next(batches)
        blocks.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                targets = [images]
                for block in teacher.features:
                    targets.append(block(targets[-1]))
            loss = torch.zeros(())
            own = images
            for index, block in enumerate(blocks):
                given, wanted = targets[index], targets[index + 1]
                if joint:
                    own = block(own)
                    answer = own
                    scale = wanted.float().var((0, 2, 3)) + 1e-3
                else:
                    answer = block(given)
                    change = wanted - given if given.shape == wanted.shape else wanted
                    scale = change.float().var((0, 2, 3)) + 1e-3
                loss = loss + relative_error(answer, wanted, scale)
            if joint:
                pooled, pooled_teacher = own.float().mean((2, 3)), targets[-1].float().mean((2, 3))
                spread = pooled_teacher.var(0) + 1e-3
                loss = loss + 10 * ((pooled - pooled_teacher).square().mean(0) / spread).mean()
                logits, logits_teacher = teacher.classifier(pooled), teacher.classifier(pooled_teacher)
                loss = loss + F.kl_div(
                    logits.float().log_softmax(-1),
                    logits_teacher.float().log_softmax(-1),
                    log_target=True,
                    reduction="batchmean",
                )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(blocks.parameters(), 5.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % 500 == 0 or step == total:
            accuracy = probe_accuracy(blocks, args.probe, 224) if args.probe else None
            row = {
                "step": step,
                "phase": "together" if joint else "blocks",
                "loss": round(float(np.mean(losses)), 4),
                "probe_accuracy": None if accuracy is None else round(accuracy, 4),
                "seconds": round(time.monotonic() - started, 1),
                "crops_per_second": round((step - first_step) * args.batch / (time.monotonic() - started), 1),
            }
            losses.clear()
            with log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            print(row, flush=True)
            save_state(state_path, {"blocks": blocks.state_dict(), "optimiser": optimiser.state_dict(), "step": step})
            halves = {
                f"features.{name}": (
                    value.half() if value.is_floating_point() and value.ndim > 1 else value
                ).contiguous()
                for name, value in blocks.state_dict().items()
            }
            save_file(halves, args.out / "studio_small.safetensors")


if __name__ == "__main__":
    main()
