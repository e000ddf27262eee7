"""Whether ``torch.compile`` pays for a training: measured once, on its first batch.

Compiling takes from half a minute to several minutes and makes a step some tens of per cent faster, or not. So a
training that is over by then is not compiled, and one that is longer gets what turned out to be faster. Forward and
backward passes are timed; no weight, statistic or random state is changed by it.
"""

import statistics
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from edgetune.errors import TrainingError
from edgetune.finetune.precision import finish
from edgetune.finetune.update import Update

WARMUPS, TIMED = 3, 10  # passes
WORTH_TRYING_SECONDS = 120.0  # of training: compiling alone takes half a minute at least, and halves a step at best
BACKEND = "inductor"
FASTER = 0.97  # of the plain time; what is closer is noise, and not worth other rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """Whether the network is compiled, why, and what was measured; None: not measured."""

    used: bool
    reason: str
    plain_ms: float | None = None  # forward and backward pass over one batch
    compiled_ms: float | None = None
    compile_seconds: float | None = None
    break_even_steps: int | None = None  # after so many, the time spent on compiling is won back

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def consider(wanted: str, update: Update, batch: tuple[Tensor, Tensor], steps: int, changing: bool) -> Compilation:
    """Compile the network of ``update`` (its ``forward``) if that is ``wanted`` and pays for ``steps`` more steps.

    Args:
        wanted: "auto", "never" or "always".
        batch: one of those that training computes.
        changing: the strategy frees stages as it goes on; each time all would be compiled again.

    Raises:
        TrainingError: "always", and it cannot be compiled.
    """
    if wanted == "never":
        return Compilation(used=False, reason="as the recipe says")
    if reason := _obstacle(update, changing, asked=wanted == "always"):
        if wanted == "always":
            raise TrainingError(
                f"the network cannot be compiled: {reason}", hint='set `[finetune] compile = "auto"` or "never"'
            )
        return Compilation(used=False, reason=reason)
    with _Undisturbed(update):
        plain = _median_seconds(update, batch)
        if wanted == "auto" and plain * steps < WORTH_TRYING_SECONDS:
            reason = f"training takes about {plain * steps:.0f} s, in which compiling is not won back"
            return Compilation(used=False, reason=reason, plain_ms=1e3 * plain)
        return _tried(wanted, update, batch, plain, steps)


def apply(update: Update) -> None:
    """Compile without measuring: the training goes on that was found to be faster compiled."""
    update.forward = cast("nn.Module", torch.compile(update.network, backend=BACKEND))


def _obstacle(update: Update, changing: bool, *, asked: bool) -> str | None:
    """Why compiling is not even tried."""
    if update.team.size > 1:
        return "several processes train together"
    if changing:
        return "the strategy frees stages one after the other, and each time all would be compiled again"
    if update.compute.device.type != "cuda" and not asked:
        return f"on a {update.compute.device.type} compiling takes minutes and was not seen to win them back"
    if torch.are_deterministic_algorithms_enabled() and not asked:
        return "what is measured is never twice the same, and the result must be"
    return None


def _tried(wanted: str, update: Update, batch: tuple[Tensor, Tensor], plain: float, steps: int) -> Compilation:
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about what the user did not write
            apply(update)
            finite = update.gradients(*batch).isfinite().item()
        spent = time.perf_counter() - started
        compiled = _median_seconds(update, batch)
    except Exception as problem:  # the compiler fails in many ways: no C++ compiler, odd networks, its own errors
        update.forward = update.network
        reason = f"{type(problem).__name__}: {(str(problem).strip().splitlines() or [''])[0][:200]}"
        if wanted == "always":
            raise TrainingError(
                f"the network cannot be compiled: {reason}", hint='set `[finetune] compile = "auto"` or "never"'
            ) from problem
        return Compilation(used=False, reason=f"it cannot be compiled: {reason}", plain_ms=1e3 * plain)
    saved = plain - compiled
    pays = bool(finite) and compiled < FASTER * plain
    if not pays and wanted == "auto":
        update.forward = update.network
    break_even = int(spent / saved) + 1 if saved > 0 else None
    told = "faster" if pays else "not faster" if finite else "not finite where the plain one is"
    times = f"{1e3 * compiled:.1f} ms instead of {1e3 * plain:.1f} ms a step, of {steps} steps"
    return Compilation(
        used=pays or wanted == "always",
        reason=f"compiled it is {told}: {times}",
        plain_ms=1e3 * plain,
        compiled_ms=1e3 * compiled,
        compile_seconds=spent,
        break_even_steps=break_even,
    )


def _median_seconds(update: Update, batch: tuple[Tensor, Tensor]) -> float:
    """Of forward and backward pass."""
    times = []
    for number in range(WARMUPS + TIMED):
        started = time.perf_counter()
        update.gradients(*batch).item()
        finish(update.compute.device)
        if number >= WARMUPS:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


class _Undisturbed:
    """What passes over a batch change besides gradients is put back: buffers (batch norm's) and random state."""

    def __init__(self, update: Update) -> None:
        self.update, self.cuda = update, update.compute.device.type == "cuda"

    def __enter__(self) -> None:
        self.buffers = _copied(self.update.network)
        self.random = torch.get_rng_state()
        self.random_cuda = torch.cuda.get_rng_state() if self.cuda else None

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for name, buffer in self.update.network.named_buffers():
                buffer.copy_(self.buffers[name])
        torch.set_rng_state(self.random)
        if self.random_cuda is not None:
            torch.cuda.set_rng_state(self.random_cuda)
        self.update.optimizer.zero_grad(set_to_none=True)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.detach().clone() for name, buffer in network.named_buffers()}
