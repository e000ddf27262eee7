"""The processes that train one network together, each on its part of every batch.

Gradients and counts are summed; each process then takes the same step with its own optimizer. The processes are
torchrun's; ``edgetune.steps.together`` brings them together. One process alone is a team of one, for which
nothing here communicates.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, distributed, nn

from edgetune.errors import InputError, TrainingError
from edgetune.hashing import digest_json

BUCKET_BYTES = 32 << 20  # gradients that travel as one message


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Process ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """The sums of what each process holds."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)  # on the CPU, which gloo serves also beside GPUs
        distributed.all_reduce(total)
        return cast("list[float]", total.tolist())

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        return here if self.size == 1 else self.sum(here)[0] > 0

    def check_same(self, value: int, what: str) -> None:
        """Raise TrainingError unless every process holds the same (not negative) ``value``."""
        if self.size == 1:
            return
        held = [0.0] * self.size
        held[self.rank] = value
        if len(found := set(self.sum(*held))) > 1:
            raise TrainingError(
                f"the processes disagree on {what}: {', '.join(f'{number:.0f}' for number in sorted(found))}",
                hint="machines that train together need the same edgetune, recipe and data, and one cache folder",
            )

    def check_batches(self, samples: int, batches: int) -> None:
        """Raise InputError where a batch has fewer samples than there are processes."""
        if (smallest := samples // batches) < self.size:
            raise InputError(
                f"{self.size} processes cannot share batches of {smallest} samples: each needs one at least",
                hint="take fewer processes, or a larger `[finetune] batch_size` if the data has that many samples",
            )


ALONE = Team()


def current() -> Team:
    """The team of this process."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    return Team(rank=distributed.get_rank(), size=distributed.get_world_size())


def draw_seed(*numbers: int) -> int:
    """A seed for torch's generator, another one for other ``numbers``."""
    state = np.random.SeedSequence([number % (1 << 64) for number in numbers]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


@torch.no_grad()
def spread(network: nn.Module, team: Team) -> None:
    """Give every process the first one's weights and buffers; what processors rounded differently is the same then.

    Raises:
        TrainingError: they are not of the same shapes.
    """
    if team.size == 1:
        return
    state = network.state_dict()
    shapes = digest_json([(name, list(value.shape)) for name, value in state.items()])
    team.check_same(int(shapes[:12], 16), "the shape of the network")
    for value in state.values():
        whole = value.detach().contiguous()
        distributed.broadcast(whole, src=0)
        value.copy_(whole)


def sum_gradients(network: nn.Module, team: Team) -> None:
    """Give every process the sum of all gradients.

    A weight that no process has a gradient for keeps none, so that optimizers leave it alone.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    used = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.uint8)
    distributed.all_reduce(used, op=distributed.ReduceOp.MAX)
    gradients = []
    for weight, wanted in zip(weights, used.tolist(), strict=True):
        if wanted:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        distributed.all_reduce(flat)
        for gradient, part in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(part.view(gradient.shape))


def _buckets(gradients: list[Tensor]) -> list[list[Tensor]]:
    """Neighbours of one type, up to ``BUCKET_BYTES`` together."""
    buckets: list[list[Tensor]] = []
    filled = 0
    for gradient in gradients:
        size = gradient.numel() * gradient.element_size()
        if not buckets or buckets[-1][0].dtype != gradient.dtype or filled + size > BUCKET_BYTES:
            buckets.append([])
            filled = 0
        buckets[-1].append(gradient)
        filled += size
    return buckets
