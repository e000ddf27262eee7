"""A command in several processes, which torchrun starts."""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgetune_runtime.visible import visible

from edgetune.errors import InputError, Interrupted, ProcessError
from edgetune.processes import LOST, RUN_ID

EXIT_FILE = "EDGETUNE_EXIT_FILE"  # where the first process tells how it ended: torchrun would start all again after a 3


def as_one_of_several(command: Callable[[], object]) -> None:
    """Run ``command`` in the first of the processes that torchrun started; the others help it where it trains."""
    from edgetune.steps import together  # imports torch

    try:
        leads = together.join()
    except ProcessError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)  # noqa: T201 - before any command that could
        sys.exit(error.exit_code)
    os.environ.pop(RUN_ID, None)  # another edgetune that this one starts is not of the team
    if not leads:
        together.serve()
        together.leave(0)
    code: int = 0
    try:
        command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        code = Interrupted.exit_code
    if code != LOST:
        together.dismiss()
        if place := os.environ.get(EXIT_FILE):
            Path(place).write_text(str(code))
            code = 0
    together.leave(code)


def launch(arguments: Sequence[str], *, processes: int | None = None, max_restarts: int = 0) -> int:
    """Run ``edgetune`` with ``arguments`` in ``processes`` processes of this machine; returns its exit code.

    Args:
        processes: None: one for each GPU.
        max_restarts: how often all of them are started again after one was lost; they go on from the last checkpoint.

    Raises:
        InputError: it is not known how many processes, or this PyTorch has no torchrun. ProcessError: one was lost.
        Interrupted: Ctrl-C before the first process could tell.
    """
    processes = _check(processes)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we tell what it would
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"edgetune-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=max_restarts,
    )
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        ended = Path(folder) / "exit-code"
        os.environ[EXIT_FILE] = str(ended)
        try:
            elastic_launch(config, sys.executable)("-m", "edgetune", *arguments)
        except ChildFailedError as failed:
            rank, code = _cause({rank: failure.exitcode for rank, failure in failed.failures.items()})
            raise ProcessError(_loss(rank, code, max_restarts), hint="run the same command to go on") from None
        except SignalException:
            if not ended.exists():
                raise Interrupted("stopped; finished steps are kept", hint="run the same command to go on") from None
        finally:
            del os.environ[EXIT_FILE]
        return int(ended.read_text())


def _check(processes: int | None) -> int:
    """How many processes.

    Raises:
        InputError: see ``launch``.
    """
    import torch

    try:
        import torch.distributed.launcher.api

        there = torch.distributed.is_available()
    except ImportError:
        there = False
    if not there:
        raise InputError(
            "this PyTorch has no torchrun: it was built without torch.distributed",
            hint="build without --launcher, or install PyTorch from pytorch.org",
        )
    gpus = torch.cuda.device_count()
    if processes is None and gpus < 2:
        raise InputError(
            f"this machine has {gpus or 'no'} GPU{'s' * (gpus != 1)}: say how many processes train",
            hint="on processors: --processes 2",
        )
    if processes is not None and 0 < gpus < processes:
        raise InputError(f"{processes} processes need as many GPUs, and here are {gpus}", hint=f"--processes {gpus}")
    return processes or gpus


def _cause(exit_codes: Mapping[int, int]) -> tuple[int, int]:
    """(rank, exit code) of the process that failed by itself, rather than of one that ended because it lost another."""
    ranked = sorted(exit_codes.items())
    return next(((rank, code) for rank, code in ranked if code != LOST), ranked[0])


def _loss(rank: int, exit_code: int, max_restarts: int) -> str:
    how = f"by signal {-exit_code}" if exit_code < 0 else f"with exit code {exit_code}"
    again = f", also after {max_restarts} restarts" if max_restarts else ""
    return f"process {rank} ended {how}{again}; finished steps and the last checkpoint are kept"
