"""The thread that speaks with the engine process: one JobEnded, whatever happens."""

from __future__ import annotations

import sys
import threading

from PySide6.QtCore import QObject, Slot

from tlstudio.core.events import Event, JobEnded, Progress
from tlstudio.core.jobs import Scan
from tlstudio.core.paths import crash_log
from tlstudio.gui.engine_thread import EnginePool, EngineThread
from tlstudio.gui.running_jobs import RunningJobs

JOB = Scan(folders=("somewhere",))
WAIT_MS = 20_000
FINISH = 'say(event="job_ended", status="finished", result={"job": json.loads(job)})\n'
PROGRESS = 'say(event="progress", what="Working", done=1, total=2)\n'
UNTIL_STOPPED = 'sys.stdin.readline()\nsay(event="job_ended", status="stopped")\n'
DEAF = "import time\ntime.sleep(600)\n"


class Listener(QObject):
    """Collects events and the thread they arrive in."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.threads: set[int] = set()

    @Slot(object)
    def receive(self, event: Event) -> None:
        self.events.append(event)
        self.threads.add(threading.get_ident())


def run_to_the_end(qtbot, command: tuple[str, ...], job: Scan = JOB) -> Listener:
    listener = Listener()
    thread = EngineThread(job, pool=EnginePool(command))
    thread.received.connect(listener.receive)
    with qtbot.waitSignal(thread.finished, timeout=WAIT_MS):
        thread.start()
    qtbot.waitUntil(lambda: any(isinstance(event, JobEnded) for event in listener.events))
    return listener


def test_events_arrive_in_the_window_thread_and_the_job_reaches_the_engine(qtbot, worker_that):
    heard = run_to_the_end(qtbot, worker_that(PROGRESS + FINISH))
    assert heard.events[0] == Progress(what="Working", done=1, total=2)
    assert heard.events[1:] == [JobEnded(status="finished", result={"job": {"verb": "scan", "folders": ["somewhere"]}})]
    assert heard.threads == {threading.get_ident()}


def test_a_process_that_dies_gives_one_failure_and_its_last_words_are_kept(qtbot, worker_that):
    heard = run_to_the_end(qtbot, worker_that(PROGRESS + 'sys.stderr.write("out of luck")\nsys.exit(3)\n'))
    last = heard.events[-1]
    assert isinstance(last, JobEnded)
    assert (last.status, last.what) == ("failed", "The engine stopped unexpectedly.")
    assert str(crash_log()) in last.hint
    assert "out of luck" in crash_log().read_text(encoding="utf-8")


def test_lines_after_the_end_are_not_heard(qtbot, worker_that):
    heard = run_to_the_end(qtbot, worker_that(FINISH + FINISH + PROGRESS))
    assert len(heard.events) == 1


def test_a_line_that_is_no_event_is_noted_and_does_no_harm(qtbot, worker_that):
    heard = run_to_the_end(qtbot, worker_that('print("hello there", flush=True)\n' + FINISH))
    assert [type(event) for event in heard.events] == [JobEnded]
    assert "hello there" in crash_log().read_text(encoding="utf-8")


def test_a_program_that_cannot_be_started_is_said_plainly(qtbot, tmp_path):
    heard = run_to_the_end(qtbot, (str(tmp_path / "nothing-here"),))
    (only,) = heard.events
    assert isinstance(only, JobEnded)
    assert only.status == "failed"
    assert only.what.startswith("The engine could not be started")


def test_a_large_job_passes_while_the_engine_is_not_reading_yet(qtbot, worker_that):
    job = Scan(folders=tuple(f"folder {number}" for number in range(30_000)))
    heard = run_to_the_end(qtbot, worker_that(FINISH), job)
    (only,) = heard.events
    assert isinstance(only, JobEnded)
    assert only.result is not None
    assert len(only.result["job"]["folders"]) == 30_000


def test_stop_is_heard_by_a_running_job(qtbot, worker_that):
    listener = Listener()
    thread = EngineThread(JOB, pool=EnginePool(worker_that(PROGRESS + UNTIL_STOPPED)))
    thread.received.connect(listener.receive)
    with qtbot.waitSignal(thread.received, timeout=WAIT_MS):
        thread.start()
    with qtbot.waitSignal(thread.finished, timeout=WAIT_MS):
        thread.request_stop()
        thread.request_stop()
    qtbot.waitUntil(lambda: listener.events[-1:] == [JobEnded(status="stopped")])


def test_stop_before_the_start_is_not_lost(qtbot, worker_that):
    thread = EngineThread(JOB, pool=EnginePool(worker_that(UNTIL_STOPPED)))
    listener = Listener()
    thread.received.connect(listener.receive)
    thread.request_stop()
    with qtbot.waitSignal(thread.finished, timeout=WAIT_MS):
        thread.start()
    qtbot.waitUntil(lambda: listener.events == [JobEnded(status="stopped")])


def test_a_process_that_does_not_listen_is_ended_by_force(qtbot, worker_that):
    listener = Listener()
    thread = EngineThread(JOB, pool=EnginePool(worker_that(PROGRESS + DEAF)))
    thread.received.connect(listener.receive)
    with qtbot.waitSignal(thread.received, timeout=WAIT_MS):
        thread.start()
    thread.end(patience_s=0.1)
    assert thread.isFinished()
    qtbot.waitUntil(lambda: isinstance(listener.events[-1], JobEnded) and listener.events[-1].status == "stopped")


def test_the_spare_process_takes_the_next_job_and_then_there_is_a_new_one(worker_that):
    pool = EnginePool(worker_that(FINISH))
    pool.warm()
    first = pool.take()
    second = pool.take()
    assert first is not second
    assert first.is_alive()
    for process in (first, second):
        process.finish()
        assert not process.is_alive()


def test_a_spare_process_that_died_is_replaced(qtbot):
    pool = EnginePool((sys.executable, "-c", "pass"))
    pool.warm()
    spare = pool._spare
    assert spare is not None
    qtbot.waitUntil(lambda: not spare.is_alive())
    fresh = pool.take()
    assert fresh is not spare
    fresh.finish()


def test_ending_everything_leaves_no_thread_and_no_process(qtbot, worker_that):
    owners = [Listener(), Listener()]
    jobs = RunningJobs(EnginePool(worker_that(PROGRESS + UNTIL_STOPPED)))
    for owner in owners:
        jobs.start(JOB, owner)
    qtbot.waitUntil(lambda: all(owner.events for owner in owners), timeout=WAIT_MS)
    assert len(jobs.jobs()) == 2
    jobs.end_all()
    qtbot.waitUntil(lambda: not jobs.jobs())
    assert all(isinstance(owner.events[-1], JobEnded) for owner in owners)
    jobs.end_all(patience_s=0)


def test_the_command_is_this_python():
    assert EngineThread(JOB)._pool._command == (sys.executable, "-m", "tlstudio", "--engine-worker")
