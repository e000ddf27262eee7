"""Low-rank updates of the attention's query and value; they and the head learn (Hu et al. 2021, "LoRA").

Beside a frozen layer W goes (alpha / rank) B A, where A is [rank, inputs] and B is [outputs, rank]. B starts at zero,
so that training starts at the pretrained network. At the end the update is added to W: the network that is left has the
modules it came with.
"""

import math

import torch
from torch import Tensor, nn

from edgetune.errors import TrainingError

# What transformers, timm and their kin call the query and value projections, or the one matrix that holds both.
ADAPTED = ("query", "value", "q_lin", "v_lin", "q_proj", "v_proj", "query_proj", "value_proj", "q", "v", "qkv")


class LowRank(nn.Module):
    """A frozen linear layer and the update that is learned beside it."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.linear, self.scale = linear, alpha / rank
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5), generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Float32 [..., inputs] -> [..., outputs]."""
        update = nn.functional.linear(nn.functional.linear(inputs, self.down), self.up)
        frozen: Tensor = self.linear(inputs)
        return frozen + self.scale * update

    @property
    def weight(self) -> Tensor:
        """The weights with the update in them, for attention that multiplies them itself (torchvision's Swin)."""
        return self.linear.weight + self.scale * (self.up @ self.down)

    @property
    def bias(self) -> Tensor | None:
        """That of the frozen layer."""
        return self.linear.bias

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer with the update in its weights."""
        self.linear.weight.copy_(self.weight)
        return self.linear


def first_stage(head: int, epoch: int, epochs: int, stages: int) -> int:
    """The input's: every module computes as in training, dropout included; ``adapt`` says which weights learn."""
    return 0


def adapt(network: nn.Module, rank: int, alpha: float, seed: int) -> frozenset[str]:
    """Put updates beside the query and value layers of ``network``, in place; returns the names of their weights.

    They start from ``seed`` alone, so that a training that is resumed starts from the same ones.

    Raises:
        TrainingError: no such layers (convolutional networks), or fewer inputs or outputs than ``rank``.
    """
    found = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in ADAPTED
    ]
    if not found:
        raise TrainingError(
            'strategy "lora" needs attention with linear layers for query and value (called '
            f"{', '.join(ADAPTED[:4])}, ...), and this network has none",
            hint='set `[finetune] strategy = "partial"`: it also trains few weights, in any network',
        )
    narrow = min(min(layer.in_features, layer.out_features) for _, layer in found)
    if rank > narrow:
        raise TrainingError(
            f"the attention layers of this network are {narrow} wide, so that updates of rank {rank} are not low-rank",
            hint=f"set `[finetune] lora_rank` to {narrow} or less",
        )
    generator = torch.Generator().manual_seed(seed)
    for name, layer in found:
        _put(network, name, LowRank(layer, rank, alpha, generator))
    return frozenset(f"{name}.{part}" for name, _ in found for part in ("down", "up"))


def merge(network: nn.Module) -> None:
    """Add the updates to the layers they are beside, and leave only those."""
    for name, module in list(network.named_modules()):
        if isinstance(module, LowRank):
            _put(network, name, module.merged())


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
