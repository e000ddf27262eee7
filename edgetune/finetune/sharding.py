"""Weights, gradients and AdamW's moments cut up between the processes of a team: PyTorch's FSDP2 (Zhao et al. 2023).

A process keeps its part of each weight; a stage's weights are brought together while it computes and let go after it.
What trains is a copy of the network: the network itself stays whole, on the CPU, and takes the gathered weights where
they are judged and kept, so that checkpoints and everything after training are those of one process.
"""

import copy
import os

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from edgetune.errors import TrainingError
from edgetune.finetune.precision import Compute
from edgetune.finetune.stages import Stages
from edgetune.finetune.team import Team
from edgetune.models.tensors import load_tensors, whole

STATIC, LEARNING = 4, 16  # bytes of a frozen weight; of one that learns, with its gradient and AdamW's two moments
SHARE = 0.5  # of a process's memory that these may take; activations need the rest


def is_wanted(option: str, network: nn.Module, team: Team, compute: Compute) -> bool:
    """Whether to shard in a team: "always", or "auto" where copies of everything would fill some process's memory.

    Args:
        network: with ``requires_grad`` as in the epoch in which most of it learns.

    Raises:
        TrainingError: "always" with fp16, whose loss scale would have to be found together.
    """
    if compute.precision == "fp16":
        if option == "always":
            raise TrainingError(
                "weights cannot be shared out between processes in fp16",
                hint='set `[finetune] precision = "bf16"` or "fp32", or `sharding = "never"`',
            )
        return False
    return team.any(option == "always" or state_bytes(network) > SHARE * memory_bytes(compute.device))


def state_bytes(network: nn.Module) -> int:
    """What weights, gradients and moments take in a process that holds all of them."""
    return sum(weight.numel() * (LEARNING if weight.requires_grad else STATIC) for weight in network.parameters())


def memory_bytes(device: torch.device) -> int:
    """Memory of the GPU; of the machine, for each process on it, elsewhere."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return machine // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def shard(network: nn.Module, stages: Stages, team: Team, device: torch.device) -> nn.Module:
    """A copy of ``network`` whose weights are shared out stage by stage; gradients are sums over all processes."""
    made = copy.deepcopy(network)
    for weight in made.parameters():
        weight.data = weight.data.contiguous()
    mesh = init_device_mesh(device.type, (team.size,))
    for module in _units(made, stages):
        fully_shard(module, mesh=mesh)
    for module in made.modules():
        if isinstance(module, FSDPModule):  # our losses are shares of the batch's: a sum, which Gloo has, and no mean
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return made


def _units(network: nn.Module, stages: Stages) -> list[nn.Module]:
    """What is brought together at once: the stages' modules, then the network for what is left.

    The network alone where weights are tied, for both ends of a tie must be in one unit.
    """
    if len(list(network.parameters())) < len(list(network.named_parameters(remove_duplicate=False))):
        return [network]
    modules = dict(network.named_modules())
    parts = [
        modules[name] for names in stages.parts for name in names if name in modules and modules[name] is not network
    ]
    lists = nn.ModuleList | nn.ModuleDict  # these compute nothing themselves
    opened = [inner for part in parts for inner in (part.children() if isinstance(part, lists) else [part])]
    return [*(part for part in opened if any(True for _ in part.parameters())), network]


def gather(sharded: nn.Module, network: nn.Module) -> None:
    """Give ``network`` the weights and buffers of ``sharded``; every process of the team must call it."""
    load_tensors(network, {name: whole(value.detach()) for name, value in sharded.state_dict().items()})
