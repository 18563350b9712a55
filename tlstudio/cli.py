"""The command line: the window's verbs for clusters and scripts.

With --json, standard output carries JSON lines and nothing else; everything for people goes to standard error.
What was decided about a folder in the window does not count here: a set-up is given by options or saved to a file.
Exit codes: 0 done, 1 a problem the user can mend, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, get_args

from tlstudio import __version__
from tlstudio.cli_runs import add_actions
from tlstudio.core import jobs
from tlstudio.core.dataset_setup import DatasetSetup, Grouping
from tlstudio.core.errors import StudioError, refused, shown
from tlstudio.core.events import (
    BatchEnded,
    Emit,
    EpochEnded,
    Event,
    JobEnded,
    Notice,
    Progress,
    RunEnded,
    RunStarted,
    StageStarted,
    Waiting,
    encode_event,
)
from tlstudio.core.images import FRAMINGS
from tlstudio.core.regimes import HEAD_NAMES, REGIME_NAMES
from tlstudio.printing import print_json, print_plain, printable

if TYPE_CHECKING:
    from tlstudio.core.dataset import DatasetIndex

MAX_EPOCHS = 100_000
MAX_SEED = 2**32 - 1
"""The largest that numpy and scikit-learn take."""
INTERRUPTED = 130
MAX_MINUTES = 100_000
MAX_VALUE = 1e30
"""Of a pixel, as far as anyone asks for it."""
BAR_LENGTH = 30


def main(argv: list[str]) -> int:
    """Run one command and return its exit code; without a command, open the window."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the terminal speaks, JSON is UTF-8
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    for text in argv:
        if shown(text) != text:
            return _complain(f"“{shown(text)}” has bytes that are not text.", "Rename it, or a copy of it.")
    arguments = _parser().parse_args(argv)
    if arguments.verb is None:
        from tlstudio.app import main as open_window

        return open_window([])
    try:
        return int(arguments.run(arguments))
    except StudioError as error:
        return _complain(error.what, error.hint)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        return 1
    except OSError as error:
        problem = refused(error)
        return _complain(problem.what, problem.hint)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tlstudio", description="From folders of pictures to a trustworthy classifier."
    )
    parser.add_argument("--version", action="version", version=f"tlstudio {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="without a verb the window opens")

    def verb(name: str, run: Any, sentence: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=sentence, description=sentence)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="print JSON lines on standard output")
        return made

    verb("backbones", _backbones, "List the networks that can be used, and which are on this computer.")

    samples = verb("samples", _samples, "Draw a small set of sample pictures into a new folder.")
    samples.add_argument("folder", type=Path)

    scanning = verb("scan", _scan, "Read every picture under a folder and say what is wrong.")
    scanning.add_argument("folder", type=Path, help="a folder of pictures, or a zip archive")
    _add_setup_options(scanning)
    scanning.add_argument("--files", action="store_true", help="list every file with what became of it")
    scanning.add_argument("--csv", type=Path, metavar="FILE", help="write that list to this new file")
    scanning.add_argument("--save-setup", type=Path, metavar="FILE", help="write what the options below decide to this "
                          "new file, for --setup")  # fmt: skip

    advise = verb("advise", _advise, "Measure which way of training suits a folder of pictures.")
    advise.add_argument("folder", type=Path, help="a folder of pictures, or a zip archive")
    _add_setup_options(advise)
    advise.add_argument("--backbone", default="", help="see `tlstudio backbones`; default: the best on this computer")
    advise.add_argument("--weights", type=Path, help="a weights file, .pth or .safetensors")
    advise.add_argument("--seed", type=_whole(0, MAX_SEED), default=0)
    advise.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))

    cache = verb("cache", _cache, "Say how much of the disk is taken by what the app remembers to save time.")
    cache.add_argument("--clear", action="store_true", help="delete it; it is made again when needed")

    train = verb("train", _train, "Train a classifier on a folder of pictures.")
    train.add_argument("folder", type=Path, help="a folder of pictures, or a zip archive")
    _add_setup_options(train)
    train.add_argument("--run", required=True, dest="run_folder", type=Path, help="a new folder for the run")
    train.add_argument("--backbone", default="", help="see `tlstudio backbones`; default: the best on this computer")
    train.add_argument("--weights", type=Path, help="a weights file, .pth or .safetensors")
    train.add_argument("--regime", default="auto", choices=("auto", *REGIME_NAMES))
    train.add_argument("--head", default="linear", choices=HEAD_NAMES)
    train.add_argument("--cut", default="", metavar="BLOCK", help="the last block to keep; default: as measured")
    train.add_argument(
        "--epochs", type=_whole(1, MAX_EPOCHS), help="of the stages that count epochs; default: by number of pictures"
    )
    train.add_argument("--seed", type=_whole(0, MAX_SEED), default=0)
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))

    resume = verb(
        "resume", _resume, "Go on with a training that was stopped or interrupted, or let it learn for longer."
    )
    resume.add_argument("run_folder", type=Path, metavar="RUN")
    resume.add_argument("--epochs", type=_whole(1, MAX_EPOCHS), default=0, help="so many more of them")
    resume.add_argument("--to", type=Path, help="a new folder for the longer run; RUN then stays as it is")
    resume.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="default: the one it began on")

    add_actions(verb("runs", None, "List the runs, compare them, write notes on them, or move them to the trash."))

    race = verb("race", _race, "Try every way of training in short form, then train the best one in full.")
    race.add_argument("folder", type=Path, help="a folder of pictures, or a zip archive")
    _add_setup_options(race)
    race.add_argument("--budget", required=True, type=_minutes, metavar="MINUTES", help="how long the race may take; "
                      "training the winner comes on top")  # fmt: skip
    race.add_argument("--run", required=True, dest="run_folder", type=Path, help="a new folder for the winner's run")
    race.add_argument("--backbone", default="", help="see `tlstudio backbones`; default: the best on this computer")
    race.add_argument("--weights", type=Path, help="a weights file, .pth or .safetensors")
    race.add_argument("--seed", type=_whole(0, MAX_SEED), default=0)
    race.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))

    rank = verb("rank", _rank, "Compare the backbones on this computer on a folder of pictures.")
    rank.add_argument("folder", type=Path, help="a folder of pictures, or a zip archive")
    _add_setup_options(rank)
    rank.add_argument("--backbone", action="append", default=[], help="only this one; can be given several times")
    rank.add_argument("--seed", type=_whole(0, MAX_SEED), default=0)
    rank.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))

    evaluate = verb("evaluate", _evaluate, "Judge a run on pictures that taught it nothing.")
    evaluate.add_argument("run_folder", type=Path, metavar="RUN")
    evaluate.add_argument("folder", type=Path, nargs="?", help="default: the run's own held-out pictures")

    predict = verb("predict", _predict, "Name the class of pictures; they are only read.")
    predict.add_argument("run_folder", type=Path, metavar="RUN")
    predict.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="pictures, or folders of pictures")
    predict.add_argument("--csv", type=Path, help="write the answers to this new file")

    export = verb("export", _export, "Write a run's model to a file that answers like the app.")
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument("--format", required=True, choices=("onnx", "safetensors"))
    export.add_argument("--to", required=True, type=Path, metavar="FOLDER")
    return parser


