"""Cut a network into stages, from the input to the head, by its module tree alone.

A stage is a module of the backbone: the root's children, of which the largest is opened (its own children take
its place) until there are at least four. That gives ResNet's stem and four layers, the blocks of MobileNet,
EfficientNet or ConvNeXt, and the encoder layers of a transformer. What has no matrix of its own (norms,
activations, a position embedding) belongs to the stage before it.

The order is that of registration, which is the order of execution in torchvision's networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

ENOUGH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """``parts[i]`` are the names of the modules and lone weights of stage i; the last stage is the head."""

    parts: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def head(self) -> int:
        """The number of the last stage."""
        return len(self.parts) - 1

    def of(self, name: str) -> int:
        """The stage of a weight or module: that of its nearest ancestor in ``parts``; 0 for what has none."""
        numbers = {part: number for number, names in enumerate(self.parts) for part in names}
        while name and name not in numbers:
            name = name.rpartition(".")[0]
        return numbers.get(name, 0)


def split_stages(network: nn.Module, head: frozenset[str] = frozenset()) -> Stages:
    """The stages of ``network``.

    Args:
        head: state-dict keys of the head (``edgetune.models.head``); empty: the last stage found is the head.
    """
    heads = _head_modules(head)
    entries = [""]
    stages = _grouped(network, entries, heads)
    while len(stages) < ENOUGH and (largest := _largest(network, entries, heads)) is not None:
        where = entries.index(largest)
        entries[where : where + 1] = _opened(network, largest)
        stages = _grouped(network, entries, heads)
    if heads:
        owned = {name for names in stages for name in names}
        inside = [entry for entry in entries if entry not in owned]  # such as the Sequential around the last layer
        stages.append([*heads, *(entry for entry in inside if entry not in heads)])
    return Stages(parts=tuple(tuple(names) for names in stages))


def stage_ends(network: nn.Module) -> tuple[str, ...]:
    """The last module of each stage of the backbone."""
    modules = {name for name, _ in network.named_modules()}
    return tuple(names[-1] for part in split_stages(network).parts[:-1] if (names := [n for n in part if n in modules]))


def _head_modules(head: frozenset[str]) -> list[str]:
    """The head's modules; of auxiliary heads (GoogLeNet, Inception: all but the main one) the whole branch.

    A head that is a weight of the network itself has no module and is called by its own name.
    """
    modules = sorted({key.rpartition(".")[0] or key for key in head})
    branches = [name.rpartition(".")[0] for name in modules]
    if len(modules) < 2:
        return modules
    return [b if "aux" in b.lower() else m for m, b in zip(modules, branches, strict=True)]


def _under(name: str, places: Sequence[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _weights(network: nn.Module, entry: str, heads: Sequence[str]) -> list[nn.Parameter]:
    """The backbone's weights under ``entry``, which is a module or a weight."""
    return [
        weight
        for name, weight in network.named_parameters()
        if (not entry or _under(name, [entry])) and not _under(name, heads)
    ]


def _is_weight(network: nn.Module, entry: str) -> bool:
    return any(name == entry for name, _ in network.named_parameters())


def _grouped(network: nn.Module, entries: Sequence[str], heads: Sequence[str]) -> list[list[str]]:
    """Entries as stages: one for each module with a matrix; the others join the stage before, or else the next."""
    stages: list[list[str]] = []
    waiting: list[str] = []
    for entry in entries:
        weights = _weights(network, entry, heads)
        if not weights and any(entry == "" or _under(head, [entry]) for head in heads):
            continue  # nothing but the head is in it
        if any(weight.ndim > 1 for weight in weights) and not _is_weight(network, entry):
            stages.append([*waiting, entry])
            waiting = []
        elif stages:
            stages[-1].append(entry)
        else:
            waiting.append(entry)
    return stages if not waiting else [*stages, waiting]


def _largest(network: nn.Module, entries: Sequence[str], heads: Sequence[str]) -> str | None:
    """The entry with the most matrices among those that can be opened."""
    sizes = {}
    for entry in entries:
        if _is_weight(network, entry) or not any(True for _ in network.get_submodule(entry).children()):
            continue
        if count := sum(weight.ndim > 1 for weight in _weights(network, entry, heads)):
            sizes[entry] = count
    return max(sizes, key=lambda entry: sizes[entry]) if sizes else None


def _opened(network: nn.Module, entry: str) -> list[str]:
    """The lone weights and the children of a module, by full name."""
    module, prefix = network.get_submodule(entry), f"{entry}." if entry else ""
    lone = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    return lone + [prefix + name for name, _ in module.named_children()]
