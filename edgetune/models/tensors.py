"""Give a network its tensors back."""

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """``load_state_dict`` for tensors that come from a file or were copied.

    They have lost the version marks that a live network's state dict carries, without which some networks (MNASNet)
    refuse theirs; the network's own marks stand in. A weight that is shared out between processes takes its part.
    """
    live = network.state_dict()
    state = OrderedDict(
        (name, part_of(value, live[name]) if name in live else value) for name, value in tensors.items()
    )
    state._metadata = live._metadata  # type: ignore[attr-defined]
    network.load_state_dict(state, strict=strict)


def is_shared_out(tensor: Tensor) -> bool:
    """Whether this process holds only a part of it: torch's ``DTensor``, the import of which takes its time."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; of one that is shared out every process must ask for it."""
    return tensor.full_tensor() if is_shared_out(tensor) else tensor  # type: ignore[attr-defined]


def part_of(tensor: Tensor, live: Tensor) -> Tensor:
    """``tensor``, which every process holds, shared out as ``live`` is."""
    if not is_shared_out(live):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    here = tensor.to(device=live.device, dtype=live.dtype)
    return distribute_tensor(here, live.device_mesh, live.placements, src_data_rank=None)  # type: ignore[attr-defined]
