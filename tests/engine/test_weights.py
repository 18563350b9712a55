"""Weights files: every row of the table, every format, and files that lie or mean harm."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from tlstudio.core.backbones import BACKBONES, BackboneSpec, backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Progress, Stopped, ignore, never
from tlstudio.core.paths import weights_dir
from tlstudio.core.weights_folder import recorded, weights_file_for
from tlstudio.engine.networks import torchvision_model
from tlstudio.engine.weights import _expected, guess_backbone, import_weights, load_into, read_weights, resolve

MOBILENET = backbone("mobilenet_v2")
SQUEEZENET = backbone("squeezenet1_1")
State = dict[str, Tensor]


def random_state(spec: BackboneSpec, seed: int = 0) -> State:
    """Return fresh weights with random running statistics, so that no two tensors are alike."""
    torch.manual_seed(seed)
    state: State = torchvision_model(spec).state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    return state


def shapes_only(spec: BackboneSpec) -> State:
    return {key: value.to("meta") for key, value in torchvision_model(spec).state_dict().items()}


def assert_same(found: State, wanted: State) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def save_torch(state: object, path: Path, **options: bool) -> Path:
    torch.save(state, path, **options)
    return path


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_every_row_recognises_its_own_weights(spec: BackboneSpec) -> None:
    assert guess_backbone(shapes_only(spec)) == spec


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "inception_v3", "resnet18", "mobilenet_v2"])
def test_weights_come_back_bit_by_bit(name: str, tmp_path: Path) -> None:
    spec, safe = backbone(name), tmp_path / "weights.safetensors"
    wanted = random_state(spec)
    safe.write_bytes(save_safetensors(wanted))
    model = torchvision_model(spec)
    load_into(model, spec, read_weights(safe))
    assert_same(model.state_dict(), wanted)
    assert_same(read_weights(save_torch(wanted, tmp_path / "weights.pth")), wanted)


def test_files_of_old_pytorch_are_read(tmp_path: Path) -> None:
    wanted = random_state(MOBILENET)
    path = save_torch(wanted, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(read_weights(path), wanted)


def test_a_vision_transformers_old_names_are_understood() -> None:
    spec = backbone("vit_b_16")
    wanted = torchvision_model(spec).state_dict()
    old = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
        for key, value in wanted.items()
    }
    assert old.keys() != wanted.keys()
    model = torchvision_model(spec)
    load_into(model, spec, old)
    assert_same(model.state_dict(), wanted)


def test_densenets_old_names_are_understood() -> None:
    spec = backbone("densenet121")
    wanted = random_state(spec)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in wanted.items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    model = torchvision_model(spec)
    load_into(model, spec, old)
    loaded = model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in wanted.items() if not key.endswith("tracked"))
    assert guess_backbone(old) == spec


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_left_out(name: str) -> None:
    spec = backbone(name)
    state = random_state(spec)
    extra = {f"{part}.fc.weight": torch.ones(10, 10) for part in spec.unused}
    model = torchvision_model(spec)
    load_into(model, spec, state | extra)
    assert_same(model.state_dict(), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_half_precision_becomes_float32(dtype: torch.dtype, ending: str, tmp_path: Path) -> None:
    wanted = random_state(MOBILENET)
    half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in wanted.items()}
    path = tmp_path / f"half.{ending}"
    path.write_bytes(save_safetensors(half)) if ending == "safetensors" else save_torch(half, path)
    found = read_weights(path)
    assert all(value.dtype == wanted[key].dtype for key, value in found.items())
    rounding = torch.finfo(dtype).eps
    assert all(torch.allclose(found[key], wanted[key], rtol=rounding, atol=0) for key in wanted)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "best": 0.9},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
    ],
    ids=["state_dict", "model", "parallel", "both"],
)
def test_checkpoints_are_unwrapped(wrap: Callable[[State], object], tmp_path: Path) -> None:
    state = random_state(SQUEEZENET)
    assert_same(read_weights(save_torch(wrap(state), tmp_path / "checkpoint.pt")), state)


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    state = random_state(SQUEEZENET)
    path = tmp_path / "weights.pth"
    path.write_bytes(save_safetensors(state))
    assert_same(read_weights(path), state)


def test_the_old_classifier_may_be_absent_or_of_another_size() -> None:
    state = random_state(MOBILENET)
    body = {key: value for key, value in state.items() if not key.startswith("classifier")}
    for head in ({}, {"classifier.1.weight": torch.ones(7, 1280), "classifier.1.bias": torch.ones(7)}):
        model = torchvision_model(MOBILENET)
        load_into(model, MOBILENET, body | head)
        loaded = model.state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in body.items())
        assert guess_backbone(body | head) == MOBILENET


def test_weights_of_another_backbone_are_named() -> None:
    model = torchvision_model(MOBILENET)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(StudioError, match=r"This file holds ResNet-18 weights, not MobileNetV2\."):
        load_into(model, MOBILENET, shapes_only(backbone("resnet18")))
    assert_same(model.state_dict(), before)


def test_a_larger_sibling_does_not_pass() -> None:
    with pytest.raises(StudioError, match=r"holds ResNet-34 weights, not ResNet-18\."):
        load_into(torchvision_model(backbone("resnet18")), backbone("resnet18"), shapes_only(backbone("resnet34")))


def test_comparing_with_the_table_draws_no_random_numbers() -> None:
    _expected.cache_clear()
    before = torch.get_rng_state()
    assert guess_backbone({"a": torch.ones(1)}) is None
    assert torch.equal(torch.get_rng_state(), before)


def test_what_does_not_fit_is_said() -> None:
    model, state = torchvision_model(SQUEEZENET), random_state(SQUEEZENET)
    first, *rest = state
    cases = {
        "parts are missing, such as features.0.weight": {key: state[key] for key in rest},
        "features.0.weight has another size": state | {first: torch.ones(3)},
        "it also holds surprise.weight": state | {"surprise.weight": torch.ones(3)},
    }
    for message, wrong in cases.items():
        assert guess_backbone(wrong) is None
        with pytest.raises(StudioError, match=f"does not fit SqueezeNet 1.1: .*{message}"):
            load_into(model, SQUEEZENET, wrong)


class _Evil:
    """Makes a file as soon as a careless reader unpickles it."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.open, (str(self.witness), os.O_CREAT)


