"""Learning rate by step: linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017)."""

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """The rate of 0-based ``step``. It depends on nothing else, so a resumed run needs no scheduler state."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
