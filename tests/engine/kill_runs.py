"""Kills runs at random moments until they end, and compares what they leave with an undisturbed run's.

A program of its own: it forks before any thread has been started. Arguments: a folder of planned runs, the number of
kills and a seed. Prints {"kills": count, "differing": [run: files]} as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from tlstudio.core.events import ignore, never
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.train import train

CLOCK_FIELDS = ("time_s", "seconds", "run")


def traces(run: Path) -> dict[str, str]:
    """Return a hash of every file of a run; of the log without what a clock or the folder's name decides."""
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "events.jsonl":
            lines = [json.loads(line) for line in content.splitlines()]
            kept = [{key: value for key, value in line.items() if key not in CLOCK_FIELDS} for line in lines]
            content = json.dumps(kept).encode()
        if path.name == "manifest.json":
            checksums = json.loads(content.splitlines()[0])
            content = json.dumps({name: sums for name, sums in checksums.items() if name != "events.jsonl"}).encode()
        # Records of saved states hold the hash of the log, clock and all; which of them are there counts.
        is_record = path.parent.name == "checkpoints" and path.suffix == ".json"
        found[path.relative_to(run).as_posix()] = "" if is_record else hashlib.sha256(content).hexdigest()
    return found


def trained(run: Path, seconds: float | None = None) -> bool:
    """Train in a process of its own; kill it after so many seconds. Return whether it came to its end."""
    child = os.fork()
    if not child:
        try:
            train(RunFolder(run), ignore, never)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + (seconds if seconds is not None else 1e9)
    while True:
        pid, status = os.waitpid(child, 0 if seconds is None else os.WNOHANG)
        if pid:
            assert status == 0, f"{run.name} ended with {status}"
            return True
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.001)


def main(folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    chance = random.Random(seed)
    planned = sorted(path for path in folder.iterdir() if (path / "plan.json").is_file())
    wanted, duration = {}, {}
    for plan in planned:
        whole = folder / "whole" / plan.name
        shutil.copytree(plan, whole)
        started = time.monotonic()
        trained(whole)
        duration[plan], wanted[plan] = time.monotonic() - started, traces(whole)
    done, differing, attempt = 0, {}, 0
    spent = dict.fromkeys(planned, 0.0)
    while done < kills:
        attempt += 1
        # Every kind has its turn, then those that take least: a kill early in a long run tells no more than in a short.
        plan = min(planned, key=lambda plan: spent[plan])
        started = time.monotonic()
        run = folder / "killed" / f"{plan.name}-{attempt}"
        shutil.copytree(plan, run)
        # Every end is put off a few times, then the run may come to it.
        for _ in range(chance.randrange(2, 6)):
            if trained(run, chance.uniform(0, duration[plan])):
                break
            done += 1
        else:
            trained(run)
        left = traces(run)
        if left != wanted[plan]:
            differing[run.name] = sorted(
                name for name in left.keys() | wanted[plan].keys() if left.get(name) != wanted[plan].get(name)
            )
        shutil.rmtree(run)
        spent[plan] += time.monotonic() - started
    print(json.dumps({"kills": done, "differing": differing}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
