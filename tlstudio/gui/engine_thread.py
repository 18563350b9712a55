"""Runs jobs in engine processes: a QThread a job, and one spare process that is warm before it is needed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from typing import IO

import msgspec
from PySide6.QtCore import QObject, QThread, Signal

from tlstudio.core import unexpected
from tlstudio.core.errors import StudioError
from tlstudio.core.events import JobEnded, decode_event
from tlstudio.core.jobs import Job, Resume, Train
from tlstudio.core.paths import crash_log

WORKER_COMMAND = (
    (sys.executable, "--engine-worker")
    if getattr(sys, "frozen", False)
    else (sys.executable, "-m", "tlstudio", "--engine-worker")
)
STOP_PATIENCE_S = 10.0
_EXIT_PATIENCE_S = 5.0
_TAIL_BYTES = 8000
DIED = "The engine stopped unexpectedly."
ENDED_BY_SYSTEM = "The system ended the engine, perhaps because the memory was full."


class EngineProcess:
    """A started engine process. It waits for a job in its first line of input and ends when the input does."""

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # Ctrl-C in a terminal is for the window, which then asks its jobs to stop.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            self._errors.close()
            raise StudioError(
                f"The engine could not be started: {error.strerror or error}.", "Close other programs and try again."
            ) from error

    @property
    def output(self) -> IO[bytes]:
        """The events, one a line."""
        assert self._process.stdout is not None
        return self._process.stdout

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def write_line(self, line: bytes) -> None:
        """Send one line; a process that has just ended cannot hear it, which is no error."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def finish(self, patience_s: float = _EXIT_PATIENCE_S) -> str:
        """Close the input, wait for the end (killing what does not end) and return the last things it complained of."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the other end may have gone first
            self._process.stdin.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.output.close()
        self._errors.seek(max(0, self._errors.seek(0, 2) - _TAIL_BYTES))
        tail = self._errors.read().decode("utf-8", "replace")
        self._errors.close()
        return tail

    def exit_code(self) -> int | None:
        """Return the exit code; -N where signal N ended the process, None while it lives."""
        return self._process.poll()

    def how_it_ended(self) -> str:
        """Return in words what ended a process that was not to end yet."""
        return ENDED_BY_SYSTEM if self.exit_code() == -getattr(signal, "SIGKILL", 0) else DIED


class EnginePool:
    """Keeps one idle engine process, which imports what it needs while it waits."""

    def __init__(self, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._spare: EngineProcess | None = None

    def warm(self) -> None:
        """Start the spare process if there is none."""
        with self._lock:
            if self._spare is None:
                self._spare = EngineProcess(self._command)

    def take(self) -> EngineProcess:
        """Return the spare process, or a new one. Raises StudioError if none can be started."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.is_alive():
                return spare
            spare.finish()
        return EngineProcess(self._command)

    def shut_down(self) -> None:
        """End the spare process."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.finish(patience_s=1.0)


class EngineThread(QThread):
    """Runs one job in an engine process and emits its events, exactly one `JobEnded` among them, as the last."""

    received = Signal(object)
    """A core.events.Event."""

    def __init__(self, job: Job, parent: QObject | None = None, pool: EnginePool | None = None) -> None:
        super().__init__(parent)
        self.job = job
        self._pool = pool or EnginePool()
        self._lock = threading.Lock()
        self._process: EngineProcess | None = None
        self._listening = False
        self._stop_wanted = False
        self._killed = False
        self._how = DIED

    def request_stop(self) -> None:
        """Ask the job to end early; returns at once and may be called from any thread, also before the start."""
        with self._lock:
            first = not self._stop_wanted
            self._stop_wanted = True
            if first and self._listening and self._process:
                self._process.write_line(b"stop")

    def end(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """Ask the job to stop, wait for it, and end its process by force when it takes too long."""
        self.request_stop()
        ended = self.wait(max(0, round(1000 * patience_s)))
        while not ended:
            with self._lock:
                if self._process:
                    self._killed = True
                    self._process.kill()
            ended = self.wait(100)

    def run(self) -> None:
        """Speak with the engine process until its job has ended."""
        try:
            ended = self._speak()
        except StudioError as error:
            ended = JobEnded(status="failed", what=error.what, hint=error.hint)
        except Exception:
            unexpected.note(traceback.format_exc())
            ended = self._unexpected_end()
        self.received.emit(ended)

    def _speak(self) -> JobEnded:
        process = self._pool.take()
        ended: JobEnded | None = None
        tail = ""
        try:
            with self._lock:
                self._process = process
            process.write_line(msgspec.json.encode(self.job))
            with self._lock:
                self._listening = True
                if self._stop_wanted:
                    process.write_line(b"stop")
            ended = self._relay(process)
        finally:
            with self._lock:
                self._listening = False
            # What closed its answers is about to end by itself; how it does tells why.
            tail = process.finish()
            self._how = process.how_it_ended()
        if ended is None and not self._killed:
            code = process.exit_code()
            unexpected.note(f"{type(self.job).__name__}: the engine process ended without a result ({code}).\n{tail}")
        return ended or self._unexpected_end()

    def _relay(self, process: EngineProcess) -> JobEnded | None:
        for line in process.output:
            try:
                event = decode_event(line)
            except msgspec.DecodeError:
                unexpected.note(f"The engine wrote a line that is no event: {line[:500]!r}")
                continue
            if isinstance(event, JobEnded):
                return event
            self.received.emit(event)
        return None

    def _unexpected_end(self) -> JobEnded:
        with self._lock:
            stopped = self._stop_wanted
        if stopped:
            return JobEnded(status="stopped", what="The work was stopped.")
        last_words = f"What the engine said last is in {crash_log()}."
        if isinstance(self.job, Train | Resume):
            hint = f"What was saved can be gone on with. {last_words}"
            return JobEnded(status="paused", cause="engine-died", what=self._how, hint=hint)
        hint = f"Your pictures are untouched. Try again. {last_words}"
        return JobEnded(status="failed", cause="engine-died", what=self._how, hint=hint)
