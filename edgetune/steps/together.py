"""Steps that train, carried out by all the processes that torchrun started.

The first process runs the build. When it comes to a step that trains, it posts the step's context; every process then
runs the same step, and the training loop in it joins them (``edgetune.finetune.team``). What another process than the
first one writes goes into a folder of its own, which is thrown away. Between these steps the others sleep.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import distributed
from torch.distributed import DistNetworkError, DistStoreError, PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from edgetune.errors import EdgetuneError, ProcessError
from edgetune.processes import LOST
from edgetune.progress import silent
from edgetune.steps.context import StepContext
from edgetune.steps.running import run_step

TRAINING = frozenset({"finetune", "prune", "prune_encoder", "qat", "qat_dynamic"})
LOOK_EVERY = timedelta(seconds=60)  # how often a sleeping process makes sure that the store is still there
PATIENCE_SECONDS = 15.0  # for the others to fail as we did
THE_END = "the end"
PLACES = ("out", "scratch", "base", "data", "weights")


@dataclass(slots=True, kw_only=True)
class _Crew:
    """Where the processes post what the others should know; ``job`` numbers the steps."""

    store: Store
    rank: int
    size: int
    job: int = 0


_crews: list[_Crew] = []  # one, once it was joined


def join() -> bool:
    """Meet the other processes; returns whether this is the first one.

    Raises:
        ProcessError: they cannot be reached, or there are more of them than GPUs.
    """
    backend, local = "gloo", int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise ProcessError(
                f"this machine has {torch.cuda.device_count()} GPUs, not enough for process {local + 1} on it",
                hint="start one process for each GPU",
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, size = next(rendezvous("env://"))
        # torchrun's store outlives a restart, and would hand out the addresses of those that are gone.
        store = PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        group = PrefixStore("group", store)
        distributed.init_process_group(backend, store=group, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as problem:
        raise ProcessError(f"the processes do not find each other: {problem}", hint="see docs/scaling.md") from problem
    _crews.append(_Crew(store=PrefixStore("edgetune", store), rank=rank, size=size))
    return bool(rank == 0)


def joined() -> bool:
    """Whether this process has met the others; one that torchrun started for another program has not."""
    return bool(_crews)


def run_together(name: str, context: StepContext) -> None:
    """Run a step in every process; to be called by the first one.

    Raises:
        ProcessError: another process failed where this one did not. EdgetuneError: the step's own.
        SystemExit: with ``LOST``; another process is gone, and with it what a restart would go on from is saved.
    """
    crew = _crews[0]
    crew.store.set(f"job {crew.job}", json.dumps({"name": name, **_to_json(context)}))
    _run(name, context, crew)


def serve() -> None:
    """Wait for steps and run them, until the first process says that this is the end."""
    crew = _crews[0]
    while (posted := _wait(crew, f"job {crew.job}")) != THE_END:
        content, number = json.loads(posted), crew.job
        name = content.pop("name")
        try:
            with _own_folders(_from_json(content)) as context:
                _run(name, context, crew)
        except ProcessError:
            leave(0)  # the others notice, and find our message
        except Exception as problem:  # noqa: BLE001 - whatever it is, the first process tells it
            if crew.job == number:  # it failed before the step began, which the others wait for
                _post(crew, number, problem if isinstance(problem, EdgetuneError) else _unexpected(problem))
                leave(0)
            continue  # all failed alike


def dismiss() -> None:
    """Let the others go; to be called by the first process at its end."""
    crew = _crews[0]
    crew.store.set(f"job {crew.job}", THE_END)


def leave(code: int) -> NoReturn:
    """End this process without a farewell to the others, for which some of torch's threads would wait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(name: str, context: StepContext, crew: _Crew) -> None:
    """One step in this process, whose end is told to the others."""
    number, threads = crew.job, torch.get_num_threads()
    crew.job += 1
    torch.set_num_threads(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    try:
        if not context.scratch.is_dir():
            raise ProcessError(
                f"process {crew.rank} does not see {context.scratch}",
                hint="on several machines --cache-dir must name a folder that all of them see",
            )
        distributed.barrier()  # all have looked at scratch before anyone writes there
        run_step(name, context)
    except Exception as problem:
        if _is_loss(problem):
            _raise_of_others(crew, number)
            sys.exit(LOST)
        error = problem if isinstance(problem, EdgetuneError) else _unexpected(problem)
        _post(crew, number, error)
        if not _all_failed(crew, number):
            raise ProcessError(f"process {crew.rank} failed: {error.message}", hint=error.hint) from problem
        raise
    finally:
        torch.set_num_threads(threads)
    _post(crew, number, None)


def _is_loss(problem: Exception) -> bool:
    """Whether a process that we computed with is gone. Gloo has no exception type of its own for it."""
    text = str(problem)
    return isinstance(problem, distributed.DistError) or (
        isinstance(problem, RuntimeError)
        and any(sign in text for sign in ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL"))
    )


def _unexpected(problem: Exception) -> EdgetuneError:
    return EdgetuneError(
        f"unexpected {type(problem).__name__}: {problem}",
        hint="see whether it also fails without --launcher, and there --verbose",
    )


def _post(crew: _Crew, number: int, error: EdgetuneError | None) -> None:
    """Tell how a step ended here."""
    told = {} if error is None else {"message": error.message, "hint": error.hint}
    crew.store.set(f"end of {number} in {crew.rank}", json.dumps(told))


def _ends(crew: _Crew, number: int) -> dict[int, dict[str, str]]:
    """How a step ended in the processes that have told so far; an empty one: well."""
    keys = {rank: f"end of {number} in {rank}" for rank in range(crew.size)}
    return {rank: json.loads(crew.store.get(key)) for rank, key in keys.items() if crew.store.check([key])}


def _all_failed(crew: _Crew, number: int) -> bool:
    """Whether the step fails in every process, for which the others are given some time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(ends := _ends(crew, number)) < crew.size and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(ends) == crew.size and all(ends.values())


def _raise_of_others(crew: _Crew, number: int) -> None:
    """Raise ProcessError with what a process that is gone has told, if it told."""
    for rank, told in _ends(crew, number).items():
        if told:
            raise ProcessError(f"process {rank} failed: {told['message']}", hint=told["hint"])


def _wait(crew: _Crew, key: str) -> str:
    """The value of ``key``, once it is set. A signal ends the process: it has nothing to save."""
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            try:
                crew.store.wait([key], LOOK_EVERY)
                return str(crew.store.get(key).decode())
            except DistNetworkError:
                leave(LOST)
            except DistStoreError:  # not yet
                continue
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _own_folders(context: StepContext) -> Iterator[StepContext]:
    """The context with folders of our own: a copy of scratch, to go on from what is there, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="edgetune-") as name:
        folder = Path(name)
        (folder / "out").mkdir()
        if not context.scratch.is_dir():
            yield context  # found out in ``_run``
            return
        shutil.copytree(context.scratch, folder / "scratch")
        yield replace(context, out=folder / "out", scratch=folder / "scratch")


def _to_json(context: StepContext) -> dict[str, Any]:
    """What another process needs of the context; steps that train know no device and only the first one is watched."""
    return {
        "params": dict(context.params),
        "inputs": {role: str(path) for role, path in context.inputs.items()},
        "seed": context.seed,
        "cache_mb": context.cache_mb,
        "workers": context.workers,
        **{name: None if (path := getattr(context, name)) is None else str(path) for name in PLACES},
    }


def _from_json(content: Mapping[str, Any]) -> StepContext:
    places = {name: None if content[name] is None else Path(content[name]) for name in PLACES}
    inputs = {role: Path(path) for role, path in content["inputs"].items()}
    return StepContext(**{**content, **places, "inputs": inputs, "tick": silent})
