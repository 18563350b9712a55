"""How the advised regime does beside all others, on pictures that chose nothing.

    python -m tests.bench.bench_regimes --weights FILE --results FILE [--sets NAME ...] [--regimes NAME ...]
                                        [--seeds N] [--work FOLDER]
    python -m tests.bench.bench_regimes --results FILE --table FILE

The first form appends one JSON line a run to the results and skips what stands there already, so that it can be
interrupted; the second writes the table. A seed draws the pictures, the split and everything random in training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from tests.bench.data_sets import DATA_SETS, build
from tlstudio.core.events import EpochEnded, Event, never
from tlstudio.core.jobs import Train
from tlstudio.core.regimes import REGIME_NAMES
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import train

BACKBONE = "mobilenet_v2"


def one_run(name: str, regime: str, seed: int, weights: Path, work: Path) -> dict[str, Any]:
    """Train once and return the figures as a row."""
    events: list[Event] = []
    pictures = build(name, work / f"{name} {seed}".replace(" ", "_").replace(",", ""), seed)
    with tempfile.TemporaryDirectory() as folder:
        job = Train(
            folders=(str(pictures),),
            run=f"{folder}/run",
            backbone=BACKBONE,
            weights=str(weights),
            regime=regime,
            seed=seed,
        )
        run = set_up(job, events.append, never)
        ended = train(run, events.append, never)
        plan = run.plan()
    assert ended.val_accuracy is not None, ended
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    tried = [event for event in epochs if event.stage == regime and event.best]
    advice = plan.advice
    return {
        "set": name,
        "regime": regime,
        "seed": seed,
        "did": plan.regime,
        "cut": plan.cut,
        "accuracy": ended.val_accuracy,
        "images": ended.val_images,
        "nll": ended.val_nll,
        "probe_nll": epochs[0].val_loss,
        "kept": ended.kept,
        # Of the network at its best epoch, whether or not it was kept.
        "challenger_accuracy": tried[-1].val_accuracy if tried else None,
        "similarity": advice.similarity.value if advice and advice.similarity else None,
        "similarity_low": advice.similarity.low if advice and advice.similarity else None,
        "similarity_high": advice.similarity.high if advice and advice.similarity else None,
        "verdict": advice.similarity.verdict if advice and advice.similarity else None,
        "depths": [[d.block, d.accuracy, d.joined_accuracy] for d in advice.depths] if advice else None,
        "seconds": ended.seconds,
    }


def measure(results: Path, names: list[str], regimes: list[str], seeds: range, weights: Path, work: Path) -> None:
    """Do what does not stand in the results yet."""
    known = {(row["set"], row["regime"], row["seed"]) for row in read(results)}
    for seed in seeds:
        for name in names:
            for regime in regimes:
                if (name, regime, seed) not in known:
                    row = one_run(name, regime, seed, weights, work)
                    with results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(name, regime, seed, row["did"], row["accuracy"], f"{row['seconds']:.0f} s", flush=True)


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def shown(values: list[float]) -> str:
    """The mean with the 95 % interval that the seeds give, in per cent."""
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.1%} (1 seed)"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.1%} ± {half * 100:.1f}" + ("" if len(values) == 5 else f" ({len(values)} seeds)")


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    by_set: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_set[row["set"]][row["regime"]].append(row)
    columns = ("auto", *REGIME_NAMES)
    text = [
        "# The regimes, measured",
        "",
        "Accuracy on test pictures that chose nothing: mean over seeds with its 95 % interval. In brackets behind a",
        "regime that trains the network: what it reached itself where the new head was kept instead.",
        "`python -m tests.bench.bench_regimes` makes this table again.",
        "",
        f"| set | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for name in DATA_SETS:
        cells = []
        for regime in columns:
            found = by_set[name][regime]
            cell = shown([row["accuracy"] for row in found]) if found else "–"
            kept_head = [row for row in found if row["kept"] == "the new head" and row["challenger_accuracy"]]
            if kept_head and regime not in ("auto", "head", "cut"):
                cell += f" [{statistics.mean(row['challenger_accuracy'] for row in kept_head):.1%}]"
            if regime == "auto" and found:
                cell += f", {'/'.join(sorted({row['did'] for row in found}))}"
            cells.append(cell)
        if any(by_set[name].values()):
            text.append(f"| {name} | {' | '.join(cells)} |")
    text += ["", "## Likeness", "", "| set | value (95 % interval), by seed | verdict | depths: block alone, joined |"]
    text.append("|---|---|---|---|")
    for name in DATA_SETS:
        found = [row for row in by_set[name]["auto"] if row["similarity"] is not None]
        if found:
            values = "; ".join(
                f"{row['similarity']:.2f} ({row['similarity_low']:.2f} to {row['similarity_high']:.2f})"
                for row in found
            )
            depths = ", ".join(f"{block} {alone:.0%} {joined:.0%}" for block, alone, joined in found[0]["depths"])
            text.append(f"| {name} | {values} | {'/'.join(sorted({row['verdict'] for row in found}))} | {depths} |")
    shipped = [row for row in rows if row["regime"] in ("fine-tune", "full", "scratch")]
    worse = [row for row in shipped if row["nll"] > row["probe_nll"] + 1e-9]
    text += [
        "",
        f"Of {len(shipped)} runs that trained the network, {len(worse)} shipped a model with a higher val NLL than the"
        " new head's"
        + (": " + "; ".join(f"{r['set']} {r['regime']} seed {r['seed']}" for r in worse) if worse else "")
        + ".",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(DATA_SETS), choices=list(DATA_SETS))
    parser.add_argument("--regimes", nargs="+", default=["auto", *REGIME_NAMES], choices=["auto", *REGIME_NAMES])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tlstudio-sets")
    arguments = parser.parse_args()
    if arguments.table:
        arguments.table.write_text(table(read(arguments.results)))
    else:
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
        measure(arguments.results, arguments.sets, arguments.regimes, seeds, arguments.weights, arguments.work)


if __name__ == "__main__":
    main()
