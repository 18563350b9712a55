"""`tlstudio runs`: what the window's Runs page does, for scripts and people without a screen."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlstudio.core.errors import StudioError
from tlstudio.printing import print_json, print_plain

if TYPE_CHECKING:
    from tlstudio.core.run_comparison import Difference
    from tlstudio.core.run_history import KnownRun, Trashed


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Give the verb its actions; without one it lists the runs."""
    parser.set_defaults(run=_list, folder=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="without an action the runs are listed")

    def action(name: str, run: Callable[[argparse.Namespace], int], sentence: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=sentence, description=sentence)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON lines")
        return made

    listing = action("list", _list, "List the runs in a folder, the newest first.")
    listing.add_argument("folder", type=Path, nargs="?", help="default: the folder in which the window keeps them")
    comparing = action("compare", _compare, "Say in what runs differ, and whether one of them is clearly better.")
    comparing.add_argument("run_folders", type=Path, nargs="+", metavar="RUN")
    noting = action("note", _note, "Give a run a name, tags and a note; its folder keeps its own name.")
    noting.add_argument("run_folder", type=Path, metavar="RUN")
    noting.add_argument("--name", help="shown instead of the folder's name; an empty one takes it back")
    noting.add_argument("--tags", help="with commas between them; they replace those before")
    noting.add_argument("--text", help="replaces the note")
    trashing = action("trash", _trash, "Move a run to the app's trash, from where it can be restored.")
    trashing.add_argument("run_folder", type=Path, metavar="RUN")
    restoring = action("restore", _restore, "List the trash, or move runs in it back to where they were.")
    restoring.add_argument("names", nargs="*", metavar="NAME", help="the folder's name; of several the last one moved")


def _list(arguments: argparse.Namespace) -> int:
    from tlstudio.core.paths import runs_dir
    from tlstudio.core.run_history import history

    for known in history(arguments.folder or runs_dir()):
        if arguments.json:
            print_json(_as_json(known))
            continue
        facts = known.facts
        accuracy = "-" if facts.val_accuracy is None else f"{facts.val_accuracy:.1%}"
        tags = f"  [{', '.join(known.notes.tags)}]" if known.notes.tags else ""
        print_plain(f"{_when(facts.time_s)}  {facts.state:12}{accuracy:>7}  {known.name}  ({known.run.path}){tags}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    import msgspec

    from tlstudio.core.run_comparison import MOST_RUNS, data_differences, plan_differences, read_runs, verdicts
    from tlstudio.core.runfolder import RunFolder

    if not 2 <= len(arguments.run_folders) <= MOST_RUNS:
        raise StudioError(f"{len(arguments.run_folders)} runs cannot be compared.", f"Give two to {MOST_RUNS}.")
    runs = read_runs([RunFolder(folder) for folder in arguments.run_folders])
    found = verdicts(runs)
    differences = {"plan": plan_differences(runs), "pictures": data_differences(runs)}
    if arguments.json:
        print_json(
            {
                "runs": [run.name for run in runs],
                "verdicts": [
                    {**msgspec.to_builtins(one), "better": one.better, "sentence": one.sentence} for one in found
                ],
                **{name: {row.what: list(row.values) for row in rows} for name, rows in differences.items()},
            }
        )
        return 0
    for one in found:
        print_plain(one.sentence)
    for name, rows in differences.items():
        _say_differences(name, rows, [run.name for run in runs])
    return 0


def _say_differences(name: str, rows: list[Difference], runs: list[str]) -> None:
    print_plain(f"No difference in the {name}." if not rows else f"Different in the {name}:")
    for row in rows:
        print_plain(f"  {row.what}")
        for run, value in zip(runs, row.values, strict=True):
            print_plain(f"    {run}: {value}")


def _note(arguments: argparse.Namespace) -> int:
    import msgspec

    from tlstudio.core.run_history import notes_of, write_notes
    from tlstudio.core.runfolder import RunFolder

    run = RunFolder(arguments.run_folder)
    run.plan()  # refuses what is no run
    changes: dict[str, Any] = {"name": arguments.name, "note": arguments.text}
    if arguments.tags is not None:
        changes["tags"] = tuple(arguments.tags.split(","))
    changes = {field: value for field, value in changes.items() if value is not None}
    if changes:
        write_notes(run, msgspec.structs.replace(notes_of(run), **changes))
    notes = notes_of(run)
    if arguments.json:
        print_json(msgspec.to_builtins(notes))
    else:
        print_plain(f"{notes.name or run.path.name}  [{', '.join(notes.tags)}]  {notes.note}")
    return 0


def _trash(arguments: argparse.Namespace) -> int:
    from tlstudio.core.run_history import trash
    from tlstudio.core.runfolder import RunFolder

    moved = trash(RunFolder(arguments.run_folder.absolute()))
    if arguments.json:
        print_json(_trashed_as_json(moved))
    else:
        print_plain(f"{moved.came_from} was moved to the trash. `tlstudio runs restore {_name(moved)}` brings it back.")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from tlstudio.core.run_history import restore, trashed

    for name in arguments.names:
        found = next((one for one in trashed() if _name(one) == name), None)
        if found is None:
            raise StudioError(f"No run “{name}” is in the trash.", "`tlstudio runs restore` lists those that are.")
        run = restore(found)
        if arguments.json:
            print_json({"path": str(run.path)})
        else:
            print_plain(f"{run.path} is back.")
    if not arguments.names:
        for one in trashed():
            if arguments.json:
                print_json(_trashed_as_json(one))
            else:
                print_plain(f"{_when(one.time_s)}  {_name(one)}  ({one.came_from})")
    return 0


def _as_json(known: KnownRun) -> dict[str, Any]:
    import msgspec

    return {
        "path": str(known.run.path),
        **msgspec.to_builtins(known.facts),
        **msgspec.to_builtins(known.notes),
        "name": known.name,
    }


def _trashed_as_json(one: Trashed) -> dict[str, Any]:
    return {"name": _name(one), "came_from": one.came_from, "folder": one.folder}


def _name(one: Trashed) -> str:
    return Path(one.came_from).name


def _when(time_s: float) -> str:
    return f"{datetime.datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"
