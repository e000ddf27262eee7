"""Post-training quantization: trace, fold, insert, calibrate."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, fx, nn

from edgetune.errors import QuantizationError
from edgetune.progress import Tick, silent
from edgetune.quantization.adaround import round_adaptively
from edgetune.quantization.bias_correction import correct_biases
from edgetune.quantization.decompose import decompose_hardswish, decompose_silu
from edgetune.quantization.equalize import equalize
from edgetune.quantization.fake_quant import ActivationFakeQuantize
from edgetune.quantization.fold_bn import fold_batch_norms
from edgetune.quantization.insert import fake_quantizes, insert_fake_quantize
from edgetune.quantization.ranges import Seen, choose_range
from edgetune.quantization.trace import trace
from edgetune.records import QuantizationScheme

Samples = Callable[[], Iterable[Tensor]]
"""Gives the same batches, float32 [N, 3, H, W], at every call; they are read twice and never all held."""


def quantize(
    network: nn.Module,
    example: Tensor,
    scheme: QuantizationScheme,
    samples: Samples,
    *,
    calibration: str = "mse",
    repair: tuple[str, ...] = (),
    keep_float: tuple[str, ...] = (),
    progress: Tick = silent,
) -> fx.GraphModule:
    """The calibrated fake-quant graph of ``network``, ready for export.

    Args:
        example: one input [1, 3, H, W].
        calibration: how ranges are chosen, a name of ``edgetune.quantization.ranges.METHODS``.
        repair: passes against what rounding does: "equalisation" before, "adaround" and "bias-correction" after.
        keep_float: names of modules whose layers are left in float.

    Raises:
        QuantizationError: cannot be traced, nothing to quantize, no samples, NaN or infinity on the way.
    """
    graph = prepare(network, example, scheme, equalized="equalisation" in repair, keep_float=keep_float)
    set_ranges(observe(graph, samples, progress), calibration)
    if "adaround" in repair:
        round_adaptively(graph, samples, progress)
    if "bias-correction" in repair:
        correct_biases(graph, samples, progress)
    return graph


def prepare(
    network: nn.Module,
    example: Tensor,
    scheme: QuantizationScheme,
    *,
    equalized: bool = False,
    keep_float: tuple[str, ...] = (),
) -> fx.GraphModule:
    """The fake-quant graph of ``network``, not calibrated; arguments and errors as of ``quantize``."""
    graph = trace(network, example)
    fold_batch_norms(graph)
    if equalized:
        equalize(graph)
    if "sigmoid" in scheme.operators:
        decompose_silu(graph)
    if "hardsigmoid" in scheme.operators:
        decompose_hardswish(graph)
    if insert_fake_quantize(graph, scheme, keep_float) == 0:
        raise QuantizationError(
            f"the network has no operator that the scheme quantizes ({', '.join(scheme.operators)})",
            hint='set `[quantize] mode = "none"`',
        )
    return graph


@torch.no_grad()
def observe(graph: fx.GraphModule, samples: Samples, progress: Tick = silent) -> dict[ActivationFakeQuantize, Seen]:
    """What the activations of an uncalibrated ``graph`` are like, from two passes over ``samples``."""
    modules, done = [module for module in fake_quantizes(graph) if module.observer is not None], 0
    for batch in samples():
        graph(batch)
        done += 1
        progress(done, 0, "calibration: extremes")
    total = 2 * done
    for module in modules:
        assert module.observer is not None
        module.observer.start_histogram()
    for batch in samples():
        graph(batch)
        done += 1
        progress(done, total, "calibration: histograms")
    found = {}
    for module in modules:
        assert module.observer is not None
        found[module] = module.observer.seen()
        module.observer = None
    return found


def set_ranges(seen: dict[ActivationFakeQuantize, Seen], method: str) -> None:
    """Give every activation the range that ``method`` chooses."""
    for module, what in seen.items():
        module.set_range(*choose_range(what, method, symmetric=module.symmetric))
