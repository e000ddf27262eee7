"""What a training run needs to go on exactly where it stopped, in one safetensors file.

The tensors are the network, its running average if there is one, the optimizer, the random generators and
the best network so far; the rest (step, history) is JSON in the file's metadata, so one ``os.replace``
makes both appear together.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edgetune.models.tensors import is_shared_out, load_tensors, part_of, whole

FILE = "training.safetensors"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far training is; ``step`` counts finished optimizer steps."""

    step: int = 0
    attempt: int = 0
    epoch_loss: float = 0.0  # summed over the finished steps of the current epoch
    epoch_seconds: float = 0.0
    epoch_wait_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_epoch: int = -1
    micro_batch: int = 0  # samples computed at once since memory ran out; 0: it did not
    scaler: dict[str, float] = field(default_factory=dict)  # fp16's loss scale
    compilation: dict[str, Any] = field(default_factory=dict)  # what was found on compiling; empty: not looked at yet


def save_state(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    best: dict[str, Tensor],
    average: nn.Module | None = None,
    write: bool = True,
) -> None:
    """Replace the checkpoint in ``folder``, if this process is to ``write`` it.

    Where weights are shared out between processes all of them must call this: it brings each tensor together.
    """
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    tensors |= {f"best.{key}": value for key, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    # Tied weights share memory, which safetensors refuses: clone.
    if write:
        tensors = {key: whole(value.detach()).cpu().contiguous().clone() for key, value in tensors.items()}
    else:
        for value in tensors.values():
            whole(value.detach())
        return
    partial = folder / f"{FILE}.partial"
    save_file(tensors, partial, metadata={"progress": json.dumps(asdict(progress))})
    partial.replace(folder / FILE)


def saved_step(folder: Path) -> int:
    """Finished optimizer steps of the checkpoint in ``folder``; 0 without one that reads."""
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            return int(json.loads(file.metadata()["progress"])["step"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return 0


def load_state(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Restore everything from the checkpoint in ``folder``; None when there is none that reads."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, TypeError):
        path.unlink(missing_ok=True)  # cut off or damaged: training starts again
        return None
    load_tensors(network, _under(tensors, "network."))
    if average is not None:
        load_tensors(average, _under(tensors, "average."))
    optimizer.load_state_dict(_optimizer_state(optimizer, tensors))
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return progress, _under(tensors, "best.")


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The optimizer's state dict; moments get their weight's memory layout, which the fused update relies on."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(tensors, "optimizer.").items():
        index, _, name = key.partition(".")
        weight = weights[int(index)]
        if value.shape == weight.shape and is_shared_out(weight):
            value = part_of(value, weight)
        elif value.shape == weight.shape:
            value = torch.empty_like(weight, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
