"""Runs on drawn pictures, judged by what they leave behind and by what they said."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from tests.engine.conftest import BACKBONE, train_job
from tests.factories import class_folders
from tlstudio.core.backbones import Preprocessing, backbone
from tlstudio.core.cache_folder import clear
from tlstudio.core.durable import read_json
from tlstudio.core.events import (
    BatchEnded,
    EpochEnded,
    Event,
    Notice,
    Progress,
    RunEnded,
    RunStarted,
    ScanChanged,
    StageStarted,
    WeightsSaved,
    ignore,
)
from tlstudio.core.plan import Execution, Stage
from tlstudio.core.regimes import HEAD_NAMES
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.evaluate import evaluate
from tlstudio.engine.loop import GradientStage, Judgement, interpolate, parameter_groups, schedule
from tlstudio.engine.networks import Network, build_network, load_model, snapshot, torchvision_model
from tlstudio.engine.perform import perform
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import Training
from tlstudio.engine.weights import read_weights


def run_job(job, should_stop=lambda: False) -> tuple[list[Event], RunFolder, object]:
    events: list[Event] = []
    ended = perform(job, events.append, should_stop)
    return events, RunFolder(Path(job.run)), ended


def timeless(event: Event) -> Event:
    """Return what a log keeps of an event: what happened, not how fast."""
    if isinstance(event, BatchEnded | EpochEnded):
        return msgspec.structs.replace(event, images_per_second=None, seconds_left=None)
    return event


def test_head_learns_and_leaves_the_old_network_alone(head_run: RunFolder, weights_file: Path) -> None:
    started, ended = head_run.summary()
    assert started and ended and ended.status == "finished"
    assert (started.regime, started.stages, started.train_images, started.val_images) == ("head", ("head",), 32, 8)
    assert ended.val_accuracy is not None and ended.val_accuracy >= 0.75
    low, high = ended.val_interval or (0, 0)
    assert low < ended.val_accuracy <= high <= 1
    network, card = load_model(head_run.model_file)
    old = build_network(backbone(BACKBONE), torchvision_model(backbone(BACKBONE)), 2)
    model = torchvision_model(backbone(BACKBONE))
    model.load_state_dict(read_weights(weights_file))
    old = build_network(backbone(BACKBONE), model, 2)
    for name, value in old.blocks.state_dict().items():
        assert torch.equal(network.blocks.state_dict()[name], value), name
    assert card.classes == ("disc", "square")


def test_the_log_is_what_was_said_and_ends_once(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime="fine-tune", epochs=2)
    events, run, ended = run_job(job)
    said = [event for event in events if not isinstance(event, BatchEnded | Progress | ScanChanged)]
    assert [event for event in run.events() if not isinstance(event, BatchEnded)] == [timeless(event) for event in said]
    batches = [timeless(event) for event in events if isinstance(event, BatchEnded)]
    logged = [event for event in run.events() if isinstance(event, BatchEnded)]
    assert logged and all(event in batches for event in logged)
    kinds = [type(event) for event in run.events()]
    assert kinds[0] is RunStarted and kinds[-1] is RunEnded and kinds.count(RunEnded) == 1
    assert [e.stage for e in run.events() if isinstance(e, StageStarted)] == ["head", "fine-tune"]
    epochs = [e for e in run.events() if isinstance(e, EpochEnded)]
    assert [(e.stage, e.epoch) for e in epochs] == [("head", 1), ("fine-tune", 1), ("fine-tune", 2)]
    for event in run.events():
        for value in msgspec.to_builtins(event).values():
            assert not isinstance(value, float) or math.isfinite(value)
    assert any(isinstance(e, BatchEnded) for e in events) and any(isinstance(e, WeightsSaved) for e in events)
    assert ended.status == "finished" and ended.result["val_accuracy"] is not None


def test_the_same_seed_gives_the_same_weights(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    models = []
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        job = train_job(drawn_pictures, tmp_path / name, weights_file, regime="fine-tune", epochs=1, seed=seed)
        _, run, ended = run_job(job)
        assert ended.status == "finished"
        models.append(run.model_file.read_bytes())
    assert models[0] == models[1]
    assert models[0] != models[2]


def test_choices_see_no_val_picture(weights_file: Path, tmp_path: Path) -> None:
    """Two data sets alike in all but their val pictures must give the same model, temperature included."""
    cards = []
    for name, val_seed in (("one", 500), ("two", 900)):
        root = tmp_path / name
        class_folders(root / "train", {"disc": 16, "square": 16})
        class_folders(root / "val", {"disc": 5, "square": 5}, first_seed=val_seed)
        job = train_job(root, tmp_path / f"run {name}", weights_file, regime="fine-tune", epochs=2)
        _, run, ended = run_job(job)
        assert ended.status == "finished"
        network, card = load_model(run.model_file)
        cards.append((snapshot(network), card))
    assert cards[0][1] == cards[1][1]
    assert all(torch.equal(value, cards[1][0][name]) for name, value in cards[0][0].items())


def test_a_stop_keeps_the_best_so_far(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime="fine-tune", epochs=50)
    ended = perform(job, seen.append, lambda: sum(isinstance(e, EpochEnded) for e in seen) >= 2)
    run = RunFolder(tmp_path / "run")
    assert ended.status == "stopped"
    assert ended.result["val_accuracy"] is not None
    assert load_model(run.model_file)[1].classes == ("disc", "square")
    assert len([e for e in seen if isinstance(e, EpochEnded)]) < 10


def test_a_stop_before_the_first_model_says_so(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    job = train_job(drawn_pictures, tmp_path / "run", weights_file)
    ended = perform(job, seen.append, lambda: any(isinstance(e, StageStarted) for e in seen))
    assert ended.status == "stopped" and "before a first model" in ended.what
    assert isinstance(list(RunFolder(tmp_path / "run").events())[-1], RunEnded)


def test_a_picture_that_vanishes_without_a_copy_is_left_out_and_named(weights_file: Path, tmp_path: Path) -> None:
    pictures = class_folders(tmp_path / "pictures", {"disc": 8, "square": 8})
    seen: list[Event] = []
    victim = pictures / "disc" / "disc_003.png"

    def emit(event: Event) -> None:
        seen.append(event)
        if isinstance(event, RunStarted):
            victim.unlink()
            clear()

    ended = perform(train_job(pictures, tmp_path / "run", weights_file), emit, lambda: False)
    assert ended.status == "finished"
    (lost,) = (event for event in seen if isinstance(event, Notice) and event.code == "pictures-lost")
    assert "1; the first is" in lost.what and "disc_003.png" in lost.what


def test_an_existing_folder_is_never_written_to(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    _, _, ended = run_job(train_job(drawn_pictures, tmp_path / "run", weights_file))
    assert ended.status == "failed" and "not empty" in ended.what
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("regime", "head"),
    [("cut", head) for head in HEAD_NAMES]
    + [("head", "svm-rbf"), ("head", "conv"), ("full", "linear"), ("scratch", "linear")],
)
def test_every_regime_makes_a_model_that_answers_as_it_said(
    drawn_pictures: Path, weights_file: Path, tmp_path: Path, regime: str, head: str
) -> None:
    changes = {"cut": "textures"} if regime == "cut" else {}
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime=regime, head=head, epochs=2, **changes)
    _, run, ended = run_job(job)
    assert ended.status == "finished", ended
    network, card = load_model(run.model_file)
    blocks = len(backbone(BACKBONE).blocks)
    assert len(network.blocks) == (2 if regime == "cut" else blocks)
    assert network.joined == (regime == "cut" and head != "conv")
    evaluation = evaluate(run, None, ignore, lambda: False)
    assert evaluation.accuracy == ended.result["val_accuracy"]
    assert evaluation.nll == pytest.approx(ended.result["val_nll"], abs=2e-3)
    assert card.head.kind == {"linear": "linear", "svm": "linear", "svm-rbf": "kernel"}.get(head, head)


def test_what_a_cut_removed_is_not_in_the_file(head_run: RunFolder, weights_file: Path, tmp_path: Path) -> None:
    folder = Path(head_run.dataset().images[0].path).parent.parent
    _, run, _ = run_job(train_job(folder, tmp_path / "run", weights_file, regime="cut", cut="edges"))
    assert run.model_file.stat().st_size < head_run.model_file.stat().st_size / 5


def test_heads_that_cannot_be_fine_tuned_are_refused_in_words(
    drawn_pictures: Path, weights_file: Path, tmp_path: Path
) -> None:
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime="full", head="svm")
    _, run, ended = run_job(job)
    assert ended.status == "failed" and "trains the network too" in ended.what and not run.path.exists()


def test_a_block_that_is_none_is_refused_in_words(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime="cut", cut="wings")
    _, run, ended = run_job(job)
    assert ended.status == "failed" and "wings" in ended.what and "edges" in ended.hint and not run.path.exists()


def test_auto_follows_the_advice(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    _, run, ended = run_job(train_job(drawn_pictures, tmp_path / "run", weights_file, regime="auto"))
    plan = run.plan()
    assert ended.status == "finished" and plan.advice is not None and plan.regime == plan.advice.regime
    assert len(plan.advice.depths) == len(backbone(BACKBONE).blocks)
    assert plan.advice.size is not None and plan.advice.size.value == len(run.split().train)


def test_scratch_starts_from_nothing_of_the_old_network(
    drawn_pictures: Path, weights_file: Path, tmp_path: Path
) -> None:
    """Judged before its first step it knows nothing: every class is as likely as any other."""
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime="scratch", epochs=1)
    run = set_up(job, ignore, lambda: False)
    training = Training(run, ignore, lambda: False)
    training.outcome()
    training.forget()
    with torch.inference_mode():
        logits = training.network(torch.randn(3, 3, 64, 64))
    assert torch.equal(logits, torch.zeros(3, 2))


def small_stage(**changes) -> tuple[Network, Stage, Preprocessing]:
    """A MobileNet that sees 32 pixels, and a stage at a rate that shows."""
    torch.manual_seed(0)
    spec = backbone("mobilenet_v3_small")
    network = build_network(spec, torchvision_model(spec), 2)
    wanted = msgspec.structs.replace(spec.preprocessing(), resize_px=32, crop_px=32)
    return network, Stage("x", "gradient", "", head_lr=0.01, **changes), wanted


def teach(run: RunFolder, network: Network, stage: Stage, wanted: Preprocessing, **changes) -> dict[str, torch.Tensor]:
    """One epoch on eight pictures; return the weights afterwards."""
    index = run.dataset()
    store = ImageStore(index.images, wanted)
    plan = msgspec.structs.replace(run.plan(), batch_size=8, **changes)
    targets = np.array([image.class_index for image in index.images])
    normalise = Normaliser(wanted, torch.device("cpu"))
    judged = iter(range(100, 0, -1))
    best = GradientStage(
        network, stage, plan, store, normalise, run.split().train[::4], targets,
        lambda: Judgement(next(judged), 0.0, 0.0), ignore, lambda: False,
    ).run()  # fmt: skip
    store.close()
    return best.weights


def test_statistics_are_frozen_unless_they_are_to_learn(head_run: RunFolder) -> None:
    for learns in (False, True):
        network, stage, wanted = small_stage(train_batchnorm=learns)
        before = snapshot(network)
        after = teach(head_run, network, stage, wanted)
        moved = {name for name in after if "running_mean" in name and not torch.equal(after[name], before[name])}
        assert bool(moved) == learns
    network, stage, wanted = small_stage(train_batchnorm=True, trainable_from=2)
    before = snapshot(network)
    after = teach(head_run, network, stage, wanted)
    assert {name for name in after if not torch.equal(after[name], before[name])}
    assert all(torch.equal(after[name], before[name]) for name in after if name.startswith(("blocks.0", "blocks.1")))


def test_passes_add_up_to_their_batch(head_run: RunFolder) -> None:
    whole = teach(head_run, *small_stage())
    in_parts = teach(head_run, *small_stage(), execution=Execution(micro_batch=2))
    start, *_ = small_stage()
    moved = max(float((whole[name] - value).abs().max()) for name, value in snapshot(start).items())
    apart = max(float((whole[name] - in_parts[name]).abs().max()) for name in whole)
    assert apart < moved / 50


def test_the_average_lags_behind_the_weights(head_run: RunFolder) -> None:
    start = snapshot(small_stage()[0])
    own = teach(head_run, *small_stage())
    averaged = teach(head_run, *small_stage(average_decay=0.99))
    for name in ("head.weight", "head.bias"):
        assert 0 < (averaged[name] - start[name]).norm() < (own[name] - start[name]).norm()


def test_mixing_and_smoothing_change_what_is_learnt(head_run: RunFolder) -> None:
    plain = teach(head_run, *small_stage())
    for changes in ({"mixup": 5.0}, {"label_smoothing": 0.2}, {"dropout": 0.5}):
        changed = teach(head_run, *small_stage(**changes))
        assert any(not torch.equal(plain[name], value) for name, value in changed.items()), changes


def test_every_trainable_parameter_is_in_exactly_one_group() -> None:
    spec = backbone("mobilenet_v3_small")
    network = build_network(spec, torchvision_model(spec), 3)
    network.set_trainable(1)
    stage = Stage("x", "gradient", "", head_lr=1.0, body_lr_span=100.0, weight_decay=0.1)
    groups = parameter_groups(network, stage)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    for group in groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] == 0.1) == (parameter.ndim > 1)
    network.set_trainable(0)
    rates = {id(p): group["lr"] for group in parameter_groups(network, stage) for p in group["params"]}
    by_block = [rates[id(next(block.parameters()))] for block in network.blocks]
    assert by_block == pytest.approx([0.01, 0.01 ** (2 / 3), 0.01 ** (1 / 3)])
    assert rates[id(network.head.weight)] == 1.0


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    shares = [schedule(x, 0.05) for x in np.linspace(0, 1, 201)]
    assert shares[0] == 0 and max(shares) == pytest.approx(1) and shares[-1] == pytest.approx(0)
    assert int(np.argmax(shares)) == 10


def test_blending_goes_from_start_to_end() -> None:
    start, end = nn.Linear(3, 2).state_dict(), nn.Linear(3, 2).state_dict()
    middle = interpolate(start, end, 0.5)
    assert torch.allclose(middle["weight"], (start["weight"] + end["weight"]) / 2)
    assert torch.equal(interpolate(start, end, 1.0)["bias"], end["bias"])


def test_the_plan_on_disk_is_the_plan(head_run: RunFolder, weights_file: Path) -> None:
    raw = read_json(head_run.plan_file, dict)
    assert raw["weights_file"] == str(weights_file) and raw["seed"] == 0 and raw["version"] == 1
    assert [stage["kind"] for stage in raw["stages"]] == ["probe"]


def test_too_few_pictures_to_judge_fine_tuning(weights_file: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    class_folders(pictures / "train", {"disc": 1, "square": 1})
    class_folders(pictures / "val", {"disc": 2, "square": 2}, first_seed=50)
    events, _, ended = run_job(train_job(pictures, tmp_path / "run", weights_file, regime="fine-tune", epochs=1))
    assert ended.status == "finished"
    assert [e.code for e in events if isinstance(e, Notice)] == ["too-few-pictures"]
    assert ended.result["kept"] == "the new head"


def test_a_stop_within_an_epoch_leaves_the_network_ready_to_be_judged(head_run: RunFolder) -> None:
    """Random depth and dropout must be off when the weights that are kept are compared."""
    spec = backbone("efficientnet_b0")
    network = build_network(spec, torchvision_model(spec), 2)
    wanted = msgspec.structs.replace(spec.preprocessing(), resize_px=32, crop_px=32)
    index, parts = head_run.dataset(), head_run.split()
    store = ImageStore(index.images, wanted)
    best = GradientStage(
        network,
        Stage("x", "gradient", "", head_lr=0.01),
        head_run.plan(),
        store,
        Normaliser(wanted, torch.device("cpu")),
        parts.train[:4],
        np.array([image.class_index for image in index.images]),
        lambda: Judgement(0.0, 0.0, 0.0),
        ignore,
        lambda: True,
    ).run()
    store.close()
    assert best.epoch == 0 and not any(module.training for module in network.modules())


def test_a_stop_while_judging_keeps_what_there_is(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    job = train_job(drawn_pictures, tmp_path / "run", weights_file, regime="fine-tune", epochs=5)
    ended = perform(job, seen.append, lambda: any(isinstance(e, StageStarted) and e.index == 1 for e in seen))
    assert ended.status == "stopped" and ended.result["kept"] == "the new head"
    assert not any(isinstance(event, BatchEnded) for event in seen)


def test_what_makes_the_figures_flatter_is_said(weights_file: Path, tmp_path: Path) -> None:
    pictures = class_folders(tmp_path / "pictures" / "train", {"disc": 8, "square": 8}).parent
    class_folders(pictures / "val", {"disc": 2, "square": 2}, first_seed=7)
    (pictures / "train" / "disc" / "broken.png").write_bytes(b"no picture")
    events, _, _ = run_job(train_job(pictures, tmp_path / "run", weights_file))
    said = {event.code: event.what for event in events if isinstance(event, Notice)}
    assert said["seen-in-training"].startswith("2 of 4 val pictures")
    assert said["set-aside"].startswith("1 files") and "broken.png" in said["set-aside"]
