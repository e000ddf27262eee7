"""A worker that is killed leaves no trial running for ever: signs of life, and who looks for them.

Optuna's own heartbeat is kept by ``RDBStorage`` alone; its gRPC proxy passes none on (Optuna 5.0). So a worker counts
in an attribute of its trial, which every storage keeps, and the other workers watch the count with clocks of their
own: no two machines' clocks are compared, and the time in which the storage was away is nobody's fault.
"""

import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from edgetune.tune.study import REASON, counted

BEAT, LOSSES = "edgetune:beat", "edgetune:losses"
MOST_LOSSES = 3  # a trial that has cost so many workers is not tried again
BEATS = 6  # in the time after which a worker counts as lost


@dataclass(slots=True)
class Pulse:
    """A thread that shows that this worker lives, and takes trials from those that do not."""

    study: optuna.Study
    lost_after: float  # seconds
    _trial: Trial | None = None
    _count: int = 0
    _seen: dict[int, tuple[Any, float]] = field(default_factory=dict)  # number: its last beat, and when it was new
    _between: dict[int, float] = field(default_factory=dict)  # number: since when it was seen taken back, not queued
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Pulse":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=5)  # it may be waiting for a storage that has gone

    def begin(self, trial: Trial) -> None:
        """This worker has ``trial`` now."""
        with self._lock:
            self._trial = trial
        self._beat(trial)

    def end(self) -> None:
        """It has none any more."""
        with self._lock:
            self._trial = None

    def _run(self) -> None:
        while True:
            with self._lock:
                trial = self._trial
            try:
                if trial is not None:
                    with suppress(UpdateFinishedTrialError):  # another worker has taken it
                        self._beat(trial)
                self._look(None if trial is None else trial.number)
            except Exception:  # noqa: BLE001 - the storage is away, or the trial has just ended: next time
                self._seen.clear()
            if self._end.wait(self.lost_after / BEATS):
                return

    def _beat(self, trial: Trial) -> None:
        self._count += 1
        trial.set_user_attr(BEAT, {"place": place(), "pid": os.getpid(), "began": began("self"), "count": self._count})

    def _look(self, own: int | None) -> None:
        """Take the trials whose beat has not changed for too long, or whose process on this machine has ended."""
        now = time.monotonic()
        trials = self.study.get_trials(deepcopy=False)
        self._take_up(being_queued(trials), now)
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        others = {trial.number: trial for trial in running if trial.number != own}
        self._seen = {number: seen for number, seen in self._seen.items() if number in others}
        for number, trial in others.items():
            beat = trial.user_attrs.get(BEAT)
            if self._seen.get(number, (None, 0.0))[0] != beat or number not in self._seen:
                self._seen[number] = (beat, now)
            if has_ended(beat) or now - self._seen[number][1] > self.lost_after:
                take_back(self.study, trial, lost=True)

    def _take_up(self, between: Sequence[FrozenTrial], now: float) -> None:
        """Queue what a worker that died at that very moment did not queue any more."""
        self._between = {trial.number: self._between.get(trial.number, now) for trial in between}
        for number, since in self._between.items():
            if now - since > self.lost_after:
                _queue_again(self.study, number, lost=True)


def take_back(study: optuna.Study, trial: FrozenTrial, *, lost: bool) -> bool:
    """End a running trial, and queue its values again unless it was ``lost`` too often; False: another did so."""
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    _queue_again(study, trial.number, lost=lost)
    return True


def _queue_again(study: optuna.Study, number: int, *, lost: bool) -> None:
    again = next(found for found in study.get_trials() if found.number == number)
    losses = again.user_attrs.get(LOSSES, 0) + lost
    if losses <= MOST_LOSSES:
        again.set_user_attr(LOSSES, losses)  # of the copy that is queued
        again.user_attrs.pop(BEAT, None)
        RetryHeartbeatStaleTrialCallback()(study, again)


def being_queued(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were taken back and whose values do not wait again yet, which is a matter of moments.

    A trial that failed by itself has a reason, and one that was lost too often is not queued.
    """
    return [
        trial
        for trial in counted(trials)
        if trial.state is TrialState.FAIL
        and REASON not in trial.user_attrs
        and trial.user_attrs.get(LOSSES, 0) < MOST_LOSSES
    ]


def place() -> str:
    """What tells this machine's processes from those of others that have the same numbers."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{space.readlink() if space.is_symlink() else ''}"


def worker_names(trials: Sequence[FrozenTrial]) -> dict[int, str]:
    """{number of a trial: "worker 1", ...}: which of ``trials`` one process made, without saying on which host."""
    found: dict[tuple[Any, ...], str] = {}
    names = {}
    for trial in trials:
        if (beat := trial.user_attrs.get(BEAT)) is not None:
            process = (beat["place"], beat["pid"], beat["began"])
            names[trial.number] = found.setdefault(process, f"worker {len(found) + 1}")
    return names


def began(process: int | str) -> str:
    """When a process began, as Linux counts; "" where that is not told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def has_ended(beat: Any) -> bool:
    """Whether the process that gave ``beat`` was on this machine and is no more."""
    if beat is None or beat["place"] != place():
        return False
    try:
        os.kill(beat["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return bool(began(beat["pid"]) != beat["began"])
