"""`Jobs`: long work in the background, one piece after another, watched and stoppable."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import watching
from neuralcodes.serve.errors import BusyError, NotFoundError, RefusedError, UnavailableError

State = Literal["waiting", "running", "done", "failed", "stopped"]
ENDED = ("done", "failed", "stopped")
REMEMBERED = 200  # jobs that have ended

Work = Callable[[], Any]


class StoppedError(KeyboardInterrupt):
    """Somebody wants the job to stop; what it does at Ctrl-C it does now: keep what is done."""


@dataclass
class Job:
    """A piece of long work.

    Attributes:
        number: its id.
        kind: "sync", "remove", "duplicates", ….
        work: what it does.
        quiet: it is forgotten when it has ended.
        state: see `State`.
        step: what it does now, in words.
        done, total: of this step.
        created, started, ended: seconds since 1970; 0 if not yet.
        message: what went wrong, or what to know.
        result: JSON-ready, when done.
        error: what it failed of.
        stopping: somebody wants it to stop.
        over: it has ended.
    """

    number: int
    kind: str
    work: Work = field(repr=False)
    quiet: bool = False
    state: State = "waiting"
    step: str = ""
    done: int = 0
    total: int = 0
    created: float = field(default_factory=time.time)
    started: float = 0.0
    ended: float = 0.0
    message: str = ""
    result: Any = None
    error: BaseException | None = field(default=None, repr=False)
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)
    over: threading.Event = field(default_factory=threading.Event, repr=False)


class Jobs:
    """One thread that works on jobs in the order they came.

    Args:
        most: jobs that may wait.
        told: is called with kind and state of each that ends.
        name: of the thread.
        first: the number before the first job's.
    """

    def __init__(
        self, most: int, told: Callable[[str, str], None], name: str, first: int = 0
    ) -> None:
        self._most = most
        self._told = told
        self._all: OrderedDict[int, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._change = threading.Condition()
        self._number = first
        self._running: Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, kind: str, work: Work, single: bool = False, quiet: bool = False) -> Job:
        """Put a job in the queue.

        Args:
            kind: its name.
            work: what it does; `progress` bars within it become the job's progress.
            single: where one of this kind waits or runs already, give that one instead.
            quiet: forget it when it has ended; somebody waits for it.

        Raises:
            BusyError: too many wait.
            UnavailableError: shutting down.
        """
        with self._change:
            if self._closed:
                raise UnavailableError("shutting down")
            if single:
                for job in self._all.values():
                    if job.kind == kind and job.state not in ENDED and not job.stopping.is_set():
                        return job
            if len(self._waiting) >= self._most:
                raise BusyError(f"{len(self._waiting)} jobs wait already", retry_after=5)
            self._number += 1
            job = Job(self._number, kind, work, quiet=quiet)
            self._all[job.number] = job
            self._waiting.append(job)
            self._forget()
            self._change.notify_all()
        return job

    def get(self, number: int) -> Job:
        """A job by its id.

        Raises:
            NotFoundError: there is none, or it has ended long ago.
        """
        with self._change:
            if number not in self._all or self._all[number].quiet:
                raise NotFoundError(f"no job {number}; jobs are forgotten when the service ends")
            return self._all[number]

    def list(self) -> list[Job]:
        """All that are remembered, the newest first."""
        with self._change:
            return [job for job in reversed(self._all.values()) if not job.quiet]

    def stop(self, number: int) -> Job:
        """Ask a job to stop; what it has done is kept. One that has ended stays as it is."""
        job = self.get(number)
        with self._change:
            job.stopping.set()
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, "stopped", "stopped before it began")
        return job

    def stop_long(self) -> None:
        """Ask all but quiet jobs to stop, so that those that wait behind them get through."""
        for job in self.list():
            if not job.quiet and job.state not in ENDED:
                self.stop(job.number)

    def close(self, patience: float) -> None:
        """Finish the job under way, or stop it after so many seconds.

        Of those that wait only the quiet ones begin: somebody was promised an answer.
        """
        with self._change:
            self._closed = True
            for job in [job for job in self._waiting if not job.quiet]:
                self._waiting.remove(job)
                self._end(job, "stopped", "the service ended before it began")
            running = self._running
            self._change.notify_all()
        if running is not None and not running.over.wait(patience):
            running.stopping.set()
        self._thread.join(
            patience
        )  # what does not stop dies with the process, as if it were killed

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                job = self._running = self._waiting.popleft()
                job.state, job.started = "running", time.time()
            self._work(job)
            with self._change:
                self._running = None

    def _work(self, job: Job) -> None:
        def watch(step: str, done: int, total: int) -> None:
            job.step, job.done, job.total = step, done, total
            if job.stopping.is_set():
                raise StoppedError

        try:
            with watching(watch):
                job.result = job.work()
        except StoppedError:
            self._end(job, "stopped", "stopped; what was done is kept")
        except (UserError, RefusedError) as error:
            job.error = error
            self._end(job, "failed", " ".join(str(error).split()))
        except Exception as error:
            job.error = error
            self._end(job, "failed", f"a bug of ours: {type(error).__name__}")
            log_bug(error)
        else:
            self._end(job, "done", "")

    def _end(self, job: Job, state: State, message: str) -> None:
        with self._change:
            job.state, job.message, job.ended = state, message, time.time()
            job.work = _nothing  # lets go of what it holds
            if job.quiet:
                self._all.pop(job.number, None)
        self._told(job.kind, state)
        job.over.set()

    def _forget(self) -> None:
        ended = [number for number, job in self._all.items() if job.state in ENDED]
        for number in ended[: max(0, len(ended) - REMEMBERED)]:
            del self._all[number]


def _nothing() -> None:
    """The work of a job that has ended."""


def log_bug(error: BaseException) -> None:
    """Log a bug with its traceback, and go on."""
    logging.getLogger("neuralcodes.serve").error("a job failed", exc_info=error)
