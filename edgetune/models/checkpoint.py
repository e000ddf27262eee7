"""Networks on disk without pickle: ``model.safetensors`` beside ``model.json``.

``model.json`` names the factory, its arguments and the pruning history that is replayed on the
fresh network (torch-pruning's ``load_pruning_history``; of encoders ``encoder_layers.replay``) before the
weights are loaded.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch_pruning as tp
from safetensors.torch import load_file, save_file
from torch import nn

from edgetune.hashing import canonical_json
from edgetune.models.encoder_layers import replay
from edgetune.models.tensors import load_tensors
from edgetune.models.tracing import dependency_graph
from edgetune.models.zoo import make_network

SCHEMA = "edgetune.checkpoint/1"
EXAMPLE_LENGTH = 16  # tokens

PruningHistory = list[tuple[str, bool, list[int]]]
"""What was removed, in order: (module name, whether output channels, their indices)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """All that is needed to make the unpruned network again; ``image_size`` is None for one that reads text."""

    name: str
    num_classes: int
    args: Mapping[str, Any]
    image_size: int | None = None
    max_length: int | None = None  # tokens

    def make(self, base: Path | None = None, num_classes: int | None = None) -> nn.Module:
        """A fresh network; ``num_classes`` overrides the spec's."""
        return make_network(self.name, num_classes or self.num_classes, self.args, base)

    def example(self) -> torch.Tensor:
        """An input: zeros [1, 3, H, W], or token ids int64 [1, L] without padding."""
        if self.image_size is not None:
            return torch.zeros(1, 3, self.image_size, self.image_size)
        unpadded = 1 if self.args["config"]["pad_token_id"] == 0 else 0
        return torch.full((1, min(EXAMPLE_LENGTH, self.max_length or EXAMPLE_LENGTH)), unpadded)


def save_checkpoint(folder: Path, spec: NetworkSpec, network: nn.Module, pruning: PruningHistory) -> None:
    """Write ``model.safetensors`` and ``model.json``."""
    state = {  # copies: tied weights share memory, which safetensors does not store
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    macs, parameters = tp.utils.count_ops_and_params(copy.deepcopy(network).cpu().eval(), spec.example())
    content = {
        "schema": SCHEMA,
        "network": asdict(spec),
        "pruning_history": pruning,
        "counts": {"macs": int(macs), "parameters": int(parameters)},
    }
    (folder / "model.json").write_text(canonical_json(content), encoding="utf-8")


def read_spec(folder: Path) -> NetworkSpec:
    """What the network saved in ``folder`` was made from."""
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return NetworkSpec(**content["network"])


def load_checkpoint(folder: Path, base: Path | None = None) -> tuple[NetworkSpec, nn.Module, PruningHistory]:
    """The network saved in ``folder``, in eval mode, bit-identical to what was saved."""
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    spec = NetworkSpec(**content["network"])
    network = spec.make(base).eval()
    history: PruningHistory = [(name, bool(out), list(idxs)) for name, out, idxs in content["pruning_history"]]
    if history and spec.max_length is not None:
        replay(network, history)
    elif history:
        dependency_graph(network, spec.example()).load_pruning_history(history)
    load_tensors(network, load_file(folder / "model.safetensors"))
    return spec, network, history
