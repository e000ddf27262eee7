"""Choose layers of an INT8 network for float: by gain per millisecond, as few as the budget needs."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from edgetune.export.onnx_export import export_onnx
from edgetune.hashing import canonical_json
from edgetune.measure.latency import RawLatency, measure_loads
from edgetune.measure.statistics import speedup_over_loads
from edgetune.progress import Tick
from edgetune.quantization.mixed_precision import by_gain_per_ms
from edgetune.quantization.quantize import quantize
from edgetune.quantization.sensitivity import Partly, has_weight, layer_name, outcome, quantized_operators
from edgetune.quantization.trials import FLOAT_LAYERS, Bench, Settings, TrialBench
from edgetune.steps.context import StepContext
from edgetune.steps.float_layers import MAX_SECONDS, MIN_RUNS, MIN_SECONDS, opener
from edgetune.steps.mend import open_bench, write_settings
from edgetune.steps.quantize import settings_of

MOST = max(FLOAT_LAYERS)  # layers that are timed in float; each costs an export
GAIN_BATCHES = 4  # of validation; each layer is run on them
NOTHING_LOST = 1e-4  # nats of divergence below which leaving a layer in float cannot help


def run(context: StepContext) -> None:
    """Write ``settings.json`` with the layers in ``keep_float``, and as a note each layer's gain and cost, and trials.

    A layer's gain is the divergence from the float network's outputs when it alone is quantized; its cost is the time
    that the whole engine takes longer with it in float, conversions included. On a device over SSH engines with random
    ranges are not timed: there the gain alone decides.
    """
    bench, settings = open_bench(context), settings_of(context)
    gains = gains_of(bench, settings, context)
    timed = lost_ms(bench, settings, list(gains), context) if context.device is None else {}
    choose(bench, settings, gains, timed, context)


def choose(
    bench: TrialBench, settings: Settings, gains: dict[str, float], timed: dict[str, float], context: StepContext
) -> None:
    """Write ``settings.json`` with as few layers in float as reach the budget, and the note ``layers.json``.

    Args:
        gains: {layer: nats that it gives back in float}.
        timed: {layer: milliseconds that this costs}; empty: nothing was timed.
    """
    order = by_gain_per_ms(gains, timed)
    floating = outcome(bench.network, bench.batches, bench.reference)
    least = floating.accuracy - context.params["max_accuracy_drop"] / 100
    tried: list[tuple[Settings, Any]] = []
    for count in sorted({*(number for number in FLOAT_LAYERS if number < len(order)), len(order)}):
        mixed = replace(settings, keep_float=(*settings.keep_float, *order[:count]))
        tried.append((mixed, bench.outcome(mixed)))
        if tried[-1][1].accuracy >= least - 1e-9:
            break
    chosen = tried[-1] if tried[-1][1].accuracy >= least - 1e-9 else min(tried, key=lambda found: found[1].divergence)
    write_settings(context, chosen[0])
    told = {
        "layers": [{"layer": name, "gain_nats": gains[name], "lost_ms": timed.get(name)} for name in order],
        "float": asdict(floating),
        "trials": [{"keep_float": list(made.keep_float), **asdict(found)} for made, found in tried],
    }
    context.note("layers.json").write_text(canonical_json(told), encoding="utf-8")


def gains_of(bench: Bench, settings: Settings, context: StepContext) -> dict[str, float]:
    """{layer: divergence in nats when it alone is quantized} of the worst that ``keep_float`` can name."""
    few, reference = list(islice(bench.batches(), GAIN_BATCHES)), bench.reference[:GAIN_BATCHES]
    return gains_in(bench.graph(settings), few, reference, settings.keep_float, context.tick)


def gains_in(
    graph: fx.GraphModule,
    few: Sequence[tuple[Tensor, Tensor]],
    reference: list[Tensor],
    kept: Collection[str],
    tick: Tick,
) -> dict[str, float]:
    """The same of a fake-quant ``graph`` on a ``few`` batches; ``kept`` are in float already."""
    layers = [node for node in quantized_operators(graph) if has_weight(node)]
    found: dict[str, float] = {}
    for number, node in enumerate(layers, start=1):
        lost = outcome(Partly(graph, (node,)).run, lambda: few, reference).divergence
        found[layer_name(node)] = max(lost, found.get(layer_name(node), 0.0))
        tick(number, len(layers), "layers quantized alone")
    worst = sorted((name for name in found if found[name] > NOTHING_LOST), key=lambda name: -found[name])
    return {name: found[name] for name in worst[:MOST] if name not in kept}


def lost_ms(bench: Bench, settings: Settings, names: list[str], context: StepContext) -> dict[str, float]:
    """By how much the engine is slower with each of these layers in float; all are timed in one session."""

    def noise() -> list[Tensor]:  # ranges do not matter to the time
        shape = (2, *bench.example.shape[1:])
        return [torch.randn(shape, generator=torch.Generator().manual_seed(context.seed))]

    files: dict[str, Path] = {}
    for number, name in enumerate(["", *names]):
        kept = (*settings.keep_float, *([name] if name else []))
        graph = quantize(bench.network, bench.example, bench.scheme, noise, keep_float=kept)
        files[str(number)] = context.scratch / f"{number}.onnx"
        export_onnx(graph, bench.example, files[str(number)], opset=context.params["opset"])
        context.tick(number + 1, len(names) + 1, "engines with a layer in float")
    return time_files(files, names, bench.example, context)


def time_files(files: dict[str, Path], names: list[str], example: Tensor, context: StepContext) -> dict[str, float]:
    """{name: milliseconds} by which file "1" is slower than "0" for the first of ``names``, "2" for the second, ..."""
    raw = measure_loads(
        {number: opener(file, context.session(), example) for number, file in files.items()},
        min_runs=MIN_RUNS,
        min_seconds=MIN_SECONDS,
        max_seconds=MAX_SECONDS,
        seed=context.seed,
    )
    return {name: _slower(raw["0"], raw[str(number)]) for number, name in enumerate(names, start=1)}


def _slower(baseline: RawLatency, candidate: RawLatency) -> float:
    """Milliseconds, by the ratio of the engines paired by load: drift between loads cancels out."""
    found = speedup_over_loads(
        baseline.values,
        candidate.values,
        runs_per_round=baseline.runs_per_round,
        runs_by_load=baseline.runs_by_load,
    )
    return float(np.median(baseline.values)) * (1.0 / found["value"] - 1.0)
