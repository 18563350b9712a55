"""Does a job, whichever it is. The command line and the engine process both come through here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tlstudio.core import jobs
from tlstudio.core.backbones import backbone
from tlstudio.core.decode_process import end_spares
from tlstudio.core.errors import StudioError, refused
from tlstudio.core.events import Emit, JobEnded, RunEnded, ShouldStop, Status, Stopped
from tlstudio.core.look import look, write_scanned
from tlstudio.core.runfolder import RunFolder

# Each verb imports its own module when it is asked for: a scan must not wait for torch.


def perform(job: jobs.Job, emit: Emit, should_stop: ShouldStop) -> JobEnded:
    """Do the job; return, without emitting it, how it ended. What a user cannot mend is raised."""
    try:
        return _perform(job, emit, should_stop)
    except Stopped:
        return JobEnded(status="stopped", what="Stopped.", hint="Nothing was changed.")
    except StudioError as error:
        return _failed(error)
    except BrokenPipeError:  # whoever listens to the events has gone
        raise
    except OSError as error:
        return _failed(refused(error))


def _perform(job: jobs.Job, emit: Emit, should_stop: ShouldStop) -> JobEnded:
    match job:
        case jobs.Scan():
            scanned = look([Path(folder).absolute() for folder in job.folders], emit, should_stop)
            return _done({"scanned": str(write_scanned(scanned))})
        case jobs.Train():
            from tlstudio.engine.setup import set_up
            from tlstudio.engine.train import train

            return _trained(train(set_up(job, emit, should_stop), emit, should_stop))
        case jobs.Resume():
            from tlstudio.engine.resume import resume

            end_spares()  # going on reads copies
            return _trained(resume(job, emit, should_stop))
        case jobs.Advise():
            from tlstudio.engine.advise import advise

            return _done(advise(job, emit, should_stop))
        case jobs.Race():
            from tlstudio.engine.race import race

            raced = race(job, emit, should_stop)
            result = _plain(raced.result)
            return JobEnded(status=raced.status, cause=raced.cause, result=result, what=raced.what, hint=raced.hint)
        case jobs.Rank():
            from tlstudio.engine.rank import rank

            return _done({"rows": rank(job, emit, should_stop)})
        case jobs.Shortcuts():
            from tlstudio.engine.shortcuts import find_shortcuts

            return _done({"rows": find_shortcuts(job, emit, should_stop)})
        case jobs.Map():
            from tlstudio.engine.picture_map import lay_out

            return _done(lay_out(job, emit, should_stop))
        case jobs.Evaluate():
            from tlstudio.engine.evaluate import evaluate

            folder = None if job.folder is None else Path(job.folder).absolute()
            return _done(evaluate(RunFolder(Path(job.run)), folder, emit, should_stop))
        case jobs.Predict():
            from tlstudio.engine.predict import predict

            csv = None if job.csv is None else Path(job.csv)
            paths = [Path(path) for path in job.paths]
            return _done(predict(RunFolder(Path(job.run)), paths, csv, emit, should_stop, job.max_rows))
        case jobs.Export():
            from tlstudio.engine.export import export

            return _done(export(RunFolder(Path(job.run)), job.format, Path(job.to), emit, should_stop))
        case jobs.Download():
            from tlstudio.engine.download import download

            return _done({"path": str(download(backbone(job.backbone), emit, should_stop).path)})
        case jobs.Import():
            from tlstudio.engine.weights import import_weights

            imported = import_weights(Path(job.file), emit, should_stop)
            return _done({"backbone": imported.backbone, "path": str(imported.path)})
        case jobs.Measure():
            from tlstudio.engine.measure import measure

            return _done(measure(job.backbones, job.device, should_stop))


def _trained(ended: RunEnded) -> JobEnded:
    return JobEnded(status=ended.status, cause=ended.cause, result=_plain(ended), what=ended.what, hint=ended.hint)


def _failed(error: StudioError) -> JobEnded:
    status: Status = "paused" if error.cause else "failed"
    return JobEnded(status=status, cause=error.cause, what=error.what, hint=error.hint)


def _done(result: Any) -> JobEnded:
    return JobEnded(status="finished", result=_plain(result))


def _plain(record: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain
