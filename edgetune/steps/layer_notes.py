"""What 8 bits cost each layer alone, noted beside an INT8 file for the report: at its output, and in the answers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any

from torch import Tensor, fx

from edgetune.hashing import canonical_json
from edgetune.progress import Tick
from edgetune.quantization.sensitivity import (
    Noise,
    Partly,
    all_logits,
    alone,
    has_weight,
    layer_name,
    outcome,
    rounding_noise,
    work,
)
from edgetune.steps.context import StepContext

NOISE_BATCHES = 2  # of validation
MOST, FEWEST = 64, 8  # validation samples that losses are of
# Of ``work``; a cap by seconds would not give the same samples again.
AFFORDABLE = 8e11

Few = Callable[[int], Iterable[tuple[Tensor, Tensor]]]
"""Gives so many labelled samples (inputs [N, ...], labels [N]) in batches, the same at every call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """On how many ``samples`` how many ``layers`` are looked at, the noisiest first; ``layers`` may be 0."""

    samples: int
    layers: int


def affordable(layers: int, work_of_one: float) -> Share:
    """What ``AFFORDABLE`` is enough for: fewer samples if need be, then fewer layers."""
    samples = int(AFFORDABLE // max(1.0, layers * work_of_one))
    if samples >= FEWEST:
        return Share(samples=min(samples, MOST), layers=layers)
    return Share(samples=FEWEST, layers=min(layers, int(AFFORDABLE // (FEWEST * work_of_one))))


def note_layers(graph: fx.GraphModule, example: Tensor, held_out: Iterable[Tensor], few: Few, to: StepContext) -> None:
    """Write the notes ``layers.json``: each layer's name in the file and its rounding noise, and ``alone.json``.

    Args:
        example: an input of one sample.
        held_out: pictures of the validation split.
        few: gives labelled ones from all over it.
    """
    noisy = list(islice(held_out, NOISE_BATCHES))
    noise = rounding_noise(graph, lambda: ((images, images) for images in noisy))
    told = [
        {
            "node": node.name,
            "layer": layer_name(node),
            "sqnr_db": noise[node].sqnr if node in noise and isfinite(noise[node].sqnr) else None,
        }
        for node in graph.graph.nodes
        if has_weight(node)
    ]
    to.note("layers.json").write_text(canonical_json(told), encoding="utf-8")
    to.note("alone.json").write_text(canonical_json(_alone(graph, example, noise, few, to.tick)), encoding="utf-8")


def _alone(
    graph: fx.GraphModule, example: Tensor, noise: dict[fx.Node, Noise], few: Few, progress: Tick
) -> dict[str, Any]:
    """Each layer's cross-entropy above that of the same network with nothing rounded, when it alone is."""
    layers = sorted((node for node in noise if has_weight(node)), key=lambda node: noise[node].sqnr)
    share = affordable(len(layers), work(graph, example))
    batches = list(few(share.samples)) if share.layers else []
    content: dict[str, Any] = {
        "samples": sum(len(labels) for _, labels in batches),
        "asked": share.samples,
        "wanted": MOST,
        "left_out": len(layers) - share.layers,
        "loss": None,
        "layers": [],
    }
    if not batches:
        return content
    unrounded = Partly(graph, ()).run
    reference = all_logits(unrounded, lambda: batches)
    least = outcome(unrounded, lambda: batches, reference).loss
    found = alone(graph, lambda: batches, reference, progress, layers[: share.layers])
    return content | {
        "loss": least,
        "layers": [
            {"layer": layer_name(node), "loss_change": one.loss - least, "divergence": one.divergence}
            for node, one in found.items()
        ],
    }
