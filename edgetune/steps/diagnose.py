"""Where a network loses its accuracy to 8 bits, why, and what helps: tried on the validation split."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import torch
from torch import Tensor, fx

from edgetune.hashing import canonical_json
from edgetune.measure.proportion import SIGNIFICANCE, binomial_tail
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.causes import causes
from edgetune.quantization.insert import FUSED, MOVING
from edgetune.quantization.quantize import observe, prepare, set_ranges
from edgetune.quantization.sensitivity import (
    Batches,
    Noise,
    all_logits,
    alone,
    has_weight,
    layer_name,
    operator_kind,
    outcome,
    quantized_operators,
    rounding_noise,
)
from edgetune.quantization.trials import Bench, Settings, TrialBench, suggested, try_changes
from edgetune.records import QuantizationScheme
from edgetune.steps.context import StepContext
from edgetune.steps.examples import EVAL_BATCH, make_examples

# What computes nothing of a text's: sizes, checks, and values that are moved about.
SILENT = frozenset({"sym_size", "_assert_tensor_metadata", "to", "slice", "select", "unsqueeze", "expand"})
NOTHING_LOST = 1e-4  # nats of divergence below which leaving a layer in float cannot help


def run(context: StepContext) -> None:
    """Write ``diagnosis.json``: the float network, every quantized operator, and the trials."""
    params = context.params
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    network = network.eval().requires_grad_(False)
    scheme = QuantizationScheme(**{**params["scheme"], "operators": tuple(params["scheme"]["operators"])})
    examples = make_examples(context, spec, batch_size=EVAL_BATCH, augmentation="none")

    def calibration() -> Iterator[Tensor]:
        return (images for images, _ in examples.calibration(params["calibration_samples"]))

    def labelled() -> Iterator[tuple[Tensor, Tensor]]:
        return islice(iter(examples.validation()), max(1, -(-params["samples"] // EVAL_BATCH)))

    method = params.get("calibration", "mse")
    settings = Settings(
        calibration=method,
        repair=tuple(params["repair"]),
        keep_float=tuple(params.get("keep_float", ())),
    )
    equalized = "equalisation" in settings.repair
    graph = prepare(network, spec.example(), scheme, equalized=equalized, keep_float=settings.keep_float)
    seen = observe(graph, calibration, context.tick)
    set_ranges(seen, method)
    bench = Bench(
        network=network,
        example=spec.example(),
        scheme=scheme,
        calibration=calibration,
        batches=labelled,
        reference=all_logits(network, labelled),
    )
    write_diagnosis(bench, graph, settings, lambda node, noise: causes(graph, node, noise, seen), context)


def write_diagnosis(
    bench: TrialBench,
    graph: fx.GraphModule,
    settings: Settings,
    why: Callable[[fx.Node, Noise], list[str]],
    context: StepContext,
) -> None:
    """Write ``diagnosis.json`` of a fake-quant ``graph`` with its rounding in place.

    Args:
        settings: as the graph was made, where trials start.
        why: what stands out about an operator, in sentences.
    """
    params, labelled, reference = context.params, bench.batches, bench.reference
    noise, apart = rounding_noise(graph, labelled), alone(graph, labelled, reference, context.tick)
    layers: list[dict[str, Any]] = [
        {
            "layer": layer_name(node),
            "operator": operator_kind(node),
            "has_weight": has_weight(node),
            **{f"{key}_db": _finite(value) for key, value in asdict(noise[node]).items()},
            "alone": asdict(apart[node]),
            "causes": why(node, noise[node]),
        }
        for node in quantized_operators(graph)
    ]
    floating = outcome(bench.network, labelled, reference)
    ranked = sorted((node for node in apart if has_weight(node)), key=lambda node: -apart[node].divergence)
    worst = [layer_name(node) for node in ranked if apart[node].divergence > NOTHING_LOST]
    trials = try_changes(bench, settings, list(dict.fromkeys(worst)), context.tick)
    least = floating.accuracy - params["max_accuracy_drop"] / 100
    choice = suggested(trials, least)
    content = {
        "samples": sum(len(batch) for batch in reference),
        "max_accuracy_drop": params["max_accuracy_drop"],
        "float": asdict(floating),
        "layers": layers,
        "left_in_float": _left_in_float(graph),
        "commonest": _commonest(labelled, floating.accuracy),
        "trials": [trial.to_json() for trial in trials],
        "suggested": None if choice is None else trials.index(choice),
    }
    (context.out / "diagnosis.json").write_text(canonical_json(content), encoding="utf-8")


def _commonest(batches: Batches, accuracy: float) -> dict[str, Any]:
    """The share of samples that the commonest class is right for, and whether the float network is proven better."""
    counts = torch.bincount(torch.cat([labels for _, labels in batches()]))
    total = int(counts.sum())
    share = int(counts.max()) / total
    return {"share": share, "beaten": binomial_tail(round(accuracy * total), total, share) < SIGNIFICANCE}


def _left_in_float(graph: fx.GraphModule) -> dict[str, int]:
    """Operators that compute in float and how many there are; what is fused or only moves values is not counted."""
    quantized = set(quantized_operators(graph))
    return dict(
        Counter(
            operator_kind(node)
            for node in graph.graph.nodes
            if node.op == "call_function"
            and node not in quantized
            and node.target not in FUSED | MOVING
            and operator_kind(node) not in SILENT
        ).most_common()
    )


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity: a layer without any error has no ratio."""
    return value if value is not None and math.isfinite(value) else None
