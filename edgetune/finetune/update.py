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
    scaler: torch.amp.GradScaler = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(enabled=self.compute.dtype is torch.float16)

    def step(self, inputs: Tensor, labels: Tensor, rate: float) -> float:
        """Take one step at ``rate``; returns the loss before it. A loss that is not finite changes no weight.

        Where the memory does not suffice, the micro-batch is halved, for good, and the step computed again: the
        gradient is that of the whole batch (but batch norm sees the pieces).

        Raises:
            TrainingError: not even two samples fit into memory, or, in a team, not as many as ``micro_batch`` says.
        """
        while True:
            try:
                value = self._gradients(inputs, labels)
                break
            except RuntimeError as problem:
                if not out_of_memory(problem):
                    raise
            self._halve(len(labels))  # out here, where no traceback holds the activations of the failed pass
        if value - value != 0:  # NaN or infinite
            return value
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        if self.clip_norm:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    def _gradients(self, inputs: Tensor, labels: Tensor) -> float:
        """Gradients of the mean loss of the batch; returns that loss."""
        self.optimizer.zero_grad(set_to_none=True)
        total, count = 0.0, int(self.team.sum(len(labels))[0])
        for part, truth in _pieces(inputs, labels, self.micro_batch or count, count, self.team.size):
            part, truth = to_device(part, self.compute.device), truth.to(self.compute.device, non_blocking=True)
            with self.compute.autocast():
                loss = self.loss(self.network, part, truth)
            if len(truth) < count:
                loss = loss * (len(truth) / count)
            total += self.team.sum(float(loss.detach()))[0]
            if total - total != 0:
                break
            self.scaler.scale(loss).backward()
        else:
            if self.team.size > 1:
                sum_gradients(self.network, self.team)
        return total

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
                hint="lower `[data] image_size`, choose a smaller network, or train fewer layers "
                '(`[finetune] strategy = "partial"`)',
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


def _pieces(inputs: Tensor, labels: Tensor, size: int, count: int, processes: int) -> list[tuple[Tensor, Tensor]]:
    """The batch in pieces of nearly equal size, at most ``size`` but never fewer than two.

    As many in every process, each of which holds its part of ``count`` samples.
    """
    largest, smallest = -(-count // processes), count // processes
    number = max(1, min(-(-largest // size), smallest // SMALLEST))
    return list(zip(inputs.tensor_split(number), labels.tensor_split(number), strict=True))
