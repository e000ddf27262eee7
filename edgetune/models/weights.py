"""Read weights safely and fit them to a network: safetensors, or weights-only state dicts. Nothing is unpickled."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from edgetune.errors import WeightsError
from edgetune.models.tensors import load_tensors

SHOWN = 5
WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a ``.safetensors`` or ``.pt``/``.pth`` file.

    Raises:
        WeightsError: missing, damaged, or a pickle that would run code (refused, never loaded).
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}", hint="`[model] weights` is relative to the recipe")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as problem:
            raise WeightsError(f"{path.name} is damaged or not safetensors: {problem}") from problem
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise WeightsError(
            f"{path.name} is refused: loading it would run code from the file",
            hint="save `model.state_dict()` alone, best with safetensors.torch.save_file, and point `weights` at that",
        ) from problem
    except (RuntimeError, EOFError, ValueError, OSError) as problem:
        raise WeightsError(f"{path.name} is damaged or no PyTorch checkpoint: {problem}") from problem
    return _unwrap(content, path)


def _unwrap(content: object, path: Path) -> dict[str, torch.Tensor]:
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = content if isinstance(content, dict) else {}
    state = {
        str(key).removeprefix("module."): value for key, value in tensors.items() if isinstance(value, torch.Tensor)
    }
    if not state:
        raise WeightsError(f"{path.name} holds no state dict", hint="save `model.state_dict()`")
    return state


def fit_weights(
    network: nn.Module,
    state: Mapping[str, torch.Tensor],
    head: frozenset[str],
    source: str,
    left_out: tuple[str, ...] = (),
) -> list[str]:
    """Load ``state`` into ``network``; head keys that do not fit keep their fresh values and are returned.

    Args:
        left_out: prefixes of keys that the file may have and the network does without.

    Raises:
        WeightsError: any other key missing, unknown or of another shape: which, and what was expected.
    """
    ours = network.state_dict()
    optional = {key for key in ours if key.endswith("num_batches_tracked")}
    fresh = sorted(key for key in head if key not in state or state[key].shape != ours[key].shape)
    problems = [
        f"{key}: expected {list(ours[key].shape)}, the file has {list(state[key].shape)}"
        for key in ours
        if key in state and key not in head and state[key].shape != ours[key].shape
    ]
    problems += [f"{key}: missing in the file" for key in ours if key not in state and key not in head | optional]
    unknown = [key for key in state if key not in ours and key not in head and not key.startswith(left_out)]
    problems += [f"{key}: not in the network" for key in unknown]
    if problems:
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise WeightsError(
            f"{source} does not fit the network ({len(problems)} keys):\n  " + "\n  ".join(problems[:SHOWN]) + more,
            hint="check `[model] name` and `args` against the network the weights were saved from",
        )
    usable = {key: value for key, value in state.items() if key in ours and key not in fresh}
    load_tensors(network, usable, strict=False)
    return fresh
