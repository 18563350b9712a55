"""Print how far the built-in backbone carries: new heads on it, beside its teacher, no training, and no network.

    python packaging/judge_backbone.py --teacher FILE FOLDER...

Each folder is a data set that taught the backbone nothing. A head is fitted as in regime `head`; figures are the mean
over the seeds of accuracy and balanced accuracy on the held-out part (the folder's own, else a seeded split), with
the standard deviation over seeds. A seed draws the split, the folds and the untrained weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import DatasetIndex, scan
from tlstudio.core.paths import resource_path
from tlstudio.core.split import split
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.features import forward_pass
from tlstudio.engine.heads import fit_head
from tlstudio.engine.networks import build_network, torchvision_model
from tlstudio.engine.weights import load_into, read_weights

SPEC = backbone("mobilenet_v2")
RAW_SIDE_PX = 32


def network_features(index: DatasetIndex, weights: Path | None, seed: int) -> np.ndarray:
    """Return the pooled features of every picture, (images, 1280); without weights, of a fresh network."""
    torch.manual_seed(seed)
    model = torchvision_model(SPEC)
    if weights is not None:
        load_into(model, SPEC, read_weights(weights))
    network = build_network(SPEC, model, len(index.classes)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    normalise = Normaliser(SPEC.preprocessing(), torch.device("cpu"))
    store = ImageStore(index.images, SPEC.preprocessing())
    try:
        return forward_pass(network.features, store, range(len(index.images)), normalise)
    finally:
        store.close()


def raw_pixels(index: DatasetIndex) -> np.ndarray:
    """Return the pictures' own pixels, shrunk to 32 x 32, (images, 3072)."""
    store = ImageStore(index.images, SPEC.preprocessing())
    rows = []
    for position in range(len(index.images)):
        square = store.image(position).resize((RAW_SIDE_PX, RAW_SIDE_PX))
        rows.append(np.asarray(square, np.float32).ravel() / 255)
    store.close()
    return np.stack(rows)


def probe(index: DatasetIndex, features_for: Callable[[int], np.ndarray], seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (accuracies, balanced accuracies), one a seed."""
    targets = np.array([image.class_index for image in index.images])
    groups = [image.sha256 for image in index.images]
    plain, balanced = [], []
    for seed in range(seeds):
        features = features_for(seed)
        parts = split(index, seed)
        taught, judged = list(parts.train), list(parts.held_out()[1])
        head = fit_head(features[taught], targets[taught], [groups[i] for i in taught], len(index.classes), seed)
        given = head.logits(features[judged]).argmax(1)
        plain.append(float((given == targets[judged]).mean()))
        balanced.append(float(balanced_accuracy_score(targets[judged], given)))
    return np.array(plain), np.array(balanced)


def main() -> None:
    parser = argparse.ArgumentParser(description="How far the built-in backbone carries")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args()
    built_in = next(known for known in SPEC.weights if known.built_in)
    student = resource_path(f"backbones/{built_in.file}")
    print("| data set | features | accuracy | balanced accuracy |\n|---|---|---|---|", flush=True)
    for folder in arguments.folders:
        index = scan([folder])
        pixels = raw_pixels(index)
        taught = {name: network_features(index, file, 0) for name, file in
                  (("teacher", arguments.teacher), ("Studio small, built in", student))}  # fmt: skip
        rows: dict[str, Callable[[int], np.ndarray]] = {
            name: lambda seed, features=features: features for name, features in taught.items()
        }
        rows["same architecture, untrained"] = lambda seed, index=index: network_features(index, None, seed)
        rows["raw pixels, 32 x 32"] = lambda seed, pixels=pixels: pixels
        for name, features_for in rows.items():
            plain, balanced = probe(index, features_for, arguments.seeds)
            print(
                f"| {folder.name} | {name} | {plain.mean():.3f} ± {plain.std(ddof=1):.3f} "
                f"| {balanced.mean():.3f} ± {balanced.std(ddof=1):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
