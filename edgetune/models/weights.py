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
AGAIN = "get the file again; a state dict saved by safetensors.torch.save_file is best"
TORCH = (b"PK\x03\x04", b"\x80")  # as torch.save has written since 1.6, and before
WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a ``.safetensors`` or ``.pt``/``.pth`` file.

    Raises:
        WeightsError: missing, damaged, or a pickle that would run code (refused, never loaded).
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}", hint="`[model] weights` is relative to the recipe")
    _look_at_the_beginning(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as problem:
            raise WeightsError(f"{path.name} is damaged or not safetensors: {problem}") from problem
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        if "unsupported global" not in str(problem).lower():
            raise WeightsError(f"{path.name} is damaged: {_first_line(problem)}", hint=AGAIN) from problem
        raise WeightsError(
            f"{path.name} is refused: loading it would run code from the file",
            hint="save `model.state_dict()` alone, best with safetensors.torch.save_file, and point `weights` at that",
        ) from problem
    except MemoryError:
        raise
    except Exception as problem:  # damaged bytes make torch's unpickler raise anything
        what = f"{path.name} is damaged or no PyTorch checkpoint: {_first_line(problem)}"
        raise WeightsError(what, hint=AGAIN) from problem
    return _unwrap(content, path)


def _look_at_the_beginning(path: Path) -> None:
    """What is downloaded by mistake is told by its first bytes.

    Raises:
        WeightsError: it is nothing that holds weights.
    """
    with path.open("rb") as file:
        first = file.read(64)
    if not first:
        raise WeightsError(f"{path.name} is empty", hint=AGAIN)
    if first.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{path.name} is a web page, not weights", hint=AGAIN)
    if first.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path.name} is a pointer of git-lfs, not the weights", hint="run `git lfs pull` beside it")
    if path.suffix != ".safetensors" and not first.startswith(TORCH):
        raise WeightsError(
            f"{path.name} is no PyTorch checkpoint: it begins neither as an archive of torch.save nor as a pickle",
            hint="point `weights` at a state dict saved by torch.save or safetensors.torch.save_file",
        )


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0] or type(problem).__name__


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