def evil_files(folder: Path, witness: Path) -> list[Path]:
    trap = _Evil(witness)
    plain = folder / "plain.pth"
    plain.write_bytes(pickle.dumps(trap))
    return [
        plain,
        save_torch(trap, folder / "zip.pth"),
        save_torch(trap, folder / "legacy.pth", _use_new_zipfile_serialization=False),
        save_torch({"state_dict": random_state(SQUEEZENET), "trap": trap}, folder / "beside.pth"),
    ]


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    files = evil_files(tmp_path, witness)
    os.close(pickle.loads(files[0].read_bytes()))
    assert witness.exists(), "the trap works"
    witness.unlink()
    for file in files:
        for read in (
            read_weights,
            lambda path: import_weights(path, ignore, never),
            lambda path: resolve(SQUEEZENET, path),
        ):
            with pytest.raises(StudioError):
                read(file)
        assert not witness.exists()
    with pytest.raises(StudioError, match="holds a whole program, not only weights"):
        read_weights(files[1])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_model_is_refused_with_advice(zipped: bool, tmp_path: Path) -> None:
    path = save_torch(nn.Linear(2, 2), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(StudioError, match="holds a whole program") as caught:
        read_weights(path)
    assert "state_dict" in caught.value.hint


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_cut_short_is_damaged(zipped: bool, share: float, tmp_path: Path) -> None:
    path = save_torch(random_state(SQUEEZENET), tmp_path / "cut.pth", _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(StudioError, match="damaged or was only partly copied"):
        read_weights(path)


def lying_safetensors(shape: list[int], offsets: list[int], data: bytes) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just some words, nothing to see here",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        (10**15).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{]",
        lying_safetensors([10**6], [0, 16], bytes(16)),
        lying_safetensors([10**12], [0, 4 * 10**12], bytes(16)),
        lying_safetensors([4], [0, 16], bytes(12)),
        lying_safetensors([-4], [0, 16], bytes(16)),
        b"PK\x03\x04" + bytes(1000),
    ],
)
def test_what_is_no_weights_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(StudioError, match=r"is not a weights file|is damaged"):
        read_weights(path)


@pytest.mark.parametrize(
    "found",
    [
        {},
        [torch.ones(3)],
        torch.ones(3),
        {"a": 1},
        {1: torch.ones(3)},
        {"a": torch.ones(3, 3).to_sparse()},
        {"a": torch.ones(3, device="meta")},
        {"a": torch.ones(3, dtype=torch.complex64)},
    ],
    ids=str,
)
def test_other_contents_are_refused(found: object, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="holds something other than the weights of a network"):
        read_weights(save_torch(found, tmp_path / "other.pth"))


