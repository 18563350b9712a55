"""The engine process: one job in, its events out as lines of JSON, `stop` in to end it early.

It ends when its input ends, so no engine outlives a window that is gone.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from typing import NoReturn

import msgspec

from tlstudio.core.events import Event, JobEnded, encode_event
from tlstudio.core.jobs import Job


def main() -> NoReturn:
    """Serve one job from standard input, then end the process."""
    # Libraries that print must not disturb the protocol: their output goes to the error stream.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    line_read = threading.Event()
    warm = threading.Thread(target=_warm_up, args=(line_read,), name="warm-up", daemon=True)
    warm.start()
    # Unbuffered: a thread that waits in a buffered reader would hold its lock when the interpreter ends, and abort it.
    orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - open as long as the process lives
    line = orders.readline()
    line_read.set()
    if not line:
        os._exit(0)  # nobody wants this engine; do not wait for imports that are under way
    job = msgspec.json.decode(line, type=Job)
    stop = threading.Event()
    threading.Thread(target=_listen, args=(orders, stop), name="listen", daemon=True).start()
    lock = threading.Lock()

    def emit(event: Event) -> None:
        with lock:
            answers.write(encode_event(event))

    try:
        from tlstudio.engine.perform import perform

        ended = perform(job, emit, stop.is_set)
    except Exception as error:
        traceback.print_exc()
        ended = JobEnded(
            status="failed",
            what=f"Something unexpected went wrong: {error!r}.",
            hint="Your pictures are untouched. Try again; if it happens again, please report it.",
        )
    emit(ended)
    sys.stderr.flush()
    # All is said and written; an import still under way in the other thread must not hold up or upset the end.
    os._exit(0)


def _warm_up(line_read: threading.Event) -> None:
    """Start and import what jobs need while nobody has asked for one yet."""
    from tlstudio.core.decode_process import warm_up

    if not line_read.is_set():
        warm_up()
    for name in ("tlstudio.core.dataset", "numpy", "torch", "torchvision.models", "tlstudio.engine.train"):
        if line_read.is_set():
            return
        __import__(name)


def _listen(orders: io.FileIO, stop: threading.Event) -> None:
    for line in orders:
        if line.strip() == b"stop":
            stop.set()
    # The window is gone: end within a moment, whatever the job is doing.
    stop.set()
    giving_up = threading.Timer(20.0, os._exit, (1,))
    giving_up.daemon = True
    giving_up.start()


if __name__ == "__main__":
    main()
