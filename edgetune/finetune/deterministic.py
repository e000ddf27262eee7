"""The same bits from the same seed, also on a GPU, for what that costs in speed.

See "Reproducibility" in PyTorch's notes and "Results reproducibility" in cuBLAS's documentation.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgetune.errors import TrainingError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """While open, torch computes in a fixed order only.

    Raises:
        TrainingError: the network holds an operation that has no such form on this device.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    # Read when cuBLAS is first used; another value than these two is not reproducible.
    if os.environ.get(WORKSPACE) not in (":4096:8", ":16:8"):
        os.environ[WORKSPACE] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as problem:
        text = str(problem)
        if "deterministic" not in text:
            raise
        raise TrainingError(
            f"a part of this network cannot be computed deterministically here: {text.splitlines()[0][:300]}",
            hint="leave `deterministic = true` out, or choose another network",
        ) from problem
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
