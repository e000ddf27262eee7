"""Give a network its tensors back."""

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """``load_state_dict`` for tensors that come from a file or were copied.

    They have lost the version marks that a live network's state dict carries, without which some networks (MNASNet)
    refuse theirs; the network's own marks stand in.
    """
    state = OrderedDict(tensors)
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(state, strict=strict)