def test_a_small_file_of_endless_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="too large"):
        read_weights(save_torch({"a": torch.ones(1).expand(10**13)}, tmp_path / "bomb.pth"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_every_number_must_be_finite(value: float, tmp_path: Path) -> None:
    state = random_state(SQUEEZENET) | {"features.0.bias": torch.full((64,), value, dtype=torch.float64)}
    with pytest.raises(StudioError, match="infinite or undefined"):
        read_weights(save_torch(state, tmp_path / "nan.pth"))


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(StudioError, match="There is no weights file"):
            read_weights(path)


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    return save_torch(random_state(SQUEEZENET), tmp_path / "my squeezenet.pth")


def test_import_copies_verifies_and_remembers(user_file: Path) -> None:
    events: list[Event] = []
    imported = import_weights(user_file, events.append, never)
    digest = hashlib.sha256(user_file.read_bytes()).hexdigest()
    assert imported.path == weights_dir() / f"squeezenet1_1-{digest[:8]}.pth"
    assert imported.path.read_bytes() == user_file.read_bytes()
    assert (imported.sha256, imported.name, imported.backbone) == (digest, "imported my squeezenet", "squeezenet1_1")
    assert weights_file_for(SQUEEZENET) == imported
    assert [(event.done, event.total) for event in events if isinstance(event, Progress)] == [(n, 3) for n in range(4)]
    found = resolve(SQUEEZENET, None)
    assert (found.path, found.sha256, found.name) == (imported.path, digest, imported.name)
    assert_same(found.state, random_state(SQUEEZENET))


def test_an_import_never_takes_the_place_of_other_weights(user_file: Path) -> None:
    first = import_weights(user_file, ignore, never)
    kept = first.path.read_bytes()
    save_torch(random_state(SQUEEZENET, seed=1), user_file)
    second = import_weights(user_file, ignore, never)
    assert second.path != first.path
    assert first.path.read_bytes() == kept
    assert resolve(SQUEEZENET, None).path == second.path


def test_an_import_repairs_its_damaged_copy(user_file: Path) -> None:
    first = import_weights(user_file, ignore, never)
    first.path.write_bytes(b"?" * first.path.stat().st_size)
    assert import_weights(user_file, ignore, never) == first
    assert resolve(SQUEEZENET, None).sha256 == first.sha256


def test_what_fits_no_backbone_is_not_imported(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="fits none of the backbones"):
        import_weights(save_torch({"a.weight": torch.ones(3)}, tmp_path / "odd.pth"), ignore, never)
    assert list(weights_dir().iterdir()) == []


def test_an_import_can_be_stopped(user_file: Path) -> None:
    with pytest.raises(Stopped):
        import_weights(user_file, ignore, lambda: True)
    assert list(weights_dir().iterdir()) == []


@pytest.mark.parametrize("by_hand", [True, False], ids=["put there", "imported"])
def test_a_single_changed_byte_is_noticed(user_file: Path, by_hand: bool) -> None:
    if by_hand:
        path = weights_dir() / "squeezenet1_1.pth"
        path.write_bytes(user_file.read_bytes())
        assert resolve(SQUEEZENET, None).name == "imported squeezenet1_1"
    else:
        path = import_weights(user_file, ignore, never).path
    assert recorded(path) is not None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for chosen in (None, path):
        with pytest.raises(StudioError, match="is damaged") as caught:
            resolve(SQUEEZENET, chosen)
        assert "Download or import it again" in caught.value.hint


def test_a_file_named_as_in_the_table_must_have_that_hash(tmp_path: Path) -> None:
    for folder in (tmp_path, weights_dir()):
        path = save_torch(random_state(SQUEEZENET), folder / "squeezenet1_1-b8a52dc0.pth")
        with pytest.raises(StudioError, match="is damaged"):
            resolve(SQUEEZENET, path)


def test_a_chosen_file_stays_where_it_is(user_file: Path) -> None:
    found = resolve(SQUEEZENET, user_file)
    assert (found.path, found.name) == (user_file, "imported my squeezenet")
    assert found.sha256 == hashlib.sha256(user_file.read_bytes()).hexdigest()
    assert list(weights_dir().iterdir()) == []


def test_a_chosen_file_of_another_backbone_is_refused(user_file: Path) -> None:
    with pytest.raises(StudioError, match=r"This file holds SqueezeNet 1\.1 weights, not MobileNetV2\."):
        resolve(MOBILENET, user_file)


def test_without_weights_it_says_how_to_get_them() -> None:
    with pytest.raises(StudioError) as caught:
        resolve(backbone("resnet18"), None)
    assert caught.value.what == "There are no weights for ResNet-18 on this computer yet."
    for way in ("Download", "--weights FILE", str(weights_dir()), "tlstudio backbones"):
        assert way in caught.value.hint


def test_real_weights_load(shared: Path) -> None:
    path = shared / "weights" / "mobilenet_v2-imagenet1k.pth"
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not part of the project")
    found = resolve(MOBILENET, path)
    assert guess_backbone(found.state) == MOBILENET
    model = torchvision_model(MOBILENET)
    load_into(model, MOBILENET, found.state)
    assert torch.equal(model.state_dict()["features.18.1.running_var"], found.state["features.18.1.running_var"])
    assert found.name == "imported mobilenet_v2-imagenet1k"
