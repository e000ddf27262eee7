"""How much of what it was pretrained for the fine-tuned network still knows.

The pretrained network, with the head it came with, is judged on pictures of its own classes; then the fine-tuned
backbone under that same old head. What is lost in between was forgotten (McCloskey & Cohen 1989).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from edgetune_runtime.errors import InputError
from edgetune_runtime.preprocessing import Preprocessing
from numpy.typing import NDArray
from torch import Tensor, nn

from edgetune.data.preprocessing import make_preprocessing
from edgetune.data.scan import Listing, scan
from edgetune.errors import DataError, WeightsError
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.update import to_device
from edgetune.hashing import canonical_json
from edgetune.measure.statistics import accuracy_change
from edgetune.models.checkpoint import load_checkpoint
from edgetune.models.head import head_keys
from edgetune.models.tensors import load_tensors
from edgetune.models.weights import fit_weights, read_weights
from edgetune.models.zoo import AUXILIARY, library_weights
from edgetune.progress import Tick
from edgetune.steps.context import StepContext
from edgetune.tasks.image_classification import logits_of

BATCH = 32


def run(context: StepContext) -> None:
    """Write ``forgetting.json``: accuracy before and after, the change with its interval, samples and classes.

    Raises:
        WeightsError: weights without a head. DataError: classes that cannot be told from the head's, unreadable files.
    """
    assert context.keep is not None  # the plan has this step only where the recipe names the data
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    state = library_weights(spec.name) if context.weights is None else read_weights(context.weights)
    head = head_keys(lambda classes: spec.make(context.base, classes), spec.num_classes)
    old = spec.make(context.base, old_classes(state, head)).eval()
    fit_weights(old, state, head, spec.name, left_out=AUXILIARY.get(spec.name, ()))
    listing = scan(context.keep)
    truth = class_numbers(listing, old_classes(state, head))
    preprocessing = Preprocessing.from_dict(make_preprocessing(int(spec.image_size or 0)))
    before = _right(old, listing, truth, preprocessing, context.tick)
    learned = {key: value for key, value in network.state_dict().items() if key not in head}
    load_tensors(old, {**old.state_dict(), **learned})
    after = _right(old, listing, truth, preprocessing, context.tick)
    change = accuracy_change(before, after)
    content = {
        "before": float(before.mean()),
        "after": float(after.mean()),
        "change": change,
        "samples": len(truth),
        "classes": len(listing.labels),
    }
    (context.out / "forgetting.json").write_text(canonical_json(content), encoding="utf-8")


def old_classes(state: Mapping[str, Tensor], head: frozenset[str]) -> int:
    """How many classes the head in pretrained weights tells apart."""
    found = {int(state[key].shape[0]) for key in head if key in state}
    if len(found) != 1:
        raise WeightsError(
            "the pretrained weights have no head of their own, without which nothing tells what is forgotten",
            hint="leave `[finetune] keep` out, or set `[model] weights` to a file with its classifier",
        )
    return found.pop()


def class_numbers(listing: Listing, classes: int) -> NDArray[np.int64]:
    """The old head's class of each sample: the labels' own numbers, or their place in alphabetical order.

    Raises:
        DataError: labels that are neither.
    """
    numbers = [int(label) for label in listing.labels if label.isascii() and label.isdigit()]
    if len(numbers) < len(listing.labels) or max(numbers) >= classes:
        if len(listing.labels) != classes:
            raise DataError(
                f"the old head has {classes} classes and the data of `[finetune] keep` {len(listing.labels)}: "
                f"{', '.join(listing.labels[:3])}, ...",
                hint=f"have all {classes} in alphabetical order of the head's, or call the folders by its numbers: "
                f"0 to {classes - 1}",
            )
        numbers = list(range(classes))
    return np.asarray([numbers[sample.label] for sample in listing.samples], np.int64)


@torch.no_grad()
def _right(
    network: nn.Module, listing: Listing, truth: NDArray[np.int64], preprocessing: Preprocessing, tick: Tick
) -> NDArray[np.bool_]:
    """Which samples [N] the network gets right, as the device would preprocess them."""
    device = choose_compute("fp32").device
    network.to(device).eval()
    answers: list[int] = []
    for start in range(0, len(truth), BATCH):
        paths = [listing.root / sample.path for sample in listing.samples[start : start + BATCH]]
        inputs = torch.from_numpy(np.concatenate([_read(preprocessing, path) for path in paths]))
        answers += logits_of(network(to_device(inputs, device))).argmax(1).tolist()
        tick(len(answers), len(truth), "what was kept")
    right: NDArray[np.bool_] = np.asarray(answers, np.int64) == truth
    return right


def _read(preprocessing: Preprocessing, path: Path) -> NDArray[np.float32]:
    """float32 [1, 3, H, W]"""
    try:
        return np.asarray(preprocessing(path))
    except (InputError, OSError) as problem:
        raise DataError(f"{path} of `[finetune] keep` cannot be read: {problem}", hint="mend or remove it") from problem
