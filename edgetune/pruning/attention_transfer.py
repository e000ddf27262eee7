"""Distillation of what stages look at: maps of the pruned network are led to those of the unpruned one.

A map is the sum over channels of squared activations, divided by its norm (Zagoruyko and Komodakis 2017, "Paying more
attention to attention"). It has no channels, so networks of different width compare without any layer in between.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional

from edgetune.errors import PruningError

Maps = dict[str, Tensor]
"""Module name -> its last output: [N, C, H, W], or [N, T, C] of a sequence."""


@contextmanager
def recorded(network: nn.Module, names: tuple[str, ...]) -> Iterator[Maps]:
    """The outputs of modules ``names``, anew with each forward pass, as long as the block lasts."""
    maps: Maps = {}

    def keep(name: str) -> None:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim in (3, 4):
                maps[name] = output

        hooks.append(network.get_submodule(name).register_forward_hook(hook))

    hooks: list[object] = []
    for name in names:
        keep(name)
    try:
        yield maps
    finally:
        for made in hooks:
            made.remove()  # type: ignore[attr-defined]


def attention_transfer(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Mean over stages and samples of the squared distance between the maps of both (scalar).

    Raises:
        PruningError: the maps of a stage have another number of pixels, or there is nothing to compare.
    """
    shared = [name for name in student if name in teacher]
    if not shared:
        raise PruningError(
            "no stage of this network gives maps or sequences to imitate",
            hint="set `[prune] feature_distillation = 0`",
        )
    losses = []
    for name in shared:
        ours, theirs = _attention(student[name]), _attention(teacher[name])
        if ours.shape != theirs.shape:
            raise PruningError(
                f"{name} gives maps of {ours.shape[1]} pixels, in the network to imitate of {theirs.shape[1]}",
                hint="both must see the same picture at the same strides; set `[prune] feature_distillation = 0`",
            )
        losses.append((ours - theirs).square().sum(1).mean())
    return sum(losses[1:], losses[0]) / len(losses)


def _attention(output: Tensor) -> Tensor:
    """[N, pixels or tokens], of norm 1."""
    channels = 1 if output.ndim == 4 else 2
    return functional.normalize(output.float().square().sum(channels).flatten(1), dim=1)
