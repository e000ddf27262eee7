"""The layers of a transformer encoder as things that can be cut: whole layers, attention heads, FFN neurons.

What was cut is kept as the pruning history of a checkpoint: (name of the list of layers, True, layers), (name of an
attention, True, heads), (name of the first linear layer of an FFN, True, neurons); indices are those before the cut.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgetune.errors import PruningError

Cut = tuple[str, bool, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNames:
    """Where an architecture keeps the parts of a layer; ``heads`` and ``width`` are attributes of ``attention``."""

    attention: str
    projections: tuple[str, str, str]  # query, key, value
    output: str
    up: str
    down: str
    heads: str
    width: str


BERT = LayerNames(
    attention="attention.self",
    projections=("attention.self.query", "attention.self.key", "attention.self.value"),
    output="attention.output.dense",
    up="intermediate.dense",
    down="output.dense",
    heads="num_attention_heads",
    width="all_head_size",
)
DISTILBERT = LayerNames(
    attention="attention",
    projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    output="attention.out_lin",
    up="ffn.lin1",
    down="ffn.lin2",
    heads="n_heads",
    width="dim",
)
KNOWN = (BERT, DISTILBERT)  # also RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA, MiniLM: they are built as BERT is


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLayer:
    """One layer: modules to cut, all in place."""

    name: str
    names: LayerNames
    module: nn.Module

    @property
    def attention(self) -> str:
        """The attention's name in the network."""
        return f"{self.name}.{self.names.attention}"

    @property
    def up(self) -> str:
        """The name of the FFN's first linear layer."""
        return f"{self.name}.{self.names.up}"

    @property
    def heads(self) -> int:
        """Attention heads left."""
        return int(getattr(self.module.get_submodule(self.names.attention), self.names.heads))

    @property
    def neurons(self) -> int:
        """Width of the FFN."""
        return self.linear(self.names.up).out_features

    def linear(self, name: str) -> nn.Linear:
        """A linear layer by its name within the layer."""
        module = self.module.get_submodule(name)
        assert isinstance(module, nn.Linear)
        return module

    def cut_heads(self, gone: Iterable[int]) -> Cut:
        """Take attention heads out."""
        gone, attention = sorted(set(gone)), self.module.get_submodule(self.names.attention)
        size = self.linear(self.names.projections[0]).out_features // self.heads
        kept = [row for row in range(self.heads * size) if row // size not in gone]
        for name in self.names.projections:
            _keep(self.linear(name), kept, outputs=True)
        _keep(self.linear(self.names.output), kept, outputs=False)
        setattr(attention, self.names.heads, self.heads - len(gone))
        setattr(attention, self.names.width, len(kept))
        return (self.attention, True, gone)

    def cut_neurons(self, gone: Iterable[int]) -> Cut:
        """Take FFN neurons out."""
        gone = sorted(set(gone))
        kept = sorted(set(range(self.neurons)) - set(gone))
        _keep(self.linear(self.names.up), kept, outputs=True)
        _keep(self.linear(self.names.down), kept, outputs=False)
        return (self.up, True, gone)


def encoder_layers(network: nn.Module) -> list[EncoderLayer]:
    """The layers of ``network``, in order.

    Raises:
        PruningError: an architecture whose layers are not known.
    """
    place, names = _find(network)
    layers = network.get_submodule(place)
    return [
        EncoderLayer(name=f"{place}.{name}", names=names, module=module) for name, module in layers.named_children()
    ]


def drop_layers(network: nn.Module, gone: Sequence[int]) -> Cut:
    """Take whole layers out; those behind move up."""
    place, _ = _find(network)
    parent, _, name = place.rpartition(".")
    kept = [module for number, module in enumerate(network.get_submodule(place).children()) if number not in gone]
    setattr(network.get_submodule(parent), name, nn.ModuleList(kept))
    return (place, True, sorted(gone))


def replay(network: nn.Module, history: Sequence[Cut]) -> None:
    """Cut a fresh network as another was cut, in the same order."""
    for name, _, gone in history:
        layers = {layer.attention: layer for layer in encoder_layers(network)}
        neurons = {layer.up: layer for layer in encoder_layers(network)}
        if name in layers:
            layers[name].cut_heads(gone)
        elif name in neurons:
            neurons[name].cut_neurons(gone)
        else:
            drop_layers(network, gone)


def _find(network: nn.Module) -> tuple[str, LayerNames]:
    for place, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module):
            for names in KNOWN:
                modules = dict(module[0].named_modules())
                if {names.attention, *names.projections, names.output, names.up, names.down} <= set(modules):
                    return place, names
    raise PruningError(
        "the layers of this encoder are not known, so that it cannot be pruned",
        hint="set `[prune] target_speedup = []`; BERT, RoBERTa, DistilBERT and their kin can be",
    )


@torch.no_grad()
def _keep(layer: nn.Linear, kept: Sequence[int], *, outputs: bool) -> None:
    index = torch.tensor(kept, dtype=torch.long, device=layer.weight.device)
    layer.weight = nn.Parameter(layer.weight.index_select(0 if outputs else 1, index).contiguous())
    if not outputs:
        layer.in_features = len(kept)
        return
    layer.out_features = len(kept)
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.index_select(0, index).contiguous())