def _add_setup_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides how a folder of pictures becomes a data set."""
    group = parser.add_argument_group("the set-up of the pictures")
    group.add_argument("--setup", type=Path, metavar="FILE", help="a saved set-up; the options below change it")
    group.add_argument("--exclude", action="append", default=[], metavar="PATTERN",
                       help="leave files out, as “*_mask.png” or “*/masks/*”; can be given several times")  # fmt: skip
    group.add_argument("--leave-out", action="append", default=[], metavar="CLASS",
                       help="leave a class out; can be given several times")  # fmt: skip
    classes = group.add_mutually_exclusive_group()
    classes.add_argument("--labels", type=Path, metavar="TABLE", help="a CSV file or spreadsheet with the classes")
    classes.add_argument("--pattern", metavar="REGEX", help="a regular expression with the group (?P<class>...), also "
                         "part and group, for the place of every file below the folder")  # fmt: skip
    group.add_argument("--groups", type=_groupings, metavar="KINDS",
                       help="what keeps pictures on one side of the split: none, or some of "
                       f"{','.join(get_args(Grouping))}")  # fmt: skip
    group.add_argument("--framing", choices=FRAMINGS, help="how a picture becomes a square: the long side cut off, all "
                       "of it on a ground, or stretched")  # fmt: skip
    group.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), dest="value_range",
                       help="the values that become black and white in pictures of more than 8 bits")  # fmt: skip
    group.add_argument("--channels", type=_channels, help="which channels to use of more than four: 0 or 0,1,2, say")


def _setup(arguments: argparse.Namespace) -> DatasetSetup:
    """Return the set-up that the options ask for. Raises StudioError."""
    from dataclasses import replace

    import msgspec

    from tlstudio.core.dataset_setup import Layout, read_setup

    setup = DatasetSetup() if arguments.setup is None else read_setup(arguments.setup)
    layout, reading, groupings = setup.layout, setup.reading, setup.groupings
    if arguments.labels is not None:
        layout = Layout(kind="table", table=str(arguments.labels.absolute()))
    if arguments.pattern is not None:
        layout = Layout(kind="names", pattern=arguments.pattern)
    if arguments.groups is not None:
        groupings = arguments.groups
    if arguments.framing is not None:
        reading = replace(reading, framing=arguments.framing)
    if arguments.value_range is not None:
        low, high = arguments.value_range
        if not -MAX_VALUE <= low < high <= MAX_VALUE:
            raise StudioError("The first value of --range must be below the second one.", "Give black, then white.")
        reading = replace(reading, low=low, high=high)
    if arguments.channels is not None:
        reading = replace(reading, channels=arguments.channels)
    return msgspec.structs.replace(
        setup,
        layout=layout,
        exclude=(*setup.exclude, *arguments.exclude),
        left_out=(*setup.left_out, *arguments.leave_out),
        groupings=groupings,
        reading=reading,
    )


def _groupings(text: str) -> tuple[Grouping, ...]:
    """Return kinds of groups from an argument."""
    kinds: tuple[Grouping, ...] = get_args(Grouping)
    wanted = [] if text == "none" else text.split(",")
    if unknown := set(wanted) - set(kinds):
        raise argparse.ArgumentTypeError(f"{min(unknown) or 'nothing'} is none of {', '.join(kinds)}")
    return tuple(kind for kind in kinds if kind in wanted)


def _channels(text: str) -> tuple[int, ...]:
    """Return the numbers of one or three channels from an argument."""
    numbers = text.split(",")
    if len(numbers) not in (1, 3) or not all(number.isdecimal() and len(number) < 6 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text} is not the number of one channel, or of three")
    return tuple(map(int, numbers))


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Return what reads a whole number within bounds from an argument."""

    def read(text: str) -> int:
        if not (text.isdecimal() and len(text) < 20 and lowest <= int(text) <= highest):
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {lowest} to {highest}")
        return int(text)

    return read


