"""One optimizer step: gradients of a batch, in pieces where the memory asks for it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgetune.errors import TrainingError
from edgetune.finetune.precision import Compute
from edgetune.finetune.team import ALONE, Team, sum_gradients

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(network in train mode, inputs [N, ...], labels [N] or [N, K]) -> scalar mean over N."""
SMALLEST = 2  # samples; batch norm needs two


@dataclass(slots=True, kw_only=True)
class Update:
    """How a batch becomes a step. ``micro_batch`` is the most samples computed at once; 0: the whole batch.

    In a ``team`` each process is given its part of the batch, of which none is empty; the step is that of the whole.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    compute: Compute
    clip_norm: float = 0.0
    micro_batch: int = 0
    team: Team = ALONE
    sharded: bool = False  # the backward pass itself sums gradients over the team
    scaler: torch.amp.GradScaler = field(init=False)
    forward: nn.Module = field(init=False)  # what computes: the network, or a compiled form with the same weights

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(enabled=self.compute.dtype is torch.float16)
        self.forward = self.network

    @property
    def waits(self) -> bool:
        """Whether the loss is known, and found finite, before the step; a GPU alone is not waited for."""
        return self.team.size > 1 or self.compute.device.type != "cuda"

    def step(self, inputs: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Take one step at ``rate``; returns the loss before it, as a scalar on the device.

        A loss that is not finite changes no weight where the step ``waits`` for it; elsewhere the weights are spoilt.

        Where the memory does not suffice, the micro-batch is halved, for good, and the step computed again: the
        gradient is that of the whole batch (but batch norm sees the pieces).

        Raises:
            TrainingError: not even two samples fit into memory, or, in a team, not as many as ``micro_batch`` says.
        """
        while True:
            try:
                value = self.gradients(inputs, labels)
                break
            except RuntimeError as problem:
                if not out_of_memory(problem):
                    raise
            self._halve(len(labels))  # out here, where no traceback holds the activations of the failed pass
        if self.waits and not torch.isfinite(value):
            return value
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        if self.clip_norm:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Gradients of the mean loss of the batch; returns that loss, a scalar."""
        self.optimizer.zero_grad(set_to_none=True)
        count = int(self.team.sum(len(labels))[0])
        total = torch.zeros((), dtype=torch.float64 if self.waits else torch.float32, device=self._where)
        for part, truth in _pieces(inputs, labels, self.micro_batch or count, count, self.team.size):
            part, truth = to_device(part, self.compute.device), truth.to(self.compute.device, non_blocking=True)
            if self.forward is not self.network:
                _let_vary(part)
            with self.compute.autocast():
                loss = self.loss(self.forward, part, truth)
            if len(truth) < count:
                loss = loss * (len(truth) / count)
            if self.waits:
                total += self.team.sum(float(loss.detach()))[0]
                if not torch.isfinite(total):
                    break
            else:
                total += loss.detach()
            self.scaler.scale(loss).backward()
        else:
            if self.team.size > 1 and not self.sharded:
                sum_gradients(self.network, self.team)
        return total

    @property
    def _where(self) -> torch.device:
        return torch.device("cpu") if self.waits else self.compute.device

    def _halve(self, batch: int) -> None:
        now = min(self.micro_batch or batch, batch)
        if self.team.size > 1:  # the others have gone on, and wait for our part of this computation
            raise TrainingError(
                f"the memory of {self.compute.device} does not suffice for {now} samples in process {self.team.rank}",
                hint=f"set `[finetune] micro_batch = {max(SMALLEST, -(-now // 2))}`, or take more processes",
            )
        if now <= SMALLEST:
            raise TrainingError(
                f"the memory of {self.compute.device} does not suffice for {now} samples at once",
                hint="lower `[data] image_size`, choose a smaller network, train fewer layers "
                '(`[finetune] strategy = "partial"`), or share the weights out between several GPUs (docs/scaling.md)',
            )
        self.micro_batch = max(SMALLEST, -(-now // 2))
        self.optimizer.zero_grad(set_to_none=True)
        if self.compute.device.type == "cuda":
            torch.cuda.empty_cache()


def out_of_memory(problem: RuntimeError) -> bool:
    """Whether the memory ran out; CPUs and Apple GPUs have no exception type of their own for it."""
    text = str(problem)
    return isinstance(problem, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """``inputs`` on ``device``; images in channels_last."""
    if inputs.ndim == 4:
        return inputs.to(device, memory_format=torch.channels_last, non_blocking=True)
    return inputs.to(device, non_blocking=True)


def _let_vary(inputs: Tensor) -> None:
    """Batches differ in size, and texts in length: let one compilation serve all."""
    for axis in (0, 1) if inputs.ndim == 2 else (0,):
        torch._dynamo.maybe_mark_dynamic(inputs, axis)


def _pieces(inputs: Tensor, labels: Tensor, size: int, count: int, processes: int) -> list[tuple[Tensor, Tensor]]:
    """The batch in pieces of nearly equal size, at most ``size`` but never fewer than two.

    As many in every process, each of which holds its part of ``count`` samples.
    """
    largest, smallest = -(-count // processes), count // processes
    number = max(1, min(-(-largest // size), smallest // SMALLEST))
    return list(zip(inputs.tensor_split(number), labels.tensor_split(number), strict=True))
