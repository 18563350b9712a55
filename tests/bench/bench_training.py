"""How fast training is, as ratios against alternatives measured in the same run.

    python -m tests.bench.bench_training [--pictures FOLDER] [--weights FILE] [--tutorial-epochs N]

1. Regime `head` against the fixed-extractor recipe of PyTorch's transfer-learning tutorial (batch 4, random crops
   and mirroring, SGD .001 with momentum, a tenth every 7 epochs; the best epoch by val accuracy, as it reports it).
2. The fine-tuning step with everything around it (reading, augmentation, events) against a bare loop that trains the
   same network on tensors that already lie in memory. The two take turns; the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import mobilenet_v2

from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import scan
from tlstudio.core.events import EpochEnded, Event, ignore, never
from tlstudio.core.jobs import Train
from tlstudio.core.plan import Augmentation, Plan, make_stages
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import split
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.loop import GradientStage, Judgement
from tlstudio.engine.networks import Network, build_network, torchvision_model
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import train
from tlstudio.engine.weights import load_into, read_weights

SHARED = Path(__file__).resolve().parents[3] / "shared"
BATCH_SIZE = 32


def pretrained(weights: Path) -> nn.Module:
    model = torchvision_model(backbone("mobilenet_v2"))
    load_into(model, backbone("mobilenet_v2"), read_weights(weights))
    return model


def tutorial(pictures: Path, weights: Path, epochs: int) -> tuple[float, float, float]:
    """Return (seconds, best val accuracy, last val accuracy) of the tutorial's recipe."""
    started = time.monotonic()
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    views = {
        "train": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()],
        "val": [transforms.Resize(256), transforms.CenterCrop(224)],
    }
    loaders = {
        part: DataLoader(
            ImageFolder(str(pictures / part), transforms.Compose([*view, transforms.ToTensor(), normalise])),
            batch_size=4,
            shuffle=True,
            num_workers=2,
        )
        for part, view in views.items()
    }
    model = mobilenet_v2()
    model.load_state_dict(read_weights(weights))
    model.requires_grad_(False)
    model.classifier[1] = nn.Linear(1280, len(loaders["train"].dataset.classes))
    optimiser = torch.optim.SGD(model.classifier.parameters(), lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimiser, step_size=7, gamma=0.1)
    accuracies = []
    for _ in range(epochs):
        model.train()
        for images, targets in loaders["train"]:
            optimiser.zero_grad()
            F.cross_entropy(model(images), targets).backward()
            optimiser.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            right = [int((model(images).argmax(1) == targets).sum()) for images, targets in loaders["val"]]
        accuracies.append(sum(right) / len(loaders["val"].dataset))
    return time.monotonic() - started, max(accuracies), accuracies[-1]


def head(pictures: Path, weights: Path) -> tuple[float, float]:
    """Return (seconds, val accuracy) of regime `head`, scan and saving included."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        job = Train(
            folders=(str(pictures),),
            run=f"{folder}/run",
            backbone="mobilenet_v2",
            weights=str(weights),
            regime="head",
        )
        ended = train(RunFolder(set_up(job, ignore, never).path), ignore, never)
    assert ended.val_accuracy is not None, ended
    return time.monotonic() - started, ended.val_accuracy


def bare_loop(network: Network, batches: list[torch.Tensor], targets: torch.Tensor) -> float:
    """Return images/s of the shortest loop that does the same step on normalised pictures in memory."""
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
    network.train()
    started = time.monotonic()
    for images in batches:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(images), targets).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return len(batches) * BATCH_SIZE / (time.monotonic() - started)


def fine_tune_against_bare_loop(pictures: Path, weights: Path, rounds: int) -> tuple[float, float]:
    """Return the median images/s of our stage and of the bare loop."""
    spec = backbone("mobilenet_v2")
    index = scan([pictures])
    positions = list(split(index, 0).train)[: BATCH_SIZE * 6]
    targets = np.array([image.class_index for image in index.images])
    normalise = Normaliser(spec.preprocessing(), torch.device("cpu"))
    store = ImageStore(index.images, spec.preprocessing())
    stage = make_stages("fine-tune", len(positions), "cpu", BATCH_SIZE, "sgd", epochs=1)[1]
    plan = Plan(
        backbone="mobilenet_v2",
        weights_file=str(weights),
        weights_sha256="",
        regime="fine-tune",
        head="linear",
        stages=(stage,),
        augmentation=Augmentation(),
        batch_size=BATCH_SIZE,
        seed=0,
        device="cpu",
        threads=torch.get_num_threads(),
    )
    network = build_network(spec, pretrained(weights), len(index.classes)).to(memory_format=torch.channels_last)

    def judge() -> Judgement:
        return Judgement(1.0, 1.0, 0.0)

    in_memory = [normalise(images) for images in store.batches(positions, BATCH_SIZE)]
    some_targets = torch.arange(BATCH_SIZE) % len(index.classes)
    ours, bare = [], []
    for round_number in range(rounds + 1):
        said: list[Event] = []
        GradientStage(network, stage, plan, store, normalise, positions, targets, judge, said.append, never).run()
        speed = next(event.images_per_second for event in said if isinstance(event, EpochEnded))
        other = bare_loop(network, in_memory, some_targets)
        if round_number:  # the first round reads the pictures and warms up
            ours.append(speed)
            bare.append(other)
    store.close()
    return statistics.median(ours), statistics.median(bare)


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed as ratios")
    parser.add_argument("--pictures", type=Path, default=SHARED / "data/ants_bees")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights/mobilenet_v2-imagenet1k.pth")
    parser.add_argument("--tutorial-epochs", type=int, default=25, help="0: only the step")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ours, bare = fine_tune_against_bare_loop(arguments.pictures, arguments.weights, arguments.rounds)
    print(f"fine-tune step: {ours:.1f} images/s, bare loop {bare:.1f} images/s, ratio {ours / bare:.3f}", flush=True)
    if not arguments.tutorial_epochs:
        return
    head(arguments.pictures, arguments.weights)  # warms the file cache for both
    seconds, accuracy = head(arguments.pictures, arguments.weights)
    print(f"head: {seconds:.1f} s, val accuracy {accuracy:.3f}", flush=True)
    slow, best, last = tutorial(arguments.pictures, arguments.weights, arguments.tutorial_epochs)
    print(f"tutorial, {arguments.tutorial_epochs} epochs: {slow:.1f} s, val accuracy best {best:.3f}, last {last:.3f}")
    print(f"head is {slow / seconds:.1f} times as fast")


if __name__ == "__main__":
    main()