def _minutes(text: str) -> float:
    """Return a positive number of minutes from an argument."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= MAX_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes above 0 and up to {MAX_MINUTES}")
    return minutes


def _backbones(arguments: argparse.Namespace) -> int:
    from tlstudio.core.weights_folder import backbone_rows

    rows = backbone_rows()
    if arguments.json:
        for row in rows:
            print_json(row)
        return 0
    print(
        f"{'name':20}{'million parameters':>20}{'download MB':>13}{'pixels':>8}{'ImageNet %':>12}  {'licence':14}here"
    )
    for row in rows:
        print(
            f"{row['name']:20}{row['parameters'] / 1e6:20.1f}{row['download_mb']:13.1f}{row['input_px']:8}"
            f"{_or_dash(row['imagenet_top1']):>12}  {row['licence']:14}{'yes' if row['present'] else 'no'}"
        )
    return 0


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _samples(arguments: argparse.Namespace) -> int:
    from tlstudio.core.sample_pictures import draw_sample_pictures

    draw_sample_pictures(arguments.folder)
    if arguments.json:
        print_json({"path": str(arguments.folder)})
    else:
        print_plain(f"Sample pictures were drawn in {arguments.folder}.")
    return 0


def _scan(arguments: argparse.Namespace) -> int:
    setup = _setup(arguments)
    for file in (arguments.csv, arguments.save_setup):
        if file is not None and file.exists():
            raise StudioError(f"“{file}” already exists.", "Choose another file name; nothing was overwritten.")
    ended = _perform(jobs.Scan(folders=(str(arguments.folder),)), _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    import msgspec

    from tlstudio.core.dataset import arrange, require_classes
    from tlstudio.core.durable import write_bytes, write_json
    from tlstudio.core.look import read_scanned
    from tlstudio.core.spreadsheet import files_csv

    index = arrange(read_scanned(Path(ended.result["scanned"])), setup)
    files = index.files()
    if arguments.csv is not None:
        write_bytes(arguments.csv, files_csv(files).encode())
    if arguments.save_setup is not None:
        write_json(arguments.save_setup, setup)
    problem = None
    try:
        require_classes(index)
    except StudioError as error:
        problem = error
    if arguments.json:
        found = {
            "images": len(index.images),
            "classes": index.class_counts(),
            "splits": index.part_counts(),
            "problems": msgspec.to_builtins(index.problems),
            "seconds": round(index.seconds, 3),
        }
        if arguments.files:
            found["files"] = msgspec.to_builtins(files)
        if problem is not None:
            found["error"] = {"what": problem.what, "hint": problem.hint}
        print_json(found)
    elif arguments.files:
        for file in files:
            print(f"{file.status:10}{printable(file.path)}{': ' if file.message else ''}{printable(file.message)}")
    if problem is not None:
        return _complain(problem.what, problem.hint)
    if not arguments.json and not arguments.files:
        _print_index(index)
    return 0


def _print_index(index: DatasetIndex) -> None:
    print(f"{len(index.images)} pictures in {len(index.classes)} classes, read in {index.seconds:.1f} s.")
    for name, count in index.class_counts().items():
        print(f"  {count:6}  {printable(name)}")
    for part, count in index.part_counts().items():
        print(f"  {count:6} pictures for {part}")
    for problem in index.problems:
        print(f"{printable(problem.path)}: {printable(problem.message)}")
    if index.ignored:
        print(f"{len(index.ignored)} other files were ignored; --files lists them.")


def _advise(arguments: argparse.Namespace) -> int:
    job = jobs.Advise(
        folders=(str(arguments.folder),),
        setup=_setup(arguments),
        backbone=arguments.backbone,
        weights=None if arguments.weights is None else str(arguments.weights),
        seed=arguments.seed,
        device=arguments.device,
    )
    ended = _perform(job, _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    if arguments.json:
        print_json(ended.result)
        return 0
    import msgspec

    from tlstudio.core.advice import Advice

    advice = msgspec.convert(ended.result, Advice)
    print(
        f"Advice: {advice.regime}" + (f", keeping the parts up to “{advice.cut}”." if advice.regime == "cut" else ".")
    )
    for reason in advice.reasons:
        print(reason)
    if advice.similarity:
        likeness = advice.similarity
        print(f"Likeness to what the network learned from: {likeness.value:.2f} ({likeness.low:.2f} to "
              f"{likeness.high:.2f}), {likeness.verdict}.")  # fmt: skip
        print(f"What each part of the network tells apart, and joined with those before it "
              f"({advice.measured_images} pictures):")  # fmt: skip
    for depth in advice.depths:
        bar = "█" * round(depth.accuracy * BAR_LENGTH)
        print(f"  {depth.block:10}{bar:·<{BAR_LENGTH}} {depth.accuracy:6.1%} ±{depth.standard_error:5.1%}   "
              f"joined {depth.joined_accuracy:6.1%} ±{depth.joined_standard_error:5.1%}")  # fmt: skip
    if advice.would_change:
        print(advice.would_change)
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from tlstudio.core.cache_folder import clear, size_bytes

    freed = clear() if arguments.clear else 0
    size = size_bytes()
    if arguments.json:
        print_json({"bytes": size, "freed_bytes": freed})
    elif arguments.clear:
        print(f"{freed / 1e6:.1f} MB were freed.")
    else:
        print(f"What the app remembers to save time takes {size / 1e6:.1f} MB. `tlstudio cache --clear` deletes it.")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    job = jobs.Train(
        folders=(str(arguments.folder),),
        setup=_setup(arguments),
        run=str(arguments.run_folder),
        backbone=arguments.backbone,
        weights=None if arguments.weights is None else str(arguments.weights),
        regime=arguments.regime,
        head=arguments.head,
        cut=arguments.cut,
        epochs=arguments.epochs,
        seed=arguments.seed,
        device=arguments.device,
        download=bool(arguments.backbone),  # naming a backbone asks for it
    )
    return _follow_training(job, arguments.json)


def _resume(arguments: argparse.Namespace) -> int:
    to = None if arguments.to is None else str(arguments.to)
    job = jobs.Resume(run=str(arguments.run_folder), more_epochs=arguments.epochs, to=to, device=arguments.device)
    return _follow_training(job, arguments.json)


def _follow_training(job: jobs.Train | jobs.Resume, as_json: bool) -> int:
    ended = _perform(job, _print_event_json if as_json else _say)
    if (
        ended.result is not None
        and ended.result["val_accuracy"] is not None
        and ended.status in ("finished", "stopped")
    ):
        return 0
    if ended.result is None and as_json:  # it ended before there was a run to speak of
        _print_event_json(RunEnded(status=ended.status, cause=ended.cause, what=ended.what, hint=ended.hint))
    return _complain(ended.what, ended.hint)


def _race(arguments: argparse.Namespace) -> int:
    train = jobs.Train(
        folders=(str(arguments.folder),),
        setup=_setup(arguments),
        run=str(arguments.run_folder),
        backbone=arguments.backbone,
        weights=None if arguments.weights is None else str(arguments.weights),
        seed=arguments.seed,
        device=arguments.device,
        download=bool(arguments.backbone),  # naming a backbone asks for it
    )
    ended = _perform(jobs.Race(train=train, budget_minutes=arguments.budget), _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    rows, run = ended.result["rows"], ended.result["run"]
    if arguments.json:
        for row in rows:
            print_json(row)
        print_json({"winner": ended.result["winner"], "run": str(arguments.run_folder), "ended": run})
    else:
        print(f"{'regime':12}{'accuracy':>9}   {'95 % interval':16}{'pictures':>8}{'seconds':>9}")
        for row in rows:
            print(f"{row['regime']:12}{_score(row)}{row['images']:8}{row['seconds']:9.1f}"
                  f"{'  winner' if row['winner'] else ''}  {printable(row['note'])}")  # fmt: skip
        print_plain(f"“{ended.result['winner']}” won" + (f"; its run is {arguments.run_folder}." if run else "."))
    return 0 if run and run["val_accuracy"] is not None else _complain(ended.what, ended.hint)


def _rank(arguments: argparse.Namespace) -> int:
    job = jobs.Rank(
        folders=(str(arguments.folder),),
        setup=_setup(arguments),
        backbones=tuple(arguments.backbone),
        seed=arguments.seed,
        device=arguments.device,
    )
    ended = _perform(job, _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    rows = ended.result["rows"]
    if arguments.json:
        for row in rows:
            print_json(row)
        return 0
    print(f"{'name':20}{'accuracy':>9}   {'95 % interval':16}{'seconds':>8}{'pictures/s':>12}{'memory MB':>11}"
          f"{'export MB':>11}  weights")  # fmt: skip
    for row in rows:
        print(f"{row['backbone']:20}{_score(row)}{row['seconds']:8.1f}{row['images_per_second']:12.1f}"
              f"{row['memory_mb']:11.0f}{row['export_mb']:11.1f}  {printable(row['weights'])}")  # fmt: skip
    return 0


def _score(row: dict[str, Any]) -> str:
    """Return accuracy and interval of a row as columns; dashes where there is none."""
    if row["accuracy"] is None:
        return f"{'-':>9}   {'-':16}"
    low, high = row["interval"]
    return f"{row['accuracy']:9.1%}   {f'{low:.1%} to {high:.1%}':16}"


def _evaluate(arguments: argparse.Namespace) -> int:
    folder = None if arguments.folder is None else str(arguments.folder)
    ended = _perform(jobs.Evaluate(run=str(arguments.run_folder), folder=folder), _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    result = dict(ended.result)
    result.pop("predictions")
    if arguments.json:
        print_json(result)
        return 0
    low, high = result["accuracy_interval"]
    print(f"On {result['images']} pictures ({printable(result['part'])}):")
    print(f"  accuracy           {result['accuracy']:.1%} ({low:.1%} to {high:.1%})")
    print(f"  balanced accuracy  {result['balanced_accuracy']:.1%}")
    print(f"  macro F1           {result['macro_f1']:.1%}")
    print(f"  NLL {result['nll']:.3f} nats, calibration error {result['ece']:.1%}")
    if result["seen_in_training"]:
        print(f"  {result['seen_in_training']} of these pictures also taught the model: the figures flatter.")
    for score in result["per_class"]:
        print(
            f"  {printable(score['class'])}: precision {score['precision']:.1%}, recall {score['recall']:.1%}, "
            f"{score['support']} pictures"
        )
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    job = jobs.Predict(
        run=str(arguments.run_folder),
        paths=tuple(str(path) for path in arguments.paths),
        csv=None if arguments.csv is None else str(arguments.csv),
        max_rows=None,
    )
    ended = _perform(job, _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    for problem in ended.result["skipped"]:
        print(f"Left out {printable(problem['path'])}: {printable(problem['message'])}", file=sys.stderr)
    for row in ended.result["rows"]:
        if arguments.json:
            print_json(row)
        elif arguments.csv is None:
            print(f"{printable(row['path'])}: {printable(row['class'])} ({row['probability']:.1%})")
    if arguments.csv is not None and not arguments.json:
        print_plain(f"{ended.result['images']} answers were written to {arguments.csv}.")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    job = jobs.Export(run=str(arguments.run_folder), format=arguments.format, to=str(arguments.to))
    ended = _perform(job, _say)
    if ended.result is None:
        return _complain(ended.what, ended.hint)
    if arguments.json:
        print_json(ended.result)
        return 0
    parity = ended.result["parity"]
    print(
        f"{printable(ended.result['path'])} was written. On {parity['images']} pictures it gives the app's class in "
        f"{parity['top1_agreement']:.1%}; probabilities differ by at most {parity['max_probability_difference']:.7f}."
    )
    return 0


def _perform(job: jobs.Job, emit: Emit) -> JobEnded:
    """Do a job here; the first Ctrl-C stops it cleanly, the second one at once."""
    from tlstudio.engine.perform import perform

    asked: list[int] = []

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("Stopping; press Ctrl-C again to end at once.", file=sys.stderr)

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        return perform(job, emit, lambda: bool(asked))
    finally:
        signal.signal(signal.SIGINT, previous)


def _complain(what: str, hint: str) -> int:
    print(printable(f"{what} {hint}".strip()), file=sys.stderr)
    return 1


def _print_event_json(event: Event) -> None:
    sys.stdout.write(encode_event(event).decode())
    sys.stdout.flush()


def _say(event: Event) -> None:
    """Print an event for people."""
    match event:
        case Progress(what=what, done=done, total=total):
            if sys.stderr.isatty():
                count = f": {done:,} of {total:,}" if total else ""
                line = "" if total and done >= total else printable(what) + count
                print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        case RunStarted():
            print(
                f"{event.train_images} pictures teach, {event.val_images} judge; {event.backbone} "
                f"({printable(event.weights)}), {event.regime}, {event.device}.",
                file=sys.stderr,
            )
        case StageStarted():
            print(printable(event.sentence), file=sys.stderr)
        case BatchEnded():
            pass
        case EpochEnded():
            judged = (
                ""
                if event.val_accuracy is None
                else f", val loss {event.val_loss:.3f}, accuracy {event.val_accuracy:.1%}"
            )
            # An epoch that is told again from the log has no speed.
            speed = "" if event.images_per_second is None else f", {event.images_per_second:.0f} pictures/s"
            print(
                f"{event.stage} {event.epoch}/{event.epochs}: train loss {event.train_loss:.3f}, "
                f"accuracy {event.train_accuracy:.1%}{judged}{speed}",
                file=sys.stderr,
            )
        case Notice() | Waiting():
            print(printable(f"{event.what} {event.hint}"), file=sys.stderr)
        case RunEnded(val_accuracy=float(accuracy), val_interval=(low, high)):
            print(
                f"{event.status.capitalize()}: {accuracy:.1%} of {event.val_images} val pictures right "
                f"({low:.1%} to {high:.1%}); {event.kept} was kept.",
                file=sys.stderr,
            )
        case _:
            pass
