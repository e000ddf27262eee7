"""Which engines there may be for a target, and what they are called."""

from typing import Any

from edgetune.inference import INFERENCE_LIBRARIES
from edgetune.records import Candidate, PruneSpec, Pruning, Recipe, Rung, Target

FLOAT = "float"
UNPRUNED = Pruning()
BASELINE = Rung(pruning=UNPRUNED)
DEFAULT_SPEEDUPS = (1.25, 1.5)
DEFAULT_ENCODER_SPEEDUPS = (1.5,)  # one layer more or less is about 1.2 times; each takes a training of its own
DEFAULT_RATIOS = (0.15, 0.3)
AUTO_SPEEDUPS = (2.0, 1.5, 1.25)  # what the controller may try of a recipe that says nothing


def makes_int8(recipe: Recipe, target: Target) -> bool:
    """Whether there are INT8 engines of the recipe's kind of network for ``target``."""
    return "int8" in target.precisions and (not recipe.reads_text or INFERENCE_LIBRARIES[target.backend].dynamic_int8)


def float_precision(target: Target) -> str:
    """What the float candidate computes in: TensorRT takes float16 where the target is fast at it."""
    return "fp16" if target.backend == "tensorrt" and "fp16" in target.precisions else "fp32"


def percent(ratio: float) -> str:
    """0.15 -> "15", 0.125 -> "12.5"."""
    return f"{ratio * 100:.4g}"


def prunings(
    spec: PruneSpec, timed: bool, encoder: bool = False, usual: tuple[float, ...] | None = None
) -> list[Pruning]:
    """What to try removing; speed-ups and latencies only where the target's layers can be ``timed`` here, and no ratio
    of an ``encoder``. ``usual``: the speed-ups of a recipe that names none.
    """
    ratios, speedups, latencies = spec.ratio, spec.target_speedup, spec.target_latency_ms
    if encoder:
        ratios = ()
        speedups = usual or DEFAULT_ENCODER_SPEEDUPS if speedups is None and latencies is None else speedups
    elif ratios is None and speedups is None and latencies is None:
        ratios, speedups = ((), usual or DEFAULT_SPEEDUPS) if timed else (DEFAULT_RATIOS, ())
    asked = [Pruning(ratio=ratio) for ratio in ratios or () if ratio]
    asked += [Pruning(speedup=speedup) for speedup in speedups or () if timed]
    asked += [Pruning(latency_ms=latency) for latency in latencies or () if timed]
    return list({candidate_name(pruning, "fp32"): pruning for pruning in asked}.values())


def candidate_name(pruning: Pruning, precision: str) -> str:
    """float, int8, pruned-30, pruned-1.5x-int8, pruned-2.5ms."""
    parts = []
    if pruning.timed:
        parts.append(f"pruned-{pruning.amount}")
    elif pruning.ratio is not None:
        parts.append(f"pruned-{percent(pruning.ratio)}")
    parts += [precision] if precision.startswith("int") else []
    return "-".join(parts) or FLOAT


def describe(candidate: Candidate) -> dict[str, Any]:
    """What the report says of a candidate before it is measured."""
    return {
        "name": candidate.name,
        "precision": candidate.precision,
        "pruning_ratio": candidate.pruning.ratio if candidate.pruning.asked else 0.0,
        "pruning_speedup": candidate.pruning.speedup,
        **({"pruning_latency_ms": candidate.pruning.latency_ms} if candidate.pruning.latency_ms is not None else {}),
    }
