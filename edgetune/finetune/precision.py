"""Where and in which arithmetic to train."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch

from edgetune.errors import TrainingError

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """The device, the autocast type (None: float32) and why."""

    device: torch.device
    dtype: torch.dtype | None
    reason: str

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for the forward pass; a no-op in float32."""
        return torch.autocast(self.device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)


def choose_compute(precision: str) -> Compute:
    """Pick the device, and the precision when it is "auto".

    bf16 is chosen only where the hardware multiplies it: GPUs that say so, CPUs with AMX or AVX512-BF16.

    Raises:
        TrainingError: fp16 without a GPU, where gradients would underflow unscaled and slowly.
    """
    if torch.cuda.is_available():
        device, has_bf16, name = torch.device("cuda"), torch.cuda.is_bf16_supported(), torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device, has_bf16, name = torch.device("mps"), False, "Apple GPU"
    else:
        device, has_bf16, name = torch.device("cpu"), _cpu_has_bf16(), "CPU"
    if precision == "fp16" and device.type != "cuda":
        raise TrainingError(
            f"fp16 training needs an NVIDIA GPU; this machine trains on its {name}",
            hint='set `[finetune] precision = "auto"`',
        )
    if precision != "auto":
        return Compute(device=device, dtype=DTYPES[precision], reason=f"{precision} asked for by the recipe")
    if has_bf16:
        return Compute(device=device, dtype=torch.bfloat16, reason=f"{name} multiplies bf16 in hardware")
    return Compute(device=device, dtype=None, reason=f"{name} has no bf16 arithmetic")


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("amx_tile"))


@contextmanager
def fastest_kernels() -> Iterator[None]:
    """While open, cuDNN tries its kernels and takes the fastest, as training loops usually have it."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def finish(device: torch.device) -> None:
    """Wait until the device has computed what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
