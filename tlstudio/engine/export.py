"""A trained model as a file for others, proven to answer as the app does before it is handed over."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from tlstudio.core import images
from tlstudio.core.decoding import from_json
from tlstudio.core.durable import json_bytes, write_all
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Progress, ShouldStop, Stopped
from tlstudio.core.paths import resource_path
from tlstudio.core.progress import Pace
from tlstudio.core.results import Exported, Parity
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.data import FramedImages, normalisation
from tlstudio.engine.features import BATCH_SIZE
from tlstudio.engine.networks import ModelCard, Network, load_model
from tlstudio.engine.predict import Predictor

OPSET = 18
MAX_PROBABILITY_DIFFERENCE = 0.01
MAX_PARITY_IMAGES = 500
FACTS_NAME = "model.json"
Format = Literal["onnx", "safetensors"]


class _Facts(msgspec.Struct):
    """What of model.json is read here."""

    files: dict[str, str] = {}


class _WholeModel(nn.Module):
    """uint8 pictures (batch, height, width, 3) in, probabilities (batch, classes) out."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: Network, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        scale, shift = normalisation(card.preprocessing)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.temperature = card.temperature

    def forward(self, images: Tensor) -> Tensor:
        floats = images.permute(0, 3, 1, 2).float() * self.scale + self.shift
        return torch.softmax(self.network(floats) / self.temperature, dim=1)


def export(run: RunFolder, kind: Format, to: Path, emit: Emit, should_stop: ShouldStop) -> Exported:
    """Write the run's model into a folder, with all that is needed to use it, and compare its answers with the app's.

    An ONNX export also writes `predict.py`, which needs only onnxruntime, numpy and Pillow. The comparison is on the
    run's held-out pictures. Files that are there already are never replaced. Raises StudioError, Stopped.
    """
    predictor = Predictor(run, device="cpu")
    card = predictor.card
    target, script = to / f"model.{kind}", {"predict.py": _sample_script()} if kind == "onnx" else {}
    noted = _require_free(to, target.name, script, card)
    emit(Progress(what="Writing the model", done=0, total=0))
    content = onnx_bytes(predictor.network, card) if kind == "onnx" else run.manifest.read(run.model_file)
    if should_stop():
        raise Stopped
    views = _views(run, predictor, emit, should_stop)
    parity = _compare(predictor, kind, content, views, emit, should_stop)
    if parity.max_probability_difference > MAX_PROBABILITY_DIFFERENCE:
        raise StudioError(
            f"The exported file does not answer like the app (same class on {parity.top1_agreement:.1%} of "
            f"{parity.images} pictures), so it was not kept.",
            "Export as safetensors instead, and please report this.",
        )
    digest = hashlib.sha256(content).hexdigest()
    files = {target.name: content, **script, FACTS_NAME: facts_bytes(card, noted | {target.name: digest})}
    write_all({to / name: text for name, text in files.items()})
    return Exported(str(target), kind, digest, parity)


def facts_bytes(card: ModelCard, files: Mapping[str, str]) -> bytes:
    """Return model.json: the card, the SHA-256 of model files by name, and a seal.

    The seal is the SHA-256 of the whole text without the seal's own digits.
    """
    text = json_bytes(msgspec.to_builtins(card) | {"files": files, "seal": ""})
    return text.replace(b'"seal": ""', f'"seal": "{hashlib.sha256(text).hexdigest()}"'.encode())


def onnx_bytes(network: Network, card: ModelCard) -> bytes:
    """Return the whole model as one ONNX file: input `images` uint8 (batch, crop, crop, 3), output `probabilities`."""
    side = card.preprocessing.crop_px
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    whole = _WholeModel(network, card).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns about its own internals; whether the result is right is measured afterwards.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            whole,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for key, value in {"classes": list(card.classes), "preprocessing": card.preprocessing, "app": "tlstudio"}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, msgspec.json.encode(value).decode()
    onnx.checker.check_model(model)
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return buffer.getvalue()


def _require_free(to: Path, model_name: str, script: Mapping[str, bytes], card: ModelCard) -> dict[str, str]:
    """Return the checksums that the folder notes of another format of this model. Raises StudioError if it is taken."""
    if to.exists() and not to.is_dir():
        raise StudioError(f"“{to}” is not a folder.", "Choose a folder to export to.")
    noted = _noted(to / FACTS_NAME)
    allowed = {**script, FACTS_NAME: facts_bytes(card, noted)}
    present = [name for name in (model_name, *allowed) if (to / name).exists()]
    taken = [name for name in present if not ((to / name).is_file() and (to / name).read_bytes() == allowed.get(name))]
    if taken:
        raise StudioError(
            f"“{to}” already holds {' and '.join(sorted(taken))}.", "Choose another folder; nothing was overwritten."
        )
    return noted


def _noted(facts_file: Path) -> dict[str, str]:
    try:
        return from_json(facts_file.read_bytes(), _Facts).files
    except (OSError, msgspec.DecodeError):
        return {}


def _views(run: RunFolder, predictor: Predictor, emit: Emit, should_stop: ShouldStop) -> np.ndarray:
    """Return uint8 (images, crop, crop, 3) of the run's held-out pictures, of those that can still be read.

    Of many it takes `MAX_PARITY_IMAGES` at most, spread over all classes.
    """
    index, parts = run.pictures()
    _, positions = parts.held_out()
    positions = positions[:: math.ceil(len(positions) / MAX_PARITY_IMAGES) or 1]
    pace = Pace(emit, "Reading pictures to compare with", len(positions))
    views = []
    with closing(FramedImages(predictor.card.preprocessing, keep=False)) as framed:
        for done, position in enumerate(positions, 1):
            pace.step(done)
            if should_stop():
                raise Stopped
            view = framed.view(index.images[position])
            if isinstance(view, np.ndarray):
                views.append(view)
    if not views:
        raise StudioError(
            "The pictures to compare the exported file with the app cannot be read any more.",
            "Check that the folder of pictures is still there, then export again.",
        )
    return np.stack(views)


def _compare(
    predictor: Predictor, kind: Format, content: bytes, views: np.ndarray, emit: Emit, should_stop: ShouldStop
) -> Parity:
    if kind == "onnx":
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

        def answer(batch: np.ndarray) -> np.ndarray:
            return np.asarray(session.run(["probabilities"], {"images": batch})[0])
    else:
        reread, card = load_model(Path("model.safetensors"), lambda path: content)
        whole = _WholeModel(reread, card).eval()

        def answer(batch: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                answers: np.ndarray = whole(torch.from_numpy(batch)).numpy()
            return answers

    pace = Pace(emit, "Comparing the file's answers with the app's", len(views))
    agreed, difference = 0, 0.0
    for start in range(0, len(views), BATCH_SIZE):
        batch = views[start : start + BATCH_SIZE]
        theirs, ours = answer(batch), predictor.probabilities(batch)
        agreed += int((theirs.argmax(1) == ours.argmax(1)).sum())
        difference = max(difference, float(np.abs(theirs - ours).max()))
        pace.step(start + len(batch))
        if should_stop():
            raise Stopped
    return Parity(len(views), agreed / len(views), difference)


def _sample_script() -> bytes:
    """Return predict.py: the app's own way of reading pictures, and a short main."""
    reading = Path(images.__file__).read_text(encoding="utf-8")
    rest = resource_path("export_main.py.txt").read_text(encoding="utf-8")
    return f"{reading}\n\n{rest}".encode()
